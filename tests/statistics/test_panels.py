"""A panel's look stops falsely no more often than it may, and would if missing entries counted as right."""

from __future__ import annotations

import numpy as np
import pytest

from isd_ray.core.betting import betting_size, betting_test
from isd_ray.core.goals import PanelAccuracy, ScreenCounts
from isd_ray.core.panels import pack_labels
from isd_ray.core.scored import N_BINS, ScoredBatch, uncertainty_bins
from isd_ray.core.stopping import Audit, LookEvidence, decide_look, forecast_look
from isd_ray.messages import LabelArray

N, K, BATCH, DELTA, RUNS = 1500, 9, 250, 0.2, 600
GOAL = PanelAccuracy(0.9)
PREDICTED = np.zeros((N, 2), np.uint8)


def readouts(total: float, seed: int) -> LabelArray:
    """Labels of N compounds, two thirds of the entries missing, against which predicting 0 loses about `total`."""
    rng = np.random.default_rng(seed)
    matrix = np.where(rng.random((N, K)) < 2 / 3, -1, 0)
    matrix[:, 0] = np.where((matrix >= 0).any(axis=1), matrix[:, 0], 0)
    order = rng.permutation(N)
    labels = pack_labels(matrix)
    while (lost := GOAL.losses(PREDICTED, labels).sum()) <= total:
        row, order = order[0], order[1:]
        # Some rows are wrong throughout, others in one entry.
        entries = np.flatnonzero(matrix[row] >= 0)
        matrix[row, entries if rng.random() < 0.5 else entries[:1]] = 1
        labels[row] = pack_labels(matrix[[row]])[0]
    assert lost < total + 1
    return labels


def plan_of(stopping):
    """A look that a hopeful forecast asks for."""
    rng = np.random.default_rng(0)
    losses = np.where(rng.random(BATCH) < 0.15, rng.integers(1, 4, BATCH) / 3, 0.0)
    past = ScoredBatch(N, 500, np.ones(BATCH, np.float32), np.arange(BATCH) * 6, losses * 0.5, np.ones(BATCH, np.bool_))
    evidence = LookEvidence(
        counts=ScreenCounts(N, 0, 0, (N,)),
        n_observed=500,
        batch_size=BATCH,
        n_batch=BATCH,
        n_random=BATCH,
        n_affordable=N,
        rule_counts=True,
        histogram=np.bincount(uncertainty_bins(np.ones(N, np.float32)), minlength=N_BINS)[None],
        scored=((past,),),
        failed_looks=0,
        risk_spent=0.0,
        batches_since_look=5,
    )
    [plan] = forecast_look(evidence, stopping, GOAL).plans
    return plan


def passes(plan, labels, losses_of, seed) -> float:
    """Share of runs in which a fresh audit passes."""
    losses = losses_of(labels)
    rng, n_passed = np.random.default_rng(seed), 0
    for _ in range(RUNS):
        drawn = rng.permutation(N)[: plan.size]
        decision = decide_look((plan,), (Audit(drawn, losses[drawn], np.ones(len(drawn), bool)),), GOAL, (0,), N)
        n_passed += decision.action == "stop"
    return n_passed / RUNS


def test_a_false_claim_passes_with_probability_at_most_delta_and_a_true_one_mostly(make_config, panel):
    panel["stopping"] = {"rule": "pac", "gamma": GOAL.level, "delta": DELTA}
    plan = plan_of(make_config(**panel).stopping)
    assert plan.finish == "none"
    assert 15 < plan.size < N / 2
    allowed = GOAL.allowances(ScreenCounts(N, 0, 0, (N,)), (0.0,))
    assert allowed == (plan.allowed,) == (pytest.approx(150.0),)

    def share(labels):
        return GOAL.losses(PREDICTED, labels)

    def share_of_all(labels):
        """Mutant: a missing entry counts as right."""
        wrong = np.unpackbits(labels[:, 0] & labels[:, 1], axis=1)[:, :K]
        return wrong.sum(axis=1) / K

    false, true = readouts(plan.allowed, 1), readouts(0.25 * plan.allowed, 2)
    error = 3 * np.sqrt(DELTA * (1 - DELTA) / RUNS)
    assert passes(plan, false, share, 3) <= DELTA + error
    assert passes(plan, true, share, 4) > 0.5, "one as good as forecast does in 70 % of cases, this one has more errors"
    assert passes(plan, false, share_of_all, 5) > DELTA + error


def test_the_audit_of_a_wide_panel_forgives_a_forecast_that_is_somewhat_wrong():
    """Its rows lose nearly the same, so that chance alone would ask for very few of them."""
    population, forecast, spread, allowed, delta = 18_000, 0.08, 1e-4, 3_000.0, 0.025
    size = betting_size(population, forecast, spread, allowed, delta, population)
    assert size is not None
    losses = np.random.default_rng(0).normal(1.1 * forecast, spread**0.5, size)
    assert betting_test(losses, population, allowed, delta, forecast, spread, np.zeros(size)).passed
    assert size < 100
