"""The recall of hits of a panel, over all its outputs: found hits / all hits, each a compound and an output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from isd_ray.core import panels
from isd_ray.core.goals.base import HITS, OTHERS, Asked, Goal
from isd_ray.core.goals.recall import Recall, recall_allowance, recall_floor
from isd_ray.core.look_evidence import ScreenCounts
from isd_ray.core.looks import LookPlan
from isd_ray.messages import LabelArray


@dataclass(frozen=True, slots=True)
class PanelRecall(Goal):
    """The recall over all outputs is at least `level`.

    Every compound that is predicted to be a hit in some output is measured before the claim, in all outputs. The audit
    is of the others, in which each hit of an output is one that was missed: a row's loss is the share of the outputs
    that it is a hit in. The allowance follows from the hits that were measured outside the audit, so it is as good as
    fixed before the draw, and the losses are tested by betting (`isd_ray.core.betting`): the claim is false only if
    more loss than the allowance is left, or lost with a well. A predicted hit of one output whose well gave no readout
    may be a missed hit of the others: each such entry is taken off the allowance. Entries that were never measured of a
    compound that was are no part of the claim; in a laboratory such an entry of the audit is lost, and counts as a hit
    that was missed.

    Attributes
    ----------
    n_outputs:
        K.
    n_expected:
        As of `isd_ray.core.goals.panel.PanelAccuracy`.
    """

    quantity: ClassVar[str] = "recall"
    noun: ClassVar[str] = "recall of hits over all outputs"
    is_panel: ClassVar[bool] = True
    is_exact: ClassVar[bool] = False
    knows_hits: ClassVar[bool] = True
    takes_hits: ClassVar[bool] = True
    acquisition: ClassVar[str | None] = Recall.acquisition
    remedy: ClassVar[str] = Recall.remedy

    n_outputs: int = 1
    n_expected: int | None = None

    @classmethod
    def asked(cls, asked: Asked) -> Goal:
        """With the outputs."""
        return cls(asked.level, asked.n_outputs, asked.n_expected)

    @property
    def positive(self) -> int:
        """Class index of a hit of an output."""
        return 1

    def as_prediction(self, labels: LabelArray) -> LabelArray:
        """The half of the labels that says which outputs are 1."""
        return labels[:, 0]

    def groups(self, prediction: LabelArray) -> NDArray[np.int64]:
        """Compounds that are predicted to be a hit in some output, and the others."""
        if prediction.ndim == 1:
            return np.zeros(len(prediction), np.int64)
        predicted: NDArray[np.int64] = np.any(prediction, axis=1).astype(np.int64)
        return predicted

    def count_hits(self, labels: LabelArray) -> tuple[int, ...]:
        """Measured hits, over all outputs."""
        return (int(panels.count_ones(labels).sum()),)

    def correct(self, prediction: LabelArray, labels: LabelArray) -> NDArray[np.float64]:
        """The share of a row's measured outputs that is right."""
        if prediction.ndim == 1:
            return np.zeros(len(labels))
        return 1.0 - panels.losses(prediction, labels, self.n_expected)

    def losses(self, prediction: LabelArray, labels: LabelArray) -> NDArray[np.float64]:
        """Of the others the share of outputs with a hit, or lost; of predicted hits the share without one."""
        if prediction.ndim == 1:
            return np.ones(len(labels))
        hits = panels.count_ones(labels) / self.n_outputs
        missed = np.where(panels.is_measured(labels), hits + self.kept(labels), 1.0)
        return np.where(self.groups(prediction) == HITS, 1.0 - hits, missed)

    def kept(self, labels: LabelArray) -> NDArray[np.float64]:
        """The lost entries of each row; all where there is none."""
        return panels.lost(labels, self.n_expected)

    def allowances(self, counts: ScreenCounts, expected: tuple[float, ...]) -> tuple[float, ...] | None:
        """Counts on the hits of compounds predicted to be some, less those expected to be wrong."""
        predicted = max(0, int(self.n_outputs * (counts.left[HITS] - expected[HITS])))
        return (self._allowed(counts.n_hits + predicted),)

    def value(self, counts: ScreenCounts, losses: tuple[float, ...]) -> float:
        """The recall over all outputs."""
        found = counts.n_hits + self.n_outputs * (counts.left[HITS] - losses[HITS])
        return recall_floor(found, self.n_outputs * losses[OTHERS])

    def true_value(self, delivered: LabelArray, truth: LabelArray) -> float:
        """The share of hits, each a compound and an output, that are delivered as such; 1 without any."""
        n_hits = int(panels.count_ones(truth).sum())
        n_found = int(panels.count_ones(np.stack([delivered[:, 0] & truth[:, 0], truth[:, 1]], axis=1)).sum())
        return n_found / n_hits if n_hits else 1.0

    def is_met(self, counts: ScreenCounts, losses: tuple[float, ...]) -> bool:
        """By the numbers of hits, which are exact."""
        found = counts.n_hits + round(self.n_outputs * (counts.left[HITS] - losses[HITS]))
        return round(self.n_outputs * losses[OTHERS]) <= recall_allowance(found, self.level)

    def with_unread(self, plans: Sequence[LookPlan], prediction: LabelArray) -> tuple[LookPlan, ...]:
        """A compound may be a missed hit of every output that it is not predicted to be one of."""
        n_unread = len(prediction) * self.n_outputs - int(panels.count_bits(prediction).sum())
        return tuple(replace(plan, n_unread=n_unread) for plan in plans)

    def settle(self, plans: Sequence[LookPlan], hits: Sequence[int], n_others: int) -> tuple[LookPlan, ...]:
        """With the hits that the look has measured, less those that unread compounds may hide."""
        return tuple(replace(plan, allowed=self._allowed(hits[0], plan.n_unread)) for plan in plans)

    def _allowed(self, n_hits: int, n_unread: int = 0) -> float:
        return (recall_allowance(n_hits, self.level) - n_unread) / self.n_outputs
