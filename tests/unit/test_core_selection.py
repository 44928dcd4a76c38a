"""Top-k, ties, shards, sets and seeds: the same answer however the work is cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isd_ray.campaign.steps.score import choose, random_count
from isd_ray.core.scored import N_BINS
from isd_ray.core.seeding import derive_seed, tie_keys
from isd_ray.core.sets import TargetSets
from isd_ray.core.topk import concatenate_rows, top_k
from isd_ray.messages import ROLES, ScoredRows, ScoreReport


def scored(rows, primary, secondary=None) -> ScoredRows:
    rows = np.asarray(rows, np.int64)
    zeros = np.zeros(len(rows), np.float32)
    second = zeros if secondary is None else np.asarray(secondary, np.float32)
    return ScoredRows(rows, np.asarray(primary, np.float32), second, rows.astype(np.float64), zeros)


NOTHING = np.empty(0, np.int64)


def report_of(top, watched):
    return ScoreReport(10, top, watched, np.zeros((1, N_BINS), np.int64), None, None)


def no_ranks(rows):
    return np.zeros(len(rows.rows))


def test_the_best_are_by_score_then_second_score_then_hash():
    candidates = scored([0, 1, 2, 3, 4], [1, 3, 3, 3, 2], [0, 0, 5, 0, 0])
    first_of_tie, last_of_tie = sorted([1, 3], key=lambda row: tie_keys(7, np.array([row]))[0])
    assert top_k(candidates, 5, 7).rows.tolist() == [2, first_of_tie, last_of_tie, 4, 0]


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_the_best_of_a_union_are_the_best_of_the_best_of_its_parts(data):
    n = data.draw(st.integers(1, 60))
    values = data.draw(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=n, max_size=n))
    seconds = data.draw(st.lists(st.sampled_from([0.0, 1.0]), min_size=n, max_size=n))
    k, seed = data.draw(st.integers(0, n + 2)), data.draw(st.integers(0, 2**60))
    whole = scored(np.arange(n), values, seconds)
    order = np.array(data.draw(st.permutations(range(n))))
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=4)))
    parts = [top_k(whole.take(piece), k, seed) for piece in np.split(order, cuts)]
    merged = top_k(concatenate_rows(parts), k, seed)
    assert merged.rows.tolist() == top_k(whole, k, seed).rows.tolist()


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="finite"):
        top_k(scored([0, 1], [np.nan, 1.0]), 1, 0)


def test_tie_keys_are_distinct_and_look_uniform():
    keys = tie_keys(3, np.arange(100_000))
    assert len(np.unique(keys)) == len(keys)
    share_above_half = (keys > np.uint64(1 << 63)).mean()
    assert abs(share_above_half - 0.5) < 0.01
    assert (tie_keys(4, np.arange(1000)).argsort() != keys[:1000].argsort()).any()


def test_seeds_differ_by_every_part_of_their_path():
    paths = [("member", 1, 0), ("member", 0, 1), ("member", 10), ("split", 1, 0), ("member", 1, 1)]
    assert len({derive_seed(0, *path) for path in paths} | {derive_seed(1, *paths[0])}) == 6


def test_excluded_rows_are_in_neither_set_and_may_come_back():
    sets = TargetSets(20)
    sets.observe(np.array([3]), np.array([1.0]))
    sets.exclude(np.array([3, 7, 8]))
    assert (sets.n_target, sets.n_inference, sets.excluded.tolist()) == (18, 17, [7, 8])
    assert np.flatnonzero(np.unpackbits(sets.packed_scored(), count=20) == 0).tolist() == [3, 7, 8]
    sets.exclude(np.array([8]))
    assert (sets.n_target, sets.is_left(np.array([3, 7, 8])).tolist()) == (19, [False, True, False])


def test_sets_partition_the_target_and_refuse_a_second_observation():
    sets = TargetSets(20)
    sets.observe(np.array([3, 19]), np.array([1.0, 0.0]))
    assert sets.n_observed + sets.n_inference == 20
    assert np.flatnonzero(np.unpackbits(sets.packed_inference(), count=20) == 0).tolist() == [3, 19]
    for again in ([3], [4, 4]):
        with pytest.raises(ValueError, match="repeated"):
            sets.observe(np.array(again), np.zeros(len(again)))
    assert sets.rows.tolist() == [3, 19]
    assert sets.labels.tolist() == [1.0, 0.0]


def test_random_rows_are_those_that_a_draw_from_a_list_of_all_rows_gives(monkeypatch):
    monkeypatch.setattr("isd_ray.core.sets._ROWS_AT_ONCE", 7)
    sets = TargetSets(40)
    sets.observe(np.array([0, 6, 7, 13, *range(21, 28), 39]), np.zeros(12))
    sets.exclude(np.array([20]))
    left = np.flatnonzero(sets.is_left(np.arange(40)))
    for seed in range(50):
        for n in (0, 1, 5, 27):
            drawn = np.random.Generator(np.random.PCG64(seed)).choice(left, size=n, replace=False)
            assert sets.draw(n, seed).tolist() == sorted(drawn.tolist())


def test_random_rows_are_uniform_over_the_inference_set_and_never_observed():
    sets = TargetSets(40)
    sets.observe(np.arange(0, 40, 2), np.zeros(20))
    counts = np.zeros(40)
    for seed in range(2000):
        counts[sets.draw(5, seed)] += 1
    assert not counts[::2].any()
    # Each of 20 rows is drawn with probability 1/4: mean 500, standard deviation 19.4.
    assert np.abs(counts[1::2] - 500).max() < 5 * 19.4


@pytest.mark.parametrize(("batch", "share", "expected"), [(10, 0.25, 3), (10, 0.0, 0), (7, 1.0, 7), (1500, 0.1, 150)])
def test_the_random_share_is_rounded_half_up(batch, share, expected):
    assert random_count(batch, share) == expected


def test_a_batch_is_the_random_rows_and_then_the_best_of_the_rest():
    top = scored([5, 1, 2, 9], [4, 3, 2, 1])
    selection, passed = choose(report_of(top, scored([1, 7], [3, 0])), 4, np.array([1, 7]), NOTHING, NOTHING, no_ranks)
    assert selection.scored.rows.tolist() == [1, 7, 5, 2]
    assert selection.roles.tolist() == [2, 2, 1, 1]
    assert passed.tolist() == []


def test_wanted_rows_take_places_of_the_best():
    top = scored([5, 1, 2, 9], [4, 3, 2, 1])
    watched = scored([1, 7, 9], [3, 0, 1])
    selection, _ = choose(report_of(top, watched), 4, np.array([7]), np.array([1, 9]), NOTHING, no_ranks)
    assert selection.scored.rows.tolist() == [7, 1, 9, 5]
    assert [ROLES[role] for role in selection.roles] == ["random", "wanted", "wanted", "top"]


def test_reserved_rows_are_not_acquired_and_those_passed_over_are_named():
    top = scored([5, 1, 2, 9, 4, 3], [6, 5, 4, 3, 2, 1])
    selection, passed = choose(
        report_of(top, scored([2, 3, 7], [4, 1, 0])), 3, np.array([7]), NOTHING, np.array([2, 3, 4]), no_ranks
    )
    assert selection.scored.rows.tolist() == [7, 5, 1]
    assert passed.tolist() == []
    selection, passed = choose(
        report_of(top, scored([2, 3, 7], [4, 1, 0])), 4, np.array([7]), NOTHING, np.array([2, 3, 4]), no_ranks
    )
    assert selection.scored.rows.tolist() == [7, 5, 1, 9]
    assert passed.tolist() == [2]
