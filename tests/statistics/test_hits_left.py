"""How many hits are left: known worlds whose hits are a fixed set, found batch by batch."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from isd_ray.campaign.batch import Selection
from isd_ray.campaign.history import History
from isd_ray.campaign.oracle import Readouts, unplated
from isd_ray.campaign.round_files import Attempt
from isd_ray.config import StoppingConfig
from isd_ray.core.goals import Accuracy, Recall, ScreenCounts
from isd_ray.core.hits_left import RandomHits, hits_left, random_hits
from isd_ray.core.look_evidence import LookEvidence
from isd_ray.core.scored import N_BINS, ScoredBatch
from isd_ray.core.stopping import forecast_look
from isd_ray.core.trigger import forecast_hits, forecast_trend
from isd_ray.messages import ROLES, ScoredRows

N, N_BATCH, N_RANDOM = 200_000, 10_000, 1_000


def screen(seed, n_rounds, unpredictable, n_hits=2_000):
    """A screen whose model knows nothing of a share of the hits; its batches, its first draw, and what is left."""
    rng, batches = np.random.default_rng(seed), []
    is_hit = np.arange(N) < n_hits
    knows_nothing = rng.random(N) < unpredictable
    first = np.isin(np.arange(N), rng.choice(N, N_BATCH, replace=False))
    rows = np.flatnonzero(~first)
    for number in range(n_rounds):
        n = len(rows)
        place = rng.uniform(0, n, n)
        is_known = is_hit[rows] & ~knows_nothing[rows]
        place[is_known] = rng.exponential(2 * N_BATCH / (number + 1), is_known.sum())
        order = rows[np.argsort(place)]
        random = rng.choice(n, N_RANDOM, replace=False)
        rank = np.concatenate([np.setdiff1d(np.arange(N_BATCH), random)[: N_BATCH - N_RANDOM], random])
        is_random = np.arange(N_BATCH) >= N_BATCH - N_RANDOM
        loss = is_hit[order[rank]].astype(np.float64)
        batches.append(ScoredBatch(n, N - n, np.ones(N_BATCH, np.float32), rank, loss, is_random))
        rows = np.delete(order, rank)
    n_left = int(is_hit[rows].sum())
    return batches, RandomHits(N_BATCH, int(is_hit[first].sum()), N - len(rows), n_hits - n_left), len(rows), n_left


@pytest.mark.parametrize("n_rounds", [2, 4])
@pytest.mark.parametrize("unpredictable", [0.3, 0.8])
def test_hits_left_are_forecast_whatever_the_model_knows(n_rounds, unpredictable):
    logs = {True: [], False: []}
    for seed in range(40):
        batches, first, n, n_left = screen(seed, n_rounds, unpredictable)
        for has_first, found in logs.items():
            forecast = forecast_hits(batches, N - n, n, N_BATCH, N_RANDOM, first_draw=first if has_first else None)
            found.append(math.log(forecast.errors / n_left))
    assert abs(np.mean(logs[True])) < 0.17
    assert np.std(logs[True]) < 0.22
    assert np.square(logs[True]).mean() < 0.7 * np.square(logs[False]).mean()


def test_random_rows_count_what_was_found_since():
    batches, first, n, n_left = screen(0, 3, 0.5)
    samples = random_hits(batches)
    found = [batch.loss.sum() for batch in batches]
    assert [sample.n_rows for sample in samples] == [N_RANDOM] * 3
    assert [sample.n_hits for sample in samples] == [batch.loss[batch.is_random].sum() for batch in batches]
    assert [sample.n_since for sample in samples] == [3 * N_BATCH, 2 * N_BATCH, N_BATCH]
    assert [sample.hits_since for sample in samples] == [sum(found), sum(found[1:]), found[2]]
    assert first.hits_since + n_left == 2_000
    assert first.n_since + n == N


def test_many_random_rows_outweigh_ranks():
    """3 % of 600,000 rows were hits; of these 500,000 rows and 15,000 hits are measured since."""
    sample = RandomHits(n_rows=100_000, n_hits=3_000, n_since=500_000, hits_since=15_000)
    for by_ranks in (1_000.0, 9_000.0):
        assert hits_left(by_ranks, 100_000, [sample]) == pytest.approx(3_000, rel=0.15)


def test_without_random_rows_ranks_are_believed():
    assert hits_left(40.0, 100_000, []) == pytest.approx(40.0, rel=1e-3)


@pytest.mark.parametrize("by_ranks", [0.0, 3.0, 1e6])
@pytest.mark.parametrize("sample", [RandomHits(0, 0.0, 0, 0.0), RandomHits(5, 5.0, 5, 5.0), RandomHits(5, 0.0, 5, 0.0)])
def test_what_says_little_leaves_it_finite(sample, by_ranks):
    for n_left in (1, 7):
        assert 0.5 <= hits_left(by_ranks, n_left, [sample]) <= max(n_left, 1.0)


def observe(history, rows, labels, roles):
    """Take in a batch that no model has ranked."""
    n = len(rows)
    scored = ScoredRows(np.array(rows), *[np.zeros(n, np.float32)] * 2, np.full(n, np.nan), np.zeros(n, np.float32))
    selection = Selection(scored, np.array([ROLES.index(role) for role in roles], np.int8), np.full(n, np.nan))
    history.observe(
        Attempt(0, Path("attempt")), selection, Readouts(np.array(labels), np.full(n, np.nan), unplated(n)), {}, 0
    )


def test_the_first_draw_is_of_wells_that_gave_a_readout():
    history = History(Recall(0.8, 1), 100)
    assert history.first_draw is None
    observe(history, [1, 2, 3, 4], [1.0, 0.0, np.nan, 1.0], ["initial", "initial", "initial", "wanted"])
    assert history.first_draw == RandomHits(n_rows=2, n_hits=1, n_since=3, hits_since=2)
    observe(history, [5, 6], [1.0, 0.0], ["top", "random"])
    assert history.first_draw == RandomHits(n_rows=2, n_hits=1, n_since=5, hits_since=3)


def test_there_is_no_first_draw_after_a_start_from_what_is_known_nor_of_claims_without_hits():
    for goal, role in ((Recall(0.8, 1), "random"), (Accuracy(0.8), "initial")):
        history = History(goal, 100)
        observe(history, [1, 2], [1.0, 0.0], [role, role])
        assert history.first_draw is None


@pytest.mark.parametrize("n_predicted", [0, 90, 300])
def test_predicted_hits_count_as_found_and_where_there_are_many_hits_are_errors(n_predicted):
    batches, first, n, _ = screen(0, 3, 0.5)
    n_found = int(first.hits_since)
    evidence = LookEvidence(
        ScreenCounts(N, n_found, N - n - n_found, (n - n_predicted, n_predicted)), N - n, N_BATCH, N_BATCH, N_RANDOM, n,
        True, np.zeros((2, N_BINS), np.int64), (tuple(batches), ()), 0, 0.0, 5, first_draw=first,
    )  # fmt: skip
    if n_predicted < 0.1 * n_found:
        moved = RandomHits(first.n_rows, first.n_hits, first.n_since + n_predicted, first.hits_since + n_predicted)
        expected = forecast_hits(batches, N - n, n - n_predicted, N_BATCH, N_RANDOM, first_draw=moved).errors
    else:
        expected = forecast_trend(batches, N - n, n - n_predicted, N_BATCH, N_RANDOM).errors
    found = forecast_look(evidence, StoppingConfig(rule="certify", gamma=0.8, quantity="recall"), Recall(0.8, 1))
    assert found.errors == pytest.approx(expected)
