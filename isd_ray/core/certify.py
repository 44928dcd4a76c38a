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

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from isd_ray.core.betting import betting_size, betting_test
from isd_ray.core.bounds import hypergeometric_pvalue
from isd_ray.core.trigger import Forecast

Finish = Literal["none", "cheap", "any"]

_LARGEST_POPULATION = 10**11
_SIZE_STEP = 1.03
"""Audit sizes are tried on a grid of 3 % steps."""
_POWER_Z = 1.2816
"""Normal quantile of 90 % power."""
_LARGEST_SHARE = 0.5
"""Largest audit, as a share of the inference set."""
_CHEAP_BATCHES = 1.5
"""An audit of this many batches is cheap: it does not wait to become cheaper."""
_FINISH_BATCHES = 2.0
"""A finish that is cheap takes at most this many batches beyond the size of the audit."""
_PATIENCE_BATCHES = 1.0
"""A larger one waits for one more batch if that saves more audit than it costs, a batch."""
_LONGEST_SKIP = 8
"""Most acquisition rounds between a failed look and the next."""
_NEAR_CUTS, _FAR_CUTS = 300, 100
"""Cuts tried by the finish: within the reach of a cheap finish, and beyond."""


@dataclass(frozen=True, slots=True)
class LookRule:
    """The rule in force: how much risk each look spends and what may follow from it.

    Attributes
    ----------
    delta:
        Risk of a false stop, over all looks.
    max_looks:
        Most looks (J).
    batch_size:
        Acquisition batch (b): the unit in which the price of an audit is weighed.
    finish:
        `none`: the plain test, stop or resume. `cheap`: a fixed-sequence finish that resumes if it would cost more than
        the audit and two batches, except at the last look. `any`: finish whatever it costs.
    """

    delta: float
    max_looks: int
    batch_size: int
    finish: Finish = "cheap"

    @classmethod
    def certify(cls, delta: float, max_looks: int, batch_size: int) -> LookRule:
        """Several looks, each with a cheap finish; the last finishes at any cost."""
        return cls(delta, max_looks, batch_size, "cheap")

    @classmethod
    def pac(cls, delta: float, batch_size: int) -> LookRule:
        """One look at the full risk, which finishes at any cost. Always valid; cheapest where the ranking is good."""
        return cls(delta, 1, batch_size, "any")

    @classmethod
    def reserved(cls, delta: float, max_looks: int, batch_size: int) -> LookRule:
        """As `certify`, with an audit that was drawn from the target set before the first model.

        What is left of the reserve R at a look is a uniform sample of the rows left if (1) no reserved label touches a
        model, a forecast or a choice before its row leaves R, (2) the batch is the top of a total order without regard
        to R, taken from the other rows, ties broken by a fixed random key, and (3) reserved rows that precede the last
        row taken leave R: they are measured rows like any other, and no longer of the audit. Walking down the order
        then reveals which of the walked rows are reserved, and nothing about the rest. Uniform draws come from the
        other rows. Looks fail without feeding their labels back, so the path does not depend on them.
        """
        return cls(delta, max_looks, batch_size, "cheap")


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
        Acquisition batches since the last failed look.
    n_reserved:
        `reserved` only: rows of the reserve that acquisition has not passed over; they are the audit.
    loss_variance:
        Losses in [0, 1] only: variance of a unit's loss over past random rows.
    """

    n_inference: int
    allowed: float
    forecast: Forecast | None
    failed_looks: int
    batches_since_look: int
    n_reserved: int | None = None
    loss_variance: float | None = None


@dataclass(frozen=True, slots=True)
class LookPlan:
    """A look, declared before its audit is drawn: store it, with the audit's seed and rows, before the release.

    Attributes
    ----------
    number:
        1 for the first look.
    delta:
        Risk this look spends.
    size:
        Rows of the audit (m).
    n_inference, allowed:
        As in `LookState`.
    finish:
        As in `LookRule`; `any` at the last look of a rule that finishes.
    reach:
        Largest cut of a cheap finish.
    expected_loss:
        Mean and variance of a unit's loss as forecast; None for right-or-wrong errors.
    group:
        Which of the rows that are predicted alike are audited (`isd_ray.core.goals`).
    output, n_measured:
        Of a panel with a claim about each output: which of them this is, and how many readouts of it are measured. All
        outputs share one audit and split the look's risk (`isd_ray.core.outputs`).
    """

    number: int
    delta: float
    size: int
    n_inference: int
    allowed: float
    finish: Finish
    reach: int
    expected_loss: tuple[float, float] | None = None
    group: int = 0
    output: int | None = None
    n_measured: int = 0


@dataclass(frozen=True, slots=True)
class LookForecast:
    """Whether to look now, and why; `size` is the audit that the forecast asks for, even where it is too large."""

    plan: LookPlan | None
    reason: str
    errors: float | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Needed:
    """The cheapest way to a certificate that a forecast sees, for the model at hand.

    Attributes
    ----------
    errors, allowed:
        Wrong predictions expected, and how many may be left.
    finish, audit:
        Most uncertain rows to measure (for a recall, all predicted hits besides), and rows of a random audit of the
        others, that certify with about 90 % power.
    """

    errors: float
    allowed: float
    finish: int
    audit: int


@dataclass(frozen=True, slots=True)
class LookVerdict:
    """What a look proved.

    Attributes
    ----------
    stop:
        Measure the `n_finish` most uncertain rows (those of the audit among them are measured already) and stop with
        the frozen model. Otherwise the audit joins the observation set and acquisition goes on.
    n_finish:
        The cut a*: 0 for a stop at once; the cut that would have passed where `stop` is false.
    n_errors:
        Errors in the audit; for losses their sum.
    pvalue:
        Of the whole inference set: of "the delivered screen misses the target without a finish".
    """

    stop: bool
    n_finish: int
    n_errors: float
    pvalue: float


def look_deltas(delta: float, max_looks: int) -> tuple[float, ...]:
    """The risk of each look: delta / 2**j, and the last look as much as the one before it, so that they sum to delta.

    Raises
    ------
    ValueError
        If there is no look, or delta is not in (0, 1).
    """
    if max_looks < 1 or not 0.0 < delta < 1.0:
        raise ValueError(f"need at least one look and 0 < delta < 1; got {max_looks=}, {delta=}")
    return tuple(delta / 2 ** min(j, max_looks - 1) for j in range(1, max_looks + 1))


def look_risk(look: Sequence[Mapping[str, Any]]) -> float:
    """Risk of a look on record, `LookPlan` by `LookPlan`: outputs split it, groups share it."""
    return math.fsum(plan["delta"] for plan in look) if look[0].get("output") is not None else look[0]["delta"]


def audit_size(n_inference: int, errors: float, allowed: int, delta: float, most: int | None = None) -> int | None:
    """Smallest audit (a grid of 3 % steps) that certifies with about 90 % probability if `errors` are expected.

    With e90 errors, the 90 % quantile of the hypergeometric by its normal approximation, "more than `allowed` are left
    after the e90 found are put right" must be refuted. Almost independent of the population.

    Returns
    -------
    int or None
        None if no audit of at most `most` rows (default: the whole set) would do.
    """
    most = n_inference if most is None else min(most, n_inference)
    m = _sizes()
    m = np.append(m[m < most], np.int64(most))[: max(0, most)]
    likely = _likely_errors(n_inference, errors, m)
    passed = hypergeometric_pvalue(likely, np.array(n_inference), allowed + 1 + likely, m) <= delta
    return int(m[passed.argmax()]) if passed.any() else None


@cache
def _sizes() -> NDArray[np.int64]:
    """The grid of audit sizes, up to any population."""
    sizes = [1]
    while sizes[-1] < _LARGEST_POPULATION:
        sizes.append(max(sizes[-1] + 1, math.ceil(sizes[-1] * _SIZE_STEP)))
    return np.array(sizes, np.int64)


def reserve_size(n_target: int, allowed: int, delta: float, max_looks: int) -> int:
    """Size of a reserve that certifies at the first look a model with half the allowed errors.

    Raises
    ------
    ValueError
        If no reserve does.
    """
    size = audit_size(n_target, allowed / 2.0, allowed, look_deltas(delta, max_looks)[0])
    if size is None:
        raise ValueError(f"no reserve can certify {allowed=} errors of {n_target=} rows")
    return size


def _likely_errors(n_inference: int, errors: float, sampled: NDArray[np.int64]) -> NDArray[np.int64]:
    rate = min(1.0, errors / n_inference)
    spread = np.sqrt(sampled * rate * (1.0 - rate) * (n_inference - sampled) / max(1, n_inference - 1))
    return np.floor(np.minimum(sampled, sampled * rate + _POWER_Z * spread + 0.5)).astype(np.int64)


def plan_look(rule: LookRule, state: LookState) -> LookForecast:
    """Whether this is the round to look.

    Yes if the forecast meets the target, an audit with 90 % power takes at most half the inference set, and it is
    either cheap, at most one and a half batches, or one more batch (with no learning from it) would not make it cheaper
    by more than that batch costs. A reserve is paid for already: it has to have 90 % power. After failed look j,
    2**(j - 1) acquisition rounds, at most 8, come first.
    """
    number = state.failed_looks + 1
    if number > rule.max_looks:
        return LookForecast(None, f"all {rule.max_looks} looks are spent")
    if state.forecast is None or state.n_inference == 0:
        return LookForecast(None, "no scored batch to learn from yet")
    errors = state.forecast.errors
    skip = min(2 ** (number - 2), _LONGEST_SKIP) if number > 1 else 0
    if state.batches_since_look < skip:
        return LookForecast(None, f"batch {state.batches_since_look + 1} of {skip} after a failed look", errors)
    if errors > state.allowed:
        return LookForecast(None, f"about {errors:.0f} errors are left, {state.allowed:g} are allowed", errors)
    delta = look_deltas(rule.delta, rule.max_looks)[number - 1]
    most = max(1, int(_LARGEST_SHARE * state.n_inference))
    if state.n_reserved is not None:
        size = _enough_reserved(state, errors, delta)
    else:
        size = _size(state, state.n_inference, errors, delta, most)
    if size is None:
        return LookForecast(None, f"about {errors:.0f} errors are left: an audit would be too large", errors)
    if state.n_reserved is None and size > _CHEAP_BATCHES * rule.batch_size:
        n_later = max(1, state.n_inference - rule.batch_size)
        later = _size(state, n_later, max(0.0, errors - state.forecast.next_batch), delta, most)
        if later is not None and size - later > _PATIENCE_BATCHES * rule.batch_size:
            return LookForecast(None, f"the next batch saves {size - later} rows of audit", errors, size)
    is_exact = state.loss_variance is None
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
    )


def _expected_loss(state: LookState) -> tuple[float, float] | None:
    """Mean and variance of a unit's loss, half the allowed mean before there is a forecast; None for exact errors."""
    if state.loss_variance is None:
        return None
    errors = state.forecast.errors if state.forecast else state.allowed / 2.0
    return errors / state.n_inference, state.loss_variance


