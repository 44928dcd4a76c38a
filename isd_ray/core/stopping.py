"""Stopping rules: pure functions of the evidence of a round."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from isd_ray.config import StoppingConfig
from isd_ray.core.bounds import allowed_errors, kl_lower_bound, largest_plausible
from isd_ray.core.certify import LookForecast, LookPlan, LookRule, LookState, judge_look, plan_look
from isd_ray.core.trigger import Histogram, ScoredBatch, bin_centres, forecast_platt, forecast_trend
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


def look_based_rule(evidence: RoundEvidence, config: StoppingConfig) -> StopDecision:
    """Between looks nothing can stop; the bound reported is the exact one of this round's random share.

    P(accuracy below it) <= delta for this round on its own: the random rows are a uniform sample of the inference set
    that the model predicted. It is for reading, and no stop rests on it.
    """
    if evidence.n_inference == 0:
        return StopDecision("stop", "every compound of the target set is measured", 1.0, 1.0)
    if evidence.n_finish:
        return StopDecision("stop", f"the finish of {evidence.n_finish} compounds completes a passed look")
    if evidence.n_random == 0:
        return StopDecision("continue", "no look this round")
    n_scored = evidence.n_inference + evidence.n_batch
    errors = evidence.n_random - evidence.n_random_correct
    most = largest_plausible(errors, n_scored, evidence.n_random, config.delta)
    return StopDecision("continue", "no look this round", 1.0 - most / n_scored, 1.0 - most / evidence.n_target)


RULES: dict[str, StoppingRule] = {
    "certify": look_based_rule,
    "pac": look_based_rule,
    "paper": paper_rule,
    "none": no_rule,
}


def decide(evidence: RoundEvidence, config: StoppingConfig) -> StopDecision:
    """What the configured rule says, and the end when nothing more may be acquired."""
    decision = RULES[config.rule](evidence, config)
    if decision.action == "continue" and evidence.n_batch == 0:
        reason = f"{evidence.n_observed} of {evidence.n_target} compounds, the budget, are acquired"
        return StopDecision("stop", reason, decision.alpha, decision.system_bound)
    return decision


@dataclass(frozen=True, slots=True)
class LookEvidence:
    """What decides whether to look, after the inference set was scored and before a batch is chosen.

    Attributes
    ----------
    batch_size:
        The configured batch, the unit in which an audit is weighed.
    n_batch, n_random:
        Size of the batch that would come next, and of its random part.
    n_affordable:
        Rows that the budget still allows; an audit beyond it is not planned.
    histogram:
        Counts of the inference set's uncertainties, in the bins of `isd_ray.core.trigger`.
    scored:
        Past batches with what the models had said of them.
    """

    n_target: int
    n_inference: int
    batch_size: int
    n_batch: int
    n_random: int
    n_affordable: int
    histogram: NDArray[np.int64]
    scored: tuple[ScoredBatch, ...]
    failed_looks: int
    batches_since_look: int


def forecast_look(evidence: LookEvidence, config: StoppingConfig) -> LookForecast:
    """Whether this is the round to look, under `certify` or `pac`; spends no risk and proves nothing."""
    if config.rule == "certify":
        rule = LookRule.certify(config.delta, config.max_looks, evidence.batch_size)
    else:
        rule = LookRule.pac(config.delta, evidence.batch_size)
    if config.trigger == "trend":
        forecast = forecast_trend(
            evidence.scored, evidence.n_target, evidence.n_inference, evidence.n_batch, evidence.n_random
        )
    else:
        histogram = Histogram(bin_centres(), evidence.histogram)
        forecast = forecast_platt(evidence.scored, histogram, evidence.n_batch, evidence.n_random)
    state = LookState(
        n_inference=evidence.n_inference,
        allowed=allowed_errors(evidence.n_target, config.gamma),
        forecast=forecast,
        failed_looks=evidence.failed_looks,
        batches_since_look=evidence.batches_since_look,
    )
    planned = plan_look(rule, state)
    if planned.plan is not None and planned.plan.size > evidence.n_affordable:
        reason = f"an audit of {planned.plan.size} is beyond the budget of {evidence.n_affordable}"
        return LookForecast(None, reason, planned.errors, planned.size)
    return planned


def decide_look(plan: LookPlan, ranks: NDArray[np.int64], errors: NDArray[np.bool_], n_affordable: int) -> StopDecision:
    """What the readouts of an audit prove (`judge_look`), within what the budget still allows."""
    verdict = judge_look(plan, ranks, errors)
    found = f"look {plan.number}: {verdict.n_errors:g} errors in {plan.size} audited compounds"
    n_new = verdict.n_finish - int((ranks < verdict.n_finish).sum())
    if not verdict.stop:
        return StopDecision("continue", f"{found}; not enough to stop, the audit joins the observation set")
    if n_new > n_affordable:
        return StopDecision("continue", f"{found}; the finish of {n_new} is beyond the budget of {n_affordable}")
    if n_new:
        return StopDecision("finish", f"{found}; passed with a finish of {n_new}", n_finish=verdict.n_finish)
    return StopDecision("stop", f"{found}; passed")


class Judge:
    """The configured rule; sees evidence only, never a model."""

    def __init__(self, config: StoppingConfig) -> None:
        self._config = config

    def decide(self, evidence: RoundEvidence) -> StopDecision:
        """Judge a round; see `decide`."""
        return decide(evidence, self._config)

    def forecast_look(self, evidence: LookEvidence) -> LookForecast:
        """Whether to look now; see `forecast_look`."""
        return forecast_look(evidence, self._config)

    def decide_look(
        self, plan: LookPlan, ranks: NDArray[np.int64], errors: NDArray[np.bool_], n_affordable: int
    ) -> StopDecision:
        """Judge an audit; see `decide_look`."""
        return decide_look(plan, ranks, errors, n_affordable)


def earliest_paper_stop(batch_size: int, gamma: float, delta: float) -> float:
    """Least share of the target set at which the paper's rule can stop, were every prediction right.

    alpha is at most delta**(1/b), so the share f must satisfy f + (1 - f) * delta**(1/b) > gamma.
    """
    alpha = delta ** (1.0 / batch_size)
    return max(0.0, (gamma - alpha) / (1.0 - alpha))
