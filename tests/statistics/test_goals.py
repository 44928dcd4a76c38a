"""Looks at precision, balanced accuracy and recall, and intervals of any claim: exact enumeration where it is small."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from isd_ray.core import stopping
from isd_ray.core.betting import betting_interval, betting_test
from isd_ray.core.bounds import largest_plausible, plausible_range
from isd_ray.core.certify import LookPlan
from isd_ray.core.goals import (
    HITS,
    OTHERS,
    Accuracy,
    BalancedAccuracy,
    MeanAbsoluteError,
    Precision,
    Recall,
    ScreenCounts,
)
from isd_ray.core.goals.balanced_accuracy import judge_population
from isd_ray.core.goals.precision import judge_precision, precision_allowance
from isd_ray.core.stopping import Audit, RandomSample, decide_look, random_bound


def chances(n, bad, m):
    """Probability of each number of bad rows among m of n rows drawn without replacement."""
    return np.array([math.comb(bad, e) * math.comb(n - bad, m - e) for e in range(m + 1)]) / math.comb(n, m)


def plan_of(n, m, allowed, delta, finish="none", group=OTHERS, number=1):
    return LookPlan(number, delta, m, n, allowed, finish, n, group=group)


def audit_of(m, errors):
    return Audit(np.arange(m), (np.arange(m) < errors).astype(np.float64), np.ones(m, bool))


# --- precision ------------------------------------------------------------------------------------------------------


def false_precision(n, m, n_hits, precision, delta):
    """Largest probability, over the number of false hits, of a stop below the precision once the audit is corrected."""
    plan = plan_of(n, m, precision_allowance(n_hits, n, precision), delta, group=HITS)
    stops = np.array([judge_precision(plan, np.arange(m) < e, n_hits, precision).stop for e in range(m + 1)])
    worst = 0.0
    for wrong in range(n + 1):
        delivered = [n_hits + n - e for e in range(m + 1)]
        missed = np.array([d > 0 and Fraction(n_hits + n - wrong, d) < Fraction(str(precision)) for d in delivered])
        worst = max(worst, float(chances(n, wrong, m)[stops & missed].sum()))
    return worst


def test_a_precision_is_claimed_falsely_with_probability_at_most_delta():
    cases = itertools.product((12, 30), (6, 11), (0, 5, 40), (0.5, 0.7, 0.8, 0.95))
    worst = [false_precision(*case, delta=0.2) for case in cases]
    assert 0.9 * 0.2 < max(worst) <= 0.2
    assert sum(value > 0.0 for value in worst) > len(worst) / 2


def test_a_precision_goal_is_judged_on_the_predicted_hits_less_the_false_ones_found():
    goal = Precision(0.8)
    for n, m, n_hits in ((30, 12, 5), (200, 60, 40)):
        plan = plan_of(n, m, precision_allowance(n_hits, n, 0.8), 0.05, group=HITS)
        for errors in range(m + 1):
            verdict = judge_precision(plan, np.arange(m) < errors, n_hits, 0.8)
            decision = decide_look((plan,), (audit_of(m, errors),), goal, (n_hits,), 10**6)
            assert (decision.action == "stop") == verdict.stop
            proven = largest_plausible(errors, n, m, 0.05)
            assert verdict.stop == (Fraction(n_hits + n - proven, n_hits + n - errors) >= Fraction("0.8"))


# --- balanced accuracy ----------------------------------------------------------------------------------------------


def false_population(n, m, allowed, delta):
    plan = plan_of(n, m, allowed, delta)
    stops = np.array([judge_population(plan, np.arange(m) < e).stop for e in range(m + 1)])
    return max((float(chances(n, wrong, m)[stops].sum()) for wrong in range(allowed + 1, n + 1)), default=0.0)


def test_a_population_is_said_to_hold_few_errors_falsely_with_probability_at_most_delta():
    cases = itertools.product((10, 17, 40), (5, 9), range(0, 12, 2))
    assert 0.85 * 0.2 < max(false_population(*case, delta=0.2) for case in cases) <= 0.2


def balanced_accuracy(hits, missed, others, false_hits):
    """Mean of the shares of hits found and of others told apart; a share of nothing is 1."""
    sensitivity = Fraction(hits, hits + missed) if hits + missed else Fraction(1)
    specificity = Fraction(others, others + false_hits) if others + false_hits else Fraction(1)
    return (sensitivity + specificity) / 2


def false_balanced_accuracy(n_hits, n_others, left, audited, expected, level, delta):
    """Largest probability, over both numbers of errors, of a stop below the level once both audits are corrected."""
    goal = BalancedAccuracy(level)
    allowances = goal.allowances(ScreenCounts(sum(left) + n_hits + n_others, n_hits, n_others, left), expected)
    if allowances is None:
        return 0.0
    plans = tuple(plan_of(left[g], audited[g], allowances[g], delta, group=g) for g in goal.audited)
    found = list(itertools.product(*(range(m + 1) for m in audited)))
    stops = {
        pair: decide_look(
            plans, [audit_of(m, e) for m, e in zip(audited, pair, strict=True)], goal, (n_hits,), 0
        ).action
        for pair in found
    }
    worst = 0.0
    for missed, false_hits in itertools.product(range(left[OTHERS] + 1), range(left[HITS] + 1)):
        chance = np.outer(
            chances(left[OTHERS], missed, audited[OTHERS]), chances(left[HITS], false_hits, audited[HITS])
        )
        true_hits, true_others = n_hits + left[HITS] - false_hits, n_others + left[OTHERS] - missed
        false = sum(
            chance[e0, e1]
            for e0, e1 in found
            if stops[e0, e1] == "stop"
            and balanced_accuracy(true_hits + e0, missed - e0, true_others + e1, false_hits - e1) < Fraction(str(level))
        )
        worst = max(worst, float(false))
    return worst


BALANCED = [
    (n_hits, n_others, left, audited, expected, 0.7, 0.25)
    for n_hits, n_others in ((2, 6), (0, 0), (6, 1))
    for left, audited in (((14, 6), (7, 3)), ((8, 8), (2, 6)), ((40, 0), (5, 0)), ((0, 40), (0, 7)))
    for expected in ((1.0, 1.0), (3.0, 0.0))
]
"""Both groups, and one alone, where the other has nothing left that could fail."""


def test_a_balanced_accuracy_is_claimed_falsely_with_probability_at_most_delta():
    worst = max(false_balanced_accuracy(*case) for case in BALANCED)
    assert 0.7 * 0.25 < worst <= 0.25


def test_a_balanced_accuracy_of_which_one_audit_suffices_fails_the_same_check(monkeypatch):
    monkeypatch.setattr(stopping, "passes_all", any)
    assert max(false_balanced_accuracy(*case) for case in BALANCED) > 0.25


# --- recall ---------------------------------------------------------------------------------------------------------


def test_the_allowance_of_a_recall_follows_from_the_hits_that_the_look_measures():
    plans = (plan_of(40, 10, 7, 0.05, "cheap"),)
    [plan] = Recall(0.8).settle(plans, (100,), 100)
    assert (plan.allowed, plan.size, plan.n_inference, plan.delta) == (25, 10, 40, 0.05)
    for goal in (Accuracy(0.8), Precision(0.8), BalancedAccuracy(0.8), MeanAbsoluteError(0.8)):
        assert goal.settle(plans, (100,), 100) == plans


def test_a_balanced_accuracy_whose_measured_hits_were_corrected_since_is_not_shown_by_what_was_declared_before():
    goal, clean = BalancedAccuracy(0.9), Audit(np.arange(40), np.zeros(40), np.ones(40, bool))
    plans = (plan_of(40, 40, 20, 0.05, "none"),)
    for n_hits, action in ((100, "stop"), (20, "continue")):
        found = goal.settle(plans, (n_hits,), 100)
        assert decide_look(found, (clean,), goal, (n_hits,), 40).action == action


def test_a_settled_recall_is_claimed_falsely_with_probability_at_most_delta():
    """All audits of 4 of 10 predicted negatives, hits anywhere; planned by a forecast far off."""
    n, m, delta, n_hits, goal = 10, 4, 0.17, 2, Recall(0.5)
    [plan] = goal.settle((plan_of(n, m, 9, delta, "any"),), (n_hits,), 0)
    audits = np.array(list(itertools.combinations(range(n), m)))
    shown = np.array(list(itertools.product((0.0, 1.0), repeat=m)))
    decisions = [
        [decide_look((plan,), (Audit(ranks, hits, np.ones(len(hits), bool)),), goal, (n_hits,), n) for hits in shown]
        for ranks in audits
    ]
    stops = np.array([[decision.action != "continue" for decision in row] for row in decisions])
    cuts = np.array([[decision.n_finish for decision in row] for row in decisions])
    is_audited = (np.arange(n) == audits[:, :, None]).any(axis=1)
    worst, each = 0.0, np.arange(len(audits))
    for pattern in itertools.product((False, True), repeat=n):
        hit = np.array(pattern)
        case = hit[audits] @ (2 ** np.arange(m)[::-1])
        measured = is_audited | (np.arange(n) < cuts[each, case][:, None])
        found, missed = n_hits + (hit & measured).sum(axis=1), (hit & ~measured).sum(axis=1)
        worst = max(worst, float((stops[each, case] & (missed > found)).mean()))
    assert 0.5 * delta < worst <= delta


# --- intervals ------------------------------------------------------------------------------------------------------

COUNTS = ScreenCounts(500, 40, 100, (300, 60))
SAMPLES = (14, 6)
"""Random rows by group."""


def bound_of(goal, errors):
    samples = [RandomSample(n, np.arange(m) < e) for n, m, e in zip(COUNTS.left, SAMPLES, errors, strict=True)]
    return random_bound(goal, COUNTS, samples, 0.1)


@pytest.mark.parametrize("claim", [Recall, Precision, BalancedAccuracy])
def test_the_interval_of_a_claim_on_hits_holds_the_truth(claim):
    goal = claim(0.8)
    bounds = {pair: bound_of(goal, pair) for pair in itertools.product(*(range(m + 1) for m in SAMPLES))}
    for wrong in itertools.product((0, 1, 5, 20, 60, 150, 300), (0, 1, 6, 20, 45, 60)):
        truth = goal.value(COUNTS, wrong)
        below = above = outside = 0.0
        chance = np.outer(*(chances(n, k, m) for n, k, m in zip(COUNTS.left, wrong, SAMPLES, strict=True)))
        for pair, (at_least, (low, high)) in bounds.items():
            below += chance[pair] * (at_least > truth)
            above += chance[pair] * (low > truth)
            outside += chance[pair] * (not low <= truth <= high)
        assert max(below, outside) <= 0.1 + 1e-12
        assert above <= 0.05 + 1e-12


def test_the_interval_of_a_recall_is_that_of_both_groups_at_half_the_risk():
    goal = Recall(0.8)
    at_least, (low, high) = bound_of(goal, (3, 2))

    def recall(missed, false_hits):
        return (40 + 60 - false_hits) / (40 + 60 - false_hits + missed)

    assert at_least == recall(largest_plausible(3, 300, 14, 0.05), largest_plausible(2, 60, 6, 0.05))
    ranges = plausible_range(3, 300, 14, 0.05), plausible_range(2, 60, 6, 0.05)
    assert (low, high) == (recall(ranges[0][1], ranges[1][1]), recall(ranges[0][0], ranges[1][0]))
    assert low < at_least < recall(60, 20) < high


def test_a_group_without_random_rows_may_be_all_wrong():
    bounds = random_bound(Recall(0.8), COUNTS, (RandomSample(300, np.zeros(300)), RandomSample(60, np.empty(0))), 0.1)
    assert bounds == (1.0, (1.0, 1.0))
    at_least, (low, high) = random_bound(
        Precision(0.8), COUNTS, (RandomSample(300, np.zeros(300)), RandomSample(60, np.empty(0))), 0.1
    )
    assert (at_least, low, high) == (0.4, 0.4, 1.0)


POPULATIONS = {
    "rare and large": np.repeat([0.0, 1.0], [114, 6]),
    "coins": np.repeat([0.0, 1.0], [60, 60]),
    "constant": np.full(120, 0.37),
    "nearly all lost": np.repeat([0.98, 0.0], [110, 10]),
    "many small, few large": np.repeat([0.02, 1.0], [110, 10]),
}


@pytest.mark.parametrize("name", POPULATIONS)
def test_a_betting_interval_holds_the_total_whatever_the_losses(name):
    losses, delta, runs = POPULATIONS[name], 0.2, 100
    total = losses.sum()
    rng = np.random.default_rng(list(POPULATIONS).index(name))
    intervals = np.array([betting_interval(rng.permutation(losses)[:40], 120, delta) for _ in range(runs)])
    above, below = (intervals[:, 0] > total).mean(), (intervals[:, 1] < total).mean()
    # Three standard deviations of the share of failures on one side, delta / 2 of each.
    assert max(above, below) <= delta / 2 + 3 * math.sqrt(delta / 2 * (1 - delta / 2) / runs)
    assert (intervals[:, 1] - intervals[:, 0]).mean() < 75.0


def test_a_betting_interval_of_everything_is_its_total_rounded_outwards():
    rng = np.random.default_rng(0)
    for _ in range(10):
        losses = rng.random(150) ** 4
        low, high = betting_interval(losses, 150, 0.05)
        assert low <= losses.sum() <= high
        assert high - low <= 2 * 150 / 400 + 1e-9


def test_a_betting_interval_spends_half_the_risk_on_each_side():
    losses = np.random.default_rng(1).random(40) * 0.3
    low, high = betting_interval(losses, 300, 0.1)
    step = 300 / 400
    prior = (0.05, 0.05)
    assert betting_test(losses, 300, high, 0.05, *prior).passed
    assert not betting_test(losses, 300, high - step, 0.05, *prior).passed
    assert betting_test(1.0 - losses, 300, 300 - low, 0.05, 0.95, 0.05).passed
    assert not betting_test(1.0 - losses, 300, 300 - low - step, 0.05, 0.95, 0.05).passed


# --- wells that give no readout -------------------------------------------------------------------------------------


def false_stops_with_lost_wells(goal, plan, n_hits) -> float:
    """Largest probability of a false stop over all patterns of errors, when wells of wrong predictions are lost."""
    n, m = plan.n_inference, plan.size
    audits = np.array(list(itertools.combinations(range(n), m)))
    decisions = {}
    worst = 0.0
    for n_wrong in range(n + 1):
        # Ranks matter to a finish only; here none is made, so that only numbers count.
        wrong = np.arange(n) < n_wrong
        for n_lost in range(n_wrong + 1):
            lost = np.arange(n) < n_lost
            false = 0
            for audit in audits:
                key = (int(wrong[audit].sum()), int(lost[audit].sum()))
                if key not in decisions:
                    measured = np.arange(m) >= key[1]
                    shown = Audit(np.arange(m), (np.arange(m) < key[0]).astype(float), measured)
                    decisions[key] = decide_look((plan,), (shown,), goal, (n_hits,), n).action
                found = key[0] - key[1]
                counts = {
                    "accuracy": ScreenCounts(n, 0, m - key[1], (n - m + key[1],)),
                    "recall": ScreenCounts(n + n_hits, n_hits + found, m - key[0], (n - m + key[1], 0)),
                    "precision": ScreenCounts(n + n_hits, n_hits + m - key[0], found, (0, n - m + key[1])),
                }[goal.quantity]
                left = {
                    "accuracy": (n_wrong - found,),
                    "recall": (n_wrong - found, 0),
                    "precision": (0, n_wrong - found),
                }
                false += decisions[key] == "stop" and not goal.is_met(counts, left[goal.quantity])
            worst = max(worst, false / len(audits))
    return worst


LOST = {
    "accuracy": (Accuracy(0.6), plan_of(10, 5, 3, 0.2, "none"), 0),
    "recall": (Recall(0.6), plan_of(10, 5, 2, 0.2, "none"), 4),
    "precision": (Precision(0.6), plan_of(10, 5, 4, 0.2, "none"), 2),
}


@pytest.mark.parametrize("quantity", LOST)
def test_a_look_with_lost_wells_stops_falsely_with_probability_at_most_delta(quantity):
    assert 0.0 < false_stops_with_lost_wells(*LOST[quantity]) <= 0.2


@pytest.mark.parametrize("quantity", LOST)
def test_a_look_that_takes_lost_wells_for_corrected_fails_the_same_check(quantity, monkeypatch):
    monkeypatch.setattr(Audit, "n_uncorrected", 0)
    assert false_stops_with_lost_wells(*LOST[quantity]) > 0.2


def test_a_finish_counts_audited_rows_without_a_readout_as_new():
    plan, errors = plan_of(40, 20, 3, 0.2, "any"), np.zeros(20)
    errors[:4] = 1.0
    measured = np.ones(20, bool)
    complete = decide_look((plan,), (Audit(np.arange(20), errors, measured),), Accuracy(0.9), (0,), 40)
    measured[1] = False
    lost = decide_look((plan,), (Audit(np.arange(20), errors, measured),), Accuracy(0.9), (0,), 40)
    assert complete.n_finish == lost.n_finish > 2
    new = [int(decision.reason.split()[-1]) for decision in (complete, lost)]
    assert new[1] == new[0] + 1
