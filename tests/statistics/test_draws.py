"""Draws that audits rest on: uniform over rows and pairs, in random order, however the work is cut, and a reserve
that stays a uniform sample of the rows left while an adversary acquires the others."""

from __future__ import annotations

import math
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isd_ray.campaign.backend import merge_frozen
from isd_ray.campaign.batch import Selection, unscored
from isd_ray.campaign.history import History
from isd_ray.campaign.oracle import Readouts, unplated
from isd_ray.campaign.round_files import Attempt
from isd_ray.campaign.steps.score import choose
from isd_ray.core.goals import Accuracy
from isd_ray.core.looks import LookPlan
from isd_ray.core.scored import N_BINS
from isd_ray.core.seeding import derive_seed, tie_keys
from isd_ray.core.sets import TargetSets
from isd_ray.core.stopping import Audit, decide_look
from isd_ray.core.topk import sample_of_group, top_k, uniform_sample
from isd_ray.messages import ROLES, Frozen, ScoredRows, ScoreReport


def deviation(count, chance, runs):
    """How far a count is from its mean, in standard deviations."""
    return np.abs(count - runs * chance).max() / math.sqrt(runs * chance * (1 - chance))


@pytest.mark.parametrize("rows", [np.arange(12), np.array([3, 7, 64, 65, 66, 1000, 4096, 8191, 10**6, 10**9])])
def test_an_audit_is_uniform_over_rows_and_pairs_and_lies_in_random_order(rows):
    n, m, runs = len(rows), 4, 4000
    drawn = np.array([uniform_sample(unscored(rows), m, derive_seed(0, "audit", t)).rows for t in range(runs)])
    inside = (drawn[:, :, None] == rows).any(axis=1)
    assert (inside.sum(axis=1) == m).all()
    assert deviation(inside.sum(axis=0), m / n, runs) < 4.5
    pairs = (inside.T.astype(int) @ inside)[np.triu_indices(n, 1)]
    assert deviation(pairs, m * (m - 1) / (n * (n - 1)), runs) < 4.5
    for place in range(m):
        assert deviation((drawn[:, place, None] == rows).sum(axis=0), 1 / n, runs) < 4.5


def test_audits_of_two_rounds_are_independent():
    rows, runs = np.arange(10), 4000
    both = sum(
        len(np.intersect1d(*(uniform_sample(unscored(rows), 3, derive_seed(5, "audit", t, look)).rows
                             for look in (0, 1))))
        for t in range(runs)
    )  # fmt: skip
    # A hypergeometric number of common rows: mean 0.9, variance 0.49.
    assert abs(both - 0.9 * runs) < 4.5 * math.sqrt(0.49 * runs)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_the_sample_of_a_group_is_its_rows_of_smallest_keys_however_few_are_looked_up(data):
    n = data.draw(st.integers(0, 50))
    rows = np.array(sorted(data.draw(st.sets(st.integers(0, 1000), min_size=n, max_size=n))), np.int64)
    group = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)), np.bool_)
    size, seed = data.draw(st.integers(0, n + 2)), data.draw(st.integers(0, 2**63 - 1))

    def look_up(asked):
        assert (np.diff(asked) > 0).all()
        return unscored(rows[np.isin(rows, asked)])

    asked = np.zeros(1001, np.bool_)
    asked[rows] = True
    with mock.patch("isd_ray.core.topk._ROWS_AT_ONCE", data.draw(st.integers(1, 1001))):
        drawn = sample_of_group(asked, size, seed, look_up, lambda found: group[np.searchsorted(rows, found.rows)])
    inside = rows[group]
    assert drawn.rows.tolist() == inside[np.argsort(tie_keys(seed, inside))][:size].tolist()
    assert drawn.rows.tolist() == uniform_sample(unscored(inside), size, seed).rows.tolist()


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_group_that_is_wanted_whole_is_that_of_all_parts_and_all_files_are_named(data):
    n = data.draw(st.integers(0, 50))
    group = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)), np.bool_)
    parts = np.split(np.arange(n), sorted(data.draw(st.lists(st.integers(0, n), max_size=5))))
    merged = merge_frozen([Frozen({f"part-{i}": "x"}, unscored(p[group[p]])) for i, p in enumerate(parts)])
    assert merged.group.rows.tolist() == np.flatnonzero(group).tolist()
    assert len(merged.files) == len(parts)
    other = Frozen(dict.fromkeys(merged.files, "y"), merged.group)
    assert merged.sha256 != other.sha256, "the hash follows the content of the files"


# --- the reserve of the rule `reserved` -------------------------------------------------------------------------------

N, CLUSTERS, RESERVED, BATCH, RANDOM, ROUNDS = 72, 4, 20, 7, 2, 3
CLUSTER = np.arange(N) % CLUSTERS
WRONG = np.isin(CLUSTER, (1, 2)) & (np.arange(N) % 3 != 0)
"""Rows that a model gets wrong: two thirds of two clusters."""


