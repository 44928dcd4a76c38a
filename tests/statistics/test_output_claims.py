"""Recalls beside accuracies and mean errors: false stops counted over all screens and audits, with mutants."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from math import comb, prod

import numpy as np
import pytest

from isd_ray.config.stopping import MeanErrorClaim
from isd_ray.core.bounds import allowed_errors
from isd_ray.core.goals import HITS, OTHERS, OutputClaims, OutputGoal, ScreenCounts
from isd_ray.core.goals.recall import recall_allowance
from isd_ray.core.look_evidence import Audit
from isd_ray.core.looks import LookPlan
from isd_ray.core.panels import pack_labels
from isd_ray.core.small_screens import compositions

N, M, MEASURED, FOUND, DELTA = 12, 6, 6, 18, 0.6
RECALL, ACCURACY = 0.9, 0.7
CLAIMS = (OutputGoal("hit", RECALL, 0.5, is_recall=True), OutputGoal("class", ACCURACY, 0.5))
GOAL = OutputClaims(RECALL, None, CLAIMS)
KINDS = np.array(list(product((0, 1), (0, 1))))
"""Readouts of a compound that is predicted 0 in both outputs: a 1 is a missed hit, or wrong."""
IS_HIT = np.array([[0b10000000]], np.uint8)


def plans_of(goal: OutputClaims, n_unread: int) -> tuple[LookPlan, ...]:
    """Declared, and settled when so many predicted hits have given no readout."""
    declared = [
        LookPlan(1, DELTA * claim.share, M, N, 0.0, "none", 0, output=place, n_measured=MEASURED)
        for place, claim in enumerate(goal.claims)
    ]
    return goal.settle(goal.with_unread(declared, np.repeat(IS_HIT, n_unread, axis=0)), [FOUND, 0], 0)


def worst(goal: OutputClaims, n_unread: int) -> float:
    """Largest probability, over all screens, that a look stops although one of the claims is false."""
    plans, said, draws = plans_of(goal, n_unread), np.zeros((M, 1), np.uint8), {}
    for drawn in compositions(M, len(KINDS)):
        outcomes = goal.outcomes(said, pack_labels(np.repeat(KINDS, drawn, axis=0)))
        audit = Audit(np.empty(0, np.int64), np.zeros(M), np.ones(M, np.bool_), outcomes)
        if goal.decide(plans, audit, [FOUND, 0]).action == "stop":
            draws[drawn] = drawn @ KINDS
    largest = 0.0
    for state in compositions(N, len(KINDS)):
        false = 0
        for drawn, mended in draws.items():
            missed, wrong = state @ KINDS - mended
            is_false = missed > recall_allowance(FOUND + int(mended[0]), RECALL)
            is_false |= wrong + n_unread > allowed_errors(MEASURED + N + n_unread, ACCURACY)
            false += is_false * prod(map(comb, state, drawn))
        largest = max(largest, false / comb(N, M))
    return largest


@pytest.mark.parametrize("n_unread", [0, 2])
def test_a_recall_beside_an_accuracy_stops_falsely_with_probability_at_most_delta(n_unread):
    assert 0.2 * DELTA < worst(GOAL, n_unread) <= DELTA


class AllRead(OutputClaims):
    """Mutant: predicted hits without a readout are wrong in no output."""

    def with_unread(self, plans, prediction):
        return tuple(plans)


def test_the_enumeration_finds_what_is_counted_wrongly():
    taken_for_right = replace(GOAL, claims=(replace(CLAIMS[0], gamma=0.6, is_recall=False), CLAIMS[1]))
    assert worst(taken_for_right, 0) > DELTA, "mutant: a missed hit is one wrong entry of many"
    assert worst(AllRead(RECALL, None, CLAIMS), 3) > DELTA


def test_each_output_counts_the_unread_that_may_be_wrong_in_it():
    claims = (*CLAIMS, OutputGoal("other hit", RECALL, 0.5, is_recall=True))
    goal = OutputClaims(RECALL, None, claims)
    plans = [LookPlan(1, 0.1, M, N, 0.0, "none", 0, output=place) for place in range(3)]
    predicted = np.array([[0b10000000], [0b10100000], [0b00100000]], np.uint8)
    settled = goal.settle(goal.with_unread(plans, predicted), [54, 0, 27], 0)
    assert [plan.n_unread for plan in settled] == [1, 3, 1]
    assert [plan.allowed for plan in settled] == [6 - 1, 0.0, 3 - 1], "an accuracy has its allowance from the plan"


def test_groups_and_hits_are_those_of_outputs_with_a_recall_packed_or_with_numbers():
    claims = (*CLAIMS, OutputGoal("number", 0.9, 1.0, 0.5, MeanErrorClaim(0.2, 2.0, 1)))
    values = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [np.nan, 1.0, 3.0], [1.0, np.nan, 0.0]])
    with_number = OutputClaims(RECALL, None, claims, tolerances=(None, None, 0.5))
    assert with_number.groups(np.nan_to_num(values)).tolist() == [HITS, OTHERS, OTHERS, HITS]
    assert with_number.count_hits(values) == (2, 0, 0)
    packed = pack_labels(np.nan_to_num(values[:, :2], nan=-1).astype(int))
    assert GOAL.groups(packed[:, 0]).tolist() == [HITS, OTHERS, OTHERS, HITS]
    assert GOAL.count_hits(packed) == (2, 0)
    assert GOAL.groups(np.full(4, np.nan)).tolist() == [0] * 4, "of rows that no model has predicted"


def test_tallies_and_values_are_of_each_kind():
    claims = (*CLAIMS, OutputGoal("number", 0.9, 1.0, 0.5, MeanErrorClaim(0.2, 2.0, 1)))
    goal = OutputClaims(RECALL, None, claims, tolerances=(None, None, 0.5))
    labels = np.array([[1.0, 1.0, 3.0], [1.0, 0.0, 1.0], [0.0, 1.0, np.nan], [1.0, 0.0, 9.0]])
    predicted = np.array([[0.0, 1.0, 3.0], [0.0, 1.0, 1.5], [0.0, 0.0, 1.0], [1.0, 0.0, 1.0]])
    wrong, left = goal.tally(predicted, labels)
    assert wrong.tolist() == [2, 2, 0.25 + 1.0]
    assert left.tolist() == [3, 4, 3]
    counts = ScreenCounts(14, 17, 0, (3, 1), measured=(3, 4, 10), hits=(17, 0, 0))
    assert goal.values(counts, wrong, left) == pytest.approx((18 / 20, 1 - 2 / 8, 1 - 1.25 / 13))
    assert goal.are_met(counts, wrong, left)
    for place, more in ((0, 1), (1, 1), (2, 0.1)):
        one_more = [w + more * (k == place) for k, w in enumerate(wrong)]
        assert not goal.are_met(counts, one_more, left), claims[place].name
