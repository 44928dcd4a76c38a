"""Where readouts come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from isd_ray.data.labels import Labels, as_readouts
from isd_ray.messages import LabelArray, Rows


@dataclass(frozen=True, slots=True)
class Readouts:
    """Readouts of some rows.

    Attributes
    ----------
    labels:
        float64 (n,): class indices, or values; of a panel packed bits (`isd_ray.core.panels`).
    values:
        float64 (n,): the raw readout, NaN where the source gave a class name, and of a panel.
    """

    labels: LabelArray
    values: NDArray[np.float64]


def with_amendments(readouts: Readouts, rows: Rows, amended: Mapping[int, tuple[float, float | None]]) -> Readouts:
    """The readouts of `rows` with those that were corrected since."""
    labels, values = readouts.labels.copy(), readouts.values.copy()
    for place in np.flatnonzero(np.isin(rows, list(amended))):
        label, value = amended[int(rows[place])]
        labels[place], values[place] = label, np.nan if value is None else value
    return Readouts(labels, values)


class Oracle(Protocol):
    """Answers with the readouts of rows of the target set."""

    def measure(self, rows: Rows) -> Readouts:
        """Readouts of `rows`, in that order."""
        ...


class LookupOracle:
    """A simulation's oracle: every label is known beforehand."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels

    def measure(self, rows: Rows) -> Readouts:
        """Readouts of `rows`, in that order."""
        return Readouts(as_readouts(self._labels.labels[rows]), self._labels.values[rows])
