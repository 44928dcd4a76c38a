"""The mean error of a panel of numbers, over all its outputs: each error counted in tolerances of its output.

Outputs have units of their own, and hartrees and debyes have no mean. So an error is divided by the tolerance of its
output (`stopping.tolerances`), which says how exactly that output is asked for, in its own unit, before the screen
begins; `max_loss` and `loss_clip` are in tolerances, too. (To divide by the spread of the readouts would let the data
decide what is claimed, and an output that hardly varies, or one outlier, would weigh most.) The loss of a compound is
the mean over its measured outputs, so the unit of the claim is the compound, as of an accuracy; an entry that was never
measured has no error and no weight, and one that should have been has the largest. The losses are in [0, 1], and the
test is that of any panel, by betting (`isd_ray.core.betting`): it asks nothing of how they come about.

Outputs of classes have no error in tolerances. A panel with some is refused: each output then needs a claim of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from isd_ray.config.claims import Claim
from isd_ray.core import panels
from isd_ray.core.best_constant import Answer, least_distances, least_squares_of_outputs
from isd_ray.core.goals.base import OTHERS, SQUARED, Asked, Goal
from isd_ray.core.goals.mean_loss import (
    MeanAbsoluteError,
    MeanLoss,
    MeanSquaredError,
    mean_loss_allowance,
)
from isd_ray.core.goals.panel import PanelAccuracy
from isd_ray.core.look_evidence import ScreenCounts
from isd_ray.messages import LabelArray

_ROUNDING = 1e-9
"""Of a sum of losses."""


@dataclass(frozen=True, slots=True)
class PanelMeanError(PanelAccuracy):
    """The mean error of all compounds, measured ones having none, is at most `level`, in tolerances."""

    sign: ClassVar[str] = "≤"
    is_of_numbers: ClassVar[bool] = True
    is_error: ClassVar[bool] = True
    is_share_right: ClassVar[bool] = False
    remedy: ClassVar[str] = MeanLoss.remedy

    clip: float = 1.0
    """The error at which the loss of an entry is 1 (in tolerances)."""

    @classmethod
    def asked(cls, asked: Asked) -> Goal:
        """With the limit, and what a tolerance is of each output."""
        assert asked.clip is not None, "the configuration asks for it"
        return cls(asked.level, asked.n_expected, asked.clip, tolerances=asked.tolerances)

    @property
    def unit(self) -> float:
        """Error that a loss of 1 stands for."""
        return self.largest(self.clip)

    @property
    def words(self) -> str:
        """The claim in words."""
        return f"{self.name} is at most {self.level:g} (errors above {self.clip:g} counted as {self.clip:g})"

    def correct(self, prediction: LabelArray, labels: LabelArray) -> NDArray[np.float64]:
        """The share of a row's measured outputs that is within the tolerance."""
        return 1.0 - PanelAccuracy.losses(self, prediction, labels)

    def losses(self, prediction: LabelArray, labels: LabelArray) -> NDArray[np.float64]:
        """The mean over a row's outputs of their errors, in parts of the largest that counts."""
        if prediction.ndim == 1:
            return np.ones(len(labels))
        errors = np.abs(prediction - labels) / panels.widths_of(self.tolerances)
        losses = np.minimum(errors / self.clip, 1.0) ** self.power
        n_measured = panels.count_measured_of_rows(labels)
        n_there = n_measured if self.n_expected is None else np.full(len(labels), self.n_expected)
        total = np.nansum(losses, axis=1) + (n_there - n_measured)
        return np.where(n_there > 0, np.minimum(total / np.maximum(n_there, 1), 1.0), 1.0)

    def allowances(self, counts: ScreenCounts, expected: tuple[float, ...]) -> tuple[float, ...] | None:
        """Total loss that keeps the mean."""
        return (mean_loss_allowance(counts.n_target, self.level, self.unit),)

    def value(self, counts: ScreenCounts, losses: tuple[float, ...]) -> float:
        """The mean error, in the unit of the level."""
        return sum(losses) / counts.n_target * self.unit

    def true_value(self, delivered: LabelArray, truth: LabelArray) -> float:
        """The mean over the compounds of the mean error of their outputs, in the unit of the level."""
        errors = np.abs(delivered - truth) / panels.widths_of(self.tolerances)
        return float(np.nanmean(np.minimum(errors, self.clip) ** self.power, axis=1).mean())

    def is_met(self, counts: ScreenCounts, losses: tuple[float, ...]) -> bool:
        """By the total loss, but for rounding."""
        return losses[OTHERS] <= mean_loss_allowance(counts.n_target, self.level, self.unit) + _ROUNDING


@dataclass(frozen=True, slots=True)
class PanelAbsoluteError(PanelMeanError):
    """The mean absolute error over all outputs is at most `level` (tolerances)."""

    quantity: ClassVar[str] = "mae"
    noun: ClassVar[str] = "mean absolute error over all outputs, in tolerances"
    acquisition: ClassVar[str | None] = "standard_deviation"

    def best_answer(self, labels: LabelArray, n_classes: int) -> Answer:
        """Of each output the value of least mean distance."""
        return least_distances(labels, self.tolerances, self.n_expected, self.clip)


@dataclass(frozen=True, slots=True)
class PanelSquaredError(PanelMeanError):
    """The mean squared error over all outputs is at most `level` (squared tolerances)."""

    quantity: ClassVar[str] = "mse"
    noun: ClassVar[str] = "mean squared error over all outputs, in squared tolerances"
    power: ClassVar[int] = SQUARED
    acquisition: ClassVar[str | None] = "variance"

    def best_answer(self, labels: LabelArray, n_classes: int) -> Answer:
        """Of each output the value of least mean squared distance."""
        return least_squares_of_outputs(labels, self.tolerances, self.n_expected, self.clip)


MAE = Claim({"regression": MeanAbsoluteError, "panel": PanelAbsoluteError})
MSE = Claim({"regression": MeanSquaredError, "panel": PanelSquaredError})
