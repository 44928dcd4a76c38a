"""The precision of the delivered hits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from isd_ray.config.claims import Claim
from isd_ray.core.bounds import hypergeometric_pvalue
from isd_ray.core.goals.base import HITS
from isd_ray.core.goals.hits import HitGoal
from isd_ray.core.look_evidence import Audit, ScreenCounts
from isd_ray.core.looks import LookPlan, LookVerdict
from isd_ray.messages import LabelArray


@dataclass(frozen=True, slots=True)
class Precision(HitGoal):
    """The precision of the delivered hits, measured and predicted, is at least `level`."""

    quantity: ClassVar[str] = "precision"
    noun: ClassVar[str] = "precision of hits"
    may_finish: ClassVar[bool] = False
    audited: ClassVar[tuple[int, ...]] = (HITS,)
    constant_by_loss: ClassVar[bool] = True
    constant_remark: ClassVar[str] = (
        "; a screen that delivers no hits but those it has measured has 1, so look at how many it finds"
    )
    remedy: ClassVar[str] = "Ask for more (stopping.gamma), or, where hits are rare, for stopping.quantity = 'recall'"

    @property
    def fixed_answer(self) -> int:
        """A hit: the screen has to deliver some, and to call nothing a hit is no answer to this claim."""
        return self.positive

    def allowances(self, counts: ScreenCounts, expected: tuple[float, ...]) -> tuple[float, ...] | None:
        """False hits among the predicted ones."""
        return (precision_allowance(counts.n_hits, counts.left[HITS], self.level),)

    def value(self, counts: ScreenCounts, losses: tuple[float, ...]) -> float:
        """The precision of the delivered hits."""
        return precision_floor(counts.n_hits, counts.left[HITS], losses[HITS])

    def true_value(self, delivered: LabelArray, truth: LabelArray) -> float:
        """The share of the delivered hits that are hits; 1 without any."""
        found = truth[delivered == self.positive] == self.positive
        return float(found.mean()) if len(found) else 1.0

    def judge(self, plan: LookPlan, audit: Audit, hits: Sequence[int]) -> LookVerdict:
        """See `judge_precision`."""
        return judge_precision(plan, audit.losses > 0.5, hits[0], self.level, audit.n_uncorrected)


CLAIM = Claim({"classification": Precision})


def precision_allowance(n_hits: int, n_predicted: int, precision: float) -> int:
    """Most errors among n_predicted predicted hits that keep the precision of the delivered hits at P or above.

    Delivered are n_hits measured hits, all of them true, and the predicted ones that were not measured.
    """
    return math.floor((n_hits + n_predicted) * (1 - Fraction(str(precision))))


def precision_floor(n_hits: int, n_predicted: int, wrong: float) -> float:
    """Precision of the delivered hits, n_hits of them measured; 1 where none is delivered, as none is wrong."""
    delivered = n_hits + n_predicted
    return (delivered - wrong) / delivered if delivered else 1.0


def judge_precision(
    plan: LookPlan, false_hits: NDArray[np.bool_], n_hits: int, precision: float, n_lost: int = 0
) -> LookVerdict:
    """Decide a look at the precision of the delivered hits, from an audit of the predicted ones.

    The e false hits found leave the delivered hits, of which K - e are then wrong: stop iff U - e <= the allowance of
    n_hits measured and n - e predicted hits. That is false only if the upper bound U is below K, probability at most
    delta_j.

    Parameters
    ----------
    plan:
        With `n_inference` the n predicted hits left, `allowed` = precision_allowance(n_hits, n, precision).
    false_hits:
        bool (m,): audited rows that are no hits.
    n_hits:
        Hits measured before the audit.
    n_lost:
        How many of `false_hits` are failed wells: counted as false hits, which are still delivered.
    """
    found = int(false_hits.sum())
    credited = found - n_lost
    allowed = precision_allowance(n_hits, plan.n_inference - credited, precision)
    pvalue = hypergeometric_pvalue(found, plan.n_inference, allowed + 1 + credited, plan.size)
    return LookVerdict(pvalue <= plan.delta, 0, found, pvalue)
