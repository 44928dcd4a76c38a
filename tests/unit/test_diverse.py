"""Batches that are picked for being unlike each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isd_ray.campaign.steps.score import choose
from isd_ray.chem.diverse import DIVERSE, maxmin
from isd_ray.core.features import OnBits, tanimoto
from isd_ray.errors import ConfigError
from isd_ray.ops.simulate import simulate
from tests.unit.test_core_selection import NOTHING, no_ranks, report_of, scored

WIDTH = 24


def fingerprints(sets: list[set[int]]) -> OnBits:
    rows = [sorted(bits) for bits in sets]
    offsets = np.cumsum([0, *map(len, rows)])
    return OnBits(np.concatenate([np.array(row, np.uint16) for row in rows]), offsets.astype(np.int64), WIDTH)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sets(st.integers(0, WIDTH - 1), min_size=1, max_size=6), min_size=2, max_size=14), st.data())
def test_places_are_distinct_and_the_second_is_the_least_like_the_first(sets, data):
    features, n = fingerprints(sets), data.draw(st.integers(1, len(sets)))
    found = maxmin(features, n)
    assert len(set(found.tolist())) == n
    assert 0 in found
    assert (np.diff(found) > 0).all()
    if n == 2:
        alike = tanimoto(features, features)[0]
        assert alike[found[1]] == pytest.approx(alike.min(), abs=1e-6)


def test_of_three_clusters_each_gets_a_pick_before_any_gets_two():
    clusters = [{0, 1, 2}, {0, 1, 3}, {0, 1, 4}, {10, 11, 12}, {10, 11, 13}, {18, 19, 20}]
    assert maxmin(fingerprints(clusters), 3).tolist() in ([0, 3, 5], [0, 4, 5])
    assert maxmin(fingerprints(clusters), 9).tolist() == list(range(6)), "no more than there are"
    assert maxmin(fingerprints(clusters), 0).tolist() == []


def test_the_second_stage_sees_the_best_that_are_neither_random_nor_wanted():
    top = scored(np.arange(10), 10 - np.arange(10))
    seen = []

    def every_other(rows, n):
        seen.append(rows.tolist())
        return np.arange(0, 2 * n, 2)

    report = report_of(top, top.take(np.array([0, 3])))
    chosen, passed = choose(report, 5, np.array([0]), np.array([3]), NOTHING, no_ranks, pick=every_other)
    assert seen == [[1, 2, 4, 5, 6, 7, 8, 9]]
    assert chosen.scored.rows.tolist() == [0, 3, 1, 4, 6]
    assert not len(passed)


def test_diverse_batches_are_others_than_the_best(make_config, tmp_path):
    runs = {}
    for pick in ("best", "diverse"):
        config = make_config(
            acquisition={"batch_size": 120, "pick": pick}, stopping={"rule": "none", "max_fraction": 0.3}
        )
        runs[pick] = simulate(config, tmp_path / pick)
    assert runs["best"].summary["n_acquired"] == runs["diverse"].summary["n_acquired"]
    assert not runs["best"].hybrid.equals(runs["diverse"].hybrid)


def test_a_batch_is_picked_from_three_of_the_best(make_config, tmp_path, monkeypatch):
    seen = []

    def spy(features, n):
        seen.append((len(features), n))
        return maxmin(features, n)

    monkeypatch.setattr("isd_ray.config.campaign.pick_named", lambda name: replace(DIVERSE, choose=spy))
    acquisition = {"batch_size": 100, "pick": "diverse"}
    simulate(make_config(acquisition=acquisition, stopping={"rule": "none", "max_fraction": 0.25}), tmp_path / "run")
    assert seen[0] == (300, 100)


@pytest.mark.parametrize("rule", ["paper", "reserved"])
def test_rules_that_count_on_the_best_rows_refuse_it(rule, make_config):
    with pytest.raises(ConfigError, match=r"acquisition\.pick='diverse'[\s\S]*best-scored"):
        make_config(acquisition={"batch_size": 120, "pick": "diverse"}, stopping={"rule": rule})
