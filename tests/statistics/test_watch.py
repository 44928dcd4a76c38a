"""The calibration watch raises its alarm in a wrong cluster, and rarely otherwise."""

from __future__ import annotations

import numpy as np
import pytest

from isd_ray.core.scored import ScoredBatch
from isd_ray.core.watch import calibration_alarm, reliability
from tests.benchmarks.stopping.simulate import Campaign, Target
from tests.benchmarks.stopping.worlds import AntiRanked, Flat, Learner, WrongCluster

LEVEL = 0.05


def history(world, rounds, n_random=20):
    rng = np.random.default_rng(4)
    campaign = Campaign(world(10_000, rng), Target(10_000, 0.95), 200, rng)
    for _ in range(rounds):
        campaign.fit_and_score()
        campaign.acquire(n_random)
    return campaign.history


@pytest.mark.parametrize("world", [lambda n, rng: WrongCluster(n, rng, learnable=False), AntiRanked])
def test_confident_errors_raise_the_alarm(world):
    assert calibration_alarm(history(world, 20), 0.01).raised


@pytest.mark.parametrize("world", [Learner, Flat])
def test_ordinary_errors_do_not(world):
    assert not calibration_alarm(history(world, 20), 0.01).raised


def test_false_alarms_are_rarer_than_the_level():
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(400):
        ranks = rng.choice(5000, 200, replace=False)
        wrong = (rng.random(200) < 0.2).astype(np.float64)
        batch = ScoredBatch(5000, 0, np.zeros(200, np.float32), ranks, wrong, np.ones(200, np.bool_))
        alarms += calibration_alarm([batch], LEVEL).raised
    assert alarms / 400 <= LEVEL


def test_rows_that_were_chosen_are_no_evidence_of_an_alarm():
    n = 50
    batch = ScoredBatch(1000, 0, np.zeros(n, np.float32), 999 - np.arange(n), np.ones(n), np.zeros(n, np.bool_))
    assert calibration_alarm([batch], LEVEL).n_errors == 0
    assert not calibration_alarm([], LEVEL).raised


def test_the_bins_hold_every_row_once():
    batches = history(Learner, 6)
    bins = reliability(batches)
    assert sum(part.n for part in bins) == sum(len(batch.loss) for batch in batches)
    assert sum(part.n_random for part in bins) == sum(int(batch.is_random.sum()) for batch in batches)
    assert sum(part.errors for part in bins) == sum(batch.loss.sum() for batch in batches)
    assert all(part.low <= part.uncertainty <= part.high for part in bins)
    assert bins[0].errors / bins[0].n < bins[-1].errors / bins[-1].n
    assert reliability([]) == ()
