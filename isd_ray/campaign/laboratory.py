"""What a laboratory has said of its compounds: the state that follows from the log of a campaign."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from isd_ray.campaign.events import Event
from isd_ray.campaign.oracle import READOUT_SCHEMA, WELL_SCHEMA, Readouts, Standing, Stopped
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.undone import undone_events
from isd_ray.core.panels import n_bytes
from isd_ray.data.packed import labels_from
from isd_ray.messages import Rows

SAYINGS = ("tell", "fail", "exclude", "include")
"""Kinds of events that say something of the compounds of a table."""


def entry_mask(output: int, n_outputs: int) -> int:
    """One output of a panel as a bit, the first in the highest bit of the first of its bytes."""
    return 1 << (8 * n_bytes(n_outputs) - 1 - output)


def all_entries(n_outputs: int) -> int:
    """All outputs of a panel as bits."""
    return ((1 << n_outputs) - 1) << (8 * n_bytes(n_outputs) - n_outputs)


@dataclass(slots=True)
class Ledger:
    """The log up to some event, summed up.

    Attributes
    ----------
    n_events:
        How many events that is.
    n_outputs:
        Of a panel; 0 for other tasks.
    told:
        Places of the readouts of each row, the table and the line in it; of single labels the first alone counts.
    told_entries:
        Of a panel, which entries of each row are told (`entry_mask`).
    failed:
        By round: why the wells of rows gave no readout.
    lost:
        Of a panel, by round: which entries of rows gave no readout.
    closed:
        Why a round ends although readouts are missing.
    stopped:
        That a person has stopped the screen.
    excluded, wanted:
        Why rows must not, or must, be measured.
    readings:
        Hash of the readings of each file that was told.
    hits:
        What the hit calling froze with the first readouts; None before.
    """

    n_outputs: int = 0
    n_events: int = 0
    tables: list[pa.Table] = field(default_factory=list)
    told: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    told_entries: dict[int, int] = field(default_factory=dict)
    failed: dict[int, dict[int, str]] = field(default_factory=dict)
    lost: dict[int, dict[int, int]] = field(default_factory=dict)
    closed: dict[int, str] = field(default_factory=dict)
    stopped: Stopped | None = None
    excluded: dict[int, str] = field(default_factory=dict)
    wanted: dict[int, str] = field(default_factory=dict)
    readings: list[str] = field(default_factory=list)
    hits: Mapping[str, Any] | None = None

    def enter(self, event: Event, table: pa.Table | None) -> None:
        """Take in the next event; `table` is the one that its ``readouts_sha256`` names."""
        self.n_events += 1
        kind = event["kind"]
        if kind == "close":
            self.closed[event["round"]] = event["reason"]
        if kind == "stop":
            self.stopped = _stopped(event)
        if table is None or kind not in SAYINGS:
            return
        rows = table["row"].to_pylist()
        if kind == "tell":
            self.hits = self.hits or event.get("hits")
            self.tables.append(table)
            if event.get("readings_sha256") is not None:
                self.readings.append(event["readings_sha256"])
            for line, row in enumerate(rows):
                self.told.setdefault(row, []).append((len(self.tables) - 1, line))
            if self.n_outputs:
                _join(self.told_entries, rows, _masks(table["measured"]))
        elif kind == "fail":
            if "entries" in table.column_names:
                masks = _masks(table["entries"])
            else:
                self.failed.setdefault(event["round"], {}).update(dict.fromkeys(rows, event["reason"]))
                masks = [all_entries(self.n_outputs)] * len(rows)
            if self.n_outputs:
                _join(self.lost.setdefault(event["round"], {}), rows, masks)
        elif kind == "exclude":
            self.excluded.update(dict.fromkeys(rows, event["reason"]))
            for row in rows:
                self.wanted.pop(row, None)
        else:
            self.wanted.update(dict.fromkeys(rows, event["reason"]))
            for row in rows:
                self.excluded.pop(row, None)

    def take(self, rows: Rows) -> pa.Table:
        """The first readout of each row, nulls where there is none, as `READOUT_SCHEMA`, in the given order.

        Of a panel its entries together, packed as `Readouts.to_table` has them.
        """
        starts = np.cumsum([0, *(len(table) for table in self.tables)])
        places = [[int(starts[table] + line) for table, line in self.told.get(row, ())] for row in rows.tolist()]
        if self.n_outputs:
            return self._take_entries(rows, places)
        lines = pa.array([found[0] if found else None for found in places], pa.int64())
        told = pa.concat_tables([READOUT_SCHEMA.empty_table(), *self.tables]).take(lines)
        return told.set_column(0, READOUT_SCHEMA.field("row"), pa.array(rows))

    def _take_entries(self, rows: Rows, places: list[list[int]]) -> pa.Table:
        labels = np.zeros((len(rows), 2, n_bytes(self.n_outputs)), np.uint8)
        plates, wells = pa.nulls(len(rows), pa.string()), pa.nulls(len(rows), pa.string())
        if self.tables:
            of_row = np.repeat(np.arange(len(rows)), [len(found) for found in places])
            lines = np.array([line for found in places for line in found], np.int64)
            np.bitwise_or.at(labels, of_row, np.concatenate([labels_from(table) for table in self.tables])[lines])
            told = pa.concat_tables([table.select(["plate", "well"]) for table in self.tables])
            plates, wells = (joined(told[name].to_pylist(), places) for name in ("plate", "well"))
        nothing = pa.nulls(len(rows), pa.int32()), pa.nulls(len(rows), pa.string())
        columns = pa.table([plates, wells, *nothing], schema=WELL_SCHEMA)
        return Readouts(labels, np.full(len(rows), np.nan), columns).to_table(rows)

    def missing(self, round_number: int, rows: Rows) -> dict[int, int]:
        """Rows of a round with readouts missing that did not fail, and how many; of a panel entries are counted."""
        failed, lost = self.failed.get(round_number, {}), self.lost.get(round_number, {})
        if not self.n_outputs:
            return {row: 1 for row in rows.tolist() if row not in self.told and row not in failed}
        every = all_entries(self.n_outputs)
        known = {row: self.told_entries.get(row, 0) | lost.get(row, 0) for row in rows.tolist()}
        return {row: (every & ~mask).bit_count() for row, mask in known.items() if mask != every}

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
        self._n_outputs = len(store.manifest.get("outputs", ()))
        self._ledger = Ledger(self._n_outputs)
        self._undone = dict[int, int]()

    def ledger(self) -> Ledger:
        """All that was said until now and is not taken back; only new events are read."""
        events = self._store.events()
        undone = undone_events(self._store, events)
        if undone != self._undone:
            self._ledger, self._undone = Ledger(self._n_outputs), undone
        for event in events[self._ledger.n_events :]:
            self._ledger.enter(event, self._table(event, undone))
        return self._ledger

    def measure(self, round_number: int, rows: Rows) -> Readouts | None:
        """Readouts of a batch; None while some are missing that did not fail, in a round that is not closed."""
        ledger = self.ledger()
        if round_number not in ledger.closed and ledger.missing(round_number, rows):
            return None
        return Readouts.of(ledger.take(rows))

    def standing(self, n_events: int | None = None) -> Standing:
        """Exclusions, wishes and all readouts, by the first `n_events` of the log or by all of it."""
        ledger = self.ledger()
        if n_events is not None and n_events < ledger.n_events:
            ledger, events = Ledger(self._n_outputs), self._store.events()[:n_events]
            undone = undone_events(self._store, events)
            for event in events:
                ledger.enter(event, self._table(event, undone))
        told = ledger.all()
        return Standing(
            n_events=ledger.n_events,
            excluded=np.array(sorted(ledger.excluded.keys() - ledger.told.keys()), np.int64),
            wanted=np.array(sorted(ledger.wanted.keys() - ledger.told.keys()), np.int64),
            rows=told["row"].to_numpy(),
            readouts=Readouts.of(told),
            stopped=ledger.stopped,
        )

    def stops(self, n_events: int | None = None) -> tuple[int, Stopped | None]:
        """As `LookupOracle` takes it, for a simulation."""
        for number, event in enumerate(self._store.events()[:n_events], 1):
            if event["kind"] == "stop":
                return number, _stopped(event)
        return 0, None

    def known(self) -> None:
        """Nothing is known before it is measured."""

    def _table(self, event: Event, undone: Mapping[int, int]) -> pa.Table | None:
        is_said = event["kind"] in SAYINGS and event["sequence"] not in undone
        return self._store.read_readouts(event["readouts_sha256"]) if is_said else None


def _stopped(event: Event) -> Stopped:
    return Stopped(event["reason"], event["last_look"])


def _masks(column: pa.ChunkedArray) -> list[int]:
    return [int.from_bytes(bits, "big") for bits in column.to_pylist()]


def _join(known: dict[int, int], rows: Sequence[int], masks: Sequence[int]) -> None:
    for row, mask in zip(rows, masks, strict=True):
        known[row] = known.get(row, 0) | mask


def joined(cells: Sequence[str | None], places: Iterable[Iterable[int]]) -> pa.Array:
    """The distinct cells at the places of each row in one text."""
    texts = [dict.fromkeys(cell for place in found if (cell := cells[place]) is not None) for found in places]
    return pa.array([";".join(found) or None for found in texts], pa.string())