class Reserved:
    """Acquires as a campaign does, in an order that runs after the errors it has seen.

    The adversary's scores depend on the labels of all acquired rows; it takes the clusters first in which these were
    wrong, and may not look at the reserve.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.sets = TargetSets(N)
        drawn = unscored(self.sets.draw(BATCH + RESERVED, derive_seed(seed, "random", 0)))
        reserve = uniform_sample(drawn, RESERVED, derive_seed(seed, "reserve", 0)).rows
        self.observe(np.setdiff1d(drawn.rows, reserve))
        self.sets.set_aside(reserve, WRONG[reserve].astype(float))
        self.n_passed = 0
        for number in range(1, ROUNDS + 1):
            self.acquire(number)

    def observe(self, rows) -> None:
        self.sets.observe(rows, WRONG[rows].astype(float))

    def scored(self) -> np.ndarray:
        return np.flatnonzero(np.unpackbits(self.sets.packed_scored(), count=N))

    def report(self, number: int, random) -> ScoreReport:
        rows, reserve = self.scored(), self.sets.reserve
        n_wrong = np.bincount(CLUSTER[self.sets.rows], self.sets.labels, CLUSTERS)
        score = ((n_wrong + 0.1) / (np.bincount(CLUSTER[self.sets.rows], minlength=CLUSTERS) + 1)).astype(np.float32)
        zeros = np.zeros(len(rows), np.float32)
        candidates = ScoredRows(rows, score[CLUSTER[rows]], zeros, np.zeros(len(rows)), zeros)
        watch = np.union1d(random, reserve)
        top = top_k(candidates, BATCH + len(reserve), derive_seed(self.seed, "tie", number))
        watched = candidates.take(np.isin(rows, watch))
        return ScoreReport(len(rows), top, watched, np.zeros((1, N_BINS), np.int64), None, None)

    def acquire(self, number: int) -> None:
        reserve = self.sets.reserve
        random = self.sets.draw(RANDOM, derive_seed(self.seed, "random", number))
        assert not np.isin(random, reserve).any(), "random rows come from the rows that are not reserved"
        report, nobody = self.report(number, random), np.empty(0, np.int64)
        selection, passed = choose(report, BATCH, random, nobody, reserve, lambda scored: np.zeros(len(scored.rows)))
        rows = selection.scored.rows
        assert len(rows) == BATCH
        assert (selection.roles == 2).sum() == RANDOM
        assert not np.isin(rows, reserve).any()
        assert np.isin(passed, reserve).all()
        self.observe(rows)
        self.sets.pass_over(passed)
        self.n_passed += len(passed)


def check_reserve(runs=1500):
    """The reserve left is drawn uniformly from the rows left: it holds their share of errors and of each cluster."""
    excess, passed = np.zeros((runs, 1 + CLUSTERS)), 0
    for seed in range(runs):
        campaign = Reserved(seed)
        left, reserve = campaign.scored(), campaign.sets.reserve
        marks = np.column_stack([WRONG, *(cluster == CLUSTER for cluster in range(CLUSTERS))])
        excess[seed] = marks[reserve].sum(axis=0) - len(reserve) * marks[left].mean(axis=0)
        passed += campaign.n_passed
    assert passed > 2 * runs, "an adversary that passes over no reserved row shows nothing"
    errors = np.abs(excess.mean(axis=0)) / (excess.std(axis=0) / math.sqrt(runs))
    assert errors.max() < 4.5, f"{errors=}"


def test_a_reserve_stays_a_uniform_sample_of_the_rows_left_whatever_is_acquired():
    check_reserve()


def test_a_mutant_that_keeps_rows_passed_over_in_the_reserve_fails_the_same_check(monkeypatch):
    monkeypatch.setattr(TargetSets, "pass_over", lambda self, rows: None)
    with pytest.raises(AssertionError, match="errors"):
        check_reserve(300)


def test_a_mutant_that_draws_random_rows_from_the_reserve_fails_the_same_check(monkeypatch):
    def draw(self, n, seed):
        return np.sort(np.random.default_rng(seed).choice(np.flatnonzero(self._scored), n, replace=False))

    monkeypatch.setattr(TargetSets, "draw", draw)
    with pytest.raises(AssertionError, match="random rows come from"):
        check_reserve(300)


def test_a_reserve_is_measured_and_predicted_but_never_in_the_observation_set():
    sets = TargetSets(16)
    sets.observe(np.array([0, 5]), np.array([1.0, 0.0]))
    sets.set_aside(np.array([9, 2, 7]), np.array([1.0, 1.0, 0.0]))
    assert (sets.n_observed, sets.n_measured, sets.n_inference) == (2, 5, 11)
    assert (sets.rows.tolist(), sets.labels.tolist(), sets.reserve.tolist()) == ([0, 5], [1.0, 0.0], [2, 7, 9])
    sets.pass_over(np.array([7]))
    assert (sets.n_measured, sets.n_inference) == (5, 11)
    assert sets.reserve.tolist() == [2, 9]
    assert np.flatnonzero(np.unpackbits(sets.packed_inference(), count=16) == 0).tolist() == [0, 2, 5, 7, 9]
    assert np.flatnonzero(np.unpackbits(sets.packed_scored(), count=16) == 0).tolist() == [0, 5, 7]
    assert not np.isin([0, 2, 5, 7, 9], [sets.draw(11, seed) for seed in range(20)]).any()
    for again in ([2], [7], [3, 3]):
        with pytest.raises(ValueError, match="already observed"):
            sets.observe(np.array(again), np.zeros(len(again)))
        with pytest.raises(ValueError, match="already observed"):
            sets.set_aside(np.array(again), np.zeros(len(again)))


def test_a_reserved_row_that_was_lost_is_not_measured_and_nothing_draws_it_but_a_later_readout_is_taken():
    sets = TargetSets(8)
    sets.set_aside(np.array([4, 1, 6]), np.array([1.0, np.nan, np.nan]))
    assert (sets.n_measured, sets.n_inference, sets.lost.tolist()) == (1, 5, [1, 6])
    assert sets.n_predicted == 7, "models predict lost ones, too, until they are passed over"
    assert sets.reserve.tolist() == [1, 4, 6]
    assert not np.isin([1, 4, 6], [sets.draw(5, seed) for seed in range(20)]).any()
    assert sets.may_be_read(np.array([0, 1, 4])).tolist() == [True, True, False]
    sets.observe(np.array([6, 0]), np.zeros(2))
    assert (sets.n_measured, sets.n_inference, sets.lost.tolist(), sets.reserve.tolist()) == (3, 4, [1], [1, 4])
    sets.pass_over(np.array([1]))
    assert sets.n_predicted == sets.n_inference == 4


def test_what_was_asked_for_and_lost_counts_against_a_reserve():
    """Whatever its role: a walked row, a random one, and a reserved one once it is passed over."""
    history = History(Accuracy(0.9), 16)
    rows = np.arange(8)
    roles = np.array([ROLES.index(role) for role in ["initial"] * 4 + ["reserve"] * 4], np.int8)
    labels = np.array([0.0, np.nan, 1.0, 1.0, 0.0, np.nan, 1.0, np.nan])
    selection = Selection(unscored(rows), roles, np.full(8, np.nan))
    attempt = Attempt(0, Path())
    history.observe(attempt, selection, Readouts(labels, labels, unplated(8)), {}, 0)
    assert history.n_unproved == 1, "lost reserved rows are errors of the audit while they are of it"
    later = Selection(unscored(np.array([8, 9])), np.full(2, ROLES.index("top"), np.int8), np.full(2, np.nan))
    lost = np.array([np.nan, 1.0])
    history.observe(attempt, later, Readouts(lost, lost, unplated(2)), {"passed": [5, 6]}, 1)
    assert history.n_unproved == 3, "row 1, row 8, and the reserved row 5, which was passed over"
    again = Selection(unscored(np.array([8])), np.full(1, ROLES.index("top"), np.int8), np.full(1, np.nan))
    history.observe(attempt, again, Readouts(np.zeros(1), np.zeros(1), unplated(1)), {}, 2)
    assert history.n_unproved == 2, "a second well answered"
    history.sets.exclude(np.array([1, 5]))
    assert (history.n_unproved, history.sets.n_target) == (1, 15), "row 1 is given up; of the reserve nothing can be"


def reserved_stops(runs: int, *, counted: bool) -> int:
    """False stops of `reserved` where the wells of all that is predicted wrongly fail, and acquisition is after them.

    100 rows, 14 of them wrong, 10 allowed. The walk takes wrong rows first, which fail and are left; reserved ones on
    the way are passed over, so that the reserve holds none.
    """
    stops = 0
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        wrong = np.arange(100) < 14
        reserve = rng.choice(100, 30, replace=False)
        walked = np.setdiff1d(np.flatnonzero(wrong), reserve)
        left = np.setdiff1d(reserve, np.flatnonzero(wrong))
        allowed = 10 - (len(walked) if counted else 0)
        if allowed < 0:
            continue  # `plan_look` takes no look
        plan = LookPlan(1, 0.05, len(left), 100 - (30 - len(left)), allowed, "none", 0)
        shown = Audit(np.arange(len(left)), np.zeros(len(left)), np.ones(len(left), np.bool_))
        stops += len(walked) > 10 and decide_look((plan,), (shown,), Accuracy(0.9), (0,), 0).action == "stop"
    return stops


def test_wells_that_always_fail_stop_no_reserved_campaign_falsely():
    assert reserved_stops(200, counted=False) > 20, "without the count they do"
    assert reserved_stops(200, counted=True) == 0
