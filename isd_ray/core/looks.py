"""What a look is: the rule in force, the plan declared before an audit is drawn, and what it proved."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Finish = Literal["none", "cheap", "any"]
FIRST_SHARE = 0.8
"""Share of the risk that the first look spends, by trial on the scenarios of the benchmark: most screens need one."""


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
        Acquisition batch (b) that a look would stand in the place of: the unit in which the price of an audit is
        weighed.
    finish:
        `none`: the plain test, stop or resume. `cheap`: a fixed-sequence finish that resumes if it would cost more than
        the audit and two batches, except at the last look. `any`: finish whatever it costs.
    first_share:
        Share of the risk that the first look spends.
    portions:
        In how many portions an audit is measured (`isd_ray.core.portions`).
    """

    delta: float
    max_looks: int
    batch_size: int
    finish: Finish = "cheap"
    first_share: float = FIRST_SHARE
    portions: int = 1

    @classmethod
    def certify(
        cls, delta: float, max_looks: int, batch_size: int, first_share: float = FIRST_SHARE, portions: int = 1
    ) -> LookRule:
        """Several looks, each with a cheap finish; the last finishes at any cost."""
        return cls(delta, max_looks, batch_size, "cheap", first_share, portions)

    @classmethod
    def pac(cls, delta: float, batch_size: int, portions: int = 1) -> LookRule:
        """One look at the full risk, which finishes at any cost. Always valid; cheapest where the ranking is good."""
        return cls(delta, 1, batch_size, "any", portions=portions)

    @classmethod
    def reserved(cls, delta: float, max_looks: int, batch_size: int, first_share: float = FIRST_SHARE) -> LookRule:
        """As `certify`, with an audit that was drawn from the target set before the first model.

        What is left of the reserve R at a look is a uniform sample of the rows left if (1) no reserved label touches a
        model, a forecast or a choice before its row leaves R, (2) the batch is the top of a total order without regard
        to R, taken from the other rows, ties broken by a fixed random key, and (3) reserved rows that precede the last
        row taken leave R: they are measured rows like any other, and no longer of the audit. Walking down the order
        then reveals which of the walked rows are reserved, and nothing about the rest. Uniform draws come from the
        other rows. (4) A row whose well gave no readout stays left although it was walked over, so no reserved row
        answers for it any more: it counts as an error, and so does a reserved row that was lost and passed over
        (`LookEvidence.n_unproved`). With the allowance lowered by their number the test is that of the other rows: its
        p-value grows with the size of the population, so leaving them in it errs on the safe side. (5) Rows that people
        choose leave the inference set before the reserve is drawn, or not at all: the reserved ones among them could
        not leave with the others. (6) Looks fail without feeding reserved labels back, so the path does not depend on
        them. A finish does: its cut follows from these labels, and takes what is not reserved before it. If it is not
        completed, the reserve proves nothing more, and no look follows (`isd_ray.campaign.steps.look.plan_looks`).
        """
        return cls(delta, max_looks, batch_size, "cheap", first_share)


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
        outputs share one audit and split the look's risk (`isd_ray.core.goals.by_output`).
    tolerance:
        Rows of a finish that may stay without a readout, declared with the look.
    credit:
        Losses in [0, 1]: what the audit puts right is not held against it. False for looks that were declared by
        versions before.
    portions, portion:
        In how many portions the audit is measured (`isd_ray.core.portions`), and up to which of them it is judged.
    risk:
        Of a plan by which a portion is judged, the risk of the look; None where `delta` is that.
    n_unread:
        Of a panel: entries of predicted hits whose wells gave no readout, each of which may be wrong, as nothing bounds
        it. Known when the look is judged (`isd_ray.core.goals.base.Goal.with_unread`).
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
    tolerance: int = 0
    credit: bool = False
    portions: int = 1
    portion: int = 1
    risk: float | None = None
    n_unread: int = 0


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


def look_deltas(delta: float, max_looks: int, first_share: float = FIRST_SHARE) -> tuple[float, ...]:
    """The risk of each look, which sum to delta.

    The first spends `first_share` of it, each later one half of what is left, and the last as much as the one before.
    With a first share of one half the risk of look j is delta / 2**j.

    Raises
    ------
    ValueError
        If there is no look, or a share is not in (0, 1).
    """
    if max_looks < 1 or not 0.0 < delta < 1.0 or not 0.0 < first_share < 1.0:
        raise ValueError(f"need at least one look, and shares in (0, 1); got {max_looks=}, {delta=}, {first_share=}")
    if max_looks == 1:
        return (delta,)
    later = delta * (1.0 - first_share)
    return (delta * first_share, *(later / 2 ** min(j, max_looks - 2) for j in range(1, max_looks)))


def look_risk(look: Sequence[Mapping[str, Any]]) -> float:
    """Risk of a look on record, `LookPlan` by `LookPlan`: outputs split it, groups share it."""
    risks = [plan["delta"] if plan.get("risk") is None else plan["risk"] for plan in look]
    return math.fsum(risks) if look[0].get("output") is not None else risks[0]


def is_all_spent(risk: float, delta: float) -> bool:
    """Whether looks have spent all of delta together, but for a rounding error."""
    return risk > delta * (1.0 - 1e-9)
