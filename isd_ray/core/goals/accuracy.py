"""The accuracy of a screen: of classes, and of values the share within a tolerance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from isd_ray.config.claims import Claim
from isd_ray.core.best_constant import Answer, middle_of_window
from isd_ray.core.bounds import allowed_errors
from isd_ray.core.certify import judge_look
from isd_ray.core.goals.base import OTHERS, Asked, Goal
from isd_ray.core.goals.output_accuracies import OutputAccuracies
from isd_ray.core.goals.output_claims import OutputClaims
from isd_ray.core.goals.output_errors import OutputErrors
from isd_ray.core.goals.panel import PanelAccuracy
from isd_ray.core.look_evidence import Audit, ScreenCounts
from isd_ray.core.looks import LookPlan, LookVerdict
from isd_ray.messages import LabelArray


@dataclass(frozen=True, slots=True)
class ShareRight(Goal):
    """The share of right rows, measured ones included, is above `level`."""

    quantity: ClassVar[str] = "accuracy"
    sign: ClassVar[str] = ">"
    is_share_right: ClassVar[bool] = True
    constant_by_loss: ClassVar[bool] = True

    @property
    def words(self) -> str:
        """The claim in words."""
        return f"{self.name} is above {self.level:g}"

    def losses(self, prediction: LabelArray, labels: LabelArray) -> NDArray[np.float64]:
        """1 where the prediction is not right."""
        return 1.0 - self.correct(prediction, labels)

    def allowances(self, counts: ScreenCounts, expected: tuple[float, ...]) -> tuple[float, ...] | None:
        """The most errors that leave the share above the level."""
        return (allowed_errors(counts.n_target, self.level),)

    def value(self, counts: ScreenCounts, losses: tuple[float, ...]) -> float:
        """The share of right rows."""
        return 1.0 - sum(losses) / counts.n_target

    def true_value(self, delivered: LabelArray, truth: LabelArray) -> float:
        """The share of right rows."""
        return float(self.correct(delivered, truth).mean())

    def is_met(self, counts: ScreenCounts, losses: tuple[float, ...]) -> bool:
        """By the number of errors, which is exact."""
        return losses[OTHERS] <= allowed_errors(counts.n_target, self.level)

    def judge(self, plan: LookPlan, audit: Audit, hits: Sequence[int]) -> LookVerdict:
        """By the exact test, with a finish where the plan has one."""
        return judge_look(plan, audit.ranks, audit.losses > 0.5, audit.n_uncorrected)


@dataclass(frozen=True, slots=True)
class Accuracy(ShareRight):
    """The share of rows whose class is right."""

    noun: ClassVar[str] = "accuracy"
    remedy: ClassVar[str] = (
        "Ask for more (stopping.gamma), or, where hits are rare, for stopping.quantity = 'recall' or "
        "'balanced_accuracy'"
    )
    positive: int = 1
    """Class index of a hit: for acquisition and reports, the claim does not depend on it."""

    @classmethod
    def asked(cls, asked: Asked) -> Accuracy:
        """With the class of hits."""
        return cls(asked.level, asked.positive)

    def correct(self, prediction: LabelArray, labels: LabelArray) -> NDArray[np.float64]:
        """1 where the class is equal."""
        return (prediction == labels).astype(np.float64)


@dataclass(frozen=True, slots=True)
class WithinTolerance(ShareRight):
    """The share of values predicted within a tolerance (unit of the label); without one nothing is right or wrong."""

    noun: ClassVar[str] = "share within the tolerance"
    is_regression: ClassVar[bool] = True
    remedy: ClassVar[str] = "Ask for more (stopping.gamma), or for values that are closer (stopping.tolerance)"

    tolerance: float | None = None

    @classmethod
    def asked(cls, asked: Asked) -> WithinTolerance:
        """With the tolerance."""
        return cls(asked.level, asked.tolerance)

    def best_answer(self, labels: LabelArray, n_classes: int) -> Answer:
        """The middle of the window that holds most labels."""
        return middle_of_window(np.sort(labels), self.tolerance or 0.0)

    @property
    def has_losses(self) -> bool:
        """Whether right and wrong are defined."""
        return self.tolerance is not None

    def correct(self, prediction: LabelArray, labels: LabelArray) -> NDArray[np.float64]:
        """1 within the tolerance."""
        if self.tolerance is None:
            return np.zeros(len(labels))
        return (np.abs(prediction - labels) <= self.tolerance).astype(np.float64)

    def losses(self, prediction: LabelArray, labels: LabelArray) -> NDArray[np.float64]:
        """1 beyond the tolerance."""
        return np.zeros(len(labels)) if self.tolerance is None else 1.0 - self.correct(prediction, labels)


CLAIM = Claim(
    {"classification": Accuracy, "regression": WithinTolerance, "panel": PanelAccuracy},
    by_output=OutputAccuracies,
    by_output_errors=OutputErrors,
    by_output_hits=OutputClaims,
)
