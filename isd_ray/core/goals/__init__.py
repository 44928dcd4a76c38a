"""Claims about a screen: one file for each quantity, and the claim that a configuration asks for."""

from __future__ import annotations

from isd_ray.config import CampaignConfig, StoppingConfig
from isd_ray.core.goals.accuracy import Accuracy, WithinTolerance
from isd_ray.core.goals.balanced_accuracy import BalancedAccuracy
from isd_ray.core.goals.base import HITS, OTHERS, Goal, OutputGoal
from isd_ray.core.goals.by_output import ByOutput
from isd_ray.core.goals.hits import HitGoal
from isd_ray.core.goals.mean_loss import MeanAbsoluteError, MeanLoss, MeanSquaredError
from isd_ray.core.goals.output_accuracies import OutputAccuracies
from isd_ray.core.goals.output_recalls import OutputRecalls
from isd_ray.core.goals.panel import PanelAccuracy
from isd_ray.core.goals.panel_recall import PanelRecall
from isd_ray.core.goals.precision import Precision
from isd_ray.core.goals.recall import Recall
from isd_ray.core.look_evidence import ScreenCounts

__all__ = [
    "HITS",
    "OTHERS",
    "QUANTITY_NAMES",
    "Accuracy",
    "BalancedAccuracy",
    "ByOutput",
    "Goal",
    "MeanAbsoluteError",
    "MeanLoss",
    "MeanSquaredError",
    "OutputAccuracies",
    "OutputGoal",
    "OutputRecalls",
    "PanelAccuracy",
    "PanelRecall",
    "Precision",
    "Recall",
    "ScreenCounts",
    "WithinTolerance",
    "goal_for",
]

_OF_HITS: dict[str, type[HitGoal]] = {goal.quantity: goal for goal in (Recall, Precision, BalancedAccuracy)}
_OF_VALUES: dict[str, type[MeanLoss]] = {goal.quantity: goal for goal in (MeanAbsoluteError, MeanSquaredError)}
_QUANTITIES: tuple[type[Goal], ...] = (Accuracy, *_OF_HITS.values(), *_OF_VALUES.values())
QUANTITY_NAMES: dict[str, str] = {goal.quantity: goal.noun for goal in _QUANTITIES}
"""What may be claimed, in words."""


def goal_for(
    config: CampaignConfig,
    classes: tuple[str, ...],
    outputs: tuple[str, ...] = (),
    *,
    in_laboratory: bool = False,
) -> Goal:
    """The claim of a campaign whose classes, and outputs of a panel, have these names."""
    stopping = config.stopping
    if config.task == "panel":
        n_expected = len(outputs) if in_laboratory and outputs else None
        claims = _of_outputs(stopping, outputs)
        level = min((claim.gamma for claim in claims), default=stopping.level)
        if stopping.quantity == "recall":
            of_all = PanelRecall(level, len(outputs), n_expected)
            return of_all if stopping.panel is None else OutputRecalls(level, len(outputs), n_expected, claims)
        of_mean = PanelAccuracy(level, n_expected)
        return of_mean if stopping.panel is None else OutputAccuracies(level, n_expected, claims)
    if config.task == "regression":
        if stopping.loss_clip is not None:
            return _OF_VALUES[stopping.quantity](stopping.level, stopping.loss_clip, stopping.tolerance)
        return WithinTolerance(stopping.level, stopping.tolerance)
    positive = len(classes) - 1 if stopping.positive is None else classes.index(stopping.positive)
    if stopping.quantity in _OF_HITS:
        return _OF_HITS[stopping.quantity](stopping.level, positive, stopping.positive or "")
    return Accuracy(stopping.level, positive)


def _of_outputs(stopping: StoppingConfig, outputs: tuple[str, ...]) -> tuple[OutputGoal, ...]:
    if stopping.panel is None:
        return ()
    levels, shares = stopping.panel.levels(outputs, stopping.gamma), stopping.panel.shares(outputs)
    return tuple(OutputGoal(*claim) for claim in zip(outputs, levels, shares, strict=True))
