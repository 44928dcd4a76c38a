"""Where readouts come from, and what people have decided on compounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isd_ray.core.panels import has_readout, overlay, without_readout
from isd_ray.core.seeding import derive_seed, tie_keys
from isd_ray.data.labels import Labels, as_readouts
from isd_ray.data.packed import from_arrow, label_columns, labels_from, to_arrow
from isd_ray.messages import LabelArray, Rows

Readout: TypeAlias = tuple[Any, float | None]
"""Label of one row, a float or of a panel packed bits, uint8 (2, ceil(K / 8)); and the raw value."""
WELL_SCHEMA = pa.schema(
    [("plate", pa.string()), ("well", pa.string()), ("n_replicates", pa.int32()), ("qc", pa.string())]
)
"""Where a readout was taken, from how many wells it is the median, and what was noted of it."""
READOUT_SCHEMA = pa.schema(
    [("row", pa.int64()), ("label", pa.float64()), ("value", pa.float64()), *WELL_SCHEMA], metadata={}
)
"""Readouts as the store keeps them; `label` (class index or value) is null for a well that gave none."""


@dataclass(frozen=True, slots=True)
class Readouts:
    """Readouts of some rows.

    Attributes
    ----------
    labels:
        float64 (n,): class indices, or values, NaN for a well that gave no readout; of a panel packed bits
        (`isd_ray.core.panels`).
    values:
        float64 (n,): the raw readout, NaN where the source gave a class name, and of a panel.
    wells:
        n lines of `WELL_SCHEMA`.
    """

    labels: LabelArray
    values: NDArray[np.float64]
    wells: pa.Table

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which rows have a readout, bool (n,)."""
        return has_readout(self.labels)

    def take(self, places: NDArray[np.integer] | NDArray[np.bool_]) -> Readouts:
        """The readouts at some places."""
        wells = self.wells.take(np.arange(len(self.labels))[places])
        return Readouts(self.labels[places], self.values[places], wells)

    def replaced(self, places: NDArray[np.int64], newer: Readouts) -> Readouts:
        """These readouts, with newer ones at some places."""
        order = np.arange(len(self.labels))
        order[places] = len(self.labels) + np.arange(len(places))
        return self.joined(newer).take(order)

    def joined(self, *others: Readouts) -> Readouts:
        """These readouts, with others behind them."""
        every = (self, *others)
        labels, values = (np.concatenate([getattr(one, name) for one in every]) for name in ("labels", "values"))
        return Readouts(labels, values, pa.concat_tables([one.wells for one in every]))

    def to_table(self, rows: Rows) -> pa.Table:
        """As `READOUT_SCHEMA`, for the store; a panel has `labels` and `measured` in the place of `label`."""
        columns = {"row": pa.array(rows), **label_columns(self.labels), "value": to_arrow(self.values)}
        return pa.table({**columns, **{name: self.wells[name] for name in WELL_SCHEMA.names}})

    @classmethod
    def of(cls, table: pa.Table) -> Readouts:
        """What `to_table` made."""
        return cls(labels_from(table), from_arrow(table["value"]), table.select(WELL_SCHEMA.names))


def unplated(n: int) -> pa.Table:
    """Wells of n single readouts that came without a plate."""
    nothing = pa.nulls(n, pa.string())
    return pa.table([nothing, nothing, pa.array(np.ones(n, np.int32)), nothing], schema=WELL_SCHEMA)


def with_entries(label: Any, newer: Any) -> Any:
    """The newer of two labels of a row; of a panel with the entries of the other that it leaves as they are."""
    return overlay(label, newer) if isinstance(newer, np.ndarray) else newer


def with_amendments(readouts: Readouts, rows: Rows, amended: Mapping[int, Readout]) -> Readouts:
    """The readouts of `rows` with those that were corrected since; a well that gave none is not given one by that."""
    labels, values = readouts.labels.copy(), readouts.values.copy()
    for place in np.flatnonzero(np.isin(rows, list(amended)) & readouts.present):
        label, value = amended[int(rows[place])]
        labels[place], values[place] = with_entries(labels[place], label), np.nan if value is None else value
    return Readouts(labels, values, readouts.wells)


