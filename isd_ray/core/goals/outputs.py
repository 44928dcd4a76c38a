"""A claim about each output (assay) of a panel, by one audit of whole rows: every column is above its own gamma.

Column k holds the M measured readouts of its output and predictions for the n compounds of the inference set. R of
these would have a readout, W of them another one than predicted. The claim is A = 1 - W / (M + R) > gamma, W without
the e errors that the audit found and so put right; equivalently W <= c(R) + e with c(R) = allowed_errors(M + R, gamma).

**The test.** M and n are known; R and W are fixed before the audit is drawn, as the model is frozen. The audit is a
uniform sample of m compounds, the same for every output. Given that m_k of them have a readout, these are a uniform
sample of the R. So for the R that is true, "W > c(R) + e" is refuted falsely with probability at most delta_jk by
pval(e; R, c(R) + 1 + e, m_k) <= delta_jk, the exact test of `isd_ray.core.bounds`. R is not known, but
m_k <= R <= n - (m - m_k): the p-value is the largest over all these R, which is not below that of the true one. Entries
without a readout so have no error and no weight, as in the mean of a panel. (To count them as errors would be valid as
well, but with 17 % of them missing nothing could be certified at 0.95; so would be betting, with neutral weights for
them, which needs twice the audit.)

In a laboratory every compound should have every readout. An entry of the audit without one is *lost*: an error that
nobody corrects. Then R = n counts all, and if at most c(n) of them are left wrong or lost, W <= c(n) - lost
< (1 - gamma) (M + n) - lost <= (1 - gamma) (M + n - lost): the claim holds for the entries that the screen delivers.

**Why delta is split.** Look j spends delta_j = the sum of delta_jk = share_k * delta_j over the outputs. Each statement
about output k fails in look j with probability at most delta_jk, whatever the outputs have to do with each other: the
probability that any statement fails in any look is at most the sum of all delta_jk = delta (Bonferroni). A stop with a
column at or below its gamma is such a failure. (For the stop alone no split would be needed, as it takes a pass of the
one column that is false; the split is what allows the bounds of all outputs to be read side by side.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from isd_ray.core import panels
from isd_ray.core.bounds import allowed_errors, hypergeometric_pvalue, plausible_range
from isd_ray.core.certify import LookState, plan_look
from isd_ray.core.goals.base import OutputGoal
from isd_ray.core.goals.panel import PanelAccuracy
from isd_ray.core.look_evidence import Audit, LookEvidence, ScreenCounts
from isd_ray.core.looks import LookPlan, LookRule
from isd_ray.core.panels import LOST, MISSING, RIGHT, WRONG
from isd_ray.core.trigger import Forecast, ScoredBatch
from isd_ray.messages import LabelArray, StopDecision

_BLOCKS = 64
"""Blocks into which the possible numbers of entries are cut for the largest p-value, finest where it is largest."""
_BOUND_STEPS = 100
"""Levels between gamma and 1 that a bound tries."""
_DECIMALS = 6
"""Of these levels."""
_SHOWN = 3
"""Outputs named in a reason."""


@dataclass(frozen=True, slots=True)
class OutputAccuracies(PanelAccuracy):
    """The accuracy of each output of a panel is above a level of its own; `level` is the lowest of them."""

    claims: tuple[OutputGoal, ...] = ()

    @property
    def words(self) -> str:
        """The claim in words."""
        return f"accuracy of each of {len(self.claims)} outputs is above {_range(self.claims)}"

    @property
    def outputs(self) -> tuple[OutputGoal, ...]:
        """The claims."""
        return self.claims

    def outcomes(self, prediction: LabelArray, labels: LabelArray) -> NDArray[np.int8]:
        """What became of each predicted entry.

        An entry that should have had a readout is lost; so is every one of a row that no model has predicted.
        """
        if prediction.ndim == 1:
            return np.full((len(labels), len(self.claims)), LOST, np.int8)
        found = panels.outcomes(prediction, labels, len(self.claims))
        if self.n_expected is not None:
            found[found == MISSING] = LOST
        return found

    def is_whole(self, labels: LabelArray) -> NDArray[np.bool_]:
        """Which labels speak of every output."""
        whole: NDArray[np.bool_] = np.logical_and.reduce(panels.unpack(labels[:, 1], len(self.claims)), axis=1)
        return whole


def _range(outputs: tuple[OutputGoal, ...]) -> str:
    """The levels in words."""
    levels = sorted({output.gamma for output in outputs})
    return f"{levels[0]:g}" if len(levels) == 1 else f"its own level, {levels[0]:g} to {levels[-1]:g}"


def column_pvalue(outcomes: NDArray[np.int8], n_inference: int, n_measured: int, gamma: float) -> float:
    """p-value of "the accuracy of this column, the errors of the audit put right, is gamma or less".

    Parameters
    ----------
    outcomes:
        int8 (m,): of the audited entries (`isd_ray.core.panels.outcomes`).
    n_inference:
        Compounds that the audit was drawn from.
    n_measured:
        Readouts of the column outside the audit.

    Returns
    -------
    float
        An upper bound of the largest over the possible numbers of entries R, never below it: over a block of R the
        p-value is at most that of its largest R with the fewest bad entries, those of its smallest R, as it grows with
        the population and falls with the bad ones in it.
    """
    sampled, bad, mended = n_there(outcomes), n_bad(outcomes), n_wrong(outcomes)
    most = n_inference - (len(outcomes) - sampled)
    least = max(1, sampled)
    if most < least:
        # Nothing is left that the claim could be wrong about.
        return 0.0
    steps = np.square(np.linspace(1.0, 0.0, _BLOCKS + 1))
    edges = np.unique(np.floor(most + 1 - (most + 1 - least) * steps).astype(np.int64))
    first, last = edges[:-1], edges[1:] - 1
    allowed = np.array([allowed_errors(n_measured + int(entries), gamma) for entries in first])
    return float(hypergeometric_pvalue(np.array(bad), last, allowed + 1 + mended, np.array(sampled)).max())


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
        return (), "not yet: no batch that a model has chosen is measured so far"
    outcomes = np.concatenate([_outcomes(batch) for batch in scored])
    there = (outcomes != MISSING).mean(axis=0)
    n, measured = evidence.counts.left[0], evidence.counts.measured
    plans: dict[int, LookPlan] = {}
    for place in _hardest_first(outcomes, outputs):
        output = outputs[place]
        state = LookState(
            n_inference=n,
            # As if every compound had an entry, the forecast too: nearly the worst case that is tested.
            allowed=allowed_errors(measured[place] + n, output.gamma),
            forecast=forecast([_column(batch, place) for batch in scored]),
            failed_looks=evidence.failed_looks,
            batches_since_look=evidence.batches_since_look,
        )
        look = plan_look(replace(rule, delta=rule.delta * output.share, finish="none"), state)
        if look.plan is None:
            return (), f"{output.name!r}: {look.reason}"
        size = min(n, math.ceil(look.plan.size / max(there[place], 1.0 / n)))
        plans[place] = replace(look.plan, size=size, output=place, n_measured=measured[place])
    size = max(plan.size for plan in plans.values())
    binding = next(place for place, plan in plans.items() if plan.size == size)
    reason = f"{outputs[binding].name!r} asks for the largest audit"
    return tuple(replace(plans[place], size=size) for place in range(len(outputs))), reason


def _outcomes(batch: ScoredBatch) -> NDArray[np.int8]:
    assert batch.outcomes is not None, "History keeps them where outputs have claims"
    return batch.outcomes


def _hardest_first(outcomes: NDArray[np.int8], outputs: Sequence[OutputGoal]) -> list[int]:
    """Places by falling share of bad entries relative to the allowed one: the first is likely to say no."""
    bad, there = (outcomes > RIGHT).sum(axis=0), np.maximum((outcomes != MISSING).sum(axis=0), 1)
    allowed = np.array([1.0 - output.gamma for output in outputs])
    return [int(place) for place in np.argsort(-bad / there / allowed, kind="stable")]


def _column(batch: ScoredBatch, place: int) -> ScoredBatch:
    """The rows of a batch with an entry of one output, and its errors."""
    column = _outcomes(batch)[:, place]
    there = column != MISSING
    return ScoredBatch(
        n_inference=batch.n_inference,
        n_observed=batch.n_observed,
        uncertainty=batch.uncertainty[there],
        rank=batch.rank[there],
        loss=(column[there] > RIGHT).astype(np.float64),
        is_random=batch.is_random[there],
    )


def decide_outputs(plans: Sequence[LookPlan], audit: Audit, outputs: Sequence[OutputGoal]) -> StopDecision:
    """What one audit proves of all outputs: stop if every one of them passes.

    Parameters
    ----------
    plans:
        As declared, in the order of `outputs`.

    Raises
    ------
    ValueError
        If the audit is not the declared one.
    """
    if audit.outcomes is None or audit.outcomes.shape != (plans[0].size, len(outputs)):
        raise ValueError(f"look {plans[0].number} declared {plans[0].size} rows of {len(outputs)} outputs")
    judged = list(zip(plans, audit.outcomes.T, outputs, strict=True))
    failed = [
        f"{output.name!r} ({n_bad(column)} wrong of {n_there(column)})"
        for plan, column, output in judged
        if not _is_shown(plan, column, output.gamma)
    ]
    look = f"look {plans[0].number}: {plans[0].size} audited compounds"
    if failed:
        more = f" and {len(failed) - _SHOWN} more" if len(failed) > _SHOWN else ""
        return StopDecision("continue", f"{look} are not enough for {', '.join(failed[:_SHOWN])}{more}")
    bounds = tuple(_bound(plan, column, output) for plan, column, output in judged)
    return StopDecision("stop", f"{look}; each of {len(outputs)} outputs passed", bounds=bounds)


def n_bad(outcomes: NDArray[np.int8]) -> int:
    """Wrong predictions and lost entries of a column."""
    return int((outcomes > RIGHT).sum())


def n_wrong(outcomes: NDArray[np.int8]) -> int:
    """Wrong predictions among the entries of a column, lost ones not counted."""
    return int((outcomes == WRONG).sum())


def n_there(outcomes: NDArray[np.int8]) -> int:
    """Entries of a column that have a readout or should have had one."""
    return int((outcomes != MISSING).sum())


def _is_shown(plan: LookPlan, column: NDArray[np.int8], level: float) -> bool:
    """Whether the audit shows that the accuracy of a column is above a level."""
    return column_pvalue(column, plan.n_inference, plan.n_measured, level) <= plan.delta


def _bound(plan: LookPlan, column: NDArray[np.int8], output: OutputGoal) -> float:
    """Lower bound on the accuracy of a column that has passed; wrong with probability at most the plan's delta.

    Levels are claimed one after the other from gamma upwards, up to the first that is not shown. The bound is wrong
    only if the lowest level that is not true is shown, so trying many needs no correction.
    """
    shown = output.gamma
    for level in np.linspace(output.gamma, 1.0, _BOUND_STEPS, endpoint=False)[1:].round(_DECIMALS).tolist():
        if not _is_shown(plan, column, level):
            break
        shown = level
    return shown


def column_range(
    outcomes: NDArray[np.int8], n_inference: int, n_measured: int, delta: float
) -> tuple[float, float] | None:
    """About where the accuracy of a column lies, by rows drawn at random; None if none has an entry. For reading only.

    How many compounds of the inference set have a readout is estimated by the share of these rows.

    Parameters
    ----------
    outcomes:
        int8 (m,): of the random rows.
    n_measured:
        Readouts of the column.
    """
    sampled, bad = n_there(outcomes), n_bad(outcomes)
    if not sampled:
        return None
    n_left = max(sampled, round(n_inference * sampled / len(outcomes)))
    least, most = plausible_range(bad, n_left, sampled, delta)
    return 1.0 - most / (n_measured + n_left), 1.0 - least / (n_measured + n_left)


def are_met(outputs: Sequence[OutputGoal], counts: ScreenCounts, wrong: Sequence[int], left: Sequence[int]) -> bool:
    """Whether the claims are true, by the wrong predictions and the readouts of the inference set, of each output."""
    columns = zip(outputs, counts.measured, wrong, left, strict=True)
    return all(w == 0 or w <= allowed_errors(m + r, output.gamma) for output, m, w, r in columns)


def accuracies(counts: ScreenCounts, wrong: Sequence[int], left: Sequence[int]) -> tuple[float, ...]:
    """True accuracy of each column; arguments as of `are_met`."""
    columns = zip(counts.measured, wrong, left, strict=True)
    return tuple(1.0 - w / (m + r) if m + r else 1.0 for m, w, r in columns)
