"""What callers send to a coordinator and hear of it: verbs with their files, and the steps of one that takes long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from isd_ray.campaign.watcher import Watcher
from isd_ray.errors import InputFileError
from isd_ray.messages import Progress

MAX_SENT_BYTES = 256 << 20
"""Largest file of readouts that is sent to the cluster."""


CHANGES = (
    "ask",
    "note_dispatch",
    "tell",
    "fail",
    "exclude",
    "include",
    "extend",
    "reconfigure",
    "close",
    "stop",
    "undo",
    "amend",
    "summary",
)
"""Verbs of `isd_ray.ops.campaign.Campaign` that may change it: a coordinator does one after the other."""
LOOKS = ("has_ended", "batch", "is_dispatched", "preview", "status", "certificate", "history", "told_files", "undoable")
"""Verbs that only read: they are answered at any time."""
WRITES = ("export", "export_interim", "report")
"""Verbs that read and write a file, which is the caller's."""
TAKE_FILE = ("tell", "preview", "amend")
"""Verbs whose first argument is a file of the caller's."""


@dataclass(frozen=True, slots=True)
class SentFile:
    """A file of the caller's, by its name and content."""

    name: str
    content: bytes

    @classmethod
    def read(cls, file: Path) -> SentFile:
        """Read a file to be sent.

        Raises
        ------
        InputFileError
            If it is larger than `MAX_SENT_BYTES`, or cannot be read.
        """
        try:
            size = file.stat().st_size
            if size > MAX_SENT_BYTES:
                raise InputFileError(
                    f"{size:,} bytes are more than the {MAX_SENT_BYTES:,} that are sent to a cluster",
                    str(file),
                    "split the file; or open the campaign (`Campaign.open`) where its folder can be reached",
                )
            return cls(file.name, file.read_bytes())
        except OSError as error:
            raise InputFileError(f"cannot be read ({error})", str(file), "check the path") from error


@dataclass(frozen=True, slots=True)
class VerbCall:
    """A verb of `Campaign`, to be done by a coordinator.

    Attributes
    ----------
    campaign_id:
        The campaign that is meant.
    who:
        On whose behalf: the name that events carry.
    key:
        Tells this call from all others, also where it is repeated.
    """

    campaign_id: str
    who: str
    verb: str
    arguments: tuple[Any, ...] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict)
    key: str = field(default_factory=lambda: uuid4().hex)


class StepsTaken(Watcher):
    """Keeps the steps of one call for those who ask what it has done so far."""

    def __init__(self) -> None:
        self._key = ""
        self._taken: list[Progress] = []

    def begin(self, key: str) -> None:
        """From now on steps are those of another call."""
        self._key, self._taken = "", []  # no moment at which the key of one has the steps of the other
        self._key = key

    def step(self, name: str, progress: Progress) -> None:
        """One more step of the call."""
        self._taken.append(progress)

    def after(self, key: str, n_seen: int) -> tuple[int, list[Progress]]:
        """How many steps a call has taken, and those after the first `n_seen`; all of a call that began anew."""
        taken = list(self._taken) if key == self._key else []
        return len(taken), taken[n_seen if n_seen <= len(taken) else 0 :]
