"""The recall of confirmed hits: exact enumeration of both samples, with mutants."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from functools import cache

import pytest

from isd_ray.core import confirmed
from isd_ray.core.bounds import largest_plausible
from isd_ray.core.confirmed import SecondReadouts, confirmed_recall
from isd_ray.core.looks import look_deltas

N, M, H, S, DELTA = 22, 9, 10, 6, 0.2


def chance(population: int, bad: int, sampled: int, drawn: int) -> float:
    return math.comb(bad, drawn) * math.comb(population - bad, sampled - drawn) / math.comb(population, sampled)


def false_bounds(n_missed: int, n_lost: int, n_found: int, bound, sampled: int) -> float:
    """Probability that the bound is above the truth.

    Parameters
    ----------
    n_missed, n_lost:
        Confirmed hits among the N predicted compounds, and among these such whose second readout would be lost.
    n_found:
        Confirmed ones of the H hits measured elsewhere.
    """
    total = 0.0
    n_read = n_missed - n_lost
    for read, lost in itertools.product(range(min(M, n_read) + 1), range(min(M, n_lost) + 1)):
        if read + lost > M or M - read - lost > N - n_missed:
            continue
        ways = math.comb(n_read, read) * math.comb(n_lost, lost) * math.comb(N - n_missed, M - read - lost)
        for again in range(max(0, sampled - (H - n_found)), min(sampled, n_found) + 1):
            found = n_found + read
            truth = found / (found + n_missed - read) if n_missed > read else 1.0
            total += (
                (bound(read, lost, again, sampled) > truth + 1e-12)
                * ways
                / math.comb(N, M)
                * chance(H, n_found, sampled, again)
            )
    return total


def worst(recall=confirmed_recall, sampled: int = S) -> float:
    @cache
    def bound(read: int, lost: int, again: int, sampled: int) -> float:
        return recall(SecondReadouts(N, M, read, lost), SecondReadouts(H, sampled, again), DELTA).bound

    return max(
        false_bounds(missed, lost, found, bound, sampled)
        for missed in range(N - M)
        for lost in sorted({0, missed // 2, missed})
        for found in range(0, H + 1, 2)
    )


def test_the_bound_is_above_the_truth_with_probability_at_most_delta():
    assert 0.2 * DELTA < worst() <= DELTA
    assert 0.5 * DELTA < worst(sampled=H) <= DELTA, "all the risk is on the audit when every hit is measured again"


def test_a_bound_that_spends_the_risk_three_times_fails_the_same_check():
    assert worst(lambda audit, hits, delta: confirmed_recall(audit, hits, 3 * delta)) > DELTA


def test_a_bound_that_takes_lost_second_readouts_for_found_hits_fails_the_same_check():
    def credits_lost(audit, hits, delta):
        return confirmed_recall(replace(audit, confirmed=audit.confirmed + audit.lost, lost=0), hits, delta)

    assert worst(credits_lost) > DELTA


def test_a_bound_that_forgets_lost_second_readouts_fails_the_same_check():
    assert worst(lambda audit, hits, delta: confirmed_recall(replace(audit, lost=0), hits, delta)) > DELTA


def test_a_bound_that_takes_the_sample_for_all_hits_fails_the_same_check(monkeypatch):
    exact = confirmed.largest_plausible

    def estimated(errors, population, sampled, delta):
        return round(errors * population / sampled) if population == H else exact(errors, population, sampled, delta)

    monkeypatch.setattr(confirmed, "largest_plausible", estimated)
    assert worst() > DELTA


def worst_with_a_finish(credited) -> float:
    """The largest probability of a false bound where the first A of the N compounds are measured after the audit."""
    a, others, total = 6, 5, 0.0

    @cache
    def bound(confirmed: int, elsewhere: int, n_finish: int) -> float:
        hits = SecondReadouts(elsewhere, elsewhere, elsewhere)
        return confirmed_recall(SecondReadouts(N, M, confirmed), hits, DELTA, n_finish).bound

    for first, rest in itertools.product(range(a + 1), range(N - a + 1)):
        false = 0.0
        for i, j in itertools.product(range(min(M, first) + 1), range(min(M, rest) + 1)):
            if i + j > M or M - i - j > N - first - rest:
                continue
            ways = math.comb(first, i) * math.comb(rest, j) * math.comb(N - first - rest, M - i - j)
            elsewhere = others + first - i
            truth = (others + first + j) / (others + first + rest)
            false += (
                (bound(i + j, elsewhere, min(elsewhere, credited(first, i))) > truth + 1e-12) * ways / math.comb(N, M)
            )
        total = max(total, false)
    return total


def test_hits_of_a_finish_are_missed_no_more():
    assert 0.5 * DELTA < worst_with_a_finish(lambda first, audited: first - audited) <= DELTA
    audit, hits = SecondReadouts(N, M, 1), SecondReadouts(8, 8, 8)
    assert confirmed_recall(audit, hits, DELTA, 2).bound > confirmed_recall(audit, hits, DELTA).bound


def test_a_bound_that_takes_hits_of_the_audit_for_hits_of_the_finish_as_well_fails_the_same_check():
    assert worst_with_a_finish(lambda first, audited: first) > DELTA


def test_more_hits_of_a_finish_than_confirmed_ones_are_refused():
    with pytest.raises(ValueError, match="n_finish=3"):
        confirmed_recall(SecondReadouts(9, 4, 1), SecondReadouts(8, 8, 2), DELTA, 3)


def test_one_that_is_not_confirmed_beside_the_sample_may_be_counted_as_one_in_it():
    """A readout that is amended after the draw: one more in the sample raises the bound by one at least."""
    for population, sampled in ((12, 5), (30, 11), (30, 29)):
        bounds = [largest_plausible(n, population, sampled, DELTA) for n in range(sampled + 1)]
        assert all(after > before for before, after in itertools.pairwise(bounds)), bounds


def worst_over_looks(risks) -> float:
    """The largest probability that one of some looks has a false bound, as its readouts may be what has it pass."""

    def false(missed: int, risk: float) -> float:
        seen = range(max(0, M - N + missed), min(M, missed) + 1)
        bounds = {n: confirmed_recall(SecondReadouts(N, M, n), SecondReadouts(H, H, H), risk).bound for n in seen}
        wrong = [n for n in seen if bounds[n] > (H + n) / (H + missed) + 1e-12]
        return sum(chance(N, missed, M, n) for n in wrong)

    return max(1.0 - math.prod(1.0 - false(missed, risk) for risk in risks) for missed in range(N - M))


def test_over_several_looks_the_one_that_passed_has_no_more_than_its_part_of_the_risk():
    assert 0.2 * DELTA < worst_over_looks(look_deltas(DELTA, 4)) <= DELTA
    assert worst_over_looks((DELTA,) * 4) > DELTA, "as if only the look that passed had been taken"


def test_nothing_is_missed_where_nothing_is_left():
    shown = confirmed_recall(SecondReadouts(20, 20, 3), SecondReadouts(10, 10, 4), 0.05)
    assert (shown.bound, shown.found_at_least, shown.missed_at_most) == (1.0, 7, 0)


@pytest.mark.parametrize("counts", [(5, 6, 0, 0), (5, 3, 4, 0), (5, 3, 2, 2), (5, 3, -1, 0)])
def test_counts_that_cannot_be_are_refused(counts):
    with pytest.raises(ValueError, match="confirmed"):
        SecondReadouts(*counts)
