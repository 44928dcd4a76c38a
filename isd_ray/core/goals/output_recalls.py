"""A claim about the recall of hits of each output (assay) of a panel, by one audit of whole rows.

Every compound that is predicted to be a hit in some output is measured before the look. The audit is a uniform sample
of m of the n others, the same for every output. A compound without a readout of an output that it was never tested in
has no hit to miss; K of the n would have one. The e hits that the audit found are put right, so K - e are missed of
H + e + K - e, H measured outside the audit. With c the most that the recall allows of H + e found ones
(`isd_ray.core.goals.recall.recall_allowance`), the claim is false iff K > c + e, which is refuted falsely with
probability at most the risk of the output by the exact test pval(e; n, c + 1 + e, m) of `isd_ray.core.bounds`, as for a
single label (`judge_recall`). A predicted hit of some output whose well gave no readout is delivered as predicted, and
may be a missed hit of the others: of each output those that are not predicted to be its hits, u, are taken off c, as
then at most u + (K - e) are missed. In a laboratory an entry of the audit without a readout may be a hit: it counts
among the bad ones of the audit, and not among the found ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isd_ray.core import panels
from isd_ray.core.bounds import hypergeometric_pvalue, largest_plausible, plausible_range
from isd_ray.core.goals.base import HITS, OTHERS, Asked, Goal, OutputGoal
from isd_ray.core.goals.by_output import ByOutput, Column, n_bad, n_wrong, output_of, range_words
from isd_ray.core.goals.panel_recall import PanelRecall
from isd_ray.core.goals.recall import recall_allowance, recall_floor
from isd_ray.core.look_evidence import ScreenCounts
from isd_ray.core.looks import LookPlan
from isd_ray.messages import LabelArray


@dataclass(frozen=True, slots=True)
class OutputRecalls(ByOutput, PanelRecall):
    """The recall of each output of a panel reaches a level of its own; `level` is the lowest of them."""

    claims: tuple[OutputGoal, ...] = ()

    @classmethod
    def asked(cls, asked: Asked) -> Goal:
        """With the claims."""
        return cls(asked.level, asked.n_outputs, asked.n_expected, asked.claims)

    @property
    def words(self) -> str:
        """The claim in words."""
        return f"recall of hits of each of {len(self.claims)} outputs is at least {range_words(self.claims)}"

    def count_hits(self, labels: LabelArray) -> tuple[int, ...]:
        """Measured hits of each output."""
        return tuple(self._ones(labels).sum(axis=0, dtype=np.int64).tolist())

    def settle(self, plans: Sequence[LookPlan], hits: Sequence[int], n_others: int) -> tuple[LookPlan, ...]:
        """With the hits of each output that the look has measured."""
        return tuple(replace(plan, allowed=self._allowed_of(plan, hits)) for plan in plans)

    def with_unread(self, plans: Sequence[LookPlan], prediction: LabelArray) -> tuple[LookPlan, ...]:
        """By output, those that are not predicted to be a hit of it."""
        n_unread = (panels.unpack(prediction, len(self.claims)) == 0).sum(axis=0).tolist()
        return tuple(replace(plan, n_unread=n) for plan, n in zip(plans, n_unread, strict=True))

    def _allowed_of(self, plan: LookPlan, hits: Sequence[int]) -> int:
        place = output_of(plan)
        return recall_allowance(hits[place], self.claims[place].gamma) - plan.n_unread

    def allowed(self, place: int, counts: ScreenCounts) -> float:
        """By the hits that are measured: those among the predicted ones are not counted on."""
        return recall_allowance(counts.hits[place], self.claims[place].gamma)

    def is_shown(self, plan: LookPlan, column: Column, level: float, hits: Sequence[int]) -> bool:
        """By the exact test."""
        return recall_pvalue(plan, column, level, hits[output_of(plan)]) <= plan.delta

    def bound(self, plan: LookPlan, column: Column, hits: Sequence[int]) -> float:
        """By the largest plausible number of hits among the audited group."""
        return recall_bound(plan, column, hits[output_of(plan)])

    def range(self, column: Column, counts: ScreenCounts, place: int, delta: float) -> tuple[float, float] | None:
        """By the hits measured so far, those of predicted hits that are left not counted on."""
        return recall_range(column, counts.left[OTHERS], counts.hits[place], delta)

    def tally(self, prediction: LabelArray, labels: LabelArray) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Hits of rows that are not predicted to have any, and all hits."""
        ones = self._ones(labels)
        missed = ones[self.groups(prediction) != HITS]
        return missed.sum(axis=0, dtype=np.int64), ones.sum(axis=0, dtype=np.int64)

    def values(self, counts: ScreenCounts, wrong: Sequence[float], left: Sequence[int]) -> tuple[float, ...]:
        """True recall of each output."""
        return tuple(recall_floor(h + r - w, w) for h, w, r in zip(counts.hits, map(int, wrong), left, strict=True))

    def are_met(self, counts: ScreenCounts, wrong: Sequence[float], left: Sequence[int]) -> bool:
        """By the number of missed hits, which is exact."""
        columns = zip(self.claims, counts.hits, map(int, wrong), left, strict=True)
        return all(w <= recall_allowance(h + r - w, output.gamma) for output, h, w, r in columns)

    def _ones(self, labels: LabelArray) -> NDArray[np.bool_]:
        ones: NDArray[np.bool_] = panels.unpack_labels(labels, len(self.claims)) == 1
        return ones


def recall_pvalue(plan: LookPlan, column: Column, level: float, n_hits: int) -> float:
    """p-value of "the recall of this output, the hits of the audit found, is below a level".

    Parameters
    ----------
    column:
        (m,): of the audited entries, none of them predicted to be a hit; a wrong one is a hit.
    n_hits:
        Hits measured outside the audit.
    """
    found = n_wrong(column)
    allowed = recall_allowance(n_hits + found, level) - plan.n_unread
    return hypergeometric_pvalue(n_bad(column), plan.n_inference, max(0, allowed + 1) + found, plan.size)


def recall_bound(plan: LookPlan, column: Column, n_hits: int) -> float:
    """Lower bound on the recall of an output, wrong with probability at most the plan's risk; as `recall_pvalue`."""
    found = n_wrong(column)
    most = largest_plausible(n_bad(column), plan.n_inference, plan.size, plan.delta)
    return recall_floor(n_hits + found, most - found + plan.n_unread)


def recall_range(column: Column, n_left: int, n_hits: int, delta: float) -> tuple[float, float] | None:
    """About where the recall of an output lies, by entries of n_left drawn at random; None if they say nothing."""
    if not len(column):
        return None
    least, most = plausible_range(n_bad(column), n_left, len(column), delta)
    return recall_floor(n_hits, most), recall_floor(n_hits, least)
