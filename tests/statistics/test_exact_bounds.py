"""The exact tests, against enumeration in whole numbers: no violation, and not idle."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from fractions import Fraction

import numpy as np
import pytest

from isd_ray.core.bounds import (
    allowed_errors,
    betting_test,
    hypergeometric_pvalue,
    kl_lower_bound,
    largest_plausible,
    plausible_range,
)

DELTA = 0.05


def exact(errors, population, bad, sampled):
    """The p-value by its definition, in whole numbers."""
    if bad > population:
        return Fraction(0)
    if bad <= errors or sampled == 0:
        return Fraction(1)
    least = max(0, sampled - population + bad)
    ways = sum(
        math.comb(bad, j) * math.comb(population - bad, sampled - j) for j in range(least, min(errors, sampled) + 1)
    )
    return Fraction(ways, math.comb(population, sampled))


def pmf(population, bad, sampled):
    total = math.comb(population, sampled)
    return [math.comb(bad, j) * math.comb(population - bad, sampled - j) / total for j in range(sampled + 1)]


def test_the_bound_is_violated_with_probability_at_most_delta_and_is_tight():
    worst = 0.0
    for n in range(1, 26):
        bad, sampled, errors = np.meshgrid(*[np.arange(n + 1)] * 3, indexing="ij")
        refuted = hypergeometric_pvalue(errors, np.array(n), bad, sampled) <= DELTA
        for k, m in itertools.product(range(n + 1), repeat=2):
            missed = sum(p for e, p in enumerate(pmf(n, k, m)) if refuted[k, m, e])
            worst = max(worst, missed)
    assert 0.04 < worst <= DELTA


def test_the_upper_bound_inverts_the_test():
    for n, m in [(7, 3), (25, 10), (400, 60)]:
        for e in range(0, m + 1, 3):
            upper = largest_plausible(e, n, m, DELTA)
            assert hypergeometric_pvalue(e, n, upper, m) > DELTA
            assert upper == n - m + e or hypergeometric_pvalue(e, n, upper + 1, m) <= DELTA
    assert largest_plausible(0, 50, 0, DELTA) == 50
    assert plausible_range(2, 30, 30, DELTA) == (2, 2)


def test_the_two_sided_interval_misses_with_probability_at_most_delta():
    n, m = 40, 12
    ranges = [plausible_range(e, n, m, DELTA) for e in range(m + 1)]
    for bad in range(n + 1):
        missed = sum(p for p, (low, high) in zip(pmf(n, bad, m), ranges, strict=True) if not low <= bad <= high)
        assert missed <= DELTA


@pytest.mark.parametrize(
    "case",
    [
        (0, 10**9, 10**7, 300), (3, 10**9, 10**7, 1000), (20, 10**9, 10**6, 20_000), (0, 10**9, 10**9 - 5, 4),
        (5, 10**6, 10**5, 200), (400, 10_000, 800, 5_000), (499, 10_000, 500, 9_990), (30, 3_326_474, 33_265, 1_500),
        (0, 7_000, 500, 60), (59, 60, 60, 60), (12, 60, 30, 33), (2, 60, 30, 33),
    ],
)  # fmt: skip
def test_the_pvalue_is_the_exact_one_rounded_up(case):
    value, truth = hypergeometric_pvalue(*case), exact(*case)
    assert truth <= Fraction(value) <= truth * (1 + Fraction(1, 10**8))


def test_every_small_pvalue_is_the_exact_one_rounded_up():
    for n in range(1, 12):
        for e, k, m in itertools.product(range(n + 1), range(n + 2), range(n + 1)):
            value, truth = hypergeometric_pvalue(e, n, k, m), exact(e, n, k, m)
            assert truth <= value <= truth * (1 + Fraction(1, 10**8)), (e, n, k, m)


def test_few_errors_that_cannot_be_so_few_have_pvalue_zero_without_a_warning():
    """With 132 of 187 bad a sample of 85 holds 30 at least; warnings are errors here."""
    assert hypergeometric_pvalue(0, 187, 132, 85) == 0.0
    assert hypergeometric_pvalue(29, 187, 132, 85) == 0.0 < hypergeometric_pvalue(30, 187, 132, 85)


def test_the_edges_of_the_pvalue_are_taken_in_order():
    assert hypergeometric_pvalue(12, 10, 11, 10) == 0.0
    assert hypergeometric_pvalue(3, 10, 3, 5) == 1.0
    assert hypergeometric_pvalue(0, 10, 4, 0) == 1.0
    assert hypergeometric_pvalue(0, 10, 4, 10) == 0.0


def test_the_pvalue_falls_as_more_rows_are_bad():
    values = hypergeometric_pvalue(np.array(4), np.array(500), np.arange(501), np.array(80))
    assert (np.diff(values) <= 0).all()


def test_huge_middles_are_summed_without_tables():
    assert hypergeometric_pvalue(250_000_000, 10**9, 5 * 10**8, 5 * 10**8) == pytest.approx(0.5, abs=1e-4)


def test_arrays_and_numbers_agree_and_broadcast():
    errors, sampled = np.arange(4)[:, None], np.array([5, 20, 60])
    values = hypergeometric_pvalue(errors, np.array(100), np.array(12), sampled)
    assert values.shape == (4, 3)
    assert values[2, 1] == hypergeometric_pvalue(2, 100, 12, 20)


@pytest.mark.parametrize("case", [(-1, 5, 2, 2), (0, 5, 2, 6), (0, -5, 0, 0)])
def test_impossible_counts_are_refused(case):
    with pytest.raises(ValueError, match="sampled <= population"):
        hypergeometric_pvalue(*case)


@pytest.mark.parametrize(
    ("n", "gamma", "allowed"),
    [(10_000, 0.95, 499), (10_000, 0.9, 999), (10_001, 0.95, 500), (100, 0.99, 0), (1000, 0.999, 0), (7, 0.5, 3)],
)
def test_allowed_errors_are_exact(n, gamma, allowed):
    assert allowed_errors(n, gamma) == allowed
    accuracy = Fraction(n - allowed, n)
    assert accuracy > Fraction(str(gamma)) >= accuracy - Fraction(1, n)


@pytest.mark.parametrize(("n", "gamma"), [(100, 1.0), (0, 0.9), (10, 1.5), (10, -0.5)])
def test_a_target_that_no_screen_can_meet_is_refused(n, gamma):
    with pytest.raises(ValueError, match="no number of errors"):
        allowed_errors(n, gamma)


def test_the_papers_bound_fails_with_probability_exactly_delta_at_worst():
    """At k = n right answers the bound is delta**(1/n), which n draws exceed with probability delta."""
    for n in (5, 20, 50):
        bounds = np.array([kl_lower_bound(k / n, n, DELTA) for k in range(n + 1)])
        worst = 0.0
        for mean in np.concatenate([bounds - 1e-12, np.linspace(0.01, 0.99, 99)]).clip(0, 1):
            draws = [math.comb(n, k) * mean**k * (1 - mean) ** (n - k) for k in range(n + 1)]
            worst = max(worst, sum(p for p, bound in zip(draws, bounds, strict=True) if bound > mean))
        assert worst == pytest.approx(DELTA, rel=1e-6)


@pytest.mark.parametrize("delta", [0.2, 0.3, 0.5])
def test_betting_passes_falsely_with_probability_at_most_delta(delta):
    """All populations of 7 losses in {0, 1/2, 1}, all orders: exact, and the bets are not idle."""
    worst, passed_any = 0.0, 0
    for allowance in (1.0, 2.0, 3.2):
        passed, orders = defaultdict(int), defaultdict(int)
        for losses in itertools.product((0.0, 0.5, 1.0), repeat=7):
            kind = tuple(sorted(losses))
            orders[kind] += 1
            audit = np.array(losses[:6])
            passed[kind] += betting_test(audit, 7, allowance, delta, allowance / 20, 0.05).passed
        for kind, n_orders in orders.items():
            if sum(kind) > allowance:
                worst = max(worst, passed[kind] / n_orders)
            else:
                passed_any += passed[kind]
    assert worst <= delta
    assert worst > 0.2 * delta
    assert passed_any > 0


def false_passes_with_credit(kept_of):
    """Worst probability, over populations of 6 units, that a test passes although more than the allowance is kept.

    A unit is a loss and whether its well fails, which keeps a loss of 1.
    """
    units, worst, passed_any = [(0.0, False), (0.5, False), (1.0, False), (1.0, True)], 0.0, 0
    for allowance in (0.9, 1.4, 2.0):
        passed, orders = defaultdict(int), defaultdict(int)
        for drawn in itertools.product(range(len(units)), repeat=6):
            losses, fails = (np.array(part) for part in zip(*(units[unit] for unit in drawn), strict=True))
            kind = tuple(sorted(drawn))
            orders[kind] += 1
            kept = kept_of(losses[:4], fails[:4])
            is_false = losses[4:].sum() + fails[:4].sum() > allowance
            shown = betting_test(losses[:4], 6, allowance, 0.5, 0.05, 0.05, kept).passed
            passed[kind] += shown and is_false
            passed_any += shown and not is_false
        worst = max(worst, *(passed[kind] / orders[kind] for kind in orders))
    return worst, passed_any


def test_betting_with_credit_passes_falsely_with_probability_at_most_delta():
    worst, passed_any = false_passes_with_credit(lambda losses, fails: fails.astype(float))
    assert 0.1 < worst <= 0.5
    assert passed_any


def test_betting_that_credits_failed_wells_fails_the_same_check():
    worst, _ = false_passes_with_credit(lambda losses, fails: np.zeros(len(losses)))
    assert worst > 0.5


def test_betting_with_credit_asks_for_less():
    losses = np.random.default_rng(0).permutation(np.repeat([0.0, 1.0], [900, 100]))

    def units_needed(kept):
        return next(
            m
            for m in range(1, 1000)
            if betting_test(losses[:m], 1000, 150.0, 0.05, 0.1, 0.09, kept and kept[:m]).passed
        )

    assert units_needed([0.0] * 1000) < 0.8 * units_needed(None)


def test_betting_knows_when_nothing_is_left_to_prove_or_to_spend():
    assert betting_test(np.zeros(3), 10, 7.0, 0.05, 0.5, 0.1).passed
    assert not betting_test(np.array([0.0] * 8 + [1.0, 1.0]), 100, 2.0, 0.05, 0.0, 0.01).passed
    assert betting_test(np.array([1.0, 0.0]), 2, 1.0, 0.05, 0.5, 0.1).passed


@pytest.mark.parametrize("losses", [[1.2], [-0.1], [math.nan], [0.0] * 11])
def test_losses_outside_the_unit_interval_are_refused(losses):
    with pytest.raises(ValueError, match=r"losses in \[0, 1\]"):
        betting_test(np.array(losses), 10, 2.0, 0.05, 0.1, 0.1)
