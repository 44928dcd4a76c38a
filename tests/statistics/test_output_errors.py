"""A mean error of one output of a panel: false passes counted over all columns and all audits of small screens."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import combinations_with_replacement, permutations, product

import numpy as np
import pytest

from isd_ray.config.stopping import MeanErrorClaim
from isd_ray.core.betting import betting_test
from isd_ray.core.goals import OutputErrors, OutputGoal
from isd_ray.core.goals.output_errors import with_neutral
from isd_ray.core.look_evidence import Audit, ScreenCounts
from isd_ray.core.looks import LookPlan
from isd_ray.core.panels import LOST, MISSING

DELTA, CLIP = 0.3, 2.0
N, SIZE, MEASURED, UNREAD = 6, 4, 3, 3
SMALL = 0.25
KINDS = (0.0, SMALL, 1.0, float(MISSING))
"""Of an entry: the loss of its prediction, or that there will be no readout."""


def goal_of(largest: float, n_expected: int | None = None) -> OutputErrors:
    """That the mean loss of one output is at most `largest`."""
    claim = OutputGoal("a", 1 - largest, 1.0, 0.5, MeanErrorClaim(largest * CLIP, CLIP, 1))
    return OutputErrors(1 - largest, n_expected, (claim,), tolerances=(0.5,))


def plan_of(expected: tuple[float, float], n_unread: int = 0) -> LookPlan:
    plan = LookPlan(1, DELTA, SIZE, N, 0.0, "none", 0, expected, output=0, n_measured=MEASURED, credit=True)
    return replace(plan, n_unread=n_unread)


def shown(largest, column, expected) -> bool:
    goal = goal_of(largest)
    return goal.is_shown(plan_of(expected), np.array(column), goal.claims[0].gamma, (0,))


def missing_as_right(largest, column, expected) -> bool:
    """Mutant: an entry without a readout has no error and the weight of one that has."""
    losses = np.maximum(np.array(column), 0.0)
    allowance = largest * (MEASURED + N)
    return betting_test(losses, N, allowance, DELTA, *expected, np.zeros(len(column))).passed


def twice_the_level(largest, column, expected) -> bool:
    """Mutant: the allowance of another level."""
    return shown(min(2 * largest, 0.99), column, expected)


def worst_false_pass(test, largest: float, expected: tuple[float, float], n_unread: int = 0) -> float:
    """Over all columns of N entries: the chance that an audit passes and what it leaves is more than is claimed.

    So many other entries, which nothing bounds, have the largest loss.
    """

    @cache
    def passes(column: tuple[float, ...]) -> bool:
        return test(largest, column, expected)

    worst = 0.0
    for entries in combinations_with_replacement(KINDS, N):
        n_entries = sum(kind != MISSING for kind in entries)
        total = sum(kind for kind in entries if kind != MISSING)
        orders = list(permutations(range(N), SIZE))
        n_false = 0
        for order in orders:
            column = tuple(entries[place] for place in order)
            left = total - sum(kind for kind in column if kind != MISSING)
            n_false += left + n_unread > largest * (MEASURED + n_entries + n_unread) + 1e-12 and passes(column)
        worst = max(worst, n_false / len(orders))
    return worst


@pytest.mark.parametrize("expected", [(0.02, 0.01), (0.2, 0.1)])
@pytest.mark.parametrize("largest", [0.05, 0.1, 0.2])
def test_a_mean_error_passes_falsely_with_probability_at_most_delta_whatever_is_missing(largest, expected):
    assert worst_false_pass(shown, largest, expected) <= DELTA


def test_the_enumeration_finds_what_is_counted_wrongly():
    levels = [0.1, 0.15, 0.2]
    assert max(worst_false_pass(shown, largest, (0.02, 0.01)) for largest in levels) > 0.0, "the test is not idle"
    for mutant in (missing_as_right, twice_the_level):
        assert max(worst_false_pass(mutant, largest, (0.02, 0.01)) for largest in levels) > DELTA, mutant.__doc__


def test_what_is_unread_and_may_be_wrong_is_taken_off_what_is_allowed():
    def with_unread(largest, column, expected) -> bool:
        goal = goal_of(largest)
        return goal.is_shown(plan_of(expected, UNREAD), np.array(column), goal.claims[0].gamma, (0,))

    assert worst_false_pass(with_unread, 0.4, (0.02, 0.01), UNREAD) <= DELTA
    assert worst_false_pass(shown, 0.4, (0.02, 0.01), UNREAD) > DELTA, "mutant"


def test_lost_and_missing_entries_are_kept_and_measured_ones_are_not():
    losses, kept = with_neutral(np.array([0.0, 0.3, 1.0, LOST, MISSING]), 0.2)
    assert losses.tolist() == [0.0, 0.3, 1.0, 1.0, 0.2]
    assert kept.tolist() == [0.0, 0.0, 0.0, 1.0, 0.2]


def test_the_bound_is_the_last_level_that_is_shown_on_the_way_from_the_claim():
    goal, plan = goal_of(0.3), LookPlan(1, DELTA, 60, 200, 0.0, "none", 0, (0.05, 0.02), output=0, n_measured=50)
    column = np.where(np.arange(60) % 10 == 0, 0.5, 0.0)
    bound = goal.bound(plan, column, (0,))
    assert goal.claims[0].gamma < bound < 1 - 0.05 * 140 / 250
    levels = np.linspace(0.7, 1.0, 100, endpoint=False)[1:].round(6)
    assert [goal.is_shown(plan, column, level, (0,)) for level in levels if level <= bound].count(False) == 0
    assert not goal.is_shown(plan, column, levels[levels > bound][0], (0,))
    assert goal.claims[0].shown(bound) == pytest.approx((1 - bound) * CLIP)


def test_measured_compounds_count_as_no_error_in_allowance_and_range():
    goal, n, n_left, n_measured = goal_of(0.1), 200, 1000, 1000
    column = np.where(np.arange(n) % 2, 0.3, float(MISSING))  # a half has no readout: 0.3 of 500 that are left
    counts = ScreenCounts(n_left + n_measured, 0, n_measured, (n_left,), (n_measured,))
    assert goal.allowed(0, counts) == pytest.approx(0.1 * (n_measured + n_left))
    plan = LookPlan(1, DELTA, n, n_left, 0.0, "none", 0, (0.2, 0.02), output=0, n_measured=n_measured)
    assert goal.is_shown(plan, column, goal.claims[0].gamma, (0,)), "0.3 of those left is less than 0.1 of all"
    low, high = goal.range(column, counts, 0, DELTA)
    true = 1 - 0.3 * 500 / (n_measured + 500)
    assert true - 0.05 < low < true < high < true + 0.05
    assert goal.range(np.full(n, float(MISSING)), counts, 0, DELTA) is None


@pytest.mark.parametrize(("n_expected", "expected"), [(None, [MISSING, 0.0]), (3, [LOST, 0.0])])
def test_outcomes_are_losses_of_mean_errors_and_right_or_wrong_of_the_others(n_expected, expected):
    claims = (
        OutputGoal("class", 0.8, 0.4),
        OutputGoal("near", 0.8, 0.3, 0.5),
        OutputGoal("mse", 0.9, 0.3, 0.5, MeanErrorClaim(0.4, 2.0, 2)),
    )
    goal = OutputErrors(0.8, n_expected, claims, tolerances=(None, 0.5, 0.5))
    labels = np.array([[1.0, 3.0, np.nan], [0.0, 3.0, 7.0], [1.0, np.nan, 0.0]])
    prediction = np.array([[1.0, 3.5, 1.0], [1.0, 3.51, 7.0], [1.0, 0.0, 1.0]])
    found = goal.outcomes(prediction, labels)
    assert found[0].tolist() == [0.0, 0.0, expected[0]]
    assert found[1].tolist() == [1.0, 1.0, 0.0]
    assert found[2].tolist() == [0.0, expected[0], 0.25]
    wrong, entries = goal.tally(prediction, labels)
    assert wrong.tolist() == [1.0, 1.0, 0.25]
    assert entries.tolist() == ([3, 2, 2] if n_expected is None else [3, 3, 3])


def test_the_claim_names_a_few_outputs_each_with_what_is_asked_for():
    claims = [OutputGoal("class", 0.8, 0.1), OutputGoal("near", 0.9, 0.1, 0.5)]
    claims += [OutputGoal(f"mae {k}", 0.9, 0.1, 0.5, MeanErrorClaim(0.2, CLIP, 1)) for k in range(5)]
    words = OutputErrors(0.8, None, tuple(claims), tolerances=(None, *[0.5] * 6)).words
    assert words.startswith(
        "claim about each of 7 outputs holds (class: accuracy above 0.8; near: share within 0.5 above"
    )
    assert "mae 2: mean absolute error at most 0.2 (errors above 2 counted as 2); and 2 more" in words


def test_all_outputs_have_to_pass_whatever_is_claimed_of_them():
    claims = (OutputGoal("right", 0.6, 0.5, 0.5), OutputGoal("mae", 0.9, 0.5, 0.5, MeanErrorClaim(0.2, CLIP, 1)))
    goal, size = OutputErrors(0.6, None, claims, tolerances=(0.5, 0.5)), 80
    plans = [
        LookPlan(1, 0.025, size, 300, 0, "none", 0, expected, output=place, n_measured=100)
        for place, expected in enumerate((None, (0.02, 0.01)))
    ]

    def decided(wrong: int, loss: float) -> str:
        outcomes = np.zeros((size, 2))
        outcomes[:wrong, 0] = 1.0
        outcomes[:, 1] = loss
        audit = Audit(np.empty(0, np.int64), np.zeros(size), np.ones(size, np.bool_), outcomes)
        return goal.decide(plans, audit, (0,)).action

    verdicts = {case: decided(*case) for case in product((5, 60), (0.02, 0.4))}
    assert verdicts == {(5, 0.02): "stop", (5, 0.4): "continue", (60, 0.02): "continue", (60, 0.4): "continue"}
