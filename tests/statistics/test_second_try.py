"""Two tries at the wells of a look: together they stop falsely no more often than the look may, whatever is lost."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from isd_ray.core.goals import Accuracy
from isd_ray.core.looks import LookPlan
from isd_ray.core.stopping import Audit, decide_look

N, M, ALLOWED, DELTA = 9, 4, 3, 0.42
GOAL = Accuracy(0.9)


def stops_falsely(finish, rows, is_wrong, lost, wrong_left) -> bool:
    """Whether a look ends a screen with more wrong predictions than are allowed, the lost wells of it as errors."""
    plan = LookPlan(1, DELTA, M, N, ALLOWED, finish, N)
    gone = np.isin(rows, lost)
    audit = Audit(rows, np.where(gone, 1.0, is_wrong[rows]), ~gone)
    decision = decide_look((plan,), (audit,), GOAL, 0, N)
    if decision.action == "continue":
        return False
    measured = np.union1d(rows[~gone], np.arange(decision.n_finish))
    return wrong_left - int(is_wrong[measured].sum()) > ALLOWED


@pytest.mark.parametrize("finish", ["none", "any"])
@pytest.mark.parametrize("n_wrong", [4, 5])
@pytest.mark.parametrize("ranking", ["best", "worst"])
def test_no_choice_of_lost_wells_makes_the_two_tries_stop_falsely_more_often(finish, n_wrong, ranking):
    """By enumeration: in each audit wells fail that suit a false stop best, at either try."""
    is_wrong = np.zeros(N)
    is_wrong[:n_wrong] = 1.0
    if ranking == "worst":
        is_wrong = is_wrong[::-1].copy()
    audits = [np.array(rows) for rows in combinations(range(N), M)]
    false = sum(
        any(
            stops_falsely(finish, rows, is_wrong, lost, n_wrong)
            for n_lost in range(M)
            for lost in combinations(rows.tolist(), n_lost)
        )
        for rows in audits
    )
    assert false <= DELTA * len(audits)


def test_the_enumeration_finds_a_look_that_drops_its_lost_wells():
    """Negative control: were lost wells no errors, those that suit would be lost."""
    is_wrong = np.ones(N)
    rows = np.arange(M)
    plan = LookPlan(1, DELTA, M, N, ALLOWED, "none", N)
    dropped = Audit(rows, np.zeros(M), np.ones(M, np.bool_))
    assert decide_look((plan,), (dropped,), GOAL, 0, N).action == "stop"
    assert not stops_falsely("none", rows, is_wrong, rows, N)
