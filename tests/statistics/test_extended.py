"""A target set that grows between looks: exact enumeration of all audits, with an adversary who sees them first."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest

from isd_ray.core.bounds import allowed_errors
from isd_ray.core.goals import Accuracy
from isd_ray.core.looks import LookPlan
from isd_ray.core.stopping import Audit, decide_look

N, MORE, M = 14, 10, 6
"""Compounds at the beginning, those that may be added, and compounds of an audit."""
GAMMA = 0.7
RISKS = (0.2, 0.15)
GOAL = Accuracy(GAMMA)


def chance(population: int, wrong: int, found: int) -> float:
    return math.comb(wrong, found) * math.comb(population - wrong, M - found) / math.comb(population, M)


def founds(population: int, wrong: int) -> range:
    return range(max(0, M - (population - wrong)), min(M, wrong) + 1)


@cache
def passes(look: int, population: int, n_target: int, found: int) -> bool:
    """Whether a look at the risk of its number passes, as the code of a campaign decides it."""
    plan = LookPlan(look, RISKS[look - 1], M, population, allowed_errors(n_target, GAMMA), "none", population)
    audit = Audit(np.arange(M), np.repeat([1.0, 0.0], [found, M - found]), np.ones(M, np.bool_))
    return decide_look((plan,), (audit,), GOAL, 0, M).action == "stop"


def false_share(look: int, population: int, wrong: int, n_target: int, unseen: int = 0) -> float:
    """Probability that a look passes although more is wrong than may be.

    Parameters
    ----------
    unseen:
        Wrong predictions of compounds that belong to the target set, and from which no audit was drawn.
    """
    allowed = allowed_errors(n_target, GAMMA)
    return sum(
        chance(population, wrong, found)
        for found in founds(population, wrong)
        if passes(look, population, n_target, found) and wrong - found + unseen > allowed
    )


def false_stops(wrong: int) -> float:
    """Of two looks; after the first the adversary adds what suits best, right or wrong, or nothing."""
    total = false_share(1, N, wrong, N)
    for found in founds(N, wrong):
        if not passes(1, N, N, found):
            left, n_wrong = N - M, wrong - found
            total += chance(N, wrong, found) * max(
                false_share(2, left + n, n_wrong + more, N + n) for n in (0, MORE // 2, MORE) for more in range(n + 1)
            )
    return total


def test_whatever_joins_between_two_looks_they_pass_falsely_with_probability_at_most_delta():
    worst = max(map(false_stops, range(N + 1)))
    assert 0.4 * sum(RISKS) < worst <= sum(RISKS)


def test_the_adversary_gains_by_what_is_added():
    """Else the enumeration would say nothing of it."""
    alone = max(
        false_share(1, N, wrong, N)
        + sum(
            chance(N, wrong, found) * false_share(2, N - M, wrong - found, N)
            for found in founds(N, wrong)
            if not passes(1, N, N, found)
        )
        for wrong in range(N + 1)
    )
    assert max(map(false_stops, range(N + 1))) > alone


@pytest.mark.parametrize("look", [1, 2])
def test_compounds_that_join_while_a_look_is_out_break_it(look):
    """Negative control: an audit of the compounds before, of a look or a reserve, proves nothing of others."""
    assert max(false_share(look, N, wrong, N + MORE, unseen=MORE) for wrong in range(N + 1)) > 0.9
    assert max(false_share(look, N + MORE, wrong, N + MORE) for wrong in range(N + MORE + 1)) <= RISKS[look - 1]
