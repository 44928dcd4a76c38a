"""Looks: exact enumeration of the finish, sharpness against an adversary, and mutants that must fail the same check."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from isd_ray.config import StoppingConfig
from isd_ray.core import certify
from isd_ray.core.bounds import hypergeometric_pvalue
from isd_ray.core.certify import (
    LookPlan,
    LookRule,
    LookState,
    audit_size,
    count_preceding,
    judge_look,
    judge_losses,
    look_deltas,
    plan_look,
    reserve_size,
)
from isd_ray.core.goals import Accuracy, ScreenCounts
from isd_ray.core.seeding import tie_keys
from isd_ray.core.stopping import RandomSample, decide, random_bound
from isd_ray.core.trigger import Forecast
from isd_ray.messages import RoundEvidence

DELTA = 0.05


def plan_of(size, n, allowed, delta=DELTA, finish="any", reach=None):
    return LookPlan(1, delta, size, n, allowed, finish, n if reach is None else reach)


# --- the fixed-sequence finish, exactly -----------------------------------------------------------------------------


def worst_false_finish(n, m, allowed, delta, believed=None):
    """Largest probability, over all patterns of errors, that more than `allowed` errors stay behind the finish."""
    plan = plan_of(m, n, allowed if believed is None else believed, delta)
    audits = np.array(list(itertools.combinations(range(n), m)))
    shown = np.array(list(itertools.product((False, True), repeat=m)))
    cuts = np.array([[judge_look(plan, ranks, errors).n_finish for errors in shown] for ranks in audits])
    worst = 0.0
    for pattern in itertools.product((False, True), repeat=n):
        found = np.array(pattern)[audits]
        cut = cuts[np.arange(len(audits)), found @ (2 ** np.arange(m)[::-1])]
        behind = np.append(np.cumsum(pattern[::-1])[::-1], 0)
        left = behind[cut] - (found & (audits >= cut[:, None])).sum(axis=1)
        worst = max(worst, float((left > allowed).mean()))
    return worst


@pytest.mark.parametrize(("m", "allowed", "delta"), [(3, 3, 0.25), (4, 3, 0.15)])
def test_a_finish_is_false_with_probability_at_most_delta_whatever_the_errors(m, allowed, delta):
    """All audits of 11 rows against all 2**11 patterns of errors."""
    assert 0.6 * delta < worst_false_finish(11, m, allowed, delta) <= delta


def test_a_finish_that_allows_two_errors_too_many_fails_the_same_check():
    assert worst_false_finish(11, 3, 3, 0.25, believed=5) > 0.25


# --- sharpness ------------------------------------------------------------------------------------------------------


def false_stop_rate(extra, n_target=2000, allowed=99, leaked=False):
    """Probability of a false stop against an adversary, exactly.

    At every refit it leaves allowed + extra errors in the inference set and makes the trigger believe in a quarter of
    the allowed ones, so that looks are forced. The plain test, so that the audits' errors only matter by their number.
    """
    rule = LookRule(DELTA, 5, 200, "none")
    survival, n, failed, e_crit = 1.0, 3 * n_target // 4, 0, 0
    while True:
        state = LookState(n, allowed, Forecast(allowed / 4, 0.0), failed, 10**6)
        plan = plan_look(rule, state).plan
        if plan is None or n - plan.size < allowed + extra:
            return 1.0 - survival, e_crit
        bad = allowed + extra
        ranks = np.arange(plan.size)
        stop = 0.0
        for e in range(min(plan.size, bad) + 1):
            shown = 0 if leaked else e
            if not judge_look(plan, ranks, ranks < shown).stop:
                break
            e_crit = max(e_crit, e) if failed == 0 else e_crit
            log = [math.lgamma(a + 1) - math.lgamma(b + 1) - math.lgamma(a - b + 1)
                   for a, b in ((bad, e), (n - bad, plan.size - e), (n, plan.size))]  # fmt: skip
            if bad - e > allowed or leaked:
                stop += math.exp(log[0] + log[1] - log[2])
        survival *= 1.0 - stop
        n, failed = n - plan.size, failed + 1


def check_sharpness(**options):
    """The worst false-stop rate over the adversary's choices is at most delta, and not idle."""
    _, e_crit = false_stop_rate(1)
    worst = max(false_stop_rate(extra, **options)[0] for extra in range(1, 3 * (e_crit + 1) + 1))
    assert 0.2 * DELTA <= worst <= DELTA, f"{worst=}"


