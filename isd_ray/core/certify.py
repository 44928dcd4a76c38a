"""Certified stopping: when an audit is worth its wells, and what its readouts prove.

The audit is a uniform random sample A of the inference set, drawn after the model f was frozen and written to the
store before any of its readouts is known. The number of its errors is then hypergeometric whatever the model, its
calibration and the acquisition policy, so a look at level delta_j stops falsely with probability at most delta_j, and
all looks together with probability at most delta_1 + delta_2 + … = delta.

A forecast (`isd_ray.core.trigger`) decides when to look and how large the audit is. It sees the past only; were it
wrong, looks would be wasted, never a guarantee.

Everything here is a pure function of the recorded history, so a resumed campaign decides the same again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isd_ray.core.audit_ranks import count_preceding
from isd_ray.core.audit_size import Needed, audit_size, likely_errors, needed_to_certify, power_z, reserve_size
from isd_ray.core.betting import betting_size, betting_test
from isd_ray.core.bounds import hypergeometric_pvalue
from isd_ray.core.looks import Finish, LookPlan, LookRule, LookVerdict, look_deltas, look_risk
from isd_ray.core.portions import most_portions, planned_level
from isd_ray.core.trigger import Forecast

__all__ = [
    "LookForecast",
    "LookPlan",
    "LookRule",
    "LookState",
    "LookVerdict",
    "Needed",
    "audit_size",
    "count_preceding",
    "judge_look",
    "judge_losses",
    "last_look",
    "look_deltas",
    "look_risk",
    "needed_to_certify",
    "plan_look",
    "reserve_size",
]

_LARGEST_SHARE = 0.5
"""Largest audit, as a share of the inference set."""
_CHEAP_BATCHES = 1.5
"""An audit of this many batches is cheap: it does not wait to become cheaper."""
_FINISH_BATCHES = 2.0
"""A finish that is cheap takes at most this many batches beyond the size of the audit."""
_PATIENCE_BATCHES = 1.0
"""A larger one waits for one more batch if that saves more audit than it costs, a batch."""
LONGEST_SKIP = 8
"""Most batches between a failed look and the next, as large as one was at that look."""
_NEAR_CUTS, _FAR_CUTS = 300, 100
"""Cuts tried by the finish: within the reach of a cheap finish, and beyond."""


@dataclass(frozen=True, slots=True)
class LookState:
    """What the rule knows before a round's batch is chosen.

    Attributes
    ----------
    n_inference:
        Rows that an audit would be drawn from: the inference set (recall: its predicted negatives).
    allowed:
        Most errors among them that leave the target (c); for losses in [0, 1] the largest total loss.
    forecast:
        Of the present model; None before a batch was scored.
    failed_looks:
        Looks spent so far.
    batches_since_look:
        Acquisition batches since the last failed look; where batches grow, in those of the size at that look.
    n_reserved:
        `reserved` only: rows of the reserve that acquisition has not passed over; they are the audit.
    loss_variance:
        Losses in [0, 1] only: variance of a unit's loss over past random rows.
    together:
        Audits that have to pass together with this one, it included.
    """

    n_inference: int
    allowed: float
    forecast: Forecast | None
    failed_looks: int
    batches_since_look: int
    n_reserved: int | None = None
    loss_variance: float | None = None
    together: int = 1


@dataclass(frozen=True, slots=True)
class LookForecast:
    """Whether to look now, and why; `size` is the audit that the forecast asks for, even where it is too large."""

    plan: LookPlan | None
    reason: str
    errors: float | None = None
    size: int | None = None


def plan_look(rule: LookRule, state: LookState) -> LookForecast:
    """Whether this is the round to look.

    Yes if the forecast meets the target, an audit with 70 % power takes at most half the inference set, and it is
    either cheap, at most one and a half batches, or one more batch (with no learning from it) would not make it cheaper
    by more than that batch costs. A reserve is paid for already: it has to have 70 % power. After failed look j,
    2**(j - 1) batches, at most 8, come first.
    """
    number = state.failed_looks + 1
    if number > rule.max_looks:
        return LookForecast(None, f"all {rule.max_looks} looks are spent")
    if state.forecast is None or state.n_inference == 0:
        return LookForecast(None, "not yet: no batch that a model has chosen is measured so far")
    errors = state.forecast.errors
    skip = min(2 ** (number - 2), LONGEST_SKIP) if number > 1 else 0
    if state.batches_since_look < skip:
        return LookForecast(None, f"batch {state.batches_since_look + 1} of {skip} after a failed look", errors)
    if errors > state.allowed:
        return LookForecast(None, f"about {errors:.0f} errors are left, {state.allowed:g} are allowed", errors)
    delta = look_deltas(rule.delta, rule.max_looks, rule.first_share)[number - 1]
    is_exact = state.loss_variance is None
    planned_at = planned_level(delta, rule.portions, is_exact=is_exact)
    most = max(1, int(_LARGEST_SHARE * state.n_inference))
    if state.n_reserved is not None:
        size = _enough_reserved(state, errors, delta)
    else:
        size = _size(state, state.n_inference, errors, planned_at, most)
    if size is None:
        return LookForecast(None, f"about {errors:.0f} errors are left: an audit would be too large", errors)
    if state.n_reserved is None and size > _CHEAP_BATCHES * rule.batch_size:
        n_later = max(1, state.n_inference - rule.batch_size)
        later = _size(state, n_later, max(0.0, errors - state.forecast.next_batch), planned_at, most)
        if later is not None and size - later > _PATIENCE_BATCHES * rule.batch_size:
            return LookForecast(None, f"the next batch saves {size - later} rows of audit", errors, size)
    finish: Finish = rule.finish if is_exact else "none"
    if finish == "cheap" and number == rule.max_looks:
        finish = "any"
    plan = LookPlan(
        number=number,
        delta=delta,
        size=size,
        n_inference=state.n_inference,
        allowed=state.allowed,
        finish=finish,
        reach=size + int(_FINISH_BATCHES * rule.batch_size),
        expected_loss=_expected_loss(state),
        credit=not is_exact,
        portions=most_portions(size, rule.portions),
    )
    return LookForecast(plan, f"about {errors:.0f} errors are left, {state.allowed:g} are allowed", errors, size)


def last_look(rule: LookRule, state: LookState, delta: float, size: int) -> LookPlan:
    """One look at the end of a budget, at all the risk `delta` that is left, with the audit that the budget allows."""
    return LookPlan(
        number=state.failed_looks + 1,
        delta=delta,
        size=size,
        n_inference=state.n_inference,
        allowed=state.allowed,
        finish="any" if state.loss_variance is None else "none",
        reach=size + int(_FINISH_BATCHES * rule.batch_size),
        expected_loss=_expected_loss(state),
        credit=state.loss_variance is not None,
    )


def _expected_loss(state: LookState) -> tuple[float, float] | None:
    """Mean and variance of a unit's loss, half the allowed mean before there is a forecast; None for exact errors."""
    if state.loss_variance is None:
        return None
    errors = state.forecast.errors if state.forecast else state.allowed / 2.0
    return errors / state.n_inference, state.loss_variance


