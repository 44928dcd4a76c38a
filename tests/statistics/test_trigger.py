"""Forecasts: they plan looks; close enough to be useful, and silent without evidence."""

from __future__ import annotations

import math

import numpy as np
import pytest

from isd_ray.core.trigger import (
    N_BINS,
    ScoredBatch,
    UncertaintyHistogram,
    bin_centres,
    forecast_platt,
    forecast_trend,
    ranks_from_histogram,
    uncertainty_bins,
)
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
    assert forecast_platt([], histogram_of([0.1, 0.2]), 50, 5) is None
    assert (
        forecast_platt([batch_of([0, 1])], UncertaintyHistogram(bin_centres(), np.zeros(N_BINS, np.int64)), 50, 5)
        is None
    )


@pytest.mark.parametrize("losses", [[0.0] * 60, [1.0] * 60, [0.25] * 60])
def test_forecasts_stay_finite_when_all_rows_are_alike(losses):
    batches = [batch_of(losses)] * 3
    for forecast in (
        forecast_trend(batches, 1100, 900, 50, 5),
        forecast_platt(batches, histogram_of(np.linspace(0.01, 0.4, 900)), 50, 5),
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
        forecast = forecast_platt(batches, histogram, 50, 5, is_share=False)
        assert forecast.errors == pytest.approx(truth, rel=0.05)
        assert forecast.beyond[np.searchsorted(forecast.edges, n / 2)] < 0.35 * forecast.errors


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