def test_an_adversary_stops_the_screen_falsely_with_probability_just_under_delta():
    check_sharpness()


def test_a_mutant_that_does_not_split_delta_fails_the_same_check(monkeypatch):
    monkeypatch.setattr(certify, "look_deltas", lambda delta, max_looks, first_share: (delta,) * max_looks)
    with pytest.raises(AssertionError, match="worst"):
        check_sharpness()


def test_a_mutant_that_trains_on_the_audit_before_judging_it_fails_the_same_check():
    with pytest.raises(AssertionError, match="worst"):
        check_sharpness(leaked=True)


# --- planning -------------------------------------------------------------------------------------------------------


def test_the_looks_spend_delta_and_no_more():
    assert look_deltas(0.05, 5, 0.5) == (0.025, 0.0125, 0.00625, 0.003125, 0.003125)
    assert look_deltas(0.05, 5) == pytest.approx((0.04, 0.005, 0.0025, 0.00125, 0.00125))
    assert look_deltas(0.05, 1) == (0.05,)
    for looks, first in itertools.product(range(1, 12), (0.1, 0.5, 0.8, 0.95)):
        assert sum(look_deltas(0.05, looks, first)) == pytest.approx(0.05, rel=1e-12)
    for arguments in ((0.05, 0), (0.0, 3), (1.0, 3), (0.05, 3, 1.0), (0.05, 3, 0.0)):
        with pytest.raises(ValueError, match="at least one look"):
            look_deltas(*arguments)


@pytest.mark.parametrize(
    ("gamma", "prices"),
    [(0.90, [(25, 25), (70, 87), (193, 216)]), (0.95, [(50, 50), (172, 172), (381, 426)]),
     (0.98, [(137, 137), (426, 426), (842, 1183)]), (0.99, [(271, 271), (671, 842), (1325, 2334)])],
)  # fmt: skip
def test_audits_cost_what_was_measured(gamma, prices):
    """Rows of an audit of 90 % power with 7,000 of 10,000 rows left and 0, 1/4, 1/2 of the allowed errors."""
    allowed = round((1 - gamma) * 10_000) - 1
    for share, (low, high) in zip((0.0, 0.25, 0.5), prices, strict=True):
        assert 0.8 * low <= audit_size(7000, share * allowed, allowed, 0.025, z=1.2816) <= 1.05 * high


def test_an_audit_has_its_power():
    n, allowed, errors = 7000, 499, 200
    m = audit_size(n, errors, allowed, 0.025)
    plan = plan_of(m, n, allowed, 0.025, "none")
    rng = np.random.default_rng(0)
    found = rng.hypergeometric(errors, n - errors, m, size=400)
    stops = {e: judge_look(plan, np.arange(m), np.arange(m) < e).stop for e in np.unique(found)}
    assert 0.65 < np.mean([stops[e] for e in found]) < 0.85


def test_an_audit_that_nothing_satisfies_has_no_size():
    assert audit_size(1000, 49, 49, 0.025, most=300) is None
    assert audit_size(1000, 10, 49, 0.025, most=0) is None


def looking(**changes):
    values = {
        "n_inference": 7000, "allowed": 499, "forecast": Forecast(120.0, 40.0), "failed_looks": 0,
        "batches_since_look": 0,
    }  # fmt: skip
    return plan_look(LookRule.certify(DELTA, 5, 200), LookState(**{**values, **changes}))


def test_a_look_needs_a_forecast_that_meets_the_target():
    assert looking().plan is not None
    assert looking(forecast=None).plan is None
    assert looking(forecast=Forecast(500.0, 60.0)).plan is None
    assert looking(n_inference=0).plan is None


