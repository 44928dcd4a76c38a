"""Draws that audits rest on: uniform over rows and pairs, in random order, however the work is cut, and a reserve
that stays a uniform sample of the rows left while an adversary acquires the others."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isd_ray.campaign.scoring import merge_frozen
from isd_ray.campaign.selection import choose, unscored
from isd_ray.core.seeding import derive_seed, tie_keys
from isd_ray.core.sets import TargetSets
from isd_ray.core.topk import sample_of_group, top_k, uniform_sample
from isd_ray.core.trigger import N_BINS
from isd_ray.messages import Frozen, ScoredRows, ScoreReport


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
    rows = np.array(sorted(data.draw(st.sets(st.integers(0, 10**6), min_size=n, max_size=n))), np.int64)
    group = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)), np.bool_)
    size, seed = data.draw(st.integers(0, n + 2)), data.draw(st.integers(0, 2**63 - 1))

    def look_up(asked):
        assert (np.diff(asked) > 0).all()
        return unscored(rows[np.isin(rows, asked)])

    drawn = sample_of_group(rows, size, seed, look_up, lambda found: group[np.searchsorted(rows, found.rows)])
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
