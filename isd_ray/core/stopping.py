"""Stopping rules: pure functions of the evidence of a round."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from isd_ray.config import StoppingConfig
from isd_ray.core.bounds import kl_lower_bound
from isd_ray.messages import RoundEvidence, StopDecision

StoppingRule: TypeAlias = Callable[[RoundEvidence, StoppingConfig], StopDecision]


def paper_rule(evidence: RoundEvidence, config: StoppingConfig) -> StopDecision:
    """The paper's rule (Eq. 5 and 6): stop when (n_obs + alpha * n_inf) / n_target > gamma. A heuristic.

    Assumes that the model is weakly calibrated (Lemma 1), so that the hardest rows bound the rest, and looks every
    round at the full delta. Where a confident region is wrong it stops falsely.
    """
    if evidence.n_inference == 0:
        return StopDecision("stop", "every compound of the target set is measured", 1.0, 1.0)
    if evidence.n_top == 0:
        return StopDecision("continue", "no row chosen by the acquisition function yet")
    alpha = kl_lower_bound(evidence.n_top_correct / evidence.n_top, evidence.n_top, config.delta)
    bound = (evidence.n_observed + alpha * evidence.n_inference) / evidence.n_target
    if bound > config.gamma:
        return StopDecision("stop", f"the paper's bound {bound:.4f} is above gamma {config.gamma:g}", alpha, bound)
    return StopDecision("continue", f"the paper's bound {bound:.4f} is not above gamma {config.gamma:g}", alpha, bound)


def no_rule(evidence: RoundEvidence, config: StoppingConfig) -> StopDecision:
    """Never stop before the set is measured; the paper's bound is reported for reading only."""
    decision = paper_rule(evidence, config)
    if evidence.n_inference == 0:
        return decision
    return StopDecision("continue", "no stopping rule", decision.alpha, decision.system_bound)


RULES: dict[str, StoppingRule] = {"paper": paper_rule, "none": no_rule}


def decide(evidence: RoundEvidence, config: StoppingConfig) -> StopDecision:
    """What the configured rule says, and the end when nothing more may be acquired."""
    decision = RULES[config.rule](evidence, config)
    if decision.action == "continue" and evidence.n_batch == 0:
        reason = f"{evidence.n_observed} of {evidence.n_target} compounds, the max_fraction, are acquired"
        return StopDecision("stop", reason, decision.alpha, decision.system_bound)
    return decision


def earliest_paper_stop(batch_size: int, gamma: float, delta: float) -> float:
    """Least share of the target set at which the paper's rule can stop, were every prediction right.

    alpha is at most delta**(1/b), so the share f must satisfy f + (1 - f) * delta**(1/b) > gamma.
    """
    alpha = delta ** (1.0 / batch_size)
    return max(0.0, (gamma - alpha) / (1.0 - alpha))
