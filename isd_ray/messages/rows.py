"""Rows of a library: what is said of them, and why they were measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

Rows: TypeAlias = NDArray[np.int64]
LabelArray: TypeAlias = NDArray[Any]
"""Labels or predictions of n rows: class indices or values, float64 (n,); of a panel packed bits, uint8 of n rows
(`isd_ray.core.panels`)."""
Role = Literal["initial", "top", "random", "audit", "finish", "hit", "reserve", "wanted", "external", "filling"]
ROLES: tuple[Role, ...] = get_args(Role)
"""Why a row was measured: the first random batch; best by the acquisition function; drawn uniformly in a batch; drawn
for a look; most uncertain, after a passed look; predicted hit, with a look at the recall; audit drawn beforehand;
asked for by people; measured outside the plan, or too late for its round; most uncertain, on plates of an audit."""


@dataclass(frozen=True, slots=True)
class ScoredRows:
    """Rows with their scores and predictions; all arrays have shape (n,), those of packed predictions more axes.

    `primary` and `secondary` order acquisition (larger first). `prediction` is a class index or a value, or the packed
    bits of a panel; `uncertainty` is one minus the probability of the predicted class, its mean over a panel's outputs,
    or the committee's standard deviation. Before there is a model both are NaN, of shape (n,).
    """

    rows: Rows
    primary: NDArray[np.float32]
    secondary: NDArray[np.float32]
    prediction: LabelArray
    uncertainty: NDArray[np.float32]

    @property
    def is_predicted(self) -> NDArray[np.bool_]:
        """Which rows a model has spoken of, bool (n,)."""
        return np.isfinite(self.uncertainty)

    def take(self, indices: NDArray[np.integer] | NDArray[np.bool_]) -> ScoredRows:
        """The given entries, in the given order."""
        return ScoredRows(
            self.rows[indices],
            self.primary[indices],
            self.secondary[indices],
            self.prediction[indices],
            self.uncertainty[indices],
        )
