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

Why delta is split: `isd_ray.core.goals.by_output`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isd_ray.core import panels
from isd_ray.core.bounds import allowed_errors, hypergeometric_pvalue, plausible_range
from isd_ray.core.goals.base import OTHERS, Asked, Goal, OutputGoal
from isd_ray.core.goals.by_output import ByOutput, Column, n_bad, n_there, n_wrong, output_of, range_words
from isd_ray.core.goals.panel import PanelAccuracy
from isd_ray.core.look_evidence import ScreenCounts
from isd_ray.core.looks import LookPlan
from isd_ray.core.panels import MISSING, WRONG
from isd_ray.messages import LabelArray

_BLOCKS = 64
"""Blocks into which the possible numbers of entries are cut for the largest p-value, finest where it is largest."""
_BOUND_STEPS = 100
"""Levels between gamma and 1 that a bound tries."""
_DECIMALS = 6
"""Of these levels."""


@dataclass(frozen=True, slots=True)
class OutputAccuracies(ByOutput, PanelAccuracy):
    """The accuracy of each output of a panel is above a level of its own; `level` is the lowest of them."""

    claims: tuple[OutputGoal, ...] = ()

    @classmethod
    def asked(cls, asked: Asked) -> Goal:
        """With the claims."""
        return cls(asked.level, asked.n_expected, asked.claims, tolerances=asked.tolerances)

    @property
    def words(self) -> str:
        """The claim in words."""
        return f"accuracy of each of {len(self.claims)} outputs is above {range_words(self.claims)}"

    def is_whole(self, labels: LabelArray) -> NDArray[np.bool_]:
        """Which labels speak of every output."""
        whole: NDArray[np.bool_] = np.logical_and.reduce(panels.there(labels, len(self.claims)), axis=1)
        return whole

    def found(self, prediction: LabelArray, labels: LabelArray) -> Column:
        """A number is right within its tolerance."""
        return panels.outcomes(prediction, labels, len(self.claims), self.tolerances)

    def allowed(self, place: int, counts: ScreenCounts) -> float:
        """As if every compound had an entry."""
        return self.allowed_of(place, counts.measured[place] + counts.left[OTHERS])

    def allowed_of(self, place: int, n_entries: int) -> float:
        """Most errors among the entries of an output."""
        return allowed_errors(n_entries, self.claims[place].gamma)

    def is_shown(self, plan: LookPlan, column: Column, level: float, hits: Sequence[int]) -> bool:
        """By `column_pvalue`."""
        return column_pvalue(column, plan.n_inference, plan.n_measured, level, plan.n_unread) <= plan.delta

    def bound(self, plan: LookPlan, column: Column, hits: Sequence[int]) -> float:
        """Levels are claimed one after the other from gamma upwards, up to the first that is not shown.

        The bound is wrong only if the lowest level that is not true is shown, so trying many needs no correction.
        """
        shown = gamma = self.claims[output_of(plan)].gamma
        for level in np.linspace(gamma, 1.0, _BOUND_STEPS, endpoint=False)[1:].round(_DECIMALS).tolist():
            if not self.is_shown(plan, column, level, hits):
                break
            shown = level
        return shown

    def range(self, column: Column, counts: ScreenCounts, place: int, delta: float) -> tuple[float, float] | None:
        """How many compounds of the inference set have a readout is estimated by the share of these rows."""
        sampled, bad = n_there(column), n_bad(column)
        if not sampled:
            return None
        n_measured, n_left = counts.measured[place], max(sampled, round(counts.left[OTHERS] * sampled / len(column)))
        least, most = plausible_range(bad, n_left, sampled, delta)
        return 1.0 - most / (n_measured + n_left), 1.0 - least / (n_measured + n_left)

    def tally(self, prediction: LabelArray, labels: LabelArray) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Wrong entries of all that have a readout."""
        found = self.outcomes(prediction, labels)
        return (found == WRONG).sum(axis=0), (found != MISSING).sum(axis=0)

    def values(self, counts: ScreenCounts, wrong: Sequence[float], left: Sequence[int]) -> tuple[float, ...]:
        """True accuracy of each column."""
        columns = zip(counts.measured, wrong, left, strict=True)
        return tuple(1.0 - w / (m + r) if m + r else 1.0 for m, w, r in columns)

    def are_met(self, counts: ScreenCounts, wrong: Sequence[float], left: Sequence[int]) -> bool:
        """By the number of errors, which is exact."""
        columns = enumerate(zip(counts.measured, wrong, left, strict=True))
        return all(w == 0 or w <= self.allowed_of(place, m + r) for place, (m, w, r) in columns)


def column_pvalue(outcomes: Column, n_inference: int, n_measured: int, gamma: float, n_unread: int = 0) -> float:
    """p-value of "the accuracy of this column, the errors of the audit put right, is gamma or less".

    Parameters
    ----------
    outcomes:
        (m,): of the audited entries, right or wrong (`isd_ray.core.panels.outcomes`).
    n_inference:
        Compounds that the audit was drawn from.
    n_measured:
        Readouts of the column outside the audit.
    n_unread:
        Other entries that are left as predicted, and may be wrong (`isd_ray.core.looks.LookPlan`).

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
        # Nothing is left that the claim could be wrong about, or only what nothing bounds.
        return 1.0 if n_unread else 0.0
    steps = np.square(np.linspace(1.0, 0.0, _BLOCKS + 1))
    edges = np.unique(np.floor(most + 1 - (most + 1 - least) * steps).astype(np.int64))
    first, last = edges[:-1], edges[1:] - 1
    allowed = np.array([allowed_errors(n_measured + int(entries), gamma) for entries in first])
    most_left = np.maximum(0, allowed - n_unread + 1) + mended
    return float(hypergeometric_pvalue(np.array(bad), last, most_left, np.array(sampled)).max())
