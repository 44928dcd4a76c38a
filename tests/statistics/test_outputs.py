"""Claims about each output of a panel: a column passes falsely at most as often as it may, and bounds hold together."""

from __future__ import annotations

from functools import cache
from itertools import product
from math import comb

import numpy as np
import pytest

from isd_ray.core.bounds import allowed_errors, hypergeometric_pvalue
from isd_ray.core.certify import LookPlan, LookRule
from isd_ray.core.goals import OutputGoal, ScreenCounts
from isd_ray.core.goals.output_accuracies import OutputAccuracies, column_pvalue
from isd_ray.core.look_evidence import Audit, LookEvidence
from isd_ray.core.panels import LOST, MISSING, RIGHT, WRONG
from isd_ray.core.scored import ScoredBatch
from isd_ray.core.trigger import Forecast


def decide(goals, audit):
    return OutputAccuracies(0.8, None, tuple(goals)).decide(plans(goals), audit, (0,) * len(goals))


def column(n_right: int, n_wrong: int, n_missing: int, n_lost: int = 0) -> np.ndarray:
    return np.repeat(np.array([RIGHT, WRONG, MISSING, LOST], np.int8), (n_right, n_wrong, n_missing, n_lost))


def worst_false_pass(pvalue, n: int, measured: int, gamma: float, delta: float) -> float:
    """Largest probability, over all columns and audits, that the audit passes and leaves a false claim."""
    worst = 0.0
    for size, entries in product(range(1, n + 1), range(n + 1)):
        for wrong in range(entries + 1):
            false = 0.0
            for e, there in product(range(min(wrong, size) + 1), range(min(entries, size) + 1)):
                ways = comb(wrong, e) * comb(entries - wrong, there - e) if there >= e else 0
                ways *= comb(n - entries, size - there)
                is_false = wrong - e > 0 and wrong - e > allowed_errors(measured + entries, gamma)
                if ways and is_false and pvalue(e, there, size, n, measured, gamma) <= delta:
                    false += ways / comb(n, size)
            worst = max(worst, false)
    return worst


@cache
def of_column(e, there, size, n, measured, gamma):
    return column_pvalue(column(there - e, e, size - there), n, measured, gamma)


def missing_as_right(e, there, size, n, measured, gamma):
    """Mutant: an entry without a readout counts as one that was right."""
    return hypergeometric_pvalue(e, n, allowed_errors(measured + n, gamma) + 1 + e, size)


@pytest.mark.parametrize(("n", "measured", "gamma"), [(9, 0, 0.7), (9, 6, 0.8), (11, 3, 0.55)])
def test_a_column_passes_falsely_with_probability_at_most_delta_whatever_is_missing(n, measured, gamma):
    found = {delta: worst_false_pass(of_column, n, measured, gamma, delta) for delta in (0.05, 0.2, 0.4)}
    assert all(worst <= delta * (1 + 1e-6) for delta, worst in found.items()), found
    assert max(worst / delta for delta, worst in found.items()) > 0.6, "the test is not idle"
    mutant = {delta: worst_false_pass(missing_as_right, n, measured, gamma, delta) for delta in (0.05, 0.2, 0.4)}
    assert any(worst > delta for delta, worst in mutant.items()), mutant


def test_without_missing_entries_it_is_the_exact_test_of_the_whole_inference_set():
    for e in (0, 3, 9, 20):
        exact = hypergeometric_pvalue(e, 400, allowed_errors(500, 0.9) + 1 + e, 120)
        assert exact <= column_pvalue(column(120 - e, e, 0), 400, 100, 0.9) <= exact * 1.02


def test_the_largest_pvalue_over_the_entries_that_there_may_be_is_never_missed():
    for e, missing in product((0, 2, 6), (0, 11, 30)):
        there = 60 - missing
        possible = np.arange(there, 300 - missing + 1)
        allowed = np.array([allowed_errors(80 + int(entries), 0.85) for entries in possible])
        largest = hypergeometric_pvalue(np.array(e), possible, allowed + 1 + e, np.array(there)).max()
        assert largest <= column_pvalue(column(there - e, e, missing), 300, 80, 0.85) <= largest * 1.03


def test_a_lost_entry_is_an_error_that_nobody_corrects():
    """More than a wrong one, which measuring has put right, and far more than a missing one."""
    missing, wrong, lost = (
        column_pvalue(found, 300, 100, 0.9) for found in (column(95, 0, 5), column(95, 5, 0), column(95, 0, 0, 5))
    )
    assert missing < wrong < lost


N, K, SIZE, MEASURED, DELTA, RUNS = 700, 8, 240, 300, 0.3, 400


def plans(goals, delta=DELTA):
    return tuple(
        LookPlan(1, delta * goal.share, SIZE, N, 0, "none", 0, output=place, n_measured=MEASURED)
        for place, goal in enumerate(goals)
    )


def audit(outcomes, rng) -> Audit:
    drawn = outcomes[rng.permutation(N)[:SIZE]]
    return Audit(np.empty(0, np.int64), np.zeros(SIZE), np.ones(SIZE, np.bool_), drawn)


