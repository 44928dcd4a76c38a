"""The log of a campaign: append-only, each event holding the hash of the one before."""

from __future__ import annotations

import getpass
import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeAlias

from isd_ray.errors import CorruptFileError, StoreError
from isd_ray.storage.files import canonical_json, read_json
from isd_ray.storage.folder import Folder

Event: TypeAlias = Mapping[str, Any]
_NAME = re.compile(r"(\d{6,})\.json")
_ORIGIN = "origin_sha256"
_ACTING_FOR: ContextVar[str | None] = ContextVar("acting_for", default=None)


@contextmanager
def acting_for(who: str) -> Iterator[None]:
    """For the time of the block events carry the name of somebody else than the user of this process."""
    token = _ACTING_FOR.set(who)
    try:
        yield
    finally:
        _ACTING_FOR.reset(token)


class EventLog:
    """Events in `path`, ``000000.json`` and so on.

    The order of events is that of their numbers; their times are for people, and a clock that is wrong or goes
    backwards changes nothing.

    Parameters
    ----------
    origin:
        Hash of what the campaign began with: the first event holds it, as each later one that of the one before.
    """

    def __init__(self, folder: Folder, path: Path, origin: str) -> None:
        self._folder = folder
        self._path = path
        self._origin = origin
        self._events: list[Event] = []
        self._hashes: list[str] = []

    def read(self) -> list[Event]:
        """All events, oldest first; what was read before is not read again.

        Raises
        ------
        CorruptFileError
            If an event is unreadable, or does not follow from the one before.
        StoreError
            If an event is missing before others, or the campaign began with something else.
        """
        # Listed before they are read: one that others append meanwhile is no gap. What is appended later follows on, so
        # that the folder, which may lie behind a network, is listed once.
        last = -1 if self._events else self._last_listed()
        while self._folder.holds(file := self._file(len(self._events))):
            event = read_json(file)
            previous = self._hashes[-1] if self._hashes else None
            if event.get("sequence") != len(self._events) or event.get("previous_sha256") != previous:
                raise CorruptFileError(
                    "this event does not follow from the one before: one of the two was altered",
                    str(file),
                    "restore the folder from a backup",
                )
            # Campaigns of earlier versions did not note it.
            if previous is None and event.get(_ORIGIN, self._origin) != self._origin:
                raise StoreError(
                    "campaign.json is not what the campaign began with",
                    self._folder.address,
                    "restore that file from a backup; another goal or configuration is another campaign, in another "
                    "folder",
                )
            self._events.append(event)
            self._hashes.append(hashlib.sha256(file.read_bytes()).hexdigest())
        if len(self._events) <= last:
            raise StoreError(
                f"events/{file.name} is missing, and later events are there: the log has a gap",
                self._folder.address,
                "restore that file from a backup; nothing is written until it is there",
            )
        return self._events

    def append(self, kind: str, details: Mapping[str, Any], *, after: int | None = None) -> bool:
        """Append an event.

        Parameters
        ----------
        kind, details:
            What happened.
        after:
            Number of events that `details` were made from; None if they do not depend on others.

        Returns
        -------
        bool
            False if somebody else has written in between: read again, and decide again.
        """
        while True:
            sequence = len(self.read())
            if after is not None and sequence != after:
                return False
            event = {
                "sequence": sequence,
                "kind": kind,
                "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                "who": _ACTING_FOR.get() or user(),
                "previous_sha256": self._hashes[-1] if self._hashes else None,
                **({} if self._hashes else {_ORIGIN: self._origin}),
                **details,
            }
            if self._folder.create(self._file(sequence), canonical_json(event)):
                return True

    def hashes(self) -> list[str]:
        """SHA-256 of every event, oldest first; the last one stands for all of them, as each holds that before."""
        self.read()
        return list(self._hashes)

    def has(self, kind: str, **details: Any) -> bool:
        """Whether there is an event of a kind with these details."""
        return any(
            event["kind"] == kind and all(event.get(name) == value for name, value in details.items())
            for event in self.read()
        )

    def _last_listed(self) -> int:
        """The largest number of an event in the folder; -1 without any."""
        names = map(_NAME.fullmatch, self._folder.names(self._path))
        return max((int(name[1]) for name in names if name), default=-1)

    def _file(self, sequence: int) -> Path:
        return self._path / f"{sequence:06d}.json"


def user() -> str:
    """Name of the user of this process."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user need not have a name
        return "unknown"
