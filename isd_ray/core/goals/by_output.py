"""What claims about each output (assay) of a panel have in common: one audit of whole rows, and a share of the risk."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from isd_ray.core import panels
from isd_ray.core.certify import LookState, plan_look
from isd_ray.core.goals.base import OTHERS, OutputGoal
from isd_ray.core.look_evidence import Audit, LookEvidence, ScreenCounts
from isd_ray.core.looks import LookPlan, LookRule
from isd_ray.core.panels import LOST, MISSING, RIGHT, WRONG
from isd_ray.core.portions import in_portions
from isd_ray.core.scored import ScoredBatch
from isd_ray.core.trigger import Forecast
from isd_ray.messages import LabelArray, StopDecision

Column: TypeAlias = NDArray[np.int8] | NDArray[np.float64]
"""Outcomes of the audited entries of one output, int8 (m,) (`isd_ray.core.panels.outcomes`). Where of some outputs a
mean error is claimed float64 (m,), and of these a loss in [0, 1] in the place of right and wrong."""
_HARDEST = 3
"""Outputs that a look is likely to fail by: the audit is as large as the hardest asks for, and most pass with ease."""
_SHOWN = 3
"""Outputs named in a reason."""


class ByOutput(ABC):
    """A goal with a claim about each output.

    Each statement about output k fails in look j with probability at most share_k * delta_j, whatever the outputs have
    to do with each other: the probability that any statement fails in any look is at most delta (Bonferroni). A stop
    with one claim that is false is such a failure. (For the stop alone no split would be needed, as it takes a pass of
    the one claim that is false; the split is what allows the bounds of all outputs to be read side by side.)
    """

    __slots__ = ()

    claims: tuple[OutputGoal, ...]
    n_expected: int | None

    @property
    def outputs(self) -> tuple[OutputGoal, ...]:
        """The claims."""
        return self.claims

    def outcomes(self, prediction: LabelArray, labels: LabelArray) -> Column:
        """What became of each predicted entry, (n, K) as `Column`.

        An entry that should have had a readout is lost; so is every one of a row that no model has predicted. Of rows
        without a predicted hit, a wrong entry is a hit.
        """
        if prediction.ndim == 1:
            return np.full((len(labels), len(self.claims)), LOST, np.int8)
        found = self.found(prediction, labels)
        if self.n_expected is not None:
            found[found == MISSING] = LOST
        return found

    def found(self, prediction: LabelArray, labels: LabelArray) -> Column:
        """As `outcomes`, of rows that a model has predicted; what has no readout is missing."""
        return panels.outcomes(prediction, labels, len(self.claims))

    @abstractmethod
    def allowed(self, place: int, counts: ScreenCounts) -> float:
        """Most errors of an output that a look is planned with."""

    def loss_variance(self, place: int, scored: Sequence[ScoredBatch]) -> float | None:
        """Variance of a loss by past random rows, where it is not just right or wrong; else None."""
        del place, scored
        return None

    @abstractmethod
    def is_shown(self, plan: LookPlan, column: Column, level: float, hits: Sequence[int]) -> bool:
        """Whether the audit shows that an output is at a level: false at most with the plan's risk.

        Parameters
        ----------
        hits:
            Measured hits of each output without those of the audit.
        """

    @abstractmethod
    def bound(self, plan: LookPlan, column: Column, hits: Sequence[int]) -> float:
        """Lower bound on an output that has passed; wrong with probability at most the plan's risk."""

    @abstractmethod
    def range(self, column: Column, counts: ScreenCounts, place: int, delta: float) -> tuple[float, float] | None:
        """About where an output lies, by rows of the audited group drawn at random; None if they say nothing."""

    @abstractmethod
    def tally(self, prediction: LabelArray, labels: LabelArray) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Of rows with known labels, by output: what is wrong, or its loss, and of how many; (K,) each."""

    @abstractmethod
    def values(self, counts: ScreenCounts, wrong: Sequence[float], left: Sequence[int]) -> tuple[float, ...]:
        """The claimed quantity of each output, by the tally of the rows left."""

    @abstractmethod
    def are_met(self, counts: ScreenCounts, wrong: Sequence[float], left: Sequence[int]) -> bool:
        """Whether the claims are true, by the tally of the rows left."""

    def plan(
        self, rule: LookRule, evidence: LookEvidence, forecast: Callable[[Sequence[ScoredBatch]], Forecast | None]
    ) -> tuple[tuple[LookPlan, ...], str]:
        """Whether to look now: one plan for each output, and why; none if this is not the round for one of them.

        The output that needs the largest audit decides its size, and one that is not ready that there is none. Planning
        only: validity never depends on it.

        Parameters
        ----------
        forecast:
            Errors of a population as large as the audited group, from batches of its rows.
        """
        scored, n = evidence.scored[OTHERS], evidence.counts.left[OTHERS]
        if not scored:
            return (), "not yet: no batch that a model has chosen is measured so far"
        if not n:
            return (), "no prediction is left to audit"
        outcomes = np.concatenate([_outcomes(batch) for batch in scored])
        there = (outcomes != MISSING).mean(axis=0)
        plans: dict[int, LookPlan] = {}
        for place in self._hardest_first(outcomes):
            output, columns = self.outputs[place], [_column(batch, place) for batch in scored]
            state = LookState(
                n_inference=n,
                allowed=self.allowed(place, evidence.counts),
                # As if every compound had an entry: nearly the worst case that is tested.
                forecast=forecast(columns),
                loss_variance=self.loss_variance(place, columns),
                failed_looks=evidence.failed_looks,
                batches_since_look=evidence.batches_since_look,
                together=min(len(self.outputs), _HARDEST),
            )
            look = plan_look(replace(rule, delta=rule.delta * output.share, finish="none"), state)
            if look.plan is None:
                return (), f"{output.name!r}: {look.reason}"
            size = min(n, math.ceil(look.plan.size / max(there[place], 1.0 / n)))
            plans[place] = replace(look.plan, size=size, output=place, n_measured=evidence.counts.measured[place])
        size = max(plan.size for plan in plans.values())
        binding = next(place for place, plan in plans.items() if plan.size == size)
        reason = f"{self.outputs[binding].name!r} asks for the largest audit"
        return in_portions(
            [replace(plans[place], size=size) for place in range(len(self.outputs))], rule.portions
        ), reason

    def _hardest_first(self, outcomes: Column) -> list[int]:
        """Places by falling share of bad entries relative to the allowed one: the first is likely to say no."""
        bad, there = losses_of(outcomes).sum(axis=0), np.maximum((outcomes != MISSING).sum(axis=0), 1)
        allowed = np.array([1.0 - output.gamma for output in self.outputs])
        return [int(place) for place in np.argsort(-bad / there / allowed, kind="stable")]

    def decide(self, plans: Sequence[LookPlan], audit: Audit, hits: Sequence[int]) -> StopDecision:
        """What one audit proves of all outputs: stop if every one of them passes.

        Parameters
        ----------
        plans:
            As declared and settled, in the order of `outputs`.

        Raises
        ------
        ValueError
            If the audit is not the declared one.
        """
        if audit.outcomes is None or audit.outcomes.shape != (plans[0].size, len(self.outputs)):
            raise ValueError(f"look {plans[0].number} declared {plans[0].size} rows of {len(self.outputs)} outputs")
        judged = list(zip(plans, audit.outcomes.T, self.outputs, strict=True))
        failed = [
            f"{output.name!r} ({losses_of(column).sum():g} wrong of {n_there(column)})"
            for plan, column, output in judged
            if not self.is_shown(plan, column, output.gamma, hits)
        ]
        look = f"look {plans[0].number}: {plans[0].size:,} audited compounds"
        if failed:
            more = f" and {len(failed) - _SHOWN} more" if len(failed) > _SHOWN else ""
            return StopDecision("continue", f"{look} are not enough for {', '.join(failed[:_SHOWN])}{more}")
        bounds = tuple(self.bound(plan, column, hits) for plan, column, _ in judged)
        return StopDecision("stop", f"{look}; each of {len(self.outputs)} outputs passed", bounds=bounds)


def _outcomes(batch: ScoredBatch) -> Column:
    assert batch.outcomes is not None, "History keeps them where outputs have claims"
    return batch.outcomes


def _column(batch: ScoredBatch, place: int) -> ScoredBatch:
    """The rows of a batch with an entry of one output, and its errors."""
    column = _outcomes(batch)[:, place]
    there = column != MISSING
    return replace(
        batch,
        uncertainty=batch.uncertainty[there],
        rank=batch.rank[there],
        loss=losses_of(column[there]),
        is_random=batch.is_random[there],
        outcomes=None,
    )


def output_of(plan: LookPlan) -> int:
    """Place of the output that a plan is of."""
    assert plan.output is not None, "a plan of an output"
    return plan.output


def asked_words(output: Mapping[str, Any], quantity: str) -> str:
    """What is asked for of an output on record (`OutputGoal.on_record`), where the screen claims `quantity`."""
    before = OutputGoal(output["name"], output["gamma"], 1.0, is_recall=quantity == "recall")
    return str(output.get("asked") or before.asked)  # versions before said it of numbers alone


def range_words(outputs: Sequence[OutputGoal]) -> str:
    """The levels in words."""
    levels = sorted({output.gamma for output in outputs})
    return f"{levels[0]:g}" if len(levels) == 1 else f"its own level, {levels[0]:g} to {levels[-1]:g}"


def n_bad(outcomes: Column) -> int:
    """Wrong predictions and lost entries of a column."""
    return int((outcomes > RIGHT).sum())


def n_wrong(outcomes: Column) -> int:
    """Wrong predictions among the entries of a column, lost ones not counted."""
    return int((outcomes == WRONG).sum())


def n_lost(outcomes: Column) -> int:
    """Lost entries of a column."""
    return int((outcomes == LOST).sum())


def losses_of(outcomes: Column) -> NDArray[np.float64]:
    """Loss of each entry: 1 where it is wrong or lost, 0 where there is none."""
    return np.clip(outcomes, RIGHT, WRONG).astype(np.float64)


def n_there(outcomes: Column) -> int:
    """Entries of a column that have a readout or should have had one."""
    return int((outcomes != MISSING).sum())