def test_a_dear_audit_waits_while_the_next_batch_makes_it_cheaper():
    near = looking(forecast=Forecast(400.0, 60.0))
    assert near.plan is None
    assert "saves" in near.reason
    assert looking(forecast=Forecast(400.0, 0.0)).plan is not None


@pytest.mark.parametrize(("failed", "skip"), [(1, 1), (2, 2), (3, 4), (4, 8)])
def test_failed_looks_wait_longer_each_time(failed, skip):
    assert looking(failed_looks=failed, batches_since_look=skip - 1).plan is None
    plan = looking(failed_looks=failed, batches_since_look=skip).plan
    assert plan.number == failed + 1
    assert plan.delta == look_deltas(DELTA, 5)[failed]


def test_only_the_last_look_finishes_at_any_cost():
    assert looking().plan.finish == "cheap"
    assert looking(failed_looks=4, batches_since_look=8).plan.finish == "any"
    assert looking(failed_looks=5, batches_since_look=99).plan is None


def test_pac_has_one_look_at_the_full_risk():
    plan = plan_look(LookRule.pac(DELTA, 200), LookState(7000, 499, Forecast(120.0, 40.0), 0, 0)).plan
    assert (plan.delta, plan.finish) == (DELTA, "any")


def test_a_reserve_looks_when_it_has_power():
    size = reserve_size(10_000, 499, look_deltas(DELTA, 5)[0])
    assert looking(n_reserved=size).plan.size == size
    assert looking(n_reserved=20).plan is None


# --- judging --------------------------------------------------------------------------------------------------------


def test_the_plain_test_is_the_exact_one():
    for e in (3, 8, 13, 20):
        verdict = judge_look(plan_of(300, 7000, 499, 0.025, "none"), np.arange(300), np.arange(300) < e)
        pvalue = hypergeometric_pvalue(e, 7000, 500 + e, 300)
        assert (verdict.pvalue, verdict.stop) == (pvalue, pvalue <= 0.025)


def test_errors_at_the_head_of_the_order_are_finished_and_errors_at_its_end_are_not():
    rng = np.random.default_rng(3)
    ranks = np.sort(rng.choice(7000, 300, replace=False))
    plan = plan_of(300, 7000, 499, 0.025, "cheap", reach=700)
    head = judge_look(plan, ranks, ranks < 500)
    assert head.stop
    assert 0 < head.n_finish <= 700
    tail = judge_look(plan, ranks, ranks > 5500)
    assert not tail.stop
    assert tail.n_finish > 5000


def test_a_cheap_finish_resumes_where_any_would_go_on():
    ranks = np.arange(0, 7000, 25)
    errors = ranks < 3000
    cheap = judge_look(plan_of(len(ranks), 7000, 499, 0.025, "cheap", reach=500), ranks, errors)
    dear = judge_look(plan_of(len(ranks), 7000, 499, 0.025, "any", reach=500), ranks, errors)
    assert (cheap.stop, dear.stop) == (False, True)
    assert cheap.n_finish == dear.n_finish > 500


def test_few_enough_rows_need_no_proof():
    assert judge_look(plan_of(1, 20, 30), np.array([4]), np.array([True])).n_finish == 0


def test_the_order_in_which_the_audit_is_listed_is_irrelevant():
    rng = np.random.default_rng(1)
    plan = plan_of(200, 3000, 150, 0.05, "cheap", reach=400)
    for _ in range(20):
        ranks = rng.choice(3000, 200, replace=False)
        errors = rng.random(200) < 0.6 * np.exp(-ranks / 800)
        order = rng.permutation(200)
        assert judge_look(plan, ranks, errors) == judge_look(plan, ranks[order], errors[order])


@pytest.mark.parametrize("ranks", [[], [1, 2], [1, 2, 2], [0, 1, 50], [-1, 1, 2]])
def test_an_empty_truncated_or_foreign_audit_never_certifies(ranks):
    with pytest.raises(ValueError, match="rank"):
        judge_look(plan_of(3, 50, 40), np.array(ranks, np.int64), np.zeros(len(ranks), np.bool_))


