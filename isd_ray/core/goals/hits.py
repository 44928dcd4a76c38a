"""What claims about hits have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from isd_ray.core.goals.base import Asked, Goal
from isd_ray.messages import LabelArray


@dataclass(frozen=True, slots=True)
class HitGoal(Goal):
    """A claim for which rows are hits or others, and an error takes one for the other."""

    knows_hits: ClassVar[bool] = True

    positive: int = 1
    """Class index of a hit."""
    hit: str = ""
    """Name of the class of hits, for words; empty where nobody has named it."""

    @classmethod
    def asked(cls, asked: Asked) -> Goal:
        """With the class of hits and its name."""
        return cls(asked.level, asked.positive, asked.hit)

    @property
    def name(self) -> str:
        """The claimed quantity in words, with the class of hits."""
        return self.named(f"class {self.hit!r}" if self.hit else "")

    def groups(self, prediction: LabelArray) -> NDArray[np.int64]:
        """Predicted hits, and the others."""
        return (prediction == self.positive).astype(np.int64)

    def count_hits(self, labels: LabelArray) -> tuple[int, ...]:
        """Hits among measured rows."""
        return (int((labels == self.positive).sum()),)

    def correct(self, prediction: LabelArray, labels: LabelArray) -> NDArray[np.float64]:
        """1 where the class is equal, also among classes that are no hits."""
        return (prediction == labels).astype(np.float64)

    def losses(self, prediction: LabelArray, labels: LabelArray) -> NDArray[np.float64]:
        """1 where a hit is taken for another, or another for a hit."""
        wrong = (prediction == self.positive) != (labels == self.positive)
        return (wrong | np.isnan(prediction) | np.isnan(labels)).astype(np.float64)
