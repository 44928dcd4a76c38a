"""One answer for every compound: what it would reach of each claim, exactly or by the first batch."""

from __future__ import annotations

import numpy as np
import pytest

from isd_ray.core.constant import constant_answer, losses_of, random_picking
from isd_ray.core.goals import (
    Accuracy,
    BalancedAccuracy,
    MeanAbsoluteError,
    MeanSquaredError,
    OutputAccuracies,
    OutputGoal,
    PanelAccuracy,
    Precision,
    Recall,
    WithinTolerance,
)
from isd_ray.core.panels import pack_labels

RARE = (np.arange(1000) < 35).astype(float)
WITHIN = WithinTolerance(0.9, 0.3)
MAE = MeanAbsoluteError(0.5, 2.0)
MSE = MeanSquaredError(0.5, 2.0)
OUTPUTS = (OutputGoal("A", 0.9, 0.5), OutputGoal("B", 0.6, 0.5))


def test_of_all_labels_the_constant_answer_is_known_exactly():
    found = constant_answer(Accuracy(0.95), RARE, 2, 1000, 0.05)
    assert (found.answer, found.low, found.high, found.n) == (0, 0.965, 0.965, None)
    assert found.reaches(Accuracy(0.95))
    assert found.reaches(Accuracy(0.965))
    assert not found.reaches(Accuracy(0.97))


@pytest.mark.parametrize(
    ("goal", "expected"),
    [
        (Precision(0.9), (1, 0.035, 0.035)),
        (BalancedAccuracy(0.9), (None, 0.5, 0.5)),
        (Recall(0.9), None),
        (WithinTolerance(0.9), None),
    ],
)
def test_each_claim_has_its_own(goal, expected):
    found = constant_answer(goal, RARE, 2, 1000, 0.05)
    assert expected == (None if found is None else (found.answer, found.low, found.high))


def test_a_recall_is_held_against_random_picking_of_as_many():
    found = random_picking(300, 1000)
    assert (found.low, found.high) == (0.3, 0.3)
    assert found.reaches(Recall(0.3))
    assert not found.reaches(Recall(0.31))


# --- the best answer ------------------------------------------------------------------------------------------------


def values(seed: int, n: int = 40) -> np.ndarray:
    """Two heaps on a grid of tenths, so that many are equal."""
    rng = np.random.default_rng(seed)
    return np.round(rng.normal(0.0, 1.5, n) + 5.0 * (rng.random(n) < 0.4), 1)


@pytest.mark.parametrize("goal", [MAE, MSE], ids=["mae", "mse"])
@pytest.mark.parametrize("seed", range(8))
def test_no_other_value_has_a_smaller_mean_loss(goal, seed):
    labels = values(seed)
    least = min(losses_of(goal, float(value), labels).mean() for value in np.arange(-6.0, 11.0, 0.01))
    assert losses_of(goal, goal.best_answer(labels, 0), labels).mean() <= least + 1e-12


@pytest.mark.parametrize("seed", range(8))
def test_no_other_value_is_within_the_tolerance_of_more_labels(seed):
    labels = values(seed)
    most = max((np.abs(labels - value) <= 0.3 + 1e-9).mean() for value in np.arange(-6.0, 11.0, 0.05))
    assert constant_answer(WITHIN, labels, 0, len(labels), 0.05).high == pytest.approx(most)


def test_a_panel_is_given_the_commoner_answer_of_each_output_by_what_its_entries_weigh():
    # Two compounds say 1 of the first output among three entries each, one says 0 and nothing else.
    labels = pack_labels(np.array([[1, 0, 1], [1, 0, 1], [0, -1, -1]]))
    found = constant_answer(PanelAccuracy(0.9), labels, 3, 3, 0.05)
    assert found.high == pytest.approx((2 / 3 + 2 / 3 + 1.0) / 3)


def test_each_output_with_a_claim_has_its_own():
    labels = pack_labels(np.array([[1, 0], [1, -1], [0, 1], [1, 0]]))
    goal = OutputAccuracies(0.6, None, OUTPUTS)
    found = constant_answer(goal, labels, 2, 4, 0.05)
    assert [(one.low, one.high) for one in found.outputs] == [(0.75, 0.75), (2 / 3, 2 / 3)]
    assert found.reached(goal) == ("B",), "0.75 does not reach 0.9, 2/3 reaches 0.6"


# --- the interval ---------------------------------------------------------------------------------------------------


def classes_of(rng: np.random.Generator) -> np.ndarray:
    """Five classes alike: the one that a sample has most of is hardly ever the best one."""
    return rng.permutation(np.arange(300) % 5).astype(float)


CASES = {
    "accuracy": (Accuracy(0.9), classes_of),
    "precision": (Precision(0.9), lambda rng: (rng.random(300) < 0.2).astype(float)),
    "within": (WITHIN, lambda rng: rng.normal(0.0, 1.0, 300)),
    "mae": (MAE, lambda rng: rng.choice([0.0, 2.0], 300)),
    "mse": (MSE, lambda rng: rng.choice([0.0, 2.0], 300)),
}


@pytest.mark.parametrize("lost", [0.0, 0.1], ids=["", "wells lost"])
@pytest.mark.parametrize("name", CASES)
def test_of_a_sample_the_best_answer_lies_within_the_interval_as_often_as_promised(name, lost):
    goal, draw = CASES[name]
    rng = np.random.default_rng(0)
    labels = draw(rng)
    truth = constant_answer(goal, labels, 5, 300, 0.2).low
    # Wells fail where the answer is most often wrong.
    fails = (labels != np.median(labels)) & (rng.random(300) < 2 * lost)
    told = np.where(fails, np.nan, labels)
    n = 120 if goal.is_error else 600  # betting takes its time
    found = [constant_answer(goal, rng.choice(told, 60, replace=False), 5, 300, 0.2) for _ in range(n)]
    for is_missed in ([one.low > truth + 1e-12 for one in found], [one.high < truth - 1e-12 for one in found]):
        assert sum(is_missed) < n * 0.1 + 3 * np.sqrt(n * 0.09), "each end has half of the risk"
    assert {one.n for one in found} == {60}


def test_lost_entries_of_a_panel_count_at_both_ends():
    rng = np.random.default_rng(1)
    entries = (rng.random((400, 6)) < 0.1).astype(int)
    told = np.where(rng.random(entries.shape) < 0.2, -1, entries)
    for outputs in ((), tuple(OutputGoal(str(place), 0.9, 1 / 6) for place in range(6))):
        goal = OutputAccuracies(0.9, 6, outputs) if outputs else PanelAccuracy(0.9, 6)
        truth = constant_answer(goal, pack_labels(entries), 6, 400, 0.05)
        found = constant_answer(goal, pack_labels(told), 6, 400, 0.05)
        assert found.low < truth.low - 0.1
        assert found.high > truth.high + 0.01
        assert truth.low == truth.high or outputs


def test_compounds_that_were_known_before_the_first_batch_may_be_anything():
    alone = constant_answer(Accuracy(0.9), RARE[::10], 2, 1000, 0.05)
    beside = constant_answer(Accuracy(0.9), RARE[::10], 2, 1000, 0.05, n_others=1000)
    assert beside.low == pytest.approx(alone.low / 2)
    assert beside.high == pytest.approx((1 + alone.high) / 2)
