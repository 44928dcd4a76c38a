"""What a laboratory has said of its compounds: the state that follows from the log of a campaign."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from isd_ray.campaign.events import Event
from isd_ray.campaign.oracle import READOUT_SCHEMA, Readouts, Standing
from isd_ray.campaign.store import CampaignStore
from isd_ray.messages import Rows


@dataclass(slots=True)
class Ledger:
    """The log up to some event, summed up.

    Attributes
    ----------
    n_events:
        How many events that is.
    told:
        Place of the readout of each row: the table and the line in it.
    failed:
        By round: why the wells of rows gave no readout.
    closed:
        Why a round ends although readouts are missing.
    excluded, wanted:
        Why rows must not, or must, be measured.
    readings:
        Hash of the readings of each file that was told.
    hits:
        What the hit calling froze with the first readouts; None before.
    """

    n_events: int = 0
    tables: list[pa.Table] = field(default_factory=list)
    told: dict[int, tuple[int, int]] = field(default_factory=dict)
    failed: dict[int, dict[int, str]] = field(default_factory=dict)
    closed: dict[int, str] = field(default_factory=dict)
    excluded: dict[int, str] = field(default_factory=dict)
    wanted: dict[int, str] = field(default_factory=dict)
    readings: list[str] = field(default_factory=list)
    hits: Mapping[str, Any] | None = None

    def take(self, rows: Rows) -> pa.Table:
        """The first readout of each row, nulls where there is none, as `READOUT_SCHEMA`, in the given order."""
        starts = np.cumsum([0, *(len(table) for table in self.tables)])
        places = [self.told.get(row) for row in rows.tolist()]
        lines = pa.array([None if place is None else int(starts[place[0]] + place[1]) for place in places], pa.int64())
        told = pa.concat_tables([READOUT_SCHEMA.empty_table(), *self.tables]).take(lines)
        return told.set_column(0, READOUT_SCHEMA.field("row"), pa.array(rows))

    def all(self) -> pa.Table:
        """Every readout, by row, as `READOUT_SCHEMA`."""
        return self.take(np.array(sorted(self.told), np.int64))


class Laboratory:
    """An oracle that waits for people: readouts are those that were told, rounds end when nothing is missing.

    Parameters
    ----------
    store:
        The campaign; its log is the only state.
    """

    def __init__(self, store: CampaignStore) -> None:
        self._store = store
        self._ledger = Ledger()

    def ledger(self) -> Ledger:
        """All that was said until now; only new events are read."""
        events = self._store.events()
        for event in events[self._ledger.n_events :]:
            self._enter(self._ledger, event)
        return self._ledger

    def measure(self, round_number: int, rows: Rows) -> Readouts | None:
        """Readouts of a batch; None while some are missing that did not fail, in a round that is not closed."""
        ledger = self.ledger()
        failed = ledger.failed.get(round_number, {})
        missing = [row for row in rows.tolist() if row not in ledger.told and row not in failed]
        if missing and round_number not in ledger.closed:
            return None
        return Readouts.of(ledger.take(rows))

    def standing(self, n_events: int | None = None) -> Standing:
        """Exclusions, wishes and all readouts, by the first `n_events` of the log or by all of it."""
        ledger = self.ledger()
        if n_events is not None and n_events < ledger.n_events:
            ledger = Ledger()
            for event in self._store.events()[:n_events]:
                self._enter(ledger, event)
        told = ledger.all()
        return Standing(
            n_events=ledger.n_events,
            excluded=np.array(sorted(ledger.excluded.keys() - ledger.told.keys()), np.int64),
            wanted=np.array(sorted(ledger.wanted.keys() - ledger.told.keys()), np.int64),
            rows=told["row"].to_numpy(),
            readouts=Readouts.of(told),
        )

    def _enter(self, ledger: Ledger, event: Event) -> None:
        ledger.n_events += 1
        kind = event["kind"]
        if kind == "close":
            ledger.closed[event["round"]] = event["reason"]
        if kind not in ("tell", "fail", "exclude", "include"):
            return
        table = self._store.read_readouts(event["readouts_sha256"])
        rows = table["row"].to_pylist()
        if kind == "tell":
            ledger.hits = ledger.hits or event.get("hits")
            ledger.tables.append(table)
            if event.get("readings_sha256") is not None:
                ledger.readings.append(event["readings_sha256"])
            for line, row in enumerate(rows):
                ledger.told.setdefault(row, (len(ledger.tables) - 1, line))
        elif kind == "fail":
            ledger.failed.setdefault(event["round"], {}).update(dict.fromkeys(rows, event["reason"]))
        elif kind == "exclude":
            ledger.excluded.update(dict.fromkeys(rows, event["reason"]))
            for row in rows:
                ledger.wanted.pop(row, None)
        else:
            ledger.wanted.update(dict.fromkeys(rows, event["reason"]))
            for row in rows:
                ledger.excluded.pop(row, None)
