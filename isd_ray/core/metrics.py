"""Accuracy and error against known labels."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from isd_ray.core.goals import ByOutput, Goal
from isd_ray.messages import Evaluation, LabelArray


def evaluate(predictions: LabelArray, labels: LabelArray, goal: Goal) -> Evaluation:
    """Errors of one block."""
    correct = (float(goal.correct(predictions, labels).sum()),)
    losses = np.bincount(goal.groups(predictions), goal.losses(predictions, labels), goal.n_groups)
    by_group = (tuple(losses.tolist()),)
    if isinstance(goal, ByOutput):
        wrong, entries = (tuple(counts.tolist()) for counts in goal.tally(predictions, labels))
        return Evaluation(len(labels), correct, by_group, wrong=(wrong,), entries=(entries,))
    if not goal.is_regression:
        return Evaluation(len(labels), correct, by_group)
    errors = predictions - labels
    squared, absolute = float(np.square(errors).sum()), float(np.abs(errors).sum())
    return Evaluation(len(labels), correct, by_group, (squared,), (absolute,))


def merge_evaluations(parts: Iterable[Evaluation]) -> Evaluation:
    """Errors of several blocks together."""
    parts = tuple(parts)
    return Evaluation(
        sum(part.n for part in parts),
        tuple(value for part in parts for value in part.correct),
        tuple(value for part in parts for value in part.losses),
        tuple(value for part in parts for value in part.squared),
        tuple(value for part in parts for value in part.absolute),
        tuple(value for part in parts for value in part.wrong),
        tuple(value for part in parts for value in part.entries),
    )


def without(evaluation: Evaluation, part: Evaluation) -> Evaluation:
    """The errors of all rows but those of `part`."""
    return Evaluation(
        evaluation.n - part.n,
        (*evaluation.correct, *(-value for value in part.correct)),
        (*evaluation.losses, *(tuple(-value for value in values) for values in part.losses)),
        (*evaluation.squared, *(-value for value in part.squared)),
        (*evaluation.absolute, *(-value for value in part.absolute)),
    )


def by_output(blocks: tuple[tuple[Any, ...], ...]) -> tuple[Any, ...]:
    """`wrong` or `entries` of an evaluation, of each output of a panel over all blocks; summed exactly."""
    return tuple(
        math.fsum(values) if isinstance(values[0], float) else sum(values) for values in zip(*blocks, strict=True)
    )


def accuracy(evaluation: Evaluation) -> float:
    """Share predicted right, of a panel the mean of the rows' shares; 1 for an empty set, which holds no error."""
    return n_correct(evaluation) / evaluation.n if evaluation.n else 1.0


def n_correct(evaluation: Evaluation) -> float:
    """Rows predicted right, or the sum of their shares; exact summation, so the order of blocks does not matter."""
    return math.fsum(evaluation.correct)


def mean_squared_error(evaluation: Evaluation) -> float:
    """MSE in the squared unit of the label; exact summation, so the order of blocks does not matter."""
    return math.fsum(evaluation.squared) / evaluation.n if evaluation.n else 0.0


def mean_absolute_error(evaluation: Evaluation) -> float:
    """MAE in the unit of the label."""
    return math.fsum(evaluation.absolute) / evaluation.n if evaluation.n else 0.0


def group_losses(evaluation: Evaluation) -> tuple[float, ...]:
    """Sums of losses by group; exact summation, so the order of blocks does not matter."""
    return tuple(math.fsum(values) for values in zip(*evaluation.losses, strict=True))


def system_accuracy(n_observed: int, evaluation: Evaluation) -> float:
    """Accuracy of the hybrid screen (paper, Eq. 1): measured rows count as right, predicted ones as evaluated."""
    return (n_observed + n_correct(evaluation)) / (n_observed + evaluation.n)
