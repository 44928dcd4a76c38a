"""What a laboratory has said of its compounds: the state that follows from the log of a campaign."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from isd_ray.campaign.events import Event
from isd_ray.campaign.ledger import SAYINGS, Ledger
from isd_ray.campaign.oracle import OnRecord, Readouts, Stopped
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.undone import undone_events
from isd_ray.messages import Rows


class Laboratory:
    """An oracle that waits for people: readouts are those that were told, rounds end when nothing is missing.

    Parameters
    ----------
    store:
        The campaign; its log is the only state.
    """

    def __init__(self, store: CampaignStore) -> None:
        self._store = store
        self._n_outputs = len(store.manifest.get("outputs", ()))
        self._has_numbers = bool(store.config["labels"].get("numbers"))
        self._ledger = self._new_ledger()
        self._undone = dict[int, int]()

    def ledger(self) -> Ledger:
        """All that was said until now and is not taken back; only new events are read."""
        events = self._store.events()
        undone = undone_events(self._store, events)
        if undone != self._undone:
            self._ledger, self._undone = self._new_ledger(), undone
        for event in events[self._ledger.n_events :]:
            self._ledger.enter(event, self._table(event, undone))
        return self._ledger

    def measure(self, round_number: int, rows: Rows) -> Readouts | None:
        """Readouts of a batch; None while some are missing that did not fail, in a round that is not closed."""
        ledger = self.ledger()
        if round_number not in ledger.closed and ledger.missing(round_number, rows).any():
            return None
        return Readouts.of(ledger.take(rows))

    def standing(self, n_events: int | None = None) -> OnRecord:
        """Exclusions, wishes and all readouts, by the first `n_events` of the log or by all of it."""
        ledger = self.ledger()
        if n_events is not None and n_events < ledger.n_events:
            ledger, events = self._new_ledger(), self._store.events()[:n_events]
            undone = undone_events(self._store, events)
            for event in events:
                ledger.enter(event, self._table(event, undone))
        rows = ledger.rows
        return OnRecord(
            n_events=ledger.n_events,
            excluded=np.setdiff1d(ledger.excluded, rows, assume_unique=True),
            wanted=np.setdiff1d(ledger.wanted, rows, assume_unique=True),
            rows=rows,
            readouts=Readouts.of(ledger.take(rows)),
            stopped=ledger.stopped,
        )

    def stops(self, n_events: int | None = None) -> tuple[int, Stopped | None]:
        """As `LookupOracle` takes it, for a simulation."""
        for number, event in enumerate(self._store.events()[:n_events], 1):
            if event["kind"] == "stop":
                return number, Stopped(event["reason"], event["last_look"])
        return 0, None

    def known(self) -> None:
        """Nothing is known before it is measured."""

    def _new_ledger(self) -> Ledger:
        return Ledger(self._n_outputs, has_numbers=self._has_numbers)

    def _table(self, event: Event, undone: Mapping[int, int]) -> pa.Table | None:
        is_said = event["kind"] in SAYINGS and event["sequence"] not in undone
        return self._store.read_readouts(event["readouts_sha256"]) if is_said else None