def outcomes_of(wrong, missing, seed) -> np.ndarray:
    """Entries of N compounds in columns with so many wrong and missing ones, each in an order of its own."""
    rng = np.random.default_rng(seed)
    columns = [column(N - w - x, w, x) for w, x in zip(wrong, missing, strict=True)]
    return np.stack([rng.permutation(found) for found in columns], axis=1)


def test_the_bounds_of_all_outputs_hold_together_as_delta_is_split():
    wrong = [170 + 3 * place for place in range(K)]
    outcomes = outcomes_of(wrong, [0] * K, 0)

    @cache
    def bound(n_wrong: int, share: float) -> float:
        goal = OutputGoal("", 0.8, share)
        found = Audit(
            np.empty(0, np.int64), np.zeros(SIZE), np.ones(SIZE, np.bool_), column(SIZE - n_wrong, n_wrong, 0)[:, None]
        )
        decision = decide([goal], found)
        return decision.bounds[0] if decision.bounds else 0.0

    def failures(share: float) -> float:
        """Share of runs with a bound above the accuracy that the screen has after the audit."""
        rng, n_failed = np.random.default_rng(1), 0
        for _ in range(RUNS):
            mended = (audit(outcomes, rng).outcomes == WRONG).sum(axis=0).tolist()
            true = [1 - (w - e) / (MEASURED + N) for w, e in zip(wrong, mended, strict=True)]
            n_failed += any(bound(e, share) > accuracy for e, accuracy in zip(mended, true, strict=True))
        return n_failed / RUNS

    error = 3 * np.sqrt(DELTA * (1 - DELTA) / RUNS)
    assert 0.2 * DELTA < failures(1 / K) <= DELTA + error
    assert failures(1.0) > DELTA + 2 * error, "mutant: delta is not split"


def test_one_output_below_its_gamma_stops_falsely_at_most_as_often_as_its_part_of_delta():
    goals = [OutputGoal(str(place), 0.9 if place else 0.8, 1 / K) for place in range(K)]
    missing = [0, 60] * (K // 2)
    # The last output is just at its gamma after an audit's usual share of errors is put right; the others are good.
    allowed = allowed_errors(MEASURED + N - missing[-1], 0.9)
    wrong = [10] * (K - 1) + [round((allowed + 1) * N / (N - SIZE))]
    outcomes = outcomes_of(wrong, missing, 2)
    rng, false, pooled = np.random.default_rng(3), 0, 0
    for _ in range(RUNS):
        drawn = audit(outcomes, rng)
        is_false = wrong[-1] - (drawn.outcomes[:, -1] == WRONG).sum() > allowed
        false += is_false and decide(goals, drawn).action == "stop"
        everything = drawn.outcomes.ravel()
        pooled += is_false and column_pvalue(everything, N * K, MEASURED * K, 0.9) <= DELTA
    risk = DELTA / K
    assert false / RUNS <= risk + 3 * np.sqrt(risk * (1 - risk) / RUNS)
    assert pooled / RUNS > DELTA, "mutant: the audit's counts are pooled over the outputs"


def test_the_looks_of_a_panel_spend_delta_once_whatever_their_number():
    """Each look has the risk of its number, split by output; all looks together have delta, and then there is none."""
    goals = [OutputGoal("A", 0.8, 0.25), OutputGoal("B", 0.9, 0.75)]
    zeros = np.zeros(50)
    batch = ScoredBatch(N, 100, zeros.astype(np.float32), zeros, zeros, zeros == 0, np.zeros((50, 2), np.int8))
    spent = np.zeros(2)
    for number in range(1, 5):
        evidence = LookEvidence(
            counts=ScreenCounts(MEASURED + N, 0, MEASURED, (N,), (MEASURED, MEASURED)),
            n_observed=MEASURED,
            batch_size=200,
            n_batch=200,
            n_random=20,
            n_affordable=N,
            rule_counts=True,
            histogram=np.zeros((1, 1), np.int64),
            scored=((batch,),),
            failed_looks=number - 1,
            risk_spent=float(spent.sum()),
            batches_since_look=8,
        )
        rule = LookRule.certify(DELTA, 3, 200)
        found, _ = OutputAccuracies(0.8, None, tuple(goals)).plan(rule, evidence, lambda scored: Forecast(1.0, 0.0))
        assert [plan.number for plan in found] == [number] * 2 * (number <= 3)
        spent += [plan.delta for plan in found] or 0.0
        if number == 1:
            assert spent.sum() == pytest.approx(0.8 * DELTA)
    assert spent == pytest.approx([0.25 * DELTA, 0.75 * DELTA])


def test_an_audit_of_another_size_is_refused():
    goals = [OutputGoal("A", 0.9, 1.0)]
    short = Audit(np.empty(0, np.int64), np.zeros(3), np.ones(3, np.bool_), column(3, 0, 0)[:, None])
    with pytest.raises(ValueError, match="declared 240 rows of 1 outputs"):
        decide(goals, short)
