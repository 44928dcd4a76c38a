"""Claims of different kinds about the outputs of a panel, by one audit of whole rows: accuracies, and mean errors.

What is claimed of an accuracy is in `isd_ray.core.goals.output_accuracies`, and why delta is split in
`isd_ray.core.goals.by_output`: each statement about an output fails with its own part of the risk, whatever its kind
and whatever the others are.

**A mean error.** The loss l of an entry is its error in parts of the largest that counts, in [0, 1]. Column k holds M
measured readouts and predictions for the n compounds of the inference set, of which R would have a readout; measured
ones have no error. The claim is that the losses of these R, without those that the audit found and so put right, sum to
at most L (M + R), L the largest mean loss. R is not known. So let x be the loss of a compound with a readout, and L of
one without: R x's are losses, n - R are L, and the claim is true iff the x's that are left sum to at most L (M + n), as
L (n - R) stands on both sides. The x's are in [0, 1] and fixed before the audit is drawn, so the test by betting
(`isd_ray.core.betting`) refutes "more than L (M + n) is kept" falsely with probability at most the risk of the output.
What is kept of a drawn x is nothing where it was measured, L where there is no readout and none was to be, as it stays
on both sides, and 1 of an entry that is lost or amended, which nobody has put right.

In a laboratory every compound should have every readout, so that R = n, and a lost entry counts as the largest error.
If the losses of all are at most L (M + n), those of the others are at most L (M + n) - lost <= L (M + n - lost): the
claim holds for the entries that the screen delivers.

On record a mean error is one less the mean loss (`isd_ray.core.goals.base.OutputGoal`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isd_ray.config.stopping import MeanErrorClaim
from isd_ray.core.betting import betting_interval, betting_test
from isd_ray.core.goals.base import OTHERS
from isd_ray.core.goals.by_output import Column, losses_of, output_of
from isd_ray.core.goals.output_accuracies import OutputAccuracies
from isd_ray.core.look_evidence import ScreenCounts
from isd_ray.core.looks import LookPlan
from isd_ray.core.panels import LOST, MISSING, outcomes
from isd_ray.core.scored import ScoredBatch
from isd_ray.messages import LabelArray

_OF_A_COIN = 0.25
"""Variance of a loss before there are any."""
_NAMED = 5
"""Outputs named in the claim; certificate and report list all."""
_ROUNDING = 1e-9
"""Of a sum of losses."""


@dataclass(frozen=True, slots=True)
class OutputErrors(OutputAccuracies):
    """Each output of a panel has a claim of its own, of some a mean error; `level` is the lowest accuracy, if any."""

    @property
    def words(self) -> str:
        """The claim in words."""
        said = "; ".join(f"{claim.name}: {claim.asked}" for claim in self.claims[:_NAMED])
        more = f"; and {len(self.claims) - _NAMED} more" if len(self.claims) > _NAMED else ""
        return f"claim about each of {len(self.claims)} outputs holds ({said}{more})"

    def found(self, prediction: LabelArray, labels: LabelArray) -> Column:
        """Of outputs with a mean error the losses."""
        found = outcomes(prediction, labels, len(self.claims), self.tolerances).astype(np.float64)
        for place, claim in enumerate(self.claims):
            if claim.error is not None:
                there = found[:, place] != MISSING
                errors = np.abs(prediction[there, place] - labels[there, place])
                found[there, place] = _losses(errors, claim.error)
        return found

    def allowed_of(self, place: int, n_entries: int) -> float:
        """Of a mean error the largest total loss."""
        if (error := self.claims[place].error) is None:
            return OutputAccuracies.allowed_of(self, place, n_entries)
        return n_entries * error.max_loss / self.claims[place].unit

    def loss_variance(self, place: int, scored: Sequence[ScoredBatch]) -> float | None:
        """Of a mean error; None of right and wrong."""
        if self.claims[place].error is None:
            return None
        losses = np.concatenate([batch.loss[batch.is_random] for batch in scored] or [np.empty(0)])
        return float(losses.var()) if len(losses) > 1 else _OF_A_COIN

    def is_shown(self, plan: LookPlan, column: Column, level: float, hits: Sequence[int]) -> bool:
        """Of a mean error by betting."""
        claim = self.claims[output_of(plan)]
        if claim.error is None:
            return OutputAccuracies.is_shown(self, plan, column, level, hits)
        assert plan.expected_loss is not None, "a plan of losses"
        largest = claim.error.max_loss / claim.unit if level == claim.gamma else 1.0 - level
        losses, kept = with_neutral(column, largest)
        allowance = largest * (plan.n_measured + plan.n_inference) - plan.n_unread
        return betting_test(losses, plan.n_inference, allowance, plan.delta, *plan.expected_loss, kept).passed

    def range(self, column: Column, counts: ScreenCounts, place: int, delta: float) -> tuple[float, float] | None:
        """How many compounds have a readout is estimated as of an accuracy."""
        if self.claims[place].error is None:
            return OutputAccuracies.range(self, column, counts, place, delta)
        losses = losses_of(column[column != MISSING])
        if not len(losses):
            return None
        n_left = max(len(losses), round(counts.left[OTHERS] * len(losses) / len(column)))
        least, most = betting_interval(losses, n_left, delta)
        n_entries = counts.measured[place] + n_left
        return 1.0 - most / n_entries, 1.0 - least / n_entries

    def tally(self, prediction: LabelArray, labels: LabelArray) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Losses of all entries that have a readout, or wrong ones."""
        found = self.outcomes(prediction, labels)
        is_read = (found != MISSING) & (found != LOST)
        return np.where(is_read, found, 0.0).sum(axis=0), (found != MISSING).sum(axis=0)

    def are_met(self, counts: ScreenCounts, wrong: Sequence[float], left: Sequence[int]) -> bool:
        """By the number of errors, or their losses but for rounding."""
        columns = enumerate(zip(counts.measured, wrong, left, strict=True))
        return all(w <= self.allowed_of(place, m + r) + _ROUNDING for place, (m, w, r) in columns if w)


def with_neutral(column: Column, largest: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The losses x of the audited entries of an output, and what is kept of them, float64 (m,) each.

    Parameters
    ----------
    largest:
        L, the loss of a compound without a readout.
    """
    is_missing = column == MISSING
    losses = np.where(is_missing, largest, losses_of(column))
    return losses, np.where(is_missing, largest, (column == LOST).astype(np.float64))


def _losses(errors: NDArray[np.float64], claim: MeanErrorClaim) -> NDArray[np.float64]:
    """Absolute errors in parts of the largest that counts."""
    losses: NDArray[np.float64] = np.minimum(errors / claim.clip, 1.0) ** claim.power
    return losses