def _size(state: LookState, n_inference: int, errors: float, delta: float, most: int) -> int | None:
    if state.loss_variance is None:
        return audit_size(n_inference, errors, int(state.allowed), delta, most, power_z(state.together))
    return betting_size(n_inference, errors / n_inference, state.loss_variance, state.allowed, delta, most)


def _enough_reserved(state: LookState, errors: float, delta: float) -> int | None:
    """The reserve's size if it has the power of an audit."""
    size = state.n_reserved or 0
    if state.loss_variance is not None:
        return size if _size(state, state.n_inference, errors, delta, size) is not None else None
    likely = int(likely_errors(state.n_inference, errors, np.array([size]))[0])
    pvalue = hypergeometric_pvalue(likely, state.n_inference, int(state.allowed) + 1 + likely, size)
    return size if pvalue <= delta else None


def judge_look(plan: LookPlan, ranks: NDArray[np.int64], errors: NDArray[np.bool_], n_lost: int = 0) -> LookVerdict:
    """Decide an exact look from its audit.

    Without a finish: stop iff more than c errors beyond the e found, which measuring has put right, are refuted at
    delta_j. With one, cuts a = n … 0 are tested from the safe end, "the tail of the n - a least uncertain rows holds
    more than c errors", up to the first that is not refuted. Tails are nested, so a false stop has to refute the one
    safest cut whose tail still holds c + 1 errors, and given how many audited rows fall there, these are a uniform
    sample of it: probability at most delta_j, without a correction for the number of cuts.

    Parameters
    ----------
    plan:
        As declared before the audit was drawn.
    ranks:
        int64 (m,): position of each audited row in the inference set ordered by decreasing uncertainty, ties by a fixed
        random key (`count_preceding`); distinct.
    errors:
        bool (m,): the frozen model's prediction was wrong. A well that failed counts as an error.
    n_lost:
        How many of the errors are failed wells, which no measurement has put right.

    Raises
    ------
    ValueError
        If the audit is not the declared one: another size, or ranks that repeat or lie outside the inference set.
    """
    n, c = plan.n_inference, int(plan.allowed)
    if len(ranks) != plan.size or len(errors) != plan.size or len(np.unique(ranks)) != plan.size:
        raise ValueError(f"look {plan.number} declared {plan.size} audited rows; got {len(ranks)} ranks")
    if plan.size and (ranks.min() < 0 or ranks.max() >= n):
        raise ValueError(f"ranks must lie in 0 … {n - 1}; got {ranks.min()} … {ranks.max()}")
    n_errors = int(errors.sum())
    pvalue = hypergeometric_pvalue(n_errors, n, c + 1 + n_errors - n_lost, plan.size)
    if plan.finish == "none":
        return LookVerdict(pvalue <= plan.delta, 0, n_errors, pvalue)
    cuts = _cuts(n, plan.reach)
    # Rows of a finish that may be lost are wrong at worst: behind the cut so many errors fewer have to be shown.
    kept = c - plan.tolerance
    tail_sampled = plan.size - np.searchsorted(np.sort(ranks), cuts)
    tail_errors = n_errors - np.searchsorted(np.sort(ranks[errors]), cuts)
    passed: NDArray[np.bool_] = np.equal(n, cuts)
    if kept >= 0:
        pvalues = hypergeometric_pvalue(tail_errors, n - cuts, np.array(kept + 1), tail_sampled)
        passed = (n - cuts <= kept) | (pvalues <= plan.delta)
    failed = np.flatnonzero(~passed)
    # The cut n always passes, as no row is behind it.
    cut = int(cuts[failed[-1] + 1]) if len(failed) else 0
    return LookVerdict(plan.finish == "any" or cut <= plan.reach, cut, n_errors, pvalue)