def test_losses_are_judged_by_betting_and_never_finish():
    state = LookState(600, 110.0, Forecast(60.0, 3.0), 0, 0, loss_variance=0.02)
    plan = plan_look(LookRule.certify(DELTA, 5, 25), state).plan
    assert plan.finish == "none"
    rng = np.random.default_rng(5)
    good = judge_losses(plan, rng.binomial(151, 0.02, plan.size) / 151, np.zeros(plan.size))
    assert good.stop
    assert good.pvalue <= plan.delta
    assert not judge_losses(plan, np.full(plan.size, 0.3), np.zeros(plan.size)).stop
    with pytest.raises(ValueError, match="declared"):
        judge_losses(plan, np.zeros(plan.size - 1), np.zeros(plan.size - 1))


# --- ranks and intervals --------------------------------------------------------------------------------------------


def test_counts_of_blocks_add_up_to_the_exact_rank_with_ties():
    rng = np.random.default_rng(0)
    for n_values in (1, 3, 1000):
        n = 300
        uncertainty = rng.integers(0, n_values, n).astype(np.float32)
        keys = tie_keys(7, np.arange(n))
        rank = np.empty(n, np.int64)
        rank[np.lexsort((keys, -uncertainty))] = np.arange(n)
        audit = rng.choice(n, 40, replace=False)
        for n_blocks in (1, 4):
            blocks = np.array_split(rng.permutation(n), n_blocks)
            counts = [count_preceding(uncertainty[audit], keys[audit], uncertainty[b], keys[b]) for b in blocks]
            np.testing.assert_array_equal(np.sum(counts, axis=0), rank[audit])


def test_the_interval_of_the_accuracy_holds_the_truth():
    n, n_target, wrong = 700, 1000, 40
    rng = np.random.default_rng(2)
    found = rng.hypergeometric(wrong, n - wrong, 60, size=200)
    goal, counts = Accuracy(0.95), ScreenCounts(n_target, 0, n_target - n, (n,))
    bounds = {e: random_bound(goal, counts, [RandomSample(n, np.arange(60) < e)], 0.05) for e in np.unique(found)}
    truth = 1 - wrong / n_target
    assert np.mean([bounds[e][1][0] <= truth <= bounds[e][1][1] for e in found]) >= 0.95
    assert np.mean([bounds[e][0] <= truth for e in found]) >= 0.95
    assert all(bounds[e][1][0] <= bounds[e][0] for e in found)
    assert random_bound(goal, counts, [RandomSample(n, np.empty(0))], 0.05) == (None, None)


def test_a_finish_that_may_lose_wells_leaves_room_for_them():
    """Whatever the audit shows: a finish that may lose so many is that of as many fewer errors allowed."""
    rng = np.random.default_rng(3)
    n, m, c = 400, 120, 20
    for lost in (1, 3, 8):
        strict = LookPlan(1, 0.05, m, n, float(c - lost), "any", n)
        declared = replace(strict, allowed=float(c), tolerance=lost)
        for _ in range(20):
            ranks, errors = rng.permutation(n)[:m], rng.random(m) < 0.03
            assert judge_look(declared, ranks, errors).n_finish == judge_look(strict, ranks, errors).n_finish
    nothing = LookPlan(1, 0.05, m, n, 2.0, "any", n, tolerance=3)
    assert judge_look(nothing, np.arange(m), np.zeros(m, np.bool_)).n_finish == n, "all is measured"


@pytest.mark.parametrize(("lost", "action"), [(0, "stop"), (3, "stop"), (4, "continue")])
def test_a_finish_stops_with_as_many_lost_wells_as_were_declared(lost, action):
    evidence = RoundEvidence(
        round=9, n_target=1000, n_observed=400, n_inference=600, n_batch=50, n_top=0, n_top_correct=0.0,
        n_finish=50, n_finish_lost=lost,
    )  # fmt: skip
    assert decide(evidence, StoppingConfig(finish_tolerance=3)).action == action
    assert decide(evidence, StoppingConfig()).action == ("stop" if lost == 0 else "continue")
