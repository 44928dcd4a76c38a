"""Taking back what was told or noted by mistake, as long as no decision has used it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from isd_ray.campaign.events import Event
from isd_ray.campaign.ledger import SAYINGS
from isd_ray.campaign.round_files import RoundFiles
from isd_ray.campaign.undone import UNDO, came_too_late, is_evidence, n_used, undone_events
from isd_ray.errors import StoreError
from isd_ray.messages import Rows
from isd_ray.ops.opened import Opened, need

_OF_NOBODY = ("known", "stock_column")
"""What tells an event that the configuration brought, not a person."""


@dataclass(frozen=True, slots=True)
class Undoable:
    """An entry of the log that may be taken back.

    Attributes
    ----------
    number:
        Of the event.
    kind, time, who, n:
        Of the event: `tell`, `fail`, `exclude` or `include`; ISO 8601 in UTC; compounds or readouts.
    about:
        Its file, else the reason that was given; of readouts counted without a file None.
    with_it:
        Numbers of the others that the same file has brought: they are taken back together.
    """

    number: int
    kind: str
    time: str
    who: str
    n: int
    about: str | None
    with_it: tuple[int, ...]


class Undoing:
    """Takes back what people said.

    Parameters
    ----------
    opened:
        The campaign.
    """

    def __init__(self, opened: Opened) -> None:
        self._opened = opened

    def undoable(self) -> tuple[Undoable, ...]:
        """See `isd_ray.ops.campaign.Campaign.undoable`."""
        events, undone, start = self._events(), undone_events(self._opened.store), self._start()
        if start is None:
            return ()
        rounds, found = self._opened.store.rounds(), []
        for event in reversed(events[start:]):
            if event["sequence"] in undone or not _is_of_people(event):
                continue
            numbers = _together(event, events[start:], undone)
            if not (
                self._evidence(numbers, events, rounds)
                or self._amended(numbers, events) is not None
                or self._later(numbers, events, undone) is not None
            ):
                found.append(
                    Undoable(
                        number=event["sequence"],
                        kind=event["kind"],
                        time=event["time"],
                        who=event["who"],
                        n=event["n"],
                        about=event.get("file") or event.get("reason"),
                        with_it=tuple(number for number in numbers if number != event["sequence"]),
                    )
                )
        return tuple(found)

    def undo(self, number: int, reason: str) -> int:
        """See `isd_ray.ops.campaign.Campaign.undo`."""
        opened, store = self._opened, self._opened.store
        opened.refuse_simulation()
        opened.refuse_after_end("an undo")
        need(reason)
        while True:
            events, undone = self._events(), undone_events(store)
            if not 0 <= number < len(events):
                raise StoreError(f"the log has no entry {number}", store.address, "`isd undo` lists what may be undone")
            if number in undone:
                return 0
            numbers = self._checked(events[number], events, undone)
            n = sum(events[each]["n"] for each in numbers)
            details = {"undone": numbers, "n": n, "reason": reason, "round": opened.place().open_round}
            if store.append_event(UNDO, details, after=len(events)):
                break
        if came_too_late(store.events()[len(events)], store.rounds()):
            raise StoreError(
                f"a decision has used entry {number} in this moment: it stands, and the undo has no effect",
                store.address,
                "correct readouts by an amendment (`isd amend`)",
            )
        return n

    def _checked(self, event: Event, events: Sequence[Event], undone: Mapping[int, int]) -> list[int]:
        """The events that are taken back with one; refused are those that cannot be."""
        where, number, start = self._opened.store.address, event["sequence"], self._start()
        if not _is_of_people(event):
            raise StoreError(
                f"entry {number} is no readout, failure, exclusion or wish of a person: {event['kind']}",
                where,
                "`isd undo` lists what may be undone",
            )
        if start is None:
            raise StoreError(
                "the end of the screen is decided: nothing is undone", where, "amend readouts (`isd amend`)"
            )
        if number < start:
            raise StoreError(
                f"entry {number} has been used by a decision, which stands", where, "correct readouts by `isd amend`"
            )
        numbers = _together(event, events[start:], undone)
        if evidence := self._evidence(numbers, events, self._opened.store.rounds()):
            raise StoreError(
                f"a look is judged by the first readouts of its batch, and entry {evidence[0]} has some of them",
                where,
                "correct readouts by `isd amend`: the look counts them as errors; what failed is asked for once more",
            )
        if (amended := self._amended(numbers, events)) is not None:
            raise StoreError(
                f"entry {amended} has corrected readouts of entry {number}",
                where,
                "correct them once more (`isd amend`): what was amended is not undone",
            )
        if (later := self._later(numbers, events, undone)) is not None:
            raise StoreError(
                f"readouts of entry {later} were counted with those of entry {number}",
                where,
                f"undo entry {later} first, and tell its file again afterwards",
            )
        return numbers

    def _events(self) -> Sequence[Event]:
        return self._opened.store.events()

    def _start(self) -> int | None:
        """The first event that no decision has used; None where the end is decided, so that nothing may change."""
        rounds = self._opened.store.rounds()
        last = rounds[-1].committed if rounds else None
        if self._opened.has_ended or self._opened.ledger().stopped or (last and last["decision"] == "stop"):
            return None
        return n_used(self._opened.store)

    def _evidence(self, numbers: Sequence[int], events: Sequence[Event], rounds: Sequence[RoundFiles]) -> list[int]:
        """Those of some events that a look is judged by."""
        return [number for number in numbers if is_evidence(events[number], self._opened.store, rounds)]

    def _amended(self, numbers: Sequence[int], events: Sequence[Event]) -> int | None:
        """The first amendment of readouts that are to be taken back: it would correct what is told in their place."""
        told = [self._rows(events[number]) for number in numbers if events[number]["kind"] == "tell"]
        for event in events[min(numbers) :] if told else ():
            if event["kind"] == "amend" and np.isin(np.concatenate(told), self._rows(event)).any():
                return event["sequence"]
        return None

    def _rows(self, event: Event) -> Rows:
        rows: Rows = self._opened.store.read_readouts(event["readouts_sha256"])["row"].to_numpy()
        return rows

    def _later(self, numbers: Sequence[int], events: Sequence[Event], undone: Mapping[int, int]) -> int | None:
        """The last readouts that may rest on what is to be taken back: where wells of several files count together."""
        config = self._opened.config
        if (config.replicates == 1 and config.hits is None) or not any(events[n]["kind"] == "tell" for n in numbers):
            return None
        later = [
            event["sequence"]
            for event in events[min(numbers) :]
            if event["kind"] == "tell" and event["sequence"] not in undone and event["sequence"] not in numbers
        ]
        return max(later, default=None)


def _is_of_people(event: Event) -> bool:
    return event["kind"] in SAYINGS and not any(event.get(name) for name in _OF_NOBODY)


def _together(event: Event, events: Sequence[Event], undone: Mapping[int, int]) -> list[int]:
    """The numbers of an event and of all others of `events` that its file has brought, ascending."""
    if (sha256 := event.get("file_sha256")) is None:
        return [event["sequence"]]
    same = [other["sequence"] for other in events if other.get("file_sha256") == sha256 and _is_of_people(other)]
    return [number for number in same if number not in undone]
