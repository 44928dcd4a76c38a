"""The accuracy of a panel: the mean over its compounds of the share of their measured outputs that are right."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from isd_ray.core import panels
from isd_ray.core.best_constant import Answer, commoner_bits, likeliest_values
from isd_ray.core.goals.base import OTHERS, Asked, Goal
from isd_ray.core.goals.mean_loss import mean_loss_allowance
from isd_ray.core.look_evidence import ScreenCounts
from isd_ray.messages import LabelArray


@dataclass(frozen=True, slots=True)
class PanelAccuracy(Goal):
    """The mean share of right outputs is at least `level`."""

    quantity: ClassVar[str] = "accuracy"
    noun: ClassVar[str] = "share of right outputs by compound"
    is_panel: ClassVar[bool] = True
    is_exact: ClassVar[bool] = False
    is_share_right: ClassVar[bool] = True
    constant_by_loss: ClassVar[bool] = True
    remedy: ClassVar[str] = "Ask for more (stopping.gamma), or claim each output on its own ([stopping.panel])"

    n_expected: int | None = None
    """Outputs that every compound should have a readout of, so that one without counts as wrong: all of them in a
    laboratory, where it is a lost well. None where compounds that were not tested have none."""
    tolerances: tuple[float | None, ...] = field(default=(), kw_only=True)
    """Of a panel with numbers: by output the error that counts as none, None of a class."""

    @classmethod
    def asked(cls, asked: Asked) -> Goal:
        """With the outputs that are expected, and what counts as right of numbers."""
        return cls(asked.level, asked.n_expected, tolerances=asked.tolerances)

    def best_answer(self, labels: LabelArray, n_classes: int) -> Answer:
        """The commoner answer of each output; of a number the middle of the window that holds most of its readouts."""
        if self.tolerances:
            return likeliest_values(labels, self.tolerances, self.n_expected)
        return commoner_bits(labels, n_classes, self.n_expected)

    def as_prediction(self, labels: LabelArray) -> LabelArray:
        """Which outputs are 1, or their values."""
        return panels.as_prediction(labels)

    def correct(self, prediction: LabelArray, labels: LabelArray) -> NDArray[np.float64]:
        """The share of a row's measured outputs that is right."""
        return 1.0 - self.losses(prediction, labels)

    def losses(self, prediction: LabelArray, labels: LabelArray) -> NDArray[np.float64]:
        """The share of a row's outputs that is wrong."""
        if prediction.ndim == 1:
            return np.ones(len(labels))
        return panels.losses(prediction, labels, self.n_expected, self.tolerances)

    def kept(self, labels: LabelArray) -> NDArray[np.float64]:
        """The lost entries of each row; all where there is none."""
        return panels.lost(labels, self.n_expected)

    def allowances(self, counts: ScreenCounts, expected: tuple[float, ...]) -> tuple[float, ...] | None:
        """Total loss that keeps the mean."""
        return (mean_loss_allowance(counts.n_target, float(1 - Fraction(str(self.level))), 1.0),)

    def value(self, counts: ScreenCounts, losses: tuple[float, ...]) -> float:
        """The mean share of right outputs."""
        return 1.0 - sum(losses) / counts.n_target

    def true_value(self, delivered: LabelArray, truth: LabelArray) -> float:
        """The mean over the compounds of the share of right outputs."""
        return float(1.0 - panels.losses(panels.as_prediction(delivered), truth, None, self.tolerances).mean())

    def is_met(self, counts: ScreenCounts, losses: tuple[float, ...]) -> bool:
        """By the total loss."""
        [allowed] = self.allowances(counts, losses) or (0.0,)
        return losses[OTHERS] <= allowed
