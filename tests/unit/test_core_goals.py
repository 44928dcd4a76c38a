"""What a screen claims: groups, hits, losses, allowances and values against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isd_ray.core.goals import (
    HITS,
    OTHERS,
    Accuracy,
    BalancedAccuracy,
    MeanAbsoluteError,
    MeanSquaredError,
    Precision,
    Recall,
    ScreenCounts,
    WithinTolerance,
    goal_for,
)
from isd_ray.core.goals.precision import precision_allowance
from isd_ray.core.goals.recall import recall_allowance

NAN = float("nan")
ACCURACY, RECALL, PRECISION = Accuracy(0.9), Recall(0.8), Precision(0.8)
BALANCED = BalancedAccuracy(0.8)
WITHIN = WithinTolerance(0.9, 0.5)
MAE = MeanAbsoluteError(0.3, 2.0)
MSE = MeanSquaredError(0.3, 2.0)
EVERY = (ACCURACY, RECALL, PRECISION, BALANCED, WITHIN, MAE, MSE)
COUNTS = ScreenCounts(n_target=100, n_hits=20, n_others=30, left=(40, 10))


def numbers(*values) -> np.ndarray:
    return np.array(values, np.float64)


def test_rows_are_grouped_by_a_predicted_hit_and_no_prediction_is_none():
    prediction = numbers(0, 1, 2, NAN, 1)
    assert ACCURACY.groups(prediction).tolist() == [0, 0, 0, 0, 0]
    assert RECALL.groups(prediction).tolist() == [OTHERS, HITS, OTHERS, OTHERS, HITS]
    assert Precision(0.8, 2).groups(prediction).tolist() == [0, 0, 1, 0, 0]
    assert [goal.n_groups for goal in EVERY] == [1, 2, 2, 2, 1, 1, 1]


def test_hits_are_rows_of_the_positive_class_where_hits_are_known():
    labels = numbers(0, 1, 2, 1)
    assert RECALL.count_hits(labels) == (2,)
    assert BalancedAccuracy(0.8, 0).count_hits(labels) == (1,)
    assert ACCURACY.count_hits(labels) == MAE.count_hits(labels) == (0,)


def test_an_audit_is_of_the_group_in_which_an_error_hurts():
    assert [goal.audited for goal in EVERY] == [
        (OTHERS,), (OTHERS,), (HITS,), (OTHERS, HITS), (OTHERS,), (OTHERS,), (OTHERS,),
    ]  # fmt: skip
    assert [goal.takes_hits for goal in EVERY] == [False, True, False, False, False, False, False]
    assert [goal.is_exact for goal in EVERY] == [True, True, True, True, True, False, False]
    assert [goal.has_losses for goal in EVERY] == [True] * 7
    assert not WithinTolerance(0.9).has_losses


@pytest.mark.parametrize(
    ("goal", "losses"),
    [
        (ACCURACY, [0, 1, 1, 0, 1]),
        (RECALL, [0, 1, 1, 0, 1]),
        (Recall(0.8, 2), [0, 0, 1, 0, 1]),
        (WITHIN, [0, 1, 1, 0, 1]),
        (MAE, [0, 0.5, 0.5, 0, 1]),
        (MSE, [0, 0.25, 0.25, 0, 1]),
        (WithinTolerance(0.9), [0, 0, 0, 0, 0]),
    ],
)
def test_losses_count_what_the_claim_counts(goal, losses):
    """Right, class 0 for 1, class 1 for 2, right, nothing predicted (of class 1 or value 1)."""
    prediction, labels = numbers(0, 0, 1, 2, NAN), numbers(0, 1, 2, 2, 1)
    assert goal.losses(prediction, labels).tolist() == losses


def test_a_class_that_is_no_hit_may_be_taken_for_another_one_at_no_loss():
    prediction, labels = numbers(0, 0, 2, 1), numbers(2, 0, 0, 1)
    assert RECALL.losses(prediction, labels).tolist() == [0, 0, 0, 0]
    assert ACCURACY.losses(prediction, labels).tolist() == [1, 0, 1, 0]


def test_errors_above_the_clip_count_as_it():
    prediction, labels = numbers(0, 0, 0), numbers(2, 3, 400)
    assert MAE.losses(prediction, labels).tolist() == [1, 1, 1]
    assert MSE.losses(prediction, labels).tolist() == [1, 1, 1]
    assert MAE.losses(numbers(1), numbers(-0.5)).tolist() == [0.75]
    assert MSE.losses(numbers(1), numbers(-0.5)).tolist() == [0.5625]


def test_no_prediction_is_wrong_even_where_nothing_is_a_hit():
    nothing = np.full(3, NAN)
    for goal in EVERY:
        assert goal.losses(nothing, numbers(0, 1, 2)).tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("goal", "expected", "allowances"),
    [
        # Of 100 rows more than 90 right: at most 9 wrong.
        (ACCURACY, (3.0,), (9,)),
        (WITHIN, (3.0,), (9,)),
        # 20 hits measured and 10 - 2.2 predicted ones, rounded down: 27 found allow 6.75 missed.
        (RECALL, (5.0, 2.2), (6,)),
        (RECALL, (5.0, 30.0), (5,)),
        # 30 hits delivered, a fifth of them may be wrong.
        (PRECISION, (5.0, 3.0), (6,)),
        # Mean errors of at most 0.3 over 100 rows, in losses of 2 and of 4.
        (MAE, (3.0,), (15.0,)),
        (MSE, (3.0,), (7.5,)),
    ],
)
def test_allowances_are_those_of_hand_work(goal, expected, allowances):
    assert goal.allowances(COUNTS, expected) == pytest.approx(allowances, rel=1e-12)


def test_predicted_hits_that_are_measured_already_are_not_expected_again():
    assert RECALL.allowances(ScreenCounts(100, 26, 34, (40, 0)), (5.0, 0.0)) == (6,)


def test_a_balanced_accuracy_shares_its_allowance_out_by_what_is_expected():
    for expected in ((1.0, 1.0), (6.0, 1.0), (1.0, 6.0)):
        others, hits = BALANCED.allowances(COUNTS, expected)
        assert BALANCED.is_met(COUNTS, (others, hits))
        assert not BALANCED.is_met(COUNTS, (others + 2, hits + 2))
        assert (others > hits) == (expected[OTHERS] > expected[HITS]) or expected == (1.0, 1.0)
    assert BalancedAccuracy(0.999).allowances(COUNTS, (1.0, 1.0)) == (0, 0)


@pytest.mark.parametrize(
    ("goal", "losses", "value"),
    [
        (ACCURACY, (7.0,), 0.93),
        (WITHIN, (7.0,), 0.93),
        # 20 + 10 - 3 hits found, 9 missed.
        (RECALL, (9.0, 3.0), 27 / 36),
        # 30 delivered, 3 of them wrong.
        (PRECISION, (9.0, 3.0), 0.9),
        # Sensitivity 27 / 36, specificity (30 + 40 - 9) / (61 + 3).
        (BALANCED, (9.0, 3.0), (27 / 36 + 61 / 64) / 2),
        (MAE, (7.0,), 0.14),
        (MSE, (7.0,), 0.28),
    ],
)
def test_values_are_those_of_hand_work(goal, losses, value):
    assert goal.value(COUNTS, losses) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("goal", "met", "missed"),
    [
        # Above 0.9, not equal to it; the others reach their level.
        (ACCURACY, (9.0,), (10.0,)),
        (RECALL, (6.0, 4.0), (7.0, 4.0)),
        (PRECISION, (40.0, 6.0), (40.0, 7.0)),
        (MAE, (15.0,), (15.1,)),
        (MSE, (7.5,), (7.6,)),
    ],
)
def test_a_claim_is_met_up_to_its_allowance_and_no_further(goal, met, missed):
    assert goal.is_met(COUNTS, met)
    assert not goal.is_met(COUNTS, missed)


def test_a_screen_without_hits_has_missed_none_and_delivers_none_wrongly():
    none = ScreenCounts(100, 0, 60, (40, 0))
    assert RECALL.value(none, (0.0, 0.0)) == 1.0
    assert PRECISION.value(none, (0.0, 0.0)) == 1.0
    assert BALANCED.value(none, (0.0, 0.0)) == 1.0
    assert RECALL.value(none, (1.0, 0.0)) == 0.0


percent = st.integers(1, 99).map(lambda n: n / 100)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_what_is_allowed_is_met_and_one_error_more_is_not(data):
    """Exactly, at every level of two decimals: sums of floats must not decide."""
    level, n_hits, n_others = data.draw(percent), data.draw(st.integers(0, 60)), data.draw(st.integers(0, 60))
    others, hits = data.draw(st.integers(0, 120)), data.draw(st.integers(0, 120))
    counts = ScreenCounts(n_hits + n_others + others + hits + 1, n_hits, n_others, (others, hits))
    [allowed] = (goal := Accuracy(level)).allowances(counts, (0.0,))
    assert goal.is_met(counts, (allowed,))
    assert not goal.is_met(counts, (allowed + 1,))
    [allowed] = (goal := Precision(level)).allowances(counts, (0.0, 0.0))
    assert allowed == precision_allowance(n_hits, hits, level)
    assert goal.is_met(counts, (0, min(allowed, hits)))
    assert allowed >= hits or not goal.is_met(counts, (0, allowed + 1))
    [allowed] = (goal := Recall(level)).allowances(counts, (0.0, 0.0))
    assert allowed == recall_allowance(n_hits + hits, level)
    assert goal.is_met(counts, (allowed, 0))
    assert not goal.is_met(counts, (allowed + 1, 0))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_value_never_improves_with_a_loss(data):
    goal = data.draw(st.sampled_from(EVERY))
    n_hits, n_others = data.draw(st.integers(0, 30)), data.draw(st.integers(0, 30))
    left = tuple(data.draw(st.integers(0, 30)) for _ in range(goal.n_groups))
    counts = ScreenCounts(n_hits + n_others + sum(left) + 1, n_hits, n_others, left)
    low = tuple(data.draw(st.integers(0, n)) for n in left)
    high = tuple(data.draw(st.integers(k, n)) for k, n in zip(low, left, strict=True))
    values = goal.value(counts, low), goal.value(counts, high)
    assert values[0] >= values[1] if goal.is_exact else values[0] <= values[1]
    assert goal.is_met(counts, low) or not goal.is_met(counts, high)


def test_a_goal_reads_its_campaign(make_config, regression):
    def goal_of(classes=(), **changes):
        config = make_config(**changes)
        return goal_for(config.stopping, config.task, classes)

    hit = {"rule": "certify", "quantity": "recall", "gamma": 0.7}
    classes = ("BBB+", "BBB-")
    assert goal_of(classes, stopping=hit) == Recall(0.7, 1)
    assert goal_of(classes, stopping={**hit, "positive": "BBB+"}).positive == 0
    mse = {**regression, "stopping": {"rule": "certify", "quantity": "mse", "max_loss": 3.0, "loss_clip": 4.0}}
    assert goal_of(**mse) == MeanSquaredError(3.0, 4.0)
    assert goal_of(**regression) == WithinTolerance(0.9, 4.0)


@pytest.mark.parametrize(
    ("goal", "words"),
    [
        (ACCURACY, "accuracy is above 0.9"),
        (WITHIN, "share within the tolerance is above 0.9"),
        (RECALL, "recall of hits is at least 0.8"),
        (PRECISION, "precision of hits is at least 0.8"),
        (BALANCED, "balanced accuracy is at least 0.8"),
        (MAE, "mean absolute error is at most 0.3 (errors above 2 counted as 2)"),
        (MSE, "mean squared error is at most 0.3 (errors above 2 counted as 2)"),
    ],
)
def test_a_claim_is_told_in_words(goal, words):
    assert goal.words == words
