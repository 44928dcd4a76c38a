"""Claims of any kind about the outputs of a panel, recalls of hits among them, by one audit of whole rows.

A look measures every compound that is predicted to be a hit of some output of which the recall is claimed. The audit is
a uniform sample of the n others, the same for every output, and each statement fails with its own part of the risk
(`isd_ray.core.goals.by_output`): a recall by the test of `isd_ray.core.goals.output_recalls`, an accuracy by that of
`isd_ray.core.goals.output_accuracies` and a mean error by that of `isd_ray.core.goals.output_errors`, with the n others
in the place of the inference set.

**Predicted hits beside accuracies and mean errors.** The h predicted hits are fixed by the frozen predictions, before
the audit is drawn. Those that are measured have no error. Each of the u without a readout is left as predicted, in
every output: with the errors W - e that are left among the others an output has at most W - e + u, of M + R entries or
more, M its readouts from before the look. So "W - e + u is more than M + R entries allow" is what is refuted, as if u
fewer were allowed; for losses, each of which is at most 1, just so. That the readouts of predicted hits are no part of
M only makes the claim harder to show. A recall counts the hits among them, and of the u those that are not predicted to
be a hit of its output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from isd_ray.config.claims import Claim
from isd_ray.core import panels
from isd_ray.core.goals.base import HITS, OTHERS
from isd_ray.core.goals.by_output import Column, output_of
from isd_ray.core.goals.output_accuracies import OutputAccuracies
from isd_ray.core.goals.output_errors import OutputErrors
from isd_ray.core.goals.output_recalls import OutputRecalls, recall_bound, recall_pvalue, recall_range
from isd_ray.core.goals.panel_recall import PanelRecall
from isd_ray.core.goals.recall import Recall, recall_allowance, recall_floor
from isd_ray.core.look_evidence import ScreenCounts
from isd_ray.core.looks import LookPlan
from isd_ray.messages import LabelArray


@dataclass(frozen=True, slots=True)
class OutputClaims(OutputErrors):
    """Each output of a panel has a claim of its own, of some a recall; `level` is the lowest accuracy or recall."""

    knows_hits: ClassVar[bool] = True
    takes_hits: ClassVar[bool] = True
    acquisition: ClassVar[str | None] = Recall.acquisition

    @property
    def positive(self) -> int:
        """Class index of a hit of an output."""
        return 1

    @property
    def _are_recalls(self) -> NDArray[np.bool_]:
        return np.array([claim.is_recall for claim in self.claims], np.bool_)

    def groups(self, prediction: LabelArray) -> NDArray[np.int64]:
        """Compounds that are predicted to be a hit of some output of which the recall is claimed, and the others."""
        if prediction.ndim == 1:
            return np.zeros(len(prediction), np.int64)
        return np.any(self._predicted_hits(prediction), axis=1).astype(np.int64)

    def _predicted_hits(self, prediction: LabelArray) -> NDArray[np.bool_]:
        hits: NDArray[np.bool_] = (panels.predictions_of(prediction, len(self.claims)) == 1) & self._are_recalls
        return hits

    def _hits(self, labels: LabelArray) -> NDArray[np.bool_]:
        hits: NDArray[np.bool_] = (panels.entries_of(labels, len(self.claims)) == 1) & self._are_recalls
        return hits

    def count_hits(self, labels: LabelArray) -> tuple[int, ...]:
        """Measured hits of each output; 0 of those of which no recall is claimed."""
        return tuple(self._hits(labels).sum(axis=0, dtype=np.int64).tolist())

    def with_unread(self, plans: Sequence[LookPlan], prediction: LabelArray) -> tuple[LookPlan, ...]:
        """All of them, and of a recall those that are not predicted to be a hit of it."""
        n_unread = (~self._predicted_hits(prediction)).sum(axis=0).tolist()
        return tuple(replace(plan, n_unread=n) for plan, n in zip(plans, n_unread, strict=True))

    def settle(self, plans: Sequence[LookPlan], hits: Sequence[int], n_others: int) -> tuple[LookPlan, ...]:
        """Recalls with the hits of their output that the look has measured."""
        return tuple(self._settled(plan, hits) if self._is_recall(plan) else plan for plan in plans)

    def _settled(self, plan: LookPlan, hits: Sequence[int]) -> LookPlan:
        place = output_of(plan)
        return replace(plan, allowed=recall_allowance(hits[place], self.claims[place].gamma) - plan.n_unread)

    def _is_recall(self, plan: LookPlan) -> bool:
        return self.claims[output_of(plan)].is_recall

    def allowed(self, place: int, counts: ScreenCounts) -> float:
        """Of a recall by the hits that are measured."""
        if not self.claims[place].is_recall:
            return OutputAccuracies.allowed(self, place, counts)
        return recall_allowance(counts.hits[place], self.claims[place].gamma)

    def is_shown(self, plan: LookPlan, column: Column, level: float, hits: Sequence[int]) -> bool:
        """Each by the test of its kind."""
        if not self._is_recall(plan):
            return OutputErrors.is_shown(self, plan, column, level, hits)
        return recall_pvalue(plan, column, level, hits[output_of(plan)]) <= plan.delta

    def bound(self, plan: LookPlan, column: Column, hits: Sequence[int]) -> float:
        """Each as its kind has it."""
        if not self._is_recall(plan):
            return OutputErrors.bound(self, plan, column, hits)
        return recall_bound(plan, column, hits[output_of(plan)])

    def range(self, column: Column, counts: ScreenCounts, place: int, delta: float) -> tuple[float, float] | None:
        """Predicted hits that are left are not counted on, and count as no entries."""
        if not self.claims[place].is_recall:
            return OutputErrors.range(self, column, counts, place, delta)
        return recall_range(column, counts.left[OTHERS], counts.hits[place], delta)

    def tally(self, prediction: LabelArray, labels: LabelArray) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Of recalls the hits of rows that no look would measure as predicted hits, and all hits."""
        wrong, entries = OutputErrors.tally(self, prediction, labels)
        hits, are_recalls = self._hits(labels), self._are_recalls
        missed = hits[self.groups(prediction) != HITS].sum(axis=0)
        return np.where(are_recalls, missed, wrong), np.where(are_recalls, hits.sum(axis=0), entries)

    def values(self, counts: ScreenCounts, wrong: Sequence[float], left: Sequence[int]) -> tuple[float, ...]:
        """True recall, or accuracy, of each column."""
        shares = OutputErrors.values(self, counts, wrong, left)
        columns = zip(self.claims, shares, counts.hits, wrong, left, strict=True)
        return tuple(recall_floor(h + r - w, w) if claim.is_recall else share for claim, share, h, w, r in columns)

    def are_met(self, counts: ScreenCounts, wrong: Sequence[float], left: Sequence[int]) -> bool:
        """By missed hits, errors, or losses but for rounding."""
        recalls = [place for place, claim in enumerate(self.claims) if claim.is_recall]
        are_found = all(
            wrong[k] <= recall_allowance(counts.hits[k] + left[k] - round(wrong[k]), self.claims[k].gamma)
            for k in recalls
        )
        others = [0.0 if claim.is_recall else w for claim, w in zip(self.claims, wrong, strict=True)]
        return are_found and OutputErrors.are_met(self, counts, others, left)


CLAIM = Claim({"classification": Recall, "panel": PanelRecall}, by_output=OutputRecalls, by_output_hits=OutputClaims)
