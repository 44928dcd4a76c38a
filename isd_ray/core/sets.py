"""The partition of the target set into observation set and inference set."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isd_ray.core.panels import has_readout
from isd_ray.messages import LabelArray, Rows

_ROWS_AT_ONCE = 1 << 20
"""Rows that are numbered at a time."""


class TargetSets:
    """Which rows are observed, in which order, with which labels; and the reserve of the rule `reserved`.

    The observation set is what models are fitted on. Reserved rows are measured, but no model ever sees them; they are
    still predicted, as the audit of the others, until acquisition passes over them. A reserved row whose well gave no
    readout is in neither set: nothing draws it again, but a later readout is taken. Excluded rows, which cannot be
    had, are in neither set either, and no longer of the target set. Holds two bytes a row of the library, and the rows
    and labels of the observation set.
    """

    n_set_aside: int
    """Reserved rows with a readout."""
    lost: Rows
    """Reserved rows without one, ascending."""

    def __init__(self, n_rows: int) -> None:
        self.n_rows = n_rows
        self._inference = np.ones(n_rows, dtype=np.bool_)
        self._scored = np.ones(n_rows, dtype=np.bool_)
        self._excluded = np.empty(0, np.int64)
        self._rows: list[Rows] = []
        self._labels: list[LabelArray] = []
        self.n_set_aside = 0
        self.lost = np.empty(0, np.int64)

    @property
    def n_target(self) -> int:
        """Size of the target set: all rows but the excluded ones."""
        return self.n_rows - len(self._excluded)

    @property
    def n_observed(self) -> int:
        """Size of the observation set."""
        return sum(len(rows) for rows in self._rows)

    @property
    def n_measured(self) -> int:
        """Rows with a readout: the observation set and the reserve."""
        return self.n_observed + self.n_set_aside

    @property
    def n_inference(self) -> int:
        """Size of the inference set: rows without a readout, but for what is `lost`."""
        return self.n_target - self.n_measured - len(self.lost)

    @property
    def n_predicted(self) -> int:
        """Rows that models predict and that have no readout: the inference set, and what is `lost` of the reserve."""
        return self.n_inference + int(np.isin(self.lost, self.reserve).sum())

    @property
    def reserve(self) -> Rows:
        """Reserved rows that acquisition has not passed over, ascending."""
        return np.flatnonzero(self._scored & ~self._inference)

    @property
    def rows(self) -> Rows:
        """The observed rows in the order of acquisition, shape (n_observed,)."""
        return np.concatenate(self._rows) if self._rows else np.empty(0, np.int64)

    @property
    def labels(self) -> LabelArray:
        """Their labels, n_observed rows."""
        return np.concatenate(self._labels) if self._labels else np.empty(0, np.float64)

    def packed_inference(self) -> NDArray[np.uint8]:
        """The inference set as packed bits, one for each row of the library."""
        return np.packbits(self._inference)

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Which rows models predict, bool (n_rows,)."""
        return self._scored

    def packed_scored(self) -> NDArray[np.uint8]:
        """The rows that models predict as packed bits, one for each row of the library."""
        return np.packbits(self._scored)

    def extend(self, n_rows: int) -> None:
        """Let further rows of the library into the inference set, up to `n_rows` in all."""
        new = np.ones(n_rows - self.n_rows, dtype=np.bool_)
        self._inference, self._scored = np.append(self._inference, new), np.append(self._scored, new)
        self.n_rows = n_rows

    @property
    def excluded(self) -> Rows:
        """Rows that have left the target set, ascending."""
        return self._excluded

    def exclude(self, rows: Rows) -> None:
        """Take exactly these rows out of the target set, and let those back in that were out before.

        Rows that are measured stay.
        """
        self._inference[self._excluded] = self._scored[self._excluded] = True
        self._excluded = np.unique(rows[self._inference[rows]])
        self._inference[self._excluded] = self._scored[self._excluded] = False

    def is_left(self, rows: Rows) -> NDArray[np.bool_]:
        """Which rows are in the inference set, bool (n,)."""
        return self._inference[rows]

    def may_be_read(self, rows: Rows) -> NDArray[np.bool_]:
        """Which rows have no readout and can be given one, bool (n,): those that are left, and what is `lost`."""
        return self.is_left(rows) | np.isin(rows, self.lost)

    def observe(self, rows: Rows, labels: LabelArray) -> None:
        """Move rows to the observation set, from the inference set or from what is `lost`.

        Raises
        ------
        ValueError
            If a row is repeated, unknown or already measured: the sets would no longer partition the target set.
        """
        self._take(rows, labels)
        self._scored[rows] = False
        self._rows.append(np.asarray(rows, np.int64))
        self._labels.append(np.asarray(labels))

    def set_aside(self, rows: Rows, labels: LabelArray) -> None:
        """Move rows from the inference set to the reserve, or to what is `lost` of it (raises as `observe`)."""
        self._take(rows, labels)
        present = has_readout(labels)
        self.n_set_aside += int(present.sum())
        self.lost = np.union1d(self.lost, rows[~present])

    def pass_over(self, rows: Rows) -> None:
        """Take rows out of the reserve that is left: they stay measured, and are no longer of the audit."""
        self._scored[rows] = False

    def _take(self, rows: Rows, labels: LabelArray) -> None:
        if len(rows) != len(labels):
            raise ValueError(f"{len(rows)} rows but {len(labels)} labels")
        if len(np.unique(rows)) != len(rows) or not self.may_be_read(rows).all():
            raise ValueError("a row is repeated or already observed")
        self._inference[rows] = False
        self.lost = np.setdiff1d(self.lost, rows)

    def draw(self, n: int, seed: int) -> Rows:
        """Draw n rows uniformly without replacement from the inference set, ascending."""
        generator = np.random.Generator(np.random.PCG64(seed))
        return _places_of(self._inference, np.sort(generator.choice(self.n_inference, size=n, replace=False)))


def _places_of(mask: NDArray[np.bool_], numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places of some of the set entries, by their ascending numbers among them; holds few places beside those."""
    found, n_before = [numbers[:0]], 0
    for first in range(0, len(mask), _ROWS_AT_ONCE):
        places = first + np.flatnonzero(mask[first : first + _ROWS_AT_ONCE])
        low, high = np.searchsorted(numbers, (n_before, n_before + len(places)))
        found.append(places[numbers[low:high] - n_before])
        n_before += len(places)
    return np.concatenate(found)
