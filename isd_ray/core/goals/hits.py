"""What claims about hits have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from isd_ray.core.goals.base import Goal
from isd_ray.messages import LabelArray


@dataclass(frozen=True, slots=True)
class HitGoal(Goal):
    """A claim for which rows are hits or others, and an error takes one for the other."""

    knows_hits: ClassVar[bool] = True

    hit: int = 1
    """Class index of a hit."""

    @property
    def positive(self) -> int:
        """Class index of a hit."""
        return self.hit

    def groups(self, prediction: LabelArray) -> NDArray[np.int64]:
        """Predicted hits, and the others."""
        return (prediction == self.hit).astype(np.int64)

    def count_hits(self, labels: LabelArray) -> tuple[int, ...]:
        """Hits among measured rows."""
        return (int((labels == self.hit).sum()),)

    def correct(self, prediction: LabelArray, labels: LabelArray) -> NDArray[np.float64]:
        """1 where the class is equal, also among classes that are no hits."""
        return (prediction == labels).astype(np.float64)

    def losses(self, prediction: LabelArray, labels: LabelArray) -> NDArray[np.float64]:
        """1 where a hit is taken for another, or another for a hit."""
        wrong = (prediction == self.hit) != (labels == self.hit)
        return (wrong | np.isnan(prediction) | np.isnan(labels)).astype(np.float64)
