"""What one answer for every compound would reach: a claim at or below it says nothing of a model.

**The comparison of each claim.** Accuracy, panels and mean errors: the answer that suits the labels best, given to
every compound. Precision: every compound is called a hit. Balanced accuracy: 0.5 whatever the answer is. Recall: as
many compounds as the screen has measured, picked at random; that is in expectation the share measured. (To call
everything a hit has recall 1 and measures everything, to call nothing one finds the share measured: a claim of recall
is worth the wells that it saves.) Of a panel each output is held against what its own claim is.

**By a sample.** The first batch is drawn uniformly from n rows. Let a be the best answer for all n rows, fixed by them,
and L its total loss. The best answer for the sample has at most the loss that a has in it. So a lower confidence bound
of L that grows with the loss in the sample may be taken at the smallest loss of any answer there: that the same rows
chose this answer can only lower the bound. For the other end an answer is chosen by the first half of the sample and
judged by the second, a uniform sample of the rest; the best answer loses at most what that one loses. Each end is wrong
with probability at most delta / 2: for right and wrong by the exact hypergeometric test; for losses between, the first
by the bound of Chernoff and Hoeffding, which grows with the mean (1963, theorem 4: it holds without replacement), the
second by betting (`isd_ray.core.betting`). Rows of the sample without a readout count as right at one end and as wrong
at the other, so it does not matter why they have none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from isd_ray.core.best_constant import Answer
from isd_ray.core.betting import betting_interval
from isd_ray.core.bounds import kl_lower_bound, plausible_range
from isd_ray.core.goals import (
    Accuracy,
    Goal,
    MeanAbsoluteError,
    MeanSquaredError,
    OutputAccuracies,
    OutputGoal,
    PanelAccuracy,
    WithinTolerance,
)
from isd_ray.core.goals.base import SQUARED
from isd_ray.core.panels import entries_of, has_readout
from isd_ray.messages import LabelArray

_ROUNDING = 1e-9
"""Relative slack of a tolerance: labels on a grid lie exactly so far from a value, and rounding puts them beyond."""


_ROWS = 1 << 16
"""Rows of a panel whose losses are taken at once."""


@dataclass(frozen=True, slots=True)
class ConstantAnswer:
    """What a claim is held against.

    Attributes
    ----------
    answer:
        The class index or value that every compound is given; None where each does as well, or each output of a panel
        has its own.
    low, high:
        The claimed quantity of the best such answer lies between them; equal where it is known.
    n:
        Rows of the sample that the interval rests on; None where nothing was estimated.
    outputs:
        Of a panel with a claim about each output: that of each; `low` and `high` are then the least and the greatest.
    """

    answer: int | float | None
    low: float
    high: float
    n: int | None = None
    outputs: tuple[ConstantAnswer, ...] = ()

    def reaches(self, goal: Goal) -> bool:
        """Whether it may be as good as the claim, which then may be worth nothing."""
        if self.outputs:
            return bool(self.reached(goal))
        return self.low <= goal.level if goal.is_error else goal.level <= self.high

    def reached(self, goal: Goal) -> tuple[str, ...]:
        """Outputs whose claims may be worth nothing."""
        pairs = zip(goal.outputs, self.outputs, strict=True)
        return tuple(output.name for output, constant in pairs if output.gamma <= constant.high)


def random_picking(n_measured: int, n_target: int, n_outputs: int = 0) -> ConstantAnswer:
    """The recall of as many compounds picked at random, in expectation: exact, however many hits there are.

    Parameters
    ----------
    n_outputs:
        Of a panel with a claim about each output.
    """
    one = _picked(n_measured / n_target)
    return replace(one, outputs=(one,) * n_outputs)


def _picked(share: float) -> ConstantAnswer:
    return ConstantAnswer(None, share, share)


def with_picking(goal: Goal, constant: ConstantAnswer | None, share: float) -> ConstantAnswer | None:
    """What claims of several kinds are held against, with random picking of such a share where it is a recall."""
    if constant is None or not constant.outputs or not goal.takes_hits:
        return constant
    pairs = zip(goal.outputs, constant.outputs, strict=True)
    return _together([_picked(share) if output.is_recall else one for output, one in pairs], constant.n)


def constant_answer(
    goal: Goal, labels: LabelArray, n_classes: int, n_drawn: int, delta: float, n_others: int = 0
) -> ConstantAnswer | None:
    """What the best constant answer would reach, by the labels of a uniform sample, or of all rows.

    Parameters
    ----------
    labels:
        Of the sample **in random order**, float64 (m,), NaN where there is no readout; or packed labels of a panel.
    n_classes:
        Of a panel its outputs.
    n_drawn:
        Rows that the sample was drawn from; as many as there are labels: all are known, and the answer is exact.
    delta:
        Risk that the interval misses the best answer; for claims about each output, that it misses any of them.
    n_others:
        Other rows of the target set, of whose labels nothing is known: right at one end, wrong at the other.

    Returns
    -------
    ConstantAnswer or None
        None for a recall (`random_picking`; beside other claims nothing is picked yet, `with_picking`), for a claim
        that does not say what an answer reaches, where right and wrong are not defined, and without a readout.
    """
    if (goal.takes_hits and not isinstance(goal, OutputAccuracies)) or not goal.has_losses:
        return None
    if goal.constant is not None:
        return ConstantAnswer(None, goal.constant, goal.constant)
    if not goal.constant_by_loss:
        return None
    present = has_readout(labels)
    if not present.any():
        return None
    if isinstance(goal, OutputAccuracies):
        return _of_outputs(goal, labels, n_drawn, delta, n_others)
    goal = _with_slack(goal)
    n, answer = n_drawn + n_others, goal.best_answer(labels[present], n_classes)
    if len(labels) == n and not _lost(goal, labels).any():
        total = float(losses_of(goal, answer, labels).sum())
        return _between(goal, answer, (total, total), n, None)
    fewest = _at_least(goal, labels, answer, n_drawn, delta)
    most = _at_most(goal, labels, n_classes, n_drawn, delta) + n_others
    return _between(goal, answer, (fewest, most), n, len(labels))


def _with_slack(goal: Goal) -> Goal:
    """The goal with tolerances that hold what lies exactly so far away."""
    if isinstance(goal, WithinTolerance) and goal.tolerance is not None:
        return replace(goal, tolerance=goal.tolerance * (1.0 + _ROUNDING))
    if isinstance(goal, PanelAccuracy) and not goal.is_error:
        slack = tuple(None if one is None else one * (1.0 + _ROUNDING) for one in goal.tolerances)
        return replace(goal, tolerances=slack)
    return goal


def _at_least(goal: Goal, labels: LabelArray, answer: Answer, n_drawn: int, delta: float) -> float:
    """Lower bound of the total loss of the best answer, by the one that is best for the sample."""
    losses = losses_of(goal, answer, labels) - _lost(goal, labels)
    if goal.is_exact:
        return plausible_range(int(losses.sum()), n_drawn, len(labels), delta)[0]
    mean = float(np.clip(losses.mean(), 0.0, 1.0))  # rounding may leave it outside
    return kl_lower_bound(mean, len(labels), delta / 2) * n_drawn


def _at_most(goal: Goal, labels: LabelArray, n_classes: int, n_drawn: int, delta: float) -> float:
    """Upper bound of the same, by an answer that one half of the sample chose and the other judged."""
    half = len(labels) // 2
    first, second, n_rest = labels[:half], labels[half:], n_drawn - half
    present = has_readout(first)
    if not present.any():
        return float(n_drawn)
    answer = goal.best_answer(first[present], n_classes)
    known, losses = float(losses_of(goal, answer, first).sum()), losses_of(goal, answer, second)
    if goal.is_exact:
        return known + plausible_range(int(losses.sum()), n_rest, len(second), delta)[1]
    return known + betting_interval(np.clip(losses, 0.0, 1.0), n_rest, delta)[1]


def _lost(goal: Goal, labels: LabelArray) -> NDArray[np.float64]:
    """Loss of each row that is due to wells that gave no readout, and not to the answer, float64 (m,)."""
    if isinstance(goal, PanelAccuracy) and goal.n_expected is None:
        return np.zeros(len(labels))
    return goal.kept(labels)


def _between(goal: Goal, answer: Answer, total: tuple[float, float], n: int, n_sample: int | None) -> ConstantAnswer:
    """From the least and greatest total loss of n rows to the claimed quantity."""
    said, (fewest, most) = None if isinstance(answer, np.ndarray) else answer, total
    if goal.is_error:
        return ConstantAnswer(said, fewest / n * goal.unit, most / n * goal.unit, n_sample)
    return ConstantAnswer(said, (n - most) / n, (n - fewest) / n, n_sample)


def _of_outputs(
    goal: OutputAccuracies, labels: LabelArray, n_drawn: int, delta: float, n_others: int
) -> ConstantAnswer | None:
    """Of each output as of classes, or of values, at its part of the risk, so that all hold together (Bonferroni).

    In a simulation rows without a readout of an output are none of its rows.
    """
    found = []
    tolerances = goal.tolerances or (None,) * len(goal.outputs)
    columns = entries_of(labels, len(goal.outputs)).T
    for output, tolerance, column in zip(goal.outputs, tolerances, columns, strict=True):
        if output.is_recall:
            found.append(_picked(0.0))
            continue
        if goal.n_expected is None:
            column = column[~np.isnan(column)]
        n_rows = n_drawn if goal.n_expected is not None else len(column)
        one = constant_answer(_alone(output, tolerance), column, 2, n_rows, delta * output.share, n_others)
        one = ConstantAnswer(None, 0.0, 1.0, len(labels)) if one is None else one
        if output.error is not None:  # as errors are on record
            one = replace(one, low=1.0 - one.high / output.unit, high=1.0 - one.low / output.unit)
        found.append(one)
    others = (one.n for output, one in zip(goal.outputs, found, strict=True) if not output.is_recall)
    return _together(found, next(others, None))


def _together(found: Sequence[ConstantAnswer], n: int | None) -> ConstantAnswer:
    """Of all outputs, what each is held against."""
    return ConstantAnswer(None, min(one.low for one in found), max(one.high for one in found), n, tuple(found))


def _alone(output: OutputGoal, tolerance: float | None) -> Goal:
    """The claim about one output as that of a single label."""
    if output.error is not None:
        kind = MeanSquaredError if output.error.power == SQUARED else MeanAbsoluteError
        return kind(output.level, output.error.clip)
    return Accuracy(output.gamma) if tolerance is None else WithinTolerance(output.gamma, tolerance)


def losses_of(goal: Goal, answer: Answer, labels: LabelArray) -> NDArray[np.float64]:
    """Loss of one answer on each row, float64 (n,); 1 where there is no label."""
    if isinstance(answer, np.ndarray):
        pieces = [labels[first : first + _ROWS] for first in range(0, len(labels), _ROWS)]
        return np.concatenate([goal.losses(np.broadcast_to(answer, (len(p), len(answer))), p) for p in pieces])
    return goal.losses(np.full(len(labels), float(answer)), labels)
