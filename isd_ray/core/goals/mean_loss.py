"""The mean error of values: absolute or squared, errors above a limit counting as the limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from isd_ray.core.best_constant import Answer, least_distance, least_squares
from isd_ray.core.goals.base import SQUARED, Asked, Goal
from isd_ray.core.look_evidence import ScreenCounts
from isd_ray.messages import LabelArray


@dataclass(frozen=True, slots=True)
class MeanLoss(Goal):
    """The mean error of all rows, measured ones having none, is at most `level`."""

    sign: ClassVar[str] = "≤"
    is_regression: ClassVar[bool] = True
    is_exact: ClassVar[bool] = False
    is_error: ClassVar[bool] = True
    constant_by_loss: ClassVar[bool] = True
    remedy: ClassVar[str] = "Ask for a smaller error (stopping.max_loss)"

    clip: float = 1.0
    """The error at which the loss is 1 (unit of the label)."""
    tolerance: float | None = None
    """A prediction within it is right, where that is asked besides."""

    @property
    def words(self) -> str:
        """The claim in words."""
        return f"{self.name} is at most {self.level:g} (errors above {self.clip:g} counted as {self.clip:g})"

    @classmethod
    def asked(cls, asked: Asked) -> Goal:
        """With the limit and the tolerance."""
        assert asked.clip is not None, "the configuration asks for it"
        return cls(asked.level, asked.clip, asked.tolerance)

    @property
    def unit(self) -> float:
        """Error that a loss of 1 stands for."""
        return self.largest(self.clip)

    def scaled(self, error: NDArray[np.float64]) -> NDArray[np.float64]:
        """Losses of absolute errors, without the limit."""
        return error / self.unit

    def correct(self, prediction: LabelArray, labels: LabelArray) -> NDArray[np.float64]:
        """1 within the tolerance; 0 without one."""
        if self.tolerance is None:
            return np.zeros(len(labels))
        return (np.abs(prediction - labels) <= self.tolerance).astype(np.float64)

    def losses(self, prediction: LabelArray, labels: LabelArray) -> NDArray[np.float64]:
        """Errors in parts of the largest that counts."""
        loss = self.scaled(np.abs(prediction - labels))
        return np.where(np.isnan(loss), 1.0, np.minimum(loss, 1.0))

    def allowances(self, counts: ScreenCounts, expected: tuple[float, ...]) -> tuple[float, ...] | None:
        """Total loss that keeps the mean."""
        return (mean_loss_allowance(counts.n_target, self.level, self.unit),)

    def value(self, counts: ScreenCounts, losses: tuple[float, ...]) -> float:
        """The mean error, in the unit of the level."""
        return sum(losses) / counts.n_target * self.unit

    def true_value(self, delivered: LabelArray, truth: LabelArray) -> float:
        """The mean error, in the unit of the level."""
        return float((np.minimum(np.abs(delivered - truth), self.clip) ** self.power).mean())


@dataclass(frozen=True, slots=True)
class MeanAbsoluteError(MeanLoss):
    """The mean absolute error is at most `level` (unit of the label)."""

    quantity: ClassVar[str] = "mae"
    noun: ClassVar[str] = "mean absolute error"

    def best_answer(self, labels: LabelArray, n_classes: int) -> Answer:
        """The value of least mean distance."""
        return least_distance(np.sort(labels), self.clip)


@dataclass(frozen=True, slots=True)
class MeanSquaredError(MeanLoss):
    """The mean squared error is at most `level` (square of the unit of the label)."""

    quantity: ClassVar[str] = "mse"
    noun: ClassVar[str] = "mean squared error"
    power: ClassVar[int] = SQUARED

    def best_answer(self, labels: LabelArray, n_classes: int) -> Answer:
        """The value of least mean squared distance."""
        return least_squares(np.sort(labels), self.clip)

    def scaled(self, error: NDArray[np.float64]) -> NDArray[np.float64]:
        """Losses of absolute errors, without the limit."""
        return np.square(error) / self.unit


def mean_loss_allowance(n_target: int, largest_mean: float, unit: float) -> float:
    """Largest total of losses in [0, 1] that keeps the mean error of n_target rows at `largest_mean`.

    `unit` is the error that a loss of 1 stands for; measured rows have no error.
    """
    return n_target * largest_mean / unit