def needed_to_certify(forecast: Forecast, n_inference: int, allowed: int, delta: float) -> Needed | None:
    """What one look at risk `delta` would cost from here, by the forecast; None if it does not say.

    The smallest sum of a finish, the a most uncertain rows, and an audit with about 90 % power of the others, whose
    errors found are put right.
    """
    if forecast.edges is None or forecast.beyond is None:
        return None
    best: Needed | None = None
    for cut, errors in zip(np.ceil(forecast.edges).astype(int).tolist(), forecast.beyond.tolist(), strict=True):
        n_left = n_inference - cut
        if errors > allowed or n_left < 0:
            continue
        audit = 0 if n_left <= allowed else audit_size(n_left, errors, allowed, delta)
        if audit is not None and (best is None or cut + audit < best.finish + best.audit):
            best = Needed(forecast.errors, allowed, cut, audit)
    return best


def _size(state: LookState, n_inference: int, errors: float, delta: float, most: int) -> int | None:
    if state.loss_variance is None:
        return audit_size(n_inference, errors, int(state.allowed), delta, most)
    return betting_size(n_inference, errors / n_inference, state.loss_variance, state.allowed, delta, most)


def _enough_reserved(state: LookState, errors: float, delta: float) -> int | None:
    """The reserve's size if it has about 90 % power."""
    size = state.n_reserved or 0
    if state.loss_variance is not None:
        return size if _size(state, state.n_inference, errors, delta, size) is not None else None
    likely = int(_likely_errors(state.n_inference, errors, np.array([size]))[0])
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
    tail_sampled = plan.size - np.searchsorted(np.sort(ranks), cuts)
    tail_errors = n_errors - np.searchsorted(np.sort(ranks[errors]), cuts)
    passed = (n - cuts <= c) | (
        hypergeometric_pvalue(tail_errors, n - cuts, np.array(c + 1), tail_sampled) <= plan.delta
    )
    failed = np.flatnonzero(~passed)
    # The cut n always passes, as no row is behind it.
    cut = int(cuts[failed[-1] + 1]) if len(failed) else 0
    return LookVerdict(plan.finish == "any" or cut <= plan.reach, cut, n_errors, pvalue)