def judge_losses(plan: LookPlan, losses: NDArray[np.float64], kept: NDArray[np.float64]) -> LookVerdict:
    """Decide a look at losses in [0, 1] by betting; both arrays in the random order of drawing (`betting_test`).

    Measured rows are delivered as measured, so the screen has only the loss of the rows left, and what is `kept` of the
    losses of the audit. Looks of versions before hold all of its loss against the screen.

    Raises
    ------
    ValueError
        If the audit is not the declared one.
    """
    if plan.expected_loss is None or len(losses) != plan.size:
        raise ValueError(f"look {plan.number} declared {plan.size} losses; got {len(losses)}")
    held = kept if plan.credit else losses
    test = betting_test(losses, plan.n_inference, plan.allowed, plan.delta, *plan.expected_loss, held)
    pvalue = 1.0 if test.wealth <= 1.0 else 1.0 / test.wealth
    return LookVerdict(test.passed, 0, float(losses.sum()), pvalue)


def _cuts(n: int, reach: int) -> NDArray[np.int64]:
    """Ascending cuts from 0 to n, dense within reach."""
    near = np.linspace(0, min(reach, n), _NEAR_CUTS)
    far = np.linspace(min(reach, n), n, _FAR_CUTS + 1)
    return np.unique(np.concatenate([near, far]).round().astype(np.int64))
