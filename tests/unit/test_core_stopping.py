"""The paper's bound and rule."""

from __future__ import annotations

import math

import numpy as np
import pytest

from isd_ray.config import StoppingConfig
from isd_ray.core.bounds import bernoulli_kl, kl_lower_bound
from isd_ray.core.rules.paper import earliest_paper_stop
from isd_ray.core.stopping import decide
from isd_ray.messages import RoundEvidence


@pytest.mark.parametrize(("n", "delta"), [(1, 0.05), (50, 0.05), (1500, 0.01), (10_000, 0.5)])
def test_the_bound_has_its_closed_forms(n, delta):
    assert kl_lower_bound(1.0, n, delta) == pytest.approx(delta ** (1 / n), rel=1e-12)
    assert kl_lower_bound(0.0, n, delta) == 0.0
    assert kl_lower_bound(1.0, 0, delta) == 0.0


def test_the_bound_solves_its_equation_from_below():
    for mean in (0.1, 0.5, 0.93, 0.999):
        bound = kl_lower_bound(mean, 200, 0.05)
        assert bound <= mean
        assert bernoulli_kl(mean, bound) >= math.log(20) / 200
        assert bernoulli_kl(mean, bound + 1e-9) < math.log(20) / 200


def test_the_bound_rises_with_the_mean_the_sample_and_the_risk():
    assert np.all(np.diff([kl_lower_bound(mean, 100, 0.05) for mean in np.linspace(0, 1, 51)]) > 0)
    assert np.all(np.diff([kl_lower_bound(0.9, n, 0.05) for n in (1, 2, 5, 10, 100, 10_000)]) > 0)
    assert np.all(np.diff([kl_lower_bound(0.9, 100, delta) for delta in (0.001, 0.05, 0.5, 0.9)]) > 0)


def test_the_bound_fails_with_probability_at_most_delta_for_independent_draws():
    """Exact binomial worst case over the true mean: no violation, and not idle (the Chernoff bound is not sharp)."""
    delta, worst = 0.05, 0.0
    for n in (5, 20, 50):
        bounds = np.array([kl_lower_bound(k / n, n, delta) for k in range(n + 1)])
        binomial = [math.comb(n, k) for k in range(n + 1)]
        for mean in np.unique(np.concatenate([bounds - 1e-12, np.linspace(0.01, 0.99, 99)])).clip(0, 1):
            failure = sum(c * mean**k * (1 - mean) ** (n - k) for k, c in enumerate(binomial) if bounds[k] > mean)
            worst = max(worst, failure)
    assert 0.2 * delta < worst <= delta + 1e-9


@pytest.mark.parametrize("arguments", [(1.1, 5, 0.05), (0.5, -1, 0.05), (0.5, 5, 0.0), (0.5, 5, 1.0)])
def test_arguments_out_of_range_are_refused(arguments):
    with pytest.raises(ValueError, match="need"):
        kl_lower_bound(*arguments)


def evidence(**changes) -> RoundEvidence:
    values = {
        "round": 3, "n_target": 1000, "n_observed": 400, "n_inference": 600, "n_batch": 100, "n_top": 100,
        "n_top_correct": 100,
    }  # fmt: skip
    return RoundEvidence(**{**values, **changes})


def test_the_paper_rule_is_equation_6_with_a_strict_inequality():
    alpha = 0.05 ** (1 / 100)
    bound = (400 + alpha * 600) / 1000
    decision = decide(evidence(), StoppingConfig(rule="paper", gamma=0.95))
    assert (decision.action, decision.alpha, decision.system_bound) == (
        "stop", pytest.approx(alpha), pytest.approx(bound),
    )  # fmt: skip
    assert decide(evidence(), StoppingConfig(rule="paper", gamma=decision.system_bound)).action == "continue"
    assert decide(evidence(n_top_correct=90), StoppingConfig(rule="paper", gamma=0.95)).action == "continue"


def test_rows_of_other_roles_are_no_evidence():
    decision = decide(evidence(n_top=0, n_top_correct=0), StoppingConfig(rule="paper", gamma=0.5))
    assert (decision.action, decision.alpha, decision.system_bound) == ("continue", None, None)


@pytest.mark.parametrize("rule", ["paper", "none"])
def test_a_measured_set_is_accurate_and_ends(rule):
    decision = decide(evidence(n_observed=1000, n_inference=0, n_top_correct=0), StoppingConfig(rule=rule))
    assert (decision.action, decision.system_bound) == ("stop", 1.0)


def test_a_set_of_which_reserved_wells_gave_no_readout_ends_without_being_called_measured():
    left = evidence(n_observed=997, n_inference=0, n_top_correct=0)
    decision = decide(left, StoppingConfig(rule="reserved"))
    assert (decision.action, decision.system_bound) == ("stop", None)
    assert decision.reason == "no compound is left to measure; 3 of the reserve gave no readout"


def test_without_a_rule_only_the_end_of_the_budget_stops():
    rule = StoppingConfig(rule="none", max_fraction=0.4)
    assert decide(evidence(), rule).action == "continue"
    assert decide(evidence(n_batch=0, n_top=0, n_top_correct=0), rule).action == "stop"


def test_the_earliest_stop_of_the_paper_rule_is_the_fraction_at_which_a_perfect_batch_certifies():
    fraction = earliest_paper_stop(50, 0.99, 0.05)
    assert fraction == pytest.approx(0.83, abs=0.01)
    for step, action in ((-2, "continue"), (2, "stop")):
        n = round(fraction * 100_000) + step
        perfect = evidence(n_target=100_000, n_observed=n, n_inference=100_000 - n, n_top=50, n_top_correct=50)
        assert decide(perfect, StoppingConfig(rule="paper", gamma=0.99)).action == action
