"""Claims about a screen: one file for each quantity, and the claim that a configuration asks for.

Their names are `isd_ray.config.claims`'.
"""

from __future__ import annotations

from dataclasses import replace

from isd_ray.config import StoppingConfig, Task
from isd_ray.core.goals.accuracy import Accuracy, WithinTolerance
from isd_ray.core.goals.balanced_accuracy import BalancedAccuracy
from isd_ray.core.goals.base import HITS, OTHERS, UNVERIFIED, Asked, Goal, OutputGoal
from isd_ray.core.goals.by_output import ByOutput
from isd_ray.core.goals.hits import HitGoal
from isd_ray.core.goals.mean_loss import MeanAbsoluteError, MeanLoss, MeanSquaredError
from isd_ray.core.goals.output_accuracies import OutputAccuracies
from isd_ray.core.goals.output_claims import OutputClaims
from isd_ray.core.goals.output_errors import OutputErrors
from isd_ray.core.goals.output_recalls import OutputRecalls
from isd_ray.core.goals.panel import PanelAccuracy
from isd_ray.core.goals.panel_errors import PanelAbsoluteError, PanelMeanError, PanelSquaredError
from isd_ray.core.goals.panel_recall import PanelRecall
from isd_ray.core.goals.precision import Precision
from isd_ray.core.goals.recall import Recall
from isd_ray.core.look_evidence import ScreenCounts
from isd_ray.errors import ConfigError

__all__ = [
    "HITS",
    "OTHERS",
    "UNVERIFIED",
    "Accuracy",
    "Asked",
    "BalancedAccuracy",
    "ByOutput",
    "Goal",
    "HitGoal",
    "MeanAbsoluteError",
    "MeanLoss",
    "MeanSquaredError",
    "OutputAccuracies",
    "OutputClaims",
    "OutputErrors",
    "OutputGoal",
    "OutputRecalls",
    "PanelAbsoluteError",
    "PanelAccuracy",
    "PanelMeanError",
    "PanelRecall",
    "PanelSquaredError",
    "Precision",
    "Recall",
    "ScreenCounts",
    "WithinTolerance",
    "goal_for",
]


def goal_for(
    stopping: StoppingConfig,
    task: Task,
    classes: tuple[str, ...],
    outputs: tuple[str, ...] = (),
    numbers: tuple[str, ...] = (),
    *,
    in_laboratory: bool = False,
    unverified: bool = False,
) -> Goal:
    """The claim of a campaign whose classes, and outputs of a panel, have these names.

    Parameters
    ----------
    numbers:
        Outputs that are numbers, by name or wildcard.
    unverified:
        Its class did not pass the suite for claims, or the version that the campaign began with did not.

    Raises
    ------
    ConfigError
        If claims or tolerances are of outputs that the panel does not have, or do not suit them; or if the words of an
        unverified claim do not say that it is one.
    """
    try:
        claims, tolerances = _of_outputs(stopping, outputs, numbers), stopping.tolerances_of(outputs, numbers)
        if stopping.goal_class(task).is_of_numbers:
            _refuse_classes(stopping.quantity, outputs, tolerances)
    except ValueError as error:
        where, remedy = "labels.numbers, stopping", "correct that key; outputs are called as labels.columns has them"
        raise ConfigError(str(error), where, remedy) from error
    shares = [claim.gamma for claim in claims if claim.error is None] or [claim.gamma for claim in claims]
    asked = Asked(
        level=min(shares, default=stopping.level),
        positive=len(classes) - 1 if stopping.positive is None else classes.index(stopping.positive),
        hit=stopping.positive or "",
        tolerance=stopping.tolerance,
        clip=stopping.loss_clip,
        n_outputs=len(outputs),
        n_expected=len(outputs) if in_laboratory and outputs else None,
        claims=claims,
        tolerances=tolerances,
    )
    goal: Goal = stopping.goal_class(task).asked(asked)
    if not unverified:
        return goal
    goal = replace(goal, unverified=True)
    if UNVERIFIED not in goal.words or UNVERIFIED not in goal.name:
        raise ConfigError(
            f"the claim {goal.quantity!r} did not pass the suite for claims, and its words, {goal.words!r}, hide it",
            "stopping.quantity",
            "let `words` be made with `name`, and `name` with `named`, as isd_ray.core.goals.base.Goal has them",
        )
    return goal


def _refuse_classes(quantity: str, outputs: tuple[str, ...], tolerances: tuple[float | None, ...]) -> None:
    """A mean error over all outputs is of numbers alone."""
    classes = [name for name, tolerance in zip(outputs, tolerances, strict=True) if tolerance is None]
    if classes:
        raise ValueError(
            f"stopping.quantity={quantity!r} is the mean error over all outputs, and {classes[0]!r} is of two classes; "
            "name it in labels.numbers, leave it out of labels.columns, or claim something of each output in "
            "[stopping.panel]"
        )


def _of_outputs(stopping: StoppingConfig, outputs: tuple[str, ...], numbers: tuple[str, ...]) -> tuple[OutputGoal, ...]:
    if stopping.panel is None:
        return ()
    levels, shares = stopping.panel.levels(outputs, stopping.gamma), stopping.panel.shares(outputs)
    found, tolerances = [], stopping.tolerances_of(outputs, numbers) or (None,) * len(outputs)
    quantities, errors = stopping.panel.quantities(outputs, stopping.quantity), stopping.panel.errors(outputs)
    if outputs and stopping.mixes_hits and "recall" not in quantities:
        raise ValueError(
            "stopping.quantity='recall' is claimed of no output, as stopping.panel.quantity names all of them; set "
            "stopping.quantity = 'accuracy'"
        )
    columns = zip(outputs, levels, shares, tolerances, quantities, errors, strict=True)
    for name, gamma, share, tolerance, quantity, error in columns:
        if error is None:
            if (is_recall := quantity == "recall") and tolerance is not None:
                raise ValueError(
                    f"a recall is claimed of {name!r}, which is a number and has no hits; claim accuracy, mae or mse "
                    "of it in stopping.panel.quantity"
                )
            found.append(OutputGoal(name, gamma, share, tolerance, is_recall=is_recall))
            continue
        if tolerance is None or name in stopping.panel.gamma:
            what = "is no number" if tolerance is None else "has a gamma"
            raise ValueError(f"a mean error is claimed of {name!r}, which {what}; correct stopping.panel")
        unit = error.clip**error.power
        found.append(OutputGoal(name, 1.0 - error.max_loss / unit, share, tolerance, error))
    return tuple(found)
