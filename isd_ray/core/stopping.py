"""What the configured stopping rule says: pure functions of the evidence of a round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from isd_ray.config import StoppingConfig
from isd_ray.core.audit_size import Needed, needed_to_certify, reserve_size
from isd_ray.core.betting import betting_interval
from isd_ray.core.bounds import allowed_errors, largest_plausible, plausible_range
from isd_ray.core.certify import LookState, last_look, plan_look
from isd_ray.core.goals import HITS, ByOutput, Goal
from isd_ray.core.hits_left import RandomHits, are_rare
from isd_ray.core.look_evidence import Audit, LookEvidence, LookOutlook, ScreenCounts
from isd_ray.core.looks import LookPlan, LookRule, look_deltas
from isd_ray.core.portions import in_portions
from isd_ray.core.rules.base import StoppingRule, between_looks
from isd_ray.core.scored import ScoredBatch, UncertaintyHistogram, bin_centres
from isd_ray.core.trigger import Forecast, forecast_blend, forecast_hits, forecast_platt, forecast_trend
from isd_ray.messages import RoundEvidence, StopDecision

_NO_RISK = 1e-9
"""Share of the risk that counts as none: what rounding leaves of a risk that is spent."""


def rule_of(config: StoppingConfig) -> StoppingRule:
    """The configured rule."""
    rule = config.in_force
    assert isinstance(rule, StoppingRule), "each of `isd_ray.core.rules` is"
    return rule


def decide(evidence: RoundEvidence, config: StoppingConfig) -> StopDecision:
    """What the configured rule says, and the end when nothing more may be acquired."""
    decision = rule_of(config).decide(evidence, config)
    if evidence.n_finish:
        # Also of a last look after a budget, whatever the rule.
        decision = replace(between_looks(evidence, config), alpha=decision.alpha, system_bound=decision.system_bound)
    if decision.action == "stop" and not evidence.rule_counts and evidence.n_inference:
        decision = replace(decision, action="continue", reason=f"{decision.reason}, but another condition is not met")
    if decision.action == "continue" and evidence.n_batch == 0 and evidence.stopped is not None:
        return replace(decision, action="stop", reason=f"stopped by a person: {evidence.stopped}")
    if decision.action == "continue" and evidence.n_batch == 0:
        limits = " and".join(f" of {limit}" for limit in evidence.spent_on)
        reason = f"{evidence.n_observed:,} of {evidence.n_target:,} compounds are measured, the budget{limits} is spent"
        return replace(decision, action="stop", reason=reason)
    return decision


@dataclass(frozen=True, slots=True)
class RandomSample:
    """Measured rows that were drawn uniformly from the `n` rows of a group; `losses` in random order, float64 (m,)."""

    n: int
    losses: NDArray[np.float64]


def random_bound(
    goal: Goal, counts: ScreenCounts, samples: Sequence[RandomSample], delta: float
) -> tuple[float | None, tuple[float, float] | None]:
    """What the random rows of one round say of the screen as it was when they were drawn.

    Returns
    -------
    tuple
        A bound on the claimed quantity that fails with probability at most delta, and its two-sided interval of
        confidence 1 - delta, ordered; each exact for this round on its own, whose model and observation set were fixed
        before the draw. For reading: that a round is the last, or the best, depends on the data. None without a sample.
    """
    if not any(len(sample.losses) for sample in samples):
        return None, None
    share = delta / len(samples)
    if not goal.is_exact:
        ends = [betting_interval(sample.losses, sample.n, share) for sample in samples]
        worst, best = (goal.value(counts, tuple(end[place] for end in ends)) for place in (1, 0))
        return worst, (min(worst, best), max(worst, best))
    errors = [int(sample.losses.sum()) for sample in samples]
    most = [largest_plausible(e, s.n, len(s.losses), share) for e, s in zip(errors, samples, strict=True)]
    ranges = [plausible_range(e, s.n, len(s.losses), share) for e, s in zip(errors, samples, strict=True)]
    worst = goal.value(counts, tuple(high for _, high in ranges))
    best = goal.value(counts, tuple(low for low, _ in ranges))
    return goal.value(counts, tuple(most)), (worst, best)


def kept_wells(config: StoppingConfig, n_target: int) -> int:
    """Wells that `reserve_audit` keeps: an audit that certifies a model with half the allowed errors; 0 without it.

    Raises
    ------
    ValueError
        If no audit could certify.
    """
    if not config.reserve_audit:
        return 0
    # The least risk that can be left when the budget ends.
    deltas = look_deltas(config.delta, config.max_looks, config.first_look_share)
    delta = deltas[-1] if config.in_force.has_many_looks else config.delta
    return reserve_size(n_target, allowed_errors(n_target, config.gamma), delta)


def forecast_look(evidence: LookEvidence, config: StoppingConfig, goal: Goal) -> LookOutlook:
    """Whether this is the round to look; spends no risk and proves nothing.

    A person may ask for a last look whenever, and for whatever reason: its risk is what is left of delta, and its audit
    is drawn afterwards, so that all looks together pass falsely with probability delta at most.
    """
    forecasts = [_forecast(evidence.scored[group], evidence, config, goal, group) for group in range(goal.n_groups)]
    return look_by(forecasts, evidence, config, goal)


def look_by(
    forecasts: Sequence[Forecast | None], evidence: LookEvidence, config: StoppingConfig, goal: Goal
) -> LookOutlook:
    """As `forecast_look`, by any forecasts of the groups of predictions."""
    if evidence.last_look:
        config = config.model_copy(update={"reserve_audit": True})
    rule = rule_of(config).looks(config, evidence.batch_size)
    expected = tuple(forecast.errors if forecast else 0.0 for forecast in forecasts)
    errors = sum(expected[group] for group in goal.audited) if all(forecasts[g] for g in goal.audited) else None
    if isinstance(goal, ByOutput):
        return _forecast_outputs(rule, evidence, config, goal, errors)
    allowances = goal.allowances(evidence.counts, expected)
    if allowances is None:
        return LookOutlook((), "even without an error the goal would be missed", errors)
    states = {
        group: LookState(
            n_inference=evidence.counts.left[group],
            allowed=allowed - evidence.n_unproved,
            forecast=_certain(forecasts[group], evidence.counts.left[group]),
            failed_looks=evidence.failed_looks,
            batches_since_look=evidence.batches_since_look,
            n_reserved=evidence.n_reserved,
            together=len(goal.audited),
            loss_variance=None if goal.is_exact else _loss_variance(evidence.scored[group]),
        )
        for group, allowed in zip(goal.audited, allowances, strict=True)
    }
    risk_left = config.delta - evidence.risk_spent
    if config.reserve_audit and evidence.n_batch == 0 and risk_left > _NO_RISK * config.delta:
        [state] = states.values()
        size = min(evidence.n_affordable, state.n_inference)
        outlook = LookOutlook((), "nothing is left to audit", errors)
        if size:
            plan = last_look(rule, state, risk_left, min(size, kept_wells(config, evidence.counts.n_target)))
            plan = replace(plan, tolerance=config.finish_tolerance)
            outlook = LookOutlook((plan,), "the last look, at the end of the budget", errors)
        return outlook
    needed = _needed(states, evidence, goal, config)
    if not config.in_force.is_audited:
        return LookOutlook((), "no look is planned by this rule", errors, needed)
    if risk_left <= _NO_RISK * config.delta:
        return LookOutlook((), "all the risk is spent", errors, needed)
    if config.reserve_audit and evidence.failed_looks == rule.max_looks - 1:
        return LookOutlook((), "the last look is kept for the end of the budget", errors, needed)
    if not evidence.rule_counts:
        return LookOutlook((), "another condition of the end is not met", errors, needed)
    if not goal.may_finish:
        rule = replace(rule, finish="none")
    planned = [(group, plan_look(rule, state)) for group, state in states.items() if state.n_inference]
    for _, look in planned:
        if look.plan is None:
            return LookOutlook((), look.reason, errors, needed)
    tolerance = config.finish_tolerance
    plans = tuple(replace(p.plan, group=g, tolerance=tolerance) for g, p in planned if p.plan is not None)
    if not plans:
        return LookOutlook((), "no prediction is left to audit", errors, needed)
    cost = 0 if evidence.n_reserved is not None else sum(plan.size for plan in plans)
    cost += evidence.counts.left[HITS] if goal.takes_hits else 0
    if cost > evidence.n_affordable:
        reason = f"a look of {cost} is beyond the budget of {evidence.n_affordable}"
        return LookOutlook((), reason, errors, needed)
    return LookOutlook(in_portions(plans, rule.portions), planned[0][1].reason, errors, needed)


def _forecast_outputs(
    rule: LookRule, evidence: LookEvidence, config: StoppingConfig, goal: Goal, errors: float | None
) -> LookOutlook:
    if not evidence.rule_counts:
        return LookOutlook((), "another condition of the end is not met", errors)

    def forecast(scored: Sequence[ScoredBatch]) -> Forecast | None:
        return _forecast(scored, evidence, config, goal, 0)

    assert isinstance(goal, ByOutput), "a goal with claims about outputs"
    plans, reason = goal.plan(rule, evidence, forecast)
    cost = plans[0].size + (evidence.counts.left[HITS] if goal.takes_hits else 0) if plans else 0
    if cost > evidence.n_affordable:
        reason = f"a look of {cost} is beyond the budget of {evidence.n_affordable}"
        return LookOutlook((), reason, errors)
    return LookOutlook(plans, reason, errors)


def _forecast(
    scored: Sequence[ScoredBatch], evidence: LookEvidence, config: StoppingConfig, goal: Goal, group: int
) -> Forecast | None:
    """Of a group, by batches of its rows."""
    n_observed, sizes = evidence.n_observed, (evidence.n_batch, evidence.n_random, evidence.first_batch)
    n_left = evidence.counts.left[group]
    histogram = UncertaintyHistogram(bin_centres(), evidence.histogram[group])
    # Random rows hold hardly a rare hit, so that nothing holds the level of the confidences in place.
    if config.trigger == "trend" or (config.trigger == "blend" and goal.takes_hits):
        if goal.takes_hits and group != HITS and are_rare(evidence.counts.left[HITS], evidence.counts.n_hits):
            first = _first_draw(evidence, config, goal)
            return forecast_hits(scored, n_observed, n_left, *sizes, first_draw=first)
        return forecast_trend(scored, n_observed, n_left, *sizes)
    is_share = not goal.is_regression
    if config.trigger == "platt":
        return forecast_platt(scored, histogram, n_observed, *sizes, is_share=is_share)
    return forecast_blend(scored, histogram, n_observed, *sizes, is_share=is_share)


def _first_draw(evidence: LookEvidence, config: StoppingConfig, goal: Goal) -> RandomHits | None:
    """What the first random rows say of the hits among predicted negatives: predicted hits count as found.

    Of a panel's rows, which hold hits of several outputs, the first draw is not asked.
    """
    draw, n_predicted = evidence.first_draw, evidence.counts.left[HITS]
    if draw is None or not goal.is_exact:
        return None
    wrong = _forecast(evidence.scored[HITS], evidence, config, goal, HITS)
    n_hits = n_predicted - (wrong.errors if wrong else 0.0)
    return replace(draw, n_since=draw.n_since + n_predicted, hits_since=draw.hits_since + max(0.0, n_hits))


def _certain(forecast: Forecast | None, n_left: int) -> Forecast | None:
    """The forecast; of no rows at all, that none of them is wrong."""
    return Forecast(0.0, 0.0) if n_left == 0 else forecast


def _loss_variance(scored: Sequence[ScoredBatch]) -> float:
    """Variance of a row's loss over past random rows; of a coin before there are any."""
    losses = np.concatenate([batch.loss[batch.is_random] for batch in scored] or [np.empty(0)])
    return float(losses.var()) if len(losses) > 1 else 0.25


