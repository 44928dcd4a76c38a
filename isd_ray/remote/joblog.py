"""The log of a job as a channel: lines for programs between lines for people.

Whoever reaches a campaign's folder reads there how far it is; the log is for those who reach the Jobs API only.
"""

from __future__ import annotations

import json
from typing import Any, Literal, TypeAlias

from isd_ray import errors
from isd_ray.errors import IsdError

MARK = "isd_ray> "
"""Begins a line for programs: a JSON object with one key, its kind."""
IN_JOB = "ISD_RAY_IN_JOB"
"""Variable of the environment of what runs in a job: its errors are printed for programs, too."""
Kind: TypeAlias = Literal["standing", "error", "access", "nodes"]


def marked(kind: Kind, value: Any) -> str:
    """A line for programs."""
    return MARK + json.dumps({kind: value})


def error_line(error: IsdError) -> str:
    """The line of an error that is to be raised again where the log is read."""
    return marked("error", error_to_json(error))


def error_to_json(error: IsdError) -> dict[str, Any]:
    """Kind and words of an error, from which `error_from_json` makes it again."""
    return {"type": type(error).__name__, "args": list(error.args)}


def error_from_json(said: Any) -> IsdError | None:
    """The error that `error_to_json` was given; None if there is none."""
    match said:
        case {"type": str(name), "args": [str(what), str(where), str(remedy)]}:
            kind = getattr(errors, name, None)
            ours = kind if isinstance(kind, type) and issubclass(kind, IsdError) else IsdError
            return ours(what, where, remedy)
    return None


def words_of(log: str) -> str:
    """The lines for people."""
    return "".join(line for line in log.splitlines(keepends=True) if not line.startswith(MARK))


def last_of(log: str, kind: Kind) -> Any:
    """The last value of a kind; None without one. A line that is cut off, or that somebody else wrote, is no value."""
    for line in reversed(log.splitlines()):
        if line.startswith(MARK):
            try:
                value = json.loads(line.removeprefix(MARK))
            except ValueError:
                continue
            if isinstance(value, dict) and kind in value:
                return value[kind]
    return None


def error_of(log: str) -> IsdError | None:
    """The deliberate error that ended the job; None without one."""
    return error_from_json(last_of(log, "error"))
