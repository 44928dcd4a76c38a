"""The partition of the target set into observation set and inference set."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isd_ray.messages import Rows


class TargetSets:
    """Which rows are observed, in which order, with which labels.

    Holds one byte a row of the target set, and the rows and labels of the observation set.
    """

    def __init__(self, n_target: int) -> None:
        self.n_target = n_target
        self._inference = np.ones(n_target, dtype=np.bool_)
        self._rows: list[Rows] = []
        self._labels: list[NDArray[np.float64]] = []

    @property
    def n_observed(self) -> int:
        """Size of the observation set."""
        return sum(len(rows) for rows in self._rows)

    @property
    def n_inference(self) -> int:
        """Size of the inference set."""
        return self.n_target - self.n_observed

    @property
    def rows(self) -> Rows:
        """The observed rows in the order of acquisition, shape (n_observed,)."""
        return np.concatenate(self._rows) if self._rows else np.empty(0, np.int64)

    @property
    def labels(self) -> NDArray[np.float64]:
        """Their labels (class index or value), shape (n_observed,)."""
        return np.concatenate(self._labels) if self._labels else np.empty(0, np.float64)

    def packed_inference(self) -> NDArray[np.uint8]:
        """The inference set as packed bits, one for each row of the target set."""
        return np.packbits(self._inference)

    def observe(self, rows: Rows, labels: NDArray[np.float64]) -> None:
        """Move rows from the inference set to the observation set.

        Raises
        ------
        ValueError
            If a row is repeated, unknown or already observed: the sets would no longer partition the target set.
        """
        if len(rows) != len(labels):
            raise ValueError(f"{len(rows)} rows but {len(labels)} labels")
        if len(np.unique(rows)) != len(rows) or (len(rows) and not self._inference[rows].all()):
            raise ValueError("a row is repeated or already observed")
        self._inference[rows] = False
        self._rows.append(np.asarray(rows, np.int64))
        self._labels.append(np.asarray(labels, np.float64))

    def draw(self, n: int, seed: int) -> Rows:
        """Draw n rows uniformly without replacement from the inference set, ascending."""
        generator = np.random.Generator(np.random.PCG64(seed))
        return np.sort(generator.choice(np.flatnonzero(self._inference), size=n, replace=False))
