"""Audits in portions: exact enumeration of all orders of drawing, with mutants that must fail the same check."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import hypergeom

from isd_ray.core import portions
from isd_ray.core.certify import LookRule, LookState, judge_look, judge_losses, plan_look
from isd_ray.core.looks import LookPlan, look_risk
from isd_ray.core.portions import in_portions, judged_plans, most_portions, next_portion, sizes
from isd_ray.core.trigger import Forecast


def parts_of(plan):
    """What each portion of a look is judged by."""
    declared = (plan,)
    for _ in range(plan.portions):
        yield judged_plans(declared)[0]
        declared = next_portion(declared)


def worst_false_stop(plan):
    """Largest probability, over all patterns of errors, that a portion passes with more than the allowed ones left."""
    n, m, allowed = plan.n_inference, plan.size, int(plan.allowed)
    orders = np.array(list(itertools.permutations(range(n), m)))
    parts, worst = list(parts_of(plan)), 0.0
    verdicts: dict[tuple, tuple[bool, int]] = {}

    def verdict(part, ranks, errors):
        key = (part.size, tuple(sorted(zip(ranks.tolist(), errors.tolist(), strict=True))))
        if key not in verdicts:
            found = judge_look(part, ranks, errors)
            verdicts[key] = found.stop, found.n_finish
        return verdicts[key]

    for pattern in itertools.product((False, True), repeat=n):
        bad = np.array(pattern)
        if bad.sum() <= allowed:
            continue
        n_false = 0
        for ranks in orders:
            for part in parts:
                audit = ranks[: part.size]
                stop, cut = verdict(part, audit, bad[audit])
                if stop:
                    left = bad.copy()
                    left[audit], left[:cut] = False, False
                    n_false += left.sum() > allowed
                    break
        worst = max(worst, n_false / len(orders))
    return worst


LOOKS = {
    "none": LookPlan(1, 0.8, 4, 7, 2, "none", 7, portions=3),
    "any": LookPlan(1, 0.8, 4, 7, 2, "any", 7, portions=3),
    "cheap": LookPlan(1, 0.8, 4, 7, 2, "cheap", 5, portions=2),
}


@pytest.mark.parametrize("finish", sorted(LOOKS))
def test_a_look_in_portions_stops_falsely_with_probability_at_most_delta(finish):
    """Every order of drawing of four of seven rows, against every pattern of errors."""
    assert 0.0 < worst_false_stop(LOOKS[finish]) <= 0.8


LARGE = LookPlan(1, 0.1, 150, 300, 15, "none", 300, portions=5)


def false_stop_rate(plan, bad):
    """Probability that a portion passes with more than the allowed ones left of so many errors, exactly.

    The numbers of errors in the portions, one after the other, are hypergeometric: no order of drawing is left out.
    """
    going, seen, rate = {0: 1.0}, 0, 0.0
    for part in parts_of(plan):
        after = Counter()
        for found, chance in going.items():
            n_left, n_next = plan.n_inference - seen, part.size - seen
            for more in range(min(n_next, bad - found) + 1):
                after[found + more] += chance * hypergeom.pmf(more, n_left, bad - found, n_next)
        seen, going = part.size, {}
        for found, chance in after.items():
            if judge_look(part, np.arange(seen), np.arange(seen) < found).stop:
                rate += chance * (bad - found > plan.allowed)
            else:
                going[found] = chance
    return rate


def worst_rate(plan):
    return max(false_stop_rate(plan, bad) for bad in range(int(plan.allowed) + 1, 2 * int(plan.allowed) + 5))


def test_a_large_look_in_portions_stops_falsely_with_probability_at_most_delta():
    assert 0.01 < worst_rate(LARGE) <= 0.1


def test_a_mutant_that_judges_each_portion_at_the_whole_risk_fails_the_same_check(monkeypatch):
    monkeypatch.setattr(portions, "level", lambda delta, portions, is_exact: delta)
    assert worst_rate(LARGE) > 0.1


def false_passes_by_betting(values, plan, split=None):
    """Share of all orders of drawing in which some portion shows a loss that the population has not."""
    orders = np.array(list(itertools.permutations(values, plan.size)))
    parts, n_false = list(parts_of(plan)), 0
    for losses in orders:
        for part in parts:
            seen = losses[: part.size]
            if judge_losses(part, seen, np.zeros(part.size)).stop and sum(values) - seen.sum() > plan.allowed:
                n_false += 1
                break
    return n_false / len(orders)


def test_a_look_by_betting_spends_its_risk_once_over_all_portions():
    """Seven units whose loss is just above the allowance, of every kind of spread: at the whole delta at each."""
    plan = LookPlan(1, 0.3, 5, 7, 0.9, "none", 7, expected_loss=(0.1, 0.02), credit=True, portions=3)
    assert {part.delta for part in parts_of(plan)} == {0.3}
    spread = [(1.0, 0, 0, 0, 0, 0, 0), (0.5, 0.5, 0, 0, 0, 0, 0), (0.25,) * 4 + (0.0,) * 3, (0.14,) * 7]
    for values in spread:
        assert false_passes_by_betting(values, plan) <= 0.3


def test_portions_are_the_first_rows_of_the_audit_and_the_last_is_the_whole():
    assert sizes(100, 1) == (100,)
    assert sizes(100, 3) == (40, 70, 100)
    for size in range(1, 60):
        for wanted in range(1, 11):
            upto = sizes(size, most_portions(size, wanted))
            assert upto[-1] == size
            assert all(a < b for a, b in itertools.pairwise((0, *upto)))


def test_a_portion_is_judged_by_its_own_part_of_the_risk_and_only_the_last_finishes_whatever_it_takes():
    plan = LookPlan(2, 0.04, 100, 1000, 30, "any", 300, portions=4)
    parts = list(parts_of(plan))
    assert [part.finish for part in parts] == ["cheap"] * 3 + ["any"]
    assert {part.delta for part in parts} == {0.01}
    assert [part.reach - part.size for part in parts] == [200] * 4
    for part in parts:
        assert look_risk([{"delta": part.delta, "risk": part.risk, "output": None}]) == 0.04


def test_an_audit_in_portions_is_larger_and_smaller_than_one_at_the_level_of_each():
    state = LookState(10_000, 300, Forecast(150.0, 0.0), 0, 9)
    whole, parted = (plan_look(LookRule.certify(0.05, 5, 500, portions=p), state).plan for p in (1, 3))
    alone = plan_look(LookRule.certify(0.05 / 3, 5, 500), state).plan
    assert whole.size < parted.size < alone.size
    assert parted.delta == whole.delta
    assert in_portions([parted, replace(parted, portions=2)], 5)[0].portions == 2
