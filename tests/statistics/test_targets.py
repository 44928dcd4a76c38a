"""Recall, precision, balanced accuracy and truth: exact enumeration where it is small enough."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from isd_ray.core.bounds import accuracy_on_truth
from isd_ray.core.certify import LookPlan
from isd_ray.core.goals.balanced_accuracy import balanced_accuracy_allowances, balanced_accuracy_floor
from isd_ray.core.goals.precision import precision_allowance
from isd_ray.core.goals.recall import judge_recall, recall_allowance
from isd_ray.core.stopping import passes_all


def test_the_allowance_of_a_recall_is_exact():
    assert recall_allowance(90, 0.9) == 10
    assert recall_allowance(89, 0.9) == 9
    assert recall_allowance(0, 0.9) == 0
    for hits, recall in itertools.product(range(0, 60, 7), (0.5, 0.7, 0.8, 0.9, 0.95)):
        missed = recall_allowance(hits, recall)
        assert hits == 0 or hits / (hits + missed) >= recall - 1e-12 > hits / (hits + missed + 1) - 2e-12


def test_a_recall_is_claimed_falsely_with_probability_at_most_delta():
    """Exactly, for every number of hits that may hide among 40 rows left, of which 25 are audited."""
    n, m, delta, worst = 40, 25, 0.2, 0.0
    for found, recall in itertools.product((2, 4, 8, 20), (0.5, 0.7, 0.8, 0.9)):
        allowed = recall_allowance(found, recall)
        plan = LookPlan(1, delta, m, n, allowed, "none", n)
        ranks = np.arange(m)
        stops = [judge_recall(plan, ranks, ranks < e, found, recall).stop for e in range(m + 1)]
        for hidden in range(allowed + 1, n + 1):
            ways = [math.comb(hidden, e) * math.comb(n - hidden, m - e) for e in range(m + 1)]
            false = sum(w for e, w in enumerate(ways) if stops[e] and hidden - e > recall_allowance(found + e, recall))
            worst = max(worst, false / math.comb(n, m))
    assert 0.5 * delta < worst <= delta


def test_a_recall_with_a_finish_is_claimed_falsely_with_probability_at_most_delta():
    """All audits of 4 of 10 rows, hits last in the order: the worst place for a finish."""
    n, m, delta, found, recall = 10, 4, 0.3, 4, 0.7
    allowed = recall_allowance(found, recall)
    plan = LookPlan(1, delta, m, n, allowed, "any", n)
    audits = [np.array(rows) for rows in itertools.combinations(range(n), m)]
    for hidden in range(allowed + 1, n + 1):
        hit = np.arange(n) >= n - hidden
        false = 0
        for ranks in audits:
            verdict = judge_recall(plan, ranks, hit[ranks], found, recall)
            measured = np.isin(np.arange(n), ranks) | (np.arange(n) < verdict.n_finish)
            missed = int(hit[~measured].sum())
            false += missed > recall_allowance(found + int(hit[measured].sum()), recall)
        assert false / len(audits) <= delta


def test_a_recall_look_is_judged_by_the_allowance_it_declared():
    plan = LookPlan(1, 0.05, 2, 10, 3, "none", 5)
    with pytest.raises(ValueError, match="declared 3"):
        judge_recall(plan, np.array([1, 2]), np.zeros(2, np.bool_), 90, 0.9)


def test_the_allowance_of_a_precision_keeps_it():
    allowed = precision_allowance(30, 100, 0.9)
    assert allowed == 13
    assert (130 - allowed) / 130 >= 0.9 > (130 - allowed - 1) / 130


def test_balanced_accuracy_falls_in_both_numbers_of_wrong_rows():
    floors = np.array([[float(balanced_accuracy_floor(20, 300, (15, 400), (p, q))) for q in range(40)]
                       for p in range(16)])  # fmt: skip
    assert (np.diff(floors, axis=0) <= 0).all()
    assert (np.diff(floors, axis=1) <= 0).all()
    assert floors[0, 0] == 1.0


def test_the_allowances_of_a_balanced_accuracy_reach_it_and_no_larger_ones_do():
    allowances = balanced_accuracy_allowances(20, 300, (15, 400), (4.0, 5.0), 0.8)
    assert balanced_accuracy_floor(20, 300, (15, 400), allowances) >= 0.8
    more = (min(15, allowances[0] + 4), allowances[1] + 5)
    assert balanced_accuracy_floor(20, 300, (15, 400), more) < 0.8
    assert balanced_accuracy_allowances(1, 1, (0, 0), (0.0, 0.0), 0.9) == (0, 0)


def test_claims_hold_together_only_if_each_does():
    assert passes_all([True, True])
    assert not passes_all([True, False])
    assert not passes_all([])


def test_of_the_agreement_is_left_what_replicates_do_not_take():
    assert accuracy_on_truth(0.95, 1.0) == 0.95
    assert accuracy_on_truth(0.95, 0.905) == pytest.approx(0.855)
    assert accuracy_on_truth(0.1, 0.5) == 0.0


@pytest.mark.parametrize("noise", ["equal", "near the cut", "rare and half the time"])
@pytest.mark.parametrize("delivered_is", ["the readout", "a model"])
def test_accuracy_on_the_truth_is_a_lower_bound_wherever_readouts_are_wrong(noise, delivered_is):
    rng = np.random.default_rng(0)
    n = 200_000
    truth = rng.random(n) < 0.3
    wrong = {
        "equal": np.full(n, 0.07),
        "near the cut": 0.5 * np.exp(-rng.exponential(3.0, n)),
        "rare and half the time": np.where(rng.random(n) < 0.1, 0.5, 0.0),
    }[noise]
    first, second, third = (truth ^ (rng.random(n) < wrong) for _ in range(3))
    repeatability = (second == third).mean()
    delivered = first if delivered_is == "the readout" else np.where(rng.random(n) < 0.2, ~first, first)
    bound = accuracy_on_truth((delivered == first).mean(), repeatability)
    assert bound <= (delivered == truth).mean() + 0.002
    if noise == "rare and half the time" and delivered_is == "the readout":
        assert bound > (delivered == truth).mean() - 0.002, "it is sharp"