def judge_losses(plan: LookPlan, losses: NDArray[np.float64]) -> LookVerdict:
    """Decide a look at losses in [0, 1] by betting; `losses` in the random order of drawing (`betting_test`).

    Raises
    ------
    ValueError
        If the audit is not the declared one.
    """
    if plan.expected_loss is None or len(losses) != plan.size:
        raise ValueError(f"look {plan.number} declared {plan.size} losses; got {len(losses)}")
    test = betting_test(losses, plan.n_inference, plan.allowed, plan.delta, *plan.expected_loss)
    pvalue = 1.0 if test.wealth <= 1.0 else 1.0 / test.wealth
    return LookVerdict(test.passed, 0, float(losses.sum()), pvalue)


def _cuts(n: int, reach: int) -> NDArray[np.int64]:
    """Ascending cuts from 0 to n, dense within reach."""
    near = np.linspace(0, min(reach, n), _NEAR_CUTS)
    far = np.linspace(min(reach, n), n, _FAR_CUTS + 1)
    return np.unique(np.concatenate([near, far]).round().astype(np.int64))


def count_preceding(
    audit_uncertainty: NDArray[np.float32],
    audit_keys: NDArray[np.uint64],
    uncertainty: NDArray[np.float32],
    keys: NDArray[np.uint64],
) -> NDArray[np.int64]:
    """How many of the given rows come before each audited row: larger uncertainty first, then smaller key.

    Summed over all blocks of the inference set this is the audited rows' exact rank, for any cut into blocks.

    Parameters
    ----------
    audit_uncertainty, audit_keys:
        Shape (m,): of the audited rows, in any order; `keys` by `isd_ray.core.seeding.tie_keys`.
    uncertainty, keys:
        Shape (n,): of the block's inference rows, which may contain audited ones.

    Returns
    -------
    ndarray
        int64 (m,).
    """
    order = np.lexsort((audit_keys, -audit_uncertainty))
    wanted = -audit_uncertainty[order]
    values = -uncertainty
    left = np.searchsorted(wanted, values, side="left")
    tied = np.searchsorted(wanted, values, side="right") > left
    # A row before the audited row at `left` is before all the later ones.
    first_after = left
    if tied.any():
        sorted_keys = np.sort(audit_keys)
        n_keys = len(sorted_keys) + 1
        group = np.searchsorted(wanted, wanted)
        own = group * n_keys + np.searchsorted(sorted_keys, audit_keys[order])
        # `right` of an equal key: a row does not precede itself.
        place = left[tied] * n_keys + np.searchsorted(sorted_keys, keys[tied], side="right")
        first_after = left.copy()
        first_after[tied] = np.searchsorted(own, place, side="left")
    counts = np.cumsum(np.bincount(first_after, minlength=len(wanted) + 1)[: len(wanted)])
    ranks = np.empty(len(wanted), np.int64)
    ranks[order] = counts
    return ranks
