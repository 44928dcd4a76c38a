"""The recall of hits: found hits / all hits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from isd_ray.core.bounds import hypergeometric_pvalue
from isd_ray.core.certify import judge_look
from isd_ray.core.goals.base import HITS, OTHERS
from isd_ray.core.goals.hits import HitGoal
from isd_ray.core.look_evidence import Audit, ScreenCounts
from isd_ray.core.looks import LookPlan, LookVerdict
from isd_ray.messages import LabelArray


@dataclass(frozen=True, slots=True)
class Recall(HitGoal):
    """The recall of hits is at least `level`; every predicted hit is measured before it is claimed."""

    quantity: ClassVar[str] = "recall"
    noun: ClassVar[str] = "recall of hits"
    takes_hits: ClassVar[bool] = True
    acquisition: ClassVar[str | None] = "hit_probability"
    remedy: ClassVar[str] = "Ask for more (stopping.gamma), or for a model that finds hits sooner"

    def allowances(self, counts: ScreenCounts, expected: tuple[float, ...]) -> tuple[float, ...] | None:
        """Counts on the predicted hits, less those expected to be wrong; where all are measured `left` holds none."""
        predicted = max(0, math.floor(counts.left[HITS] - expected[HITS]))
        return (recall_allowance(counts.n_hits + predicted, self.level),)

    def value(self, counts: ScreenCounts, losses: tuple[float, ...]) -> float:
        """The recall of hits."""
        return recall_floor(counts.n_hits + counts.left[HITS] - losses[HITS], losses[OTHERS])

    def true_value(self, delivered: LabelArray, truth: LabelArray) -> float:
        """The share of hits that are delivered as such; 1 without any."""
        found = delivered[truth == self.positive] == self.positive
        return float(found.mean()) if len(found) else 1.0

    def settle(self, plans: Sequence[LookPlan], hits: Sequence[int], n_others: int) -> tuple[LookPlan, ...]:
        """With the hits that the look has measured, where the plan had a forecast of them.

        How many of the predicted hits are hits does not depend on which of the others were drawn, so the allowance is
        as good as fixed before the draw.
        """
        return tuple(replace(plan, allowed=recall_allowance(hits[0], self.level)) for plan in plans)

    def judge(self, plan: LookPlan, audit: Audit, hits: Sequence[int]) -> LookVerdict:
        """See `judge_recall`."""
        return judge_recall(plan, audit.ranks, audit.losses > 0.5, hits[0], self.level, audit.n_uncorrected)


def recall_allowance(n_hits: int, recall: float) -> int:
    """Most hits that may be missed if n_hits are found: floor(n_hits (1 - R) / R), exact in the decimals of R."""
    share = Fraction(str(recall))
    return math.floor(n_hits * (1 - share) / share)


def recall_floor(n_found: float, n_missed: float) -> float:
    """Recall of a screen; 1 where there is no hit at all, as none is missed."""
    return n_found / (n_found + n_missed) if n_found + n_missed else 1.0


def judge_recall(
    plan: LookPlan, ranks: NDArray[np.int64], hits: NDArray[np.bool_], n_hits: int, recall: float, n_lost: int = 0
) -> LookVerdict:
    """Decide a look at the recall of hits: found hits / all hits >= R.

    Before the look all rows left that are predicted to be hits are measured; the audit is of the predicted negatives,
    in which a hit is an error. Without a finish the audit's own hits count as found: stop iff U - e <= the allowance of
    n_hits + e. That is false only if the upper bound U is below the number of hits there, probability at most delta_j.
    With a finish the allowance is that of the hits known before the audit, so it is fixed beforehand.

    Parameters
    ----------
    plan:
        With `n_inference` the predicted negatives left, `allowed` = recall_allowance(n_hits, recall).
    ranks, hits:
        As `ranks` and `errors` of `judge_look`, among the predicted negatives.
    n_hits:
        Hits measured before the audit, those among the predicted positives included.
    n_lost:
        How many of `hits` are failed wells: counted as missed hits, which nothing has found.

    Raises
    ------
    ValueError
        As `judge_look`, or if the plan's allowance is another one.
    """
    if plan.allowed != recall_allowance(n_hits, recall):
        raise ValueError(
            f"{n_hits} hits at a recall of {recall} allow {recall_allowance(n_hits, recall)} missed ones, "
            f"the look declared {plan.allowed:g}"
        )
    verdict = judge_look(plan, ranks, hits)
    if plan.finish != "none":
        return verdict
    found = int(hits.sum())
    credited = found - n_lost
    allowed = recall_allowance(n_hits + credited, recall)
    pvalue = hypergeometric_pvalue(found, plan.n_inference, allowed + 1 + credited, plan.size)
    return LookVerdict(pvalue <= plan.delta, 0, found, pvalue)
