"""What one answer for every compound would reach: a claim at or below it says nothing of a model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isd_ray.core.bounds import plausible_range
from isd_ray.core.goals import Goal
from isd_ray.messages import LabelArray

COIN = 0.5
"""Balanced accuracy of any answer that does not depend on the compound."""


@dataclass(frozen=True, slots=True)
class ConstantAnswer:
    """The best constant answer to a claim about classes.

    Attributes
    ----------
    answer:
        Index of the class that it gives to every compound; None where each does as well.
    low, high:
        About where the claimed quantity would lie; equal where all labels are known.
    """

    answer: int | None
    low: float
    high: float

    def is_reached_by(self, level: float) -> bool:
        """Whether the constant answer may be as good as the claim, which then may be worth nothing."""
        return level <= self.high


def constant_answer(
    goal: Goal, labels: LabelArray, n_classes: int, n_target: int, delta: float
) -> ConstantAnswer | None:
    """What the constant answer would reach, by the readouts of a uniform sample of the target set, or of all of it.

    Parameters
    ----------
    labels:
        float64 (m,): class indices; NaN where there is no readout.
    delta:
        Risk that the interval misses the best of the classes: each class has a Clopper–Pearson interval of the finite
        population at delta / n_classes, and of these the largest ends count.

    Returns
    -------
    ConstantAnswer or None
        None for claims about values and panels, and about the recall, whose predicted hits are measured; and without a
        readout.
    """
    if goal.is_panel or goal.is_regression or goal.takes_hits or n_classes == 0:
        return None
    if goal.quantity == "balanced_accuracy":
        return ConstantAnswer(None, COIN, COIN)
    known = labels[~np.isnan(labels)].astype(np.int64)
    if not len(known):
        return None
    counts = np.bincount(known, minlength=n_classes)
    answers = [goal.positive] if goal.quantity == "precision" else range(n_classes)
    ranges = [plausible_range(int(counts[k]), n_target, len(known), delta / n_classes) for k in answers]
    best = max(answers, key=lambda k: int(counts[k]))
    return ConstantAnswer(best, max(low for low, _ in ranges) / n_target, max(high for _, high in ranges) / n_target)
