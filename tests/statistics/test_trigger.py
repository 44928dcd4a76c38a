"""Forecasts: they plan looks; close enough to be useful, and silent without evidence."""

from __future__ import annotations

import math

import numpy as np
import pytest

from isd_ray.config import StoppingConfig
from isd_ray.core.goals import Accuracy, Recall, ScreenCounts
from isd_ray.core.scored import (
    N_BINS,
    ScoredBatch,
    UncertaintyHistogram,
    bin_centres,
    ranks_from_histogram,
    uncertainty_bins,
)
from isd_ray.core.stopping import LookEvidence, forecast_look
from isd_ray.core.trigger import forecast_hits, forecast_platt, forecast_trend
from tests.benchmarks.stopping.simulate import Campaign, Target
from tests.benchmarks.stopping.worlds import AntiRanked, Flat, Learner


def histogram_of(uncertainty):
    counts = np.bincount(uncertainty_bins(np.asarray(uncertainty, np.float32)), minlength=N_BINS)
    return UncertaintyHistogram(bin_centres(), counts)


def batch_of(losses, n_inference=1000):
    n = len(losses)
    ranks = np.arange(n) * (n_inference // n)
    uncertainty = np.linspace(0.4, 0.01, n, dtype=np.float32)
    return ScoredBatch(
        n_inference, 2000 - n_inference, uncertainty, ranks, np.asarray(losses, np.float64), np.ones(n, np.bool_)
    )


@pytest.mark.parametrize("trigger", ["trend", "platt"])
@pytest.mark.parametrize("world", [Learner, Flat, AntiRanked])
def test_most_forecasts_are_within_a_factor_of_two_when_a_look_is_near(trigger, world):
    ratios = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        campaign = Campaign(world(5000, rng), Target(5000, 0.95), 100, rng, trigger)
        for number in range(20):
            campaign.fit_and_score()
            if number >= 12:
                ratios.append(math.log(campaign.forecast(10).errors / campaign.losses.sum()))
            campaign.acquire(10)
    assert np.median(np.abs(ratios)) < math.log(2)


def test_nothing_learnt_nothing_said():
    assert forecast_trend([], 100, 900, 50, 5) is None
    assert forecast_trend([batch_of([0, 1])], 1000, 0, 50, 5) is None
    assert forecast_platt([], histogram_of([0.1, 0.2]), 100, 50, 5) is None
    assert (
        forecast_platt([batch_of([0, 1])], UncertaintyHistogram(bin_centres(), np.zeros(N_BINS, np.int64)), 1000, 50, 5)
        is None
    )


@pytest.mark.parametrize("losses", [[0.0] * 60, [1.0] * 60, [0.25] * 60])
def test_forecasts_stay_finite_when_all_rows_are_alike(losses):
    batches = [batch_of(losses)] * 3
    for forecast in (
        forecast_trend(batches, 1100, 900, 50, 5),
        forecast_platt(batches, histogram_of(np.linspace(0.01, 0.4, 900)), 1100, 50, 5),
    ):
        assert forecast.errors == pytest.approx(900 * losses[0], abs=60)
        assert 0.0 <= forecast.next_batch <= forecast.errors


def test_forecasts_of_values_bear_a_refit_that_changes_the_scale_of_their_variances():
    """A race that drops a member makes all variances smaller, and no error."""
    rng = np.random.default_rng(0)
    n, k = 5000, 250
    batches = []
    for _ in range(4):
        rank = np.sort(rng.choice(n, k, replace=False))
        losses = 0.2 * np.exp(-2.0 * rank / n) * rng.random(k)
        batches.append(ScoredBatch(n, 1000, np.ones(k, np.float32), rank, losses, np.ones(k, np.bool_)))
    truth = 0.1 * np.exp(-2.0 * np.arange(n) / n).sum()
    for scale in (1e-20, 1e-4, 1.0, 1e4):
        histogram = histogram_of(scale * np.exp(-3.0 * np.arange(n) / n))
        forecast = forecast_platt(batches, histogram, 1000, 50, 5, is_share=False)
        assert forecast.errors == pytest.approx(truth, rel=0.05)
        assert forecast.beyond[np.searchsorted(forecast.edges, n / 2)] < 0.35 * forecast.errors


def test_the_meaning_of_a_confidence_ages():
    """Where models are equally sure, each is wrong the less often the more it has seen."""
    n, n_batch, n_random, logs = 50_000, 1_000, 100, []
    for seed in range(8):
        rng, batches = np.random.default_rng(seed), []
        for number in range(1, 13):
            uncertainty = rng.uniform(0.01, 0.4, n)
            rank = np.concatenate([np.arange(n_batch - n_random), rng.choice(n, n_random, replace=False)])
            uncertainty = np.sort(uncertainty)[::-1][rank].astype(np.float32)
            loss = (rng.random(n_batch) < uncertainty / number).astype(np.float64)
            is_random = np.arange(n_batch) >= n_batch - n_random
            batches.append(ScoredBatch(n, n_batch * number, uncertainty, rank, loss, is_random))
        present = rng.uniform(0.01, 0.4, n)
        errors = forecast_platt(batches, histogram_of(present), 13 * n_batch, n_batch, n_random).errors
        logs.append(math.log(errors / (present / 13).sum()))
    assert abs(np.mean(logs)) < 0.15


def test_the_bulk_learns_while_the_top_stays_hard():
    """Of the acquired top one half is wrong in every round, and models get better where they are surer."""
    n, n_batch, n_random, logs = 50_000, 1_000, 50, []

    def rate(uncertainty, number):
        return 0.5 * (2.0 * uncertainty) ** number**0.8

    for seed in range(24):
        rng, batches = np.random.default_rng(seed), []
        for number in range(1, 13):
            rank = np.concatenate([np.arange(n_batch - n_random), rng.choice(n, n_random, replace=False)])
            uncertainty = np.sort(0.5 * rng.random(n) ** 3)[::-1][rank].astype(np.float32)
            loss = (rng.random(n_batch) < rate(uncertainty, number)).astype(np.float64)
            is_random = np.arange(n_batch) >= n_batch - n_random
            batches.append(ScoredBatch(n, n_batch * number, uncertainty, rank, loss, is_random))
        present = 0.5 * rng.random(n) ** 3
        errors = forecast_platt(batches, histogram_of(present), 13 * n_batch, n_batch, n_random).errors
        logs.append(math.log(errors / rate(present, 13).sum()))
    assert abs(np.mean(logs)) < 0.13


@pytest.mark.parametrize("forecast", ["trend", "platt"])
def test_the_rows_of_an_audit_make_models_surer_and_hardly_better(forecast):
    n, n_batch, n_random, logs = 20_000, 500, 50, []
    for seed in range(8):
        rng, batches = np.random.default_rng(seed), []
        uncertainty = np.sort(0.5 * rng.random(n) ** 2)[::-1]
        for number, size in enumerate([n_batch] * 8 + [2_000], 1):
            is_audit = size > n_batch
            drawn = rng.choice(n, size if is_audit else n_random, replace=False)
            rank = drawn if is_audit else np.concatenate([np.arange(n_batch - n_random), drawn])
            loss = (rng.random(size) < uncertainty[rank]).astype(np.float64)
            is_random = np.arange(size) >= size - len(drawn)
            said = uncertainty[rank].astype(np.float32)
            batches.append(ScoredBatch(n, n_batch * number, said, rank, loss, is_random, is_audit=is_audit))
        n_observed = n_batch * 9 + 2_000
        if forecast == "trend":
            errors = forecast_trend(batches, n_observed, n, n_batch, n_random).errors
        else:
            errors = forecast_platt(batches, histogram_of(0.7 * uncertainty), n_observed, n_batch, n_random).errors
        logs.append(math.log(errors / uncertainty.sum()))
    assert abs(np.mean(logs)) < 0.06


@pytest.mark.parametrize(("sizes", "values"), [([500], False), ([500, 500, 60, 500, 500], False), ([500] * 4, True)])
def test_nothing_is_believed_of_one_batch_after_a_failed_look_or_of_values(sizes, values):
    """Models learn nothing: an error has the probability, and a value the loss, of its uncertainty."""
    n, n_random, logs = 20_000, 50, []
    for seed in range(96):
        rng, batches, n_observed = np.random.default_rng(seed), [], 0
        uncertainty = np.sort(0.5 * rng.random(n) ** 2)[::-1]
        for size in sizes:
            is_audit = size < 500
            drawn = rng.choice(n, size if is_audit else n_random, replace=False)
            rank = np.concatenate([np.arange(size - len(drawn)), drawn])
            n_observed += 500 if not batches else len(batches[-1].loss)
            wrong = uncertainty[rank] if values else rng.random(size) < uncertainty[rank]
            is_random, said = np.arange(size) >= size - len(drawn), uncertainty[rank].astype(np.float32)
            loss = wrong.astype(np.float64)
            batches.append(ScoredBatch(n, n_observed, said, rank, loss, is_random, is_audit=is_audit))
        forecast = forecast_platt(batches, histogram_of(uncertainty), n_observed + 500, 500, n_random)
        logs.append(math.log(forecast.errors / uncertainty.sum()))
    assert abs(np.mean(logs)) < 0.1


def rare_hits(seed, n_rounds, n=200_000, n_batch=10_000, n_random=1_000):
    """Batches of a screen for rare hits: they lie at the top of the order, and each batch takes many; those left."""
    rng, batches = np.random.default_rng(seed), []
    for number in range(n_rounds):
        probability = rate_of_hits(number, n)
        rank = np.concatenate([np.arange(n_batch - n_random), rng.choice(n, n_random, replace=False)])
        loss = (rng.random(n_batch) < probability[rank]).astype(np.float64)
        is_random = np.arange(n_batch) >= n_batch - n_random
        batches.append(ScoredBatch(n, n_batch * (number + 1), np.ones(n_batch, np.float32), rank, loss, is_random))
        n -= n_batch
    return batches, n, rate_of_hits(n_rounds, n).sum()


def rate_of_hits(number, n):
    return np.minimum(1.0, 40.0 * 0.45**number / (np.arange(n) + 50.0))


def test_rare_hits_are_not_looked_for_in_the_bulk_of_the_order():
    logs = {forecast_hits: [], forecast_trend: []}
    for seed in range(4):
        for n_rounds in (2, 3):
            batches, n, truth = rare_hits(seed, n_rounds)
            for forecast, found in logs.items():
                errors = forecast(batches, 10_000 * (n_rounds + 1), n, 10_000, 1_000).errors
                found.append(abs(math.log(errors / truth)))
    assert np.median(logs[forecast_hits]) < 0.5 * np.median(logs[forecast_trend])


def test_a_recall_is_planned_by_the_forecast_of_hits_and_errors_are_not():
    batches, n, _ = rare_hits(0, 3)
    histogram = np.zeros((2, N_BINS), np.int64)
    for goal, forecast in ((Recall(0.8, 1), forecast_hits), (Accuracy(0.95), forecast_trend)):
        evidence = LookEvidence(
            ScreenCounts(n + 40_000, 1000, 39_000, (n, 0)), 40_000, 10_000, 10_000, 1_000, n, True, histogram,
            (tuple(batches), ()), 0, 0.0, 5,
        )  # fmt: skip
        expected = forecast(batches, 40_000, n, 10_000, 1_000).errors
        config = StoppingConfig(rule="certify", gamma=goal.level, trigger="blend" if goal.takes_hits else "trend")
        assert forecast_look(evidence, config, goal).errors == pytest.approx(expected)


def test_the_next_batch_holds_its_share():
    flat = [batch_of(([1.0] + [0.0] * 9) * 10)] * 5
    forecast = forecast_trend(flat, 50, 1000, 100, 100)
    assert forecast.next_batch == pytest.approx(forecast.errors / 10, rel=0.05)


def test_bins_ascend_with_the_uncertainty_at_every_scale():
    values = np.concatenate([[0.0], np.geomspace(1e-30, 1e30, 5000)]).astype(np.float32)
    bins = uncertainty_bins(values)
    assert (np.diff(bins) >= 0).all()
    assert bins.max() < N_BINS
    np.testing.assert_allclose(bin_centres()[bins][1:], values[1:], rtol=0.005)
    assert uncertainty_bins(np.array([-0.0], np.float32))[0] == 0


def test_counts_of_shards_add_up_to_the_ranks_of_the_whole():
    rng = np.random.default_rng(0)
    uncertainty = (rng.random(20_000) ** 4).astype(np.float32)
    parts = [histogram_of(part).counts for part in np.array_split(uncertainty, 7)]
    order = np.argsort(-uncertainty)
    ranks = ranks_from_histogram(np.sum(parts, axis=0), uncertainty[order])
    assert np.abs(ranks - np.arange(20_000)).max() < 60
