"""A claim about each output (assay) of a panel, by one audit of whole rows: every column is above its own gamma.

Column k holds the M measured readouts of its output and predictions for the n compounds of the inference set, of which
R would have a readout, W of them another one than predicted. The claim is A = 1 - W / (M + R) > gamma. M and n are
known; R and W are fixed before the audit is drawn, as the model is frozen. The audit is a uniform sample of the n
compounds, the same rows for every output. Which test an output gets is declared with the size of the audit, by what the
screen has seen until then:

- *exact*, where no measured compound lacks its readout, or one that does counts as wrong because its well was lost (a
  laboratory). Bad are entries that are predicted wrong or have no readout. If no more than c = allowed_errors(M + n,
  gamma) bad ones are left after the e audited errors are put right, W + (n - R) <= c < (1 - gamma) (M + n), so that
  W < (1 - gamma) (M + R) - gamma (n - R): the claim holds. The hypergeometric test of `isd_ray.core.certify` decides;
  an entry of the audit without a readout is an error that nobody corrects.
- *betting*, where entries are missing because compounds were never tested. R is unknown, and an entry without a readout
  must weigh nothing. With the loss 0 for a right entry, 1 for a wrong one and 1 - gamma for a missing one the total
  over the inference set is W + (1 - gamma) (n - R), and the claim is that it is below (1 - gamma) (M + n), which is
  known. `isd_ray.core.betting` tests totals of such losses. (To count missing entries as errors would be valid too, but
  a panel with 17 % of them could not be certified at 0.95 before it is measured.)

**Why delta is split.** Look j spends delta_j = the sum of delta_jk over the outputs, delta_jk = share_k * delta_j. By
the tests above each statement about output k fails with probability at most delta_jk, and the outputs are read off the
same compounds, so nothing is assumed of their dependence: the probability that any of them fails in any look is at most
the sum of all delta_jk = delta (Bonferroni). A stop with a column at or below its gamma is such a failure. (For the
stop alone the split would not be needed, as it takes a pass of the column that is false; it is what allows the bounds of
all outputs to be read side by side.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from isd_ray.core.bounds import allowed_errors, largest_plausible, plausible_range
from isd_ray.core.certify import LookPlan, LookRule, LookState, judge_look, judge_losses, plan_look
from isd_ray.core.goals import OutputGoal, ScreenCounts
from isd_ray.core.look_evidence import Audit, LookEvidence
from isd_ray.core.panels import MISSING
from isd_ray.core.trigger import Forecast, ScoredBatch
from isd_ray.messages import StopDecision

_HAIR = 1e-9
"""Relative: what an allowance of losses is lowered by, so that "below" survives the rounding of sums."""
_BOUND_STEPS = 100
"""Levels between gamma and 1 that a bound by betting tries."""
_SHOWN = 3
"""Outputs named in a reason."""


def plan_outputs(
    rule: LookRule,
    evidence: LookEvidence,
    outputs: Sequence[OutputGoal],
    forecast: Callable[[Sequence[ScoredBatch]], Forecast | None],
) -> tuple[tuple[LookPlan, ...], str]:
    """Whether to look now: one plan for each output, and why; none if this is not the round for one of them.

    The output that needs the largest audit decides its size, and one that is not ready that there is none. Planning
    only: validity never depends on it.

    Parameters
    ----------
    forecast:
        Errors of a population as large as the inference set, from batches of its rows.
    """
    [scored] = evidence.scored
    if not scored:
        return (), "no scored batch to learn from yet"
    plans: dict[int, LookPlan] = {}
    for place in _hardest_first(scored, outputs):
        output, state = outputs[place], _state(place, outputs[place], evidence, scored, forecast)
        look = plan_look(replace(rule, delta=rule.delta * output.share, finish="none"), state)
        if look.plan is None:
            return (), f"{output.name!r}: {look.reason}"
        plans[place] = replace(look.plan, output=place, n_entries=_n_entries(place, evidence.counts))
    size = max(plan.size for plan in plans.values())
    binding = next(place for place, plan in plans.items() if plan.size == size)
    reason = f"{outputs[binding].name!r} asks for the largest audit"
    return tuple(replace(plans[place], size=size) for place in range(len(outputs))), reason


def _n_entries(place: int, counts: ScreenCounts) -> int:
    return counts.measured[place] + counts.left[0]


def _hardest_first(scored: Sequence[ScoredBatch], outputs: Sequence[OutputGoal]) -> list[int]:
    """Places by falling share of wrong entries relative to the allowed one: the first is likely to say no."""
    outcomes = np.concatenate([batch.outcomes for batch in scored if batch.outcomes is not None])
    wrong, there = (outcomes == 1).sum(axis=0), np.maximum((outcomes != MISSING).sum(axis=0), 1)
    allowed = np.array([1.0 - output.gamma for output in outputs])
    return [int(place) for place in np.argsort(-wrong / there / allowed, kind="stable")]


def _state(
    place: int,
    output: OutputGoal,
    evidence: LookEvidence,
    scored: Sequence[ScoredBatch],
    forecast: Callable[[Sequence[ScoredBatch]], Forecast | None],
) -> LookState:
    """What is known of one output before the audit."""
    counts, n = evidence.counts, evidence.counts.left[0]
    columns = [_column(batch, place, counts.is_whole[place]) for batch in scored]
    found = forecast(columns)
    state = LookState(
        n_inference=n,
        allowed=0,
        forecast=found,
        failed_looks=evidence.failed_looks,
        batches_since_look=evidence.batches_since_look,
    )
    if counts.is_whole[place]:
        return replace(state, allowed=allowed_errors(_n_entries(place, counts), output.gamma))
    random = np.concatenate([b.outcomes[b.is_random, place] for b in scored if b.outcomes is not None])
    share = float((random != MISSING).mean()) if len(random) else 1.0
    weightless = (1.0 - output.gamma) * (1.0 - share)
    if found is not None:
        errors, next_batch = found.errors * share, found.next_batch * share
        found = Forecast(errors + weightless * n, next_batch + weightless * min(n, evidence.n_batch))
    losses = _losses(random, output.gamma)
    return replace(
        state,
        allowed=_loss_allowance(_n_entries(place, counts), output.gamma),
        forecast=found,
        loss_variance=float(losses.var()) if len(losses) > 1 else 0.25,
        weightless=weightless * n,
    )


def _column(batch: ScoredBatch, place: int, is_whole: bool) -> ScoredBatch:
    """The rows of a batch with a readout of one output, and its errors; of a whole column all rows."""
    assert batch.outcomes is not None, "History keeps them where outputs have claims"
    column = batch.outcomes[:, place]
    there = (column != MISSING) | is_whole
    return ScoredBatch(
        n_inference=batch.n_inference,
        n_observed=batch.n_observed,
        uncertainty=batch.uncertainty[there],
        rank=batch.rank[there],
        loss=(column[there] != 0).astype(np.float64),
        is_random=batch.is_random[there],
    )


def _losses(outcomes: NDArray[np.int8], gamma: float) -> NDArray[np.float64]:
    """Losses for the test by betting, float64 (m,)."""
    return np.where(outcomes == MISSING, 1.0 - gamma, outcomes)


def _loss_allowance(n_entries: int, gamma: float) -> float:
    return float((1 - Fraction(str(gamma))) * n_entries) * (1.0 - _HAIR)


def decide_outputs(plans: Sequence[LookPlan], audit: Audit, outputs: Sequence[OutputGoal]) -> StopDecision:
    """What one audit proves of all outputs: stop if every one of them passes.

    Parameters
    ----------
    plans:
        As declared, in the order of `outputs`.
    """
    assert audit.outcomes is not None, "asked for where outputs have claims"
    columns = [audit.outcomes[:, place] for place in range(len(outputs))]
    judged = list(zip(plans, columns, outputs, strict=True))
    failed = [
        f"{output.name!r} ({n_wrong(column)} wrong of {n_there(column)})"
        for plan, column, output in judged
        if not _passes(plan, audit, column, output)
    ]
    look = f"look {plans[0].number}: {plans[0].size} audited compounds"
    if failed:
        more = f" and {len(failed) - _SHOWN} more" if len(failed) > _SHOWN else ""
        return StopDecision("continue", f"{look} are not enough for {', '.join(failed[:_SHOWN])}{more}")
    bounds = tuple(_bound(plan, column, output) for plan, column, output in judged)
    return StopDecision("stop", f"{look}; each of {len(outputs)} outputs passed", bounds=bounds)


def n_wrong(outcomes: NDArray[np.int8]) -> int:
    """Wrong predictions among the entries of a column."""
    return int((outcomes == 1).sum())


def n_there(outcomes: NDArray[np.int8]) -> int:
    """Entries of a column with a readout."""
    return int((outcomes != MISSING).sum())


def _passes(plan: LookPlan, audit: Audit, column: NDArray[np.int8], output: OutputGoal) -> bool:
    if plan.expected_loss is not None:
        return judge_losses(plan, _losses(column, output.gamma)).stop
    return judge_look(plan, audit.ranks, column != 0, len(column) - n_there(column)).stop


def _bound(plan: LookPlan, column: NDArray[np.int8], output: OutputGoal) -> float:
    """Lower bound on the accuracy of a column that has passed; wrong with probability at most the plan's delta.

    By betting: levels are claimed one after the other from gamma upwards, up to the first that is not shown. The bound
    is wrong only if the lowest level that is not true is shown, so the levels need no correction.
    """
    if plan.expected_loss is None:
        n_bad, n_mended = int((column != 0).sum()), n_wrong(column)
        most = largest_plausible(n_bad, plan.n_inference, plan.size, plan.delta)
        return 1.0 - (most - n_mended) / plan.n_entries
    shown = output.gamma
    for level in np.linspace(output.gamma, 1.0, _BOUND_STEPS, endpoint=False)[1:].tolist():
        claim = replace(plan, allowed=_loss_allowance(plan.n_entries, level))
        if not judge_losses(claim, _losses(column, level)).stop:
            break
        shown = level
    return shown


def column_range(
    outcomes: NDArray[np.int8], n_inference: int, n_measured: int, is_whole: bool, delta: float
) -> tuple[float, float] | None:
    """About where the accuracy of a column lies, by rows drawn at random; None if none has a readout. For reading only.

    How many compounds of the inference set have a readout is estimated by the share of these rows.

    Parameters
    ----------
    outcomes:
        int8 (m,): of the random rows.
    n_measured:
        Readouts of the column.
    """
    n_rows = len(outcomes) if is_whole else n_there(outcomes)
    if not n_rows:
        return None
    n_bad = int((outcomes != 0).sum()) - (len(outcomes) - n_rows)
    n_left = max(n_rows, round(n_inference * n_rows / len(outcomes)))
    least, most = plausible_range(n_bad, n_left, n_rows, delta)
    return 1.0 - most / (n_measured + n_left), 1.0 - least / (n_measured + n_left)


def are_met(outputs: Sequence[OutputGoal], counts: ScreenCounts, wrong: Sequence[int], left: Sequence[int]) -> bool:
    """Whether the claims are true, by the wrong predictions and the readouts of the inference set, of each output."""
    columns = zip(outputs, counts.measured, wrong, left, strict=True)
    return all(w == 0 or w <= allowed_errors(m + r, output.gamma) for output, m, w, r in columns)


def accuracies(counts: ScreenCounts, wrong: Sequence[int], left: Sequence[int]) -> tuple[float, ...]:
    """True accuracy of each column; arguments as of `are_met`."""
    columns = zip(counts.measured, wrong, left, strict=True)
    return tuple(1.0 - w / (m + r) if m + r else 1.0 for m, w, r in columns)
