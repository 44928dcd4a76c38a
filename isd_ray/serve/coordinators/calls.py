"""Calls under way and their answers, by the key that their callers gave: one that is sent again is the same call."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from isd_ray.errors import ClusterError, IsdError, ResourceError
from isd_ray.messages import Progress

_LOGGER = logging.getLogger(__name__)

MAX_RUNNING = 64
"""Calls at a time; each holds a thread that waits for its coordinator."""
MAX_KEPT, KEPT_S = 64, 900.0
"""Answers that are kept, and how long, for callers that ask again."""


@dataclass(slots=True, eq=False)
class Call:
    """A call of somebody's.

    Attributes
    ----------
    steps:
        That it has taken so far.
    file:
        Where the file lies that it writes.
    answer:
        What it is answered, or its error, once that is known.
    ended:
        When that was.
    """

    file: Path
    steps: list[Progress] = field(default_factory=list)
    answer: Future[Any] = field(default_factory=Future)
    ended: float = 0.0


class Calls:
    """The calls of all campaigns.

    Parameters
    ----------
    scratch:
        Folder of this process alone, for files on their way to callers.
    """

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._lock = Lock()
        self._calls: dict[str, Call] = {}

    def begin(self, key: str, work: Callable[[Call], Any]) -> Call:
        """Begin a call, unless one of this key is under way or was answered; that one then.

        Raises
        ------
        ResourceError
            If there are too many.
        """
        with self._lock:
            if (known := self._calls.get(key)) is not None:
                return known
            self._forget()
            if sum(not call.answer.done() for call in self._calls.values()) >= MAX_RUNNING:
                raise ResourceError(
                    f"{MAX_RUNNING} calls are under way", "the service", "wait until some are answered, and repeat"
                )
            call = self._calls[key] = Call(self._scratch / secrets.token_hex(16))
        # A thread that ends with the process: nothing waits for a coordinator when the service is ended.
        Thread(target=_done, args=(call, work), daemon=True).start()
        return call

    def find(self, key: str) -> Call | None:
        """The call of a key; None if it was not begun here, or is long over."""
        return self._calls.get(key)

    def _forget(self) -> None:
        """Forget answers that are old, or too many; those of the calls that ended first."""
        ended = sorted((call.ended, key) for key, call in self._calls.items() if call.ended)
        oldest = time.monotonic() - KEPT_S
        for place, (moment, key) in enumerate(ended):
            if moment < oldest or len(ended) - place >= MAX_KEPT:
                self._calls.pop(key).file.unlink(missing_ok=True)


def _done(call: Call, work: Callable[[Call], Any]) -> None:
    try:
        call.answer.set_result(work(call))
    except IsdError as error:
        call.answer.set_exception(error)
    except Exception as error:  # a fault of ours or of Ray's, which the caller is told of and the log keeps
        _LOGGER.exception("a call ended in an error that is not one of ours")
        call.answer.set_exception(
            ClusterError(
                f"the coordinator ended the call with {type(error).__name__}: {error}",
                "the service",
                "the log of the service has the whole of it; if it is none of the cluster's, report it",
            )
        )
    call.ended = time.monotonic()