@dataclass(frozen=True, slots=True)
class Stopped:
    """That a person has stopped the screen, why, and whether one last look is to be taken."""

    reason: str
    last_look: bool


@dataclass(frozen=True, slots=True)
class OnRecord:
    """What people have decided, and measured of their own accord, when a round begins.

    Attributes
    ----------
    n_events:
        Events of the log that were read.
    excluded:
        int64, ascending: rows that cannot be had; none of them has a readout.
    wanted:
        int64, ascending: rows to be measured whatever the model says.
    rows, readouts:
        Every row with a readout, ascending, int64 (n,), and the readouts.
    stopped:
        Of the whole screen; None where nobody has stopped it.
    """

    n_events: int
    excluded: Rows
    wanted: Rows
    rows: Rows
    readouts: Readouts
    stopped: Stopped | None = None

    def within(self, n_rows: int) -> OnRecord:
        """The same with the readouts of the first so many rows of the library."""
        n = int(np.searchsorted(self.rows, n_rows))
        return replace(self, rows=self.rows[:n], readouts=self.readouts.take(np.arange(n)))


_NO_ROWS = np.empty(0, np.int64)
NOTHING = OnRecord(0, _NO_ROWS, _NO_ROWS, _NO_ROWS, Readouts(np.empty(0), np.empty(0), unplated(0)))
"""Nobody has said anything."""


class Oracle(Protocol):
    """Answers with the readouts of rows of the target set."""

    def measure(self, round_number: int, rows: Rows) -> Readouts | None:
        """Readouts of the batch of a round, in that order; None while some are still to come."""
        ...

    def standing(self, n_events: int | None = None) -> OnRecord:
        """What people have said, by the first `n_events` of the log or by all of it."""
        ...

    def known(self) -> LabelArray | None:
        """The labels of all rows that can be had, as readouts; None where they are still to be measured."""
        ...


class LookupOracle:
    """A simulation's oracle: every label is known beforehand, and nobody interferes but by stopping it.

    Parameters
    ----------
    excluded:
        Rows that are not in stock, ascending.
    known:
        Rows whose labels are known before the start.
    stops:
        By the first so many events of the log, or all: how many they are up to a stop, and the stop; 0 without one.
    lost_share, seed:
        Probability that a row gives no readout in a round, and what decides which do not.
    """

    def __init__(
        self,
        labels: Labels,
        excluded: Rows = _NO_ROWS,
        known: Rows = _NO_ROWS,
        *,
        stops: Callable[[int | None], tuple[int, Stopped | None]] = lambda n_events: (0, None),
        lost_share: float = 0.0,
        seed: int = 0,
    ) -> None:
        self._stops = stops
        self._labels = labels
        self._lost_share, self._seed = lost_share, seed
        # What is known is measured, whether there is more of it or not.
        readouts = NOTHING.readouts if not len(known) else self._readouts(known)
        self._standing = replace(NOTHING, excluded=np.setdiff1d(excluded, known), rows=known, readouts=readouts)

    def measure(self, round_number: int, rows: Rows) -> Readouts:
        """Readouts of `rows`, in that order; in a round the same whenever, and beside which others, they are asked."""
        readouts = self._readouts(rows)
        keys = tie_keys(derive_seed(self._seed, "lost", round_number), rows)
        is_lost = keys < self._lost_share * 2.0**64
        values = np.where(is_lost, np.nan, readouts.values)
        return Readouts(without_readout(readouts.labels, is_lost), values, readouts.wells)

    def _readouts(self, rows: Rows) -> Readouts:
        wells = unplated(len(rows))
        if censored := self._labels.censored:
            as_it_came = pa.array([censored.get(row) for row in rows.tolist()], pa.string())
            wells = wells.set_column(wells.column_names.index("qc"), "qc", as_it_came)
        return Readouts(as_readouts(self._labels.labels[rows]), self._labels.values[rows], wells)

    def standing(self, n_events: int | None = None) -> OnRecord:
        """What is out of stock, what is known, and whether a person has stopped the screen."""
        n_read, stopped = self._stops(n_events)
        return replace(self._standing, n_events=n_read, stopped=stopped)

    def known(self) -> LabelArray:
        """The labels of all rows but those that are out of stock, as readouts."""
        return as_readouts(np.delete(self._labels.labels, self._standing.excluded, axis=0))
