"""The log of a campaign, summed up: what was told, what failed, what must be measured and what cannot be had."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isd_ray.campaign.entries import joined
from isd_ray.campaign.events import Event
from isd_ray.campaign.oracle import READOUT_SCHEMA, WELL_SCHEMA, Readouts, Stopped
from isd_ray.core.panels import count_bits, n_bytes
from isd_ray.data.packed import from_arrow
from isd_ray.messages import Rows

SAYINGS = ("tell", "fail", "exclude", "include")
"""Kinds of events that say something of the compounds of a table."""
Bits = NDArray[np.uint8]
"""Entries of n rows, uint8 (n, ceil(K / 8)): a bit for each of K outputs, the first in the highest; a label has one."""
_NO_ROWS = np.empty(0, np.int64)


class _Lines:
    """Lines of tables by their rows, int64 (n,), which may be in any order and occur several times."""

    def __init__(self, rows: Rows) -> None:
        self._order = np.argsort(rows, kind="stable")
        self._sorted = rows[self._order]

    @property
    def rows(self) -> Rows:
        """Each row once, ascending."""
        return self._sorted[np.flatnonzero(np.diff(self._sorted, prepend=-1))]

    def find(self, rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """All lines of some rows, those of each in their order: places in `rows`, ascending, and lines."""
        first, stop = (np.searchsorted(self._sorted, rows, side) for side in ("left", "right"))
        counts = stop - first
        before = np.cumsum(counts) - counts
        of_row = np.repeat(np.arange(len(rows)), counts)
        return of_row, self._order[np.arange(len(of_row)) + np.repeat(first - before, counts)]


@dataclass(slots=True)
class _Told:
    """All readouts on record: one line for each time that something was told of a row."""

    table: pa.Table
    lines: _Lines
    measured: Bits


@dataclass(slots=True)
class _Failed:
    """All failures on record: one line for each time that a row failed."""

    lines: _Lines
    rounds: NDArray[np.int64]
    entries: Bits
    reasons: NDArray[np.object_]


@dataclass(slots=True)
class Ledger:
    """The log up to some event.

    Entries are pairs of a row and an output; a single label is the entry of output 0.

    Attributes
    ----------
    n_outputs:
        Of a panel; 0 for other tasks.
    n_events:
        How many events that is.
    has_numbers:
        Of a panel: some outputs are numbers.
    closed:
        Why a round ends although readouts are missing.
    stopped:
        That a person has stopped the screen.
    readings:
        Hash of the readings of each file that was told.
    hits:
        What the hit calling froze with the first readouts; None before.
    """

    n_outputs: int = 0
    n_events: int = 0
    closed: dict[int, str] = field(default_factory=dict)
    has_numbers: bool = False
    stopped: Stopped | None = None
    readings: list[str] = field(default_factory=list)
    hits: Mapping[str, Any] | None = None
    _tables: list[pa.Table] = field(default_factory=list)
    _failures: list[tuple[int, Rows, Bits, str]] = field(default_factory=list)
    _wishes: list[tuple[Rows, bool]] = field(default_factory=list)
    _told: _Told | None = None
    _failed: _Failed | None = None

    def enter(self, event: Event, table: pa.Table | None) -> None:
        """Take in the next event; `table` is the one that its ``readouts_sha256`` names."""
        self.n_events += 1
        kind = event["kind"]
        if kind == "close":
            self.closed[event["round"]] = event["reason"]
        if kind == "stop":
            self.stopped = Stopped(event["reason"], event["last_look"])
        if table is None or kind not in SAYINGS:
            return
        rows = table["row"].to_numpy()
        if kind == "tell":
            self.hits = self.hits or event.get("hits")
            if event.get("readings_sha256") is not None:
                self.readings.append(event["readings_sha256"])
            self._tables.append(table.select(self._schema.names))
            self._told = None
        elif kind == "fail":
            named = "entries" in table.column_names
            entries = from_arrow(table["entries"]) if named else np.tile(self._every, (len(rows), 1))
            self._failures.append((event["round"], rows, np.asarray(entries, np.uint8), event["reason"]))
            self._failed = None
        else:
            self._wishes.append((rows, kind == "include"))

    @property
    def rows(self) -> Rows:
        """Rows of which anything was told, ascending, int64 (n,)."""
        return self._all_told().lines.rows

    @property
    def excluded(self) -> Rows:
        """Rows that must not be measured, ascending, int64 (n,)."""
        return self._wished(wanted=False)

    @property
    def wanted(self) -> Rows:
        """Rows that must be measured, ascending, int64 (n,)."""
        return self._wished(wanted=True)

    def told(self, rows: Rows) -> Bits:
        """Which entries of some rows are told."""
        told = self._all_told()
        of_row, lines = told.lines.find(rows)
        return _united(of_row, told.measured[lines], len(rows))

    def is_told(self, rows: Rows) -> NDArray[np.bool_]:
        """Of which rows anything was told, bool (n,)."""
        return np.any(self.told(rows), axis=1)

    def lost(self, round_number: int, rows: Rows) -> Bits:
        """Which entries of some rows failed in a round."""
        failed = self._all_failed()
        of_row, lines = failed.lines.find(rows)
        here = failed.rounds[lines] == round_number
        return _united(of_row[here], failed.entries[lines[here]], len(rows))

    def why_lost(self, rows: Rows, outputs: NDArray[np.integer], since: NDArray[np.integer]) -> dict[int, str]:
        """Why entries failed the last time, by their places among the given ones.

        Parameters
        ----------
        rows, outputs:
            The entries, (n,).
        since:
            The first round that counts for each, (n,).
        """
        failed = self._all_failed()
        of_row, lines = failed.lines.find(rows)
        is_named = has_entry(failed.entries[lines], outputs[of_row])
        counts = np.flatnonzero(is_named & (failed.rounds[lines] >= since[of_row]))
        return dict(zip(of_row[counts].tolist(), failed.reasons[lines[counts]].tolist(), strict=True))

    def missing(self, round_number: int, rows: Rows) -> NDArray[np.int64]:
        """How many entries of each row of a round have no readout and did not fail, int64 (n,)."""
        return count_bits(self._every & ~(self.told(rows) | self.lost(round_number, rows)))

    def on_record(self, rows: Rows, outputs: NDArray[np.integer]) -> pa.Table:
        """Label, value and remarks (`qc`) of single entries, null where there is none; of a panel labels alone."""
        found = self.take(rows)
        if not self.n_outputs:
            return found.select(["label", "value", "qc"])
        if self.has_numbers:
            values = from_arrow(found["labels"])[np.arange(len(rows)), outputs]
            label = pa.array(values, from_pandas=True)
        else:
            ones, measured = (has_entry(from_arrow(found[name]), outputs) for name in ("labels", "measured"))
            label = pa.array(ones.astype(np.float64), mask=~measured)
        return pa.table({"label": label, "value": found["value"], "qc": found["qc"]})

    def take(self, rows: Rows) -> pa.Table:
        """The readout of each row as `READOUT_SCHEMA`, nulls where there is none, in the given order.

        Of each entry the first that was told; those of a panel packed as `Readouts.to_table` has them. There is another
        where the first one was taken back, and that came too late (`isd_ray.campaign.undone.came_too_late`).
        """
        told = self._all_told()
        of_row, lines = told.lines.find(rows)
        if not self.n_outputs:
            first = np.flatnonzero(np.diff(of_row, prepend=-1))
            places = np.full(len(rows), -1, np.int64)
            places[of_row[first]] = lines[first]
            found = told.table.take(pa.array(places, mask=places < 0))
            return found.set_column(0, READOUT_SCHEMA.field("row"), pa.array(rows))
        taken = told.table.take(pa.array(lines))
        if self.has_numbers:
            labels = _first_values(of_row, from_arrow(taken["labels"]), len(rows))
        else:
            halves = _first(of_row, from_arrow(taken["labels"]), from_arrow(taken["measured"]), len(rows))
            labels = np.stack(halves, axis=1)
        wells = [joined(taken[name], of_row, len(rows), distinct=True) for name in ("plate", "well")]
        nothing = pa.nulls(len(rows), pa.int32()), pa.nulls(len(rows), pa.string())
        columns = pa.table([*wells, *nothing], schema=WELL_SCHEMA)
        return Readouts(labels, np.full(len(rows), np.nan), columns).to_table(rows)

    def all(self) -> pa.Table:
        """Every readout, by row, as `READOUT_SCHEMA`."""
        return self.take(self.rows)

    @property
    def _schema(self) -> pa.Schema:
        if not self.n_outputs:
            return READOUT_SCHEMA
        labels = [(name, pa.binary(n_bytes(self.n_outputs))) for name in ("labels", "measured")]
        if self.has_numbers:
            labels = [("labels", pa.list_(pa.float64(), self.n_outputs))]
        return pa.schema([("row", pa.int64()), *labels, ("plate", pa.string()), ("well", pa.string())])

    @property
    def _every(self) -> Bits:
        """All entries of a row, uint8 (ceil(K / 8),)."""
        return np.packbits(np.ones(max(1, self.n_outputs), np.uint8))

    def _all_told(self) -> _Told:
        if self._told is None:
            # In one piece: taking from many is slow, and the pieces would be held beside it.
            table = pa.concat_tables([self._schema.empty_table(), *self._tables]).combine_chunks()
            self._tables = [table]
            if self.has_numbers:
                measured = np.packbits(~np.isnan(from_arrow(table["labels"])), axis=1)
            else:
                measured = from_arrow(table["measured"]) if self.n_outputs else np.tile(self._every, (len(table), 1))
            self._told = _Told(table, _Lines(table["row"].to_numpy()), np.asarray(measured, np.uint8))
        return self._told

    def _all_failed(self) -> _Failed:
        if self._failed is None:
            n_rows = [len(rows) for _, rows, _, _ in self._failures]
            self._failed = _Failed(
                _Lines(np.concatenate([_NO_ROWS, *(rows for _, rows, _, _ in self._failures)])),
                np.repeat(np.array([number for number, *_ in self._failures], np.int64), n_rows),
                np.concatenate([self._every[None, :][:0], *(entries for _, _, entries, _ in self._failures)]),
                np.repeat(np.array([reason for *_, reason in self._failures], np.object_), n_rows),
            )
        return self._failed

    def _wished(self, *, wanted: bool) -> Rows:
        """Rows of which the last wish is that."""
        rows = np.concatenate([_NO_ROWS, *(rows for rows, _ in self._wishes)])[::-1]
        is_wanted = np.concatenate([np.full(len(rows), wish) for rows, wish in self._wishes] or [rows == 0])[::-1]
        each, last = np.unique(rows, return_index=True)
        found: Rows = each[is_wanted[last] == wanted]
        return found


def has_entry(bits: Bits, outputs: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Whether `bits` of n rows name one output of each, bool (n,)."""
    found: NDArray[np.bool_] = (bits[np.arange(len(outputs)), outputs // 8] >> (7 - outputs % 8) & 1).astype(np.bool_)
    return found


def _united(of_row: NDArray[np.int64], bits: Bits, n_rows: int) -> Bits:
    """The entries of all lines of each row; `of_row` ascending."""
    found = np.zeros((n_rows, bits.shape[1]), np.uint8)
    if len(of_row):
        first = np.flatnonzero(np.diff(of_row, prepend=-1))
        found[of_row[first]] = np.bitwise_or.reduceat(bits, first, axis=0)
    return found


def _in_turn(of_row: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The first line of each row, then the second of each that has one, and so on: rows, and lines; as `_first`."""
    starts = np.flatnonzero(np.diff(of_row, prepend=-1))
    rank = np.arange(len(of_row)) - np.repeat(starts, np.diff(starts, append=len(of_row)))
    for each in range(rank.max(initial=-1) + 1):
        lines = np.flatnonzero(rank == each)
        yield of_row[lines], lines


def _first(of_row: NDArray[np.int64], labels: Bits, measured: Bits, n_rows: int) -> tuple[Bits, Bits]:
    """Labels and presence of the entries of each row, each by the first line that has it; `of_row` ascending."""
    found, known = (np.zeros((n_rows, labels.shape[1]), np.uint8) for _ in range(2))
    for rows, lines in _in_turn(of_row):
        found[rows] |= labels[lines] & ~known[rows]
        known[rows] |= measured[lines]
    return found, known


def _first_values(of_row: NDArray[np.int64], labels: NDArray[np.float64], n_rows: int) -> NDArray[np.float64]:
    """As `_first`, of a panel with numbers, float64 (n_rows, K)."""
    found = np.full((n_rows, labels.shape[1]), np.nan)
    for rows, lines in _in_turn(of_row):
        found[rows] = np.where(np.isnan(found[rows]), labels[lines], found[rows])
    return found