def _needed(states: dict[int, LookState], evidence: LookEvidence, goal: Goal, config: StoppingConfig) -> Needed | None:
    """What one look at the whole risk would cost from here; for goals with one exact audit."""
    [(group, state), *others] = states.items()
    if others or not goal.is_exact or state.forecast is None or group == HITS:
        return None
    needed = needed_to_certify(state.forecast, state.n_inference, int(state.allowed), config.delta)
    if needed is None or not goal.takes_hits:
        return needed
    return replace(needed, finish=needed.finish + evidence.counts.left[HITS])


def decide_look(
    plans: Sequence[LookPlan], audits: Sequence[Audit], goal: Goal, hits: Sequence[int], n_affordable: int
) -> StopDecision:
    """What the readouts of an audit prove, within what the budget still allows.

    Parameters
    ----------
    plans, audits:
        As declared and settled (`Goal.settle`), and what came back; one for each audited group, and all must pass
        (`passes_all`). Of a panel with a claim about each output a plan for each, and one audit of them all.
    hits:
        Measured hits without those of the audit (`Goal.count_hits`).
    n_affordable:
        Rows that the budget still allows.
    """
    if isinstance(goal, ByOutput):
        return goal.decide(plans, audits[0], hits)
    verdicts = [goal.judge(plan, audit, hits) for plan, audit in zip(plans, audits, strict=True)]
    n_audited, n_errors = sum(plan.size for plan in plans), sum(verdict.n_errors for verdict in verdicts)
    found = (
        f"look {plans[0].number}: {n_errors:,g} error{'' if n_errors == 1 else 's'} in {n_audited:,} audited compounds"
    )
    if not passes_all([verdict.stop for verdict in verdicts]):
        return StopDecision("continue", f"{found}; not enough to stop")
    n_finish = max(verdict.n_finish for verdict in verdicts)
    n_new = sum(v.n_finish - audit.n_known(v.n_finish) for v, audit in zip(verdicts, audits, strict=True))
    if n_new > n_affordable:
        return StopDecision("continue", f"{found}; the finish of {n_new:,} is beyond the budget of {n_affordable:,}")
    if n_new:
        return StopDecision("finish", f"{found}; passed with a finish of {n_new}", n_finish=n_finish)
    if n_finish:
        return StopDecision("stop", f"{found}; passed, its finish of {n_finish} is measured", n_finish=n_finish)
    return StopDecision("stop", f"{found}; passed")


def passes_all(passed: Sequence[bool]) -> bool:
    """Intersection-union: claims that are each tested at the full delta_j hold together at delta_j (Berger 1982).

    If the joint claim is false then some part is false, and a stop needs every part to pass.
    """
    return len(passed) > 0 and all(passed)


class Judge:
    """The configured rule; sees evidence only, never a model."""

    def __init__(self, config: StoppingConfig, goal: Goal) -> None:
        self._config = config
        self._goal = goal

    def decide(self, evidence: RoundEvidence) -> StopDecision:
        """Judge a round; see `decide`."""
        return decide(evidence, self._config)

    def forecast_look(self, evidence: LookEvidence) -> LookOutlook:
        """Whether to look now; see `forecast_look`."""
        return forecast_look(evidence, self._config, self._goal)

    def decide_look(
        self, plans: Sequence[LookPlan], audits: Sequence[Audit], hits: Sequence[int], n_affordable: int
    ) -> StopDecision:
        """Judge an audit; see `decide_look`."""
        return decide_look(plans, audits, self._goal, hits, n_affordable)
