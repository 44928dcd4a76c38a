"""The balanced accuracy: the mean of sensitivity and specificity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from isd_ray.config.claims import Claim
from isd_ray.core.bounds import hypergeometric_pvalue
from isd_ray.core.goals.base import HITS, OTHERS
from isd_ray.core.goals.hits import HitGoal
from isd_ray.core.look_evidence import Audit, ScreenCounts
from isd_ray.core.looks import LookPlan, LookVerdict
from isd_ray.messages import LabelArray

_SCALES = 200
"""Steps of the search for the allowances."""
NOTHING_SUFFICES = -1
"""Allowance of a look that cannot be passed: more errors than that are always plausible."""


@dataclass(frozen=True, slots=True)
class BalancedAccuracy(HitGoal):
    """The balanced accuracy of hits and others is at least `level`; an audit of each prediction shows it."""

    quantity: ClassVar[str] = "balanced_accuracy"
    noun: ClassVar[str] = "balanced accuracy"
    may_finish: ClassVar[bool] = False
    audited: ClassVar[tuple[int, ...]] = (OTHERS, HITS)
    constant: ClassVar[float | None] = 0.5

    @property
    def name(self) -> str:
        """The claimed quantity in words, with the class of hits."""
        return self.named(f"hits: class {self.hit!r}" if self.hit else "")

    def allowances(self, counts: ScreenCounts, expected: tuple[float, ...]) -> tuple[float, ...] | None:
        """Shared out between the groups by what is expected of them."""
        left, wrong = (counts.left[HITS], counts.left[OTHERS]), (expected[HITS], expected[OTHERS])
        pair = balanced_accuracy_allowances(counts.n_hits, counts.n_others, left, wrong, self.level)
        return None if pair is None else (pair[1], pair[0])

    def value(self, counts: ScreenCounts, losses: tuple[float, ...]) -> float:
        """The balanced accuracy."""
        left, wrong = (counts.left[HITS], counts.left[OTHERS]), (int(losses[HITS]), int(losses[OTHERS]))
        return float(balanced_accuracy_floor(counts.n_hits, counts.n_others, left, wrong))

    def true_value(self, delivered: LabelArray, truth: LabelArray) -> float:
        """The mean of the shares of hits, and of others, that are delivered as such; a share of none is 1."""
        shares = [
            float((delivered[of] == self.positive).mean() if is_hit else (delivered[of] != self.positive).mean())
            for is_hit, of in ((True, truth == self.positive), (False, truth != self.positive))
            if of.any()
        ]
        return (sum(shares) + 2 - len(shares)) / 2

    def settle(self, plans: Sequence[LookPlan], hits: Sequence[int], n_others: int) -> tuple[LookPlan, ...]:
        """As declared; they prove nothing any more if readouts were corrected since so that they do not suffice."""
        found = {plan.group: (plan.n_inference, int(plan.allowed)) for plan in plans}
        left, wrong = zip(found.get(HITS, (0, 0)), found.get(OTHERS, (0, 0)), strict=True)
        if balanced_accuracy_floor(hits[0], n_others, left, wrong) < Fraction(str(self.level)):
            return tuple(replace(plan, allowed=NOTHING_SUFFICES) for plan in plans)
        return tuple(plans)

    def judge(self, plan: LookPlan, audit: Audit, hits: Sequence[int]) -> LookVerdict:
        """See `judge_population`."""
        return judge_population(plan, audit.losses > 0.5)


CLAIM = Claim({"classification": BalancedAccuracy})


def judge_population(plan: LookPlan, errors: NDArray[np.bool_]) -> LookVerdict:
    """Decide whether a group held at most the allowed errors when it was frozen; those found are not credited.

    For claims in which a corrected error moves more than one count, as a balanced accuracy: correcting only improves
    it (`balanced_accuracy_floor` falls in both numbers of wrong rows), so what holds before holds after.
    """
    found = int(errors.sum())
    pvalue = hypergeometric_pvalue(found, plan.n_inference, int(plan.allowed) + 1, plan.size)
    return LookVerdict(pvalue <= plan.delta, 0, found, pvalue)


def balanced_accuracy_floor(n_hits: int, n_others: int, predicted: tuple[int, int], wrong: tuple[int, int]) -> Fraction:
    """Balanced accuracy of a screen, exactly; it falls in both numbers of wrong rows.

    Parameters
    ----------
    n_hits, n_others:
        Measured rows of the two classes.
    predicted:
        Rows left that are predicted as hits, and as others.
    wrong:
        How many of each are wrong.
    """
    true_hits, true_others = n_hits + predicted[0] - wrong[0], n_others + predicted[1] - wrong[1]
    sensitivity = Fraction(true_hits, true_hits + wrong[1]) if true_hits + wrong[1] else Fraction(1)
    specificity = Fraction(true_others, true_others + wrong[0]) if true_others + wrong[0] else Fraction(1)
    return (sensitivity + specificity) / 2


def balanced_accuracy_allowances(
    n_hits: int, n_others: int, predicted: tuple[int, int], expected: tuple[float, float], target: float
) -> tuple[int, int] | None:
    """Allowances for the predicted hits and the predicted others that together leave the balanced accuracy at target.

    In proportion to the errors `expected` (forecasts; at least half an error each), as large as can be. Two audits, one
    of each prediction, tested at the same delta_j and joined by `passes_all`, prove the target.

    Returns
    -------
    tuple of int or None
        None if even no error at all is too few to reach the target.
    """
    goal = Fraction(str(target))
    best = None
    largest = max(predicted[0] / max(0.5, expected[0]), predicted[1] / max(0.5, expected[1]))
    for scale in np.concatenate([[0.0], np.geomspace(0.01, max(0.02, largest), _SCALES)]):
        wrong = tuple(min(n, int(scale * max(0.5, k))) for n, k in zip(predicted, expected, strict=True))
        if balanced_accuracy_floor(n_hits, n_others, predicted, (wrong[0], wrong[1])) < goal:
            break
        best = (wrong[0], wrong[1])
    return best
