"""What a look is planned and judged by: evidence before it, its audit, and what a forecast makes of the evidence."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from isd_ray.core.audit_size import Needed
from isd_ray.core.hits_left import RandomHits
from isd_ray.core.looks import LookPlan
from isd_ray.core.scored import ScoredBatch
from isd_ray.messages import Rows


@dataclass(frozen=True, slots=True)
class ScreenCounts:
    """Sizes that a claim depends on.

    Attributes
    ----------
    n_target:
        Rows of the target set.
    n_hits, n_others:
        Measured rows that are hits, and the others; all are others where the goal knows no hits.
    left:
        Rows that are not measured, by group.
    """

    n_target: int
    n_hits: int
    n_others: int
    left: tuple[int, ...]
    measured: tuple[int, ...] = ()
    """Of a panel with a claim about each output: measured readouts of each."""
    hits: tuple[int, ...] = ()
    """Of a panel with a claim about the recall of each output: measured hits of each."""


@dataclass(frozen=True, slots=True)
class LookEvidence:
    """What decides whether to look, after the inference set was scored and before a batch is chosen.

    Attributes
    ----------
    counts:
        Measured rows, and rows left by group; a reserve counts as left.
    n_observed:
        Rows that the model was fitted on.
    batch_size:
        The batch of the round while the budget lasts, the unit in which an audit is weighed.
    n_batch, n_random:
        Size of the batch that would come next, and of its random part.
    n_affordable:
        Rows that the budget still allows, a reserve for a last audit included; no larger look is planned.
    rule_counts:
        A yes of the rule would end the screen.
    histogram:
        Counts of the inference set's uncertainties, (groups, bins), in the bins of `isd_ray.core.scored`.
    scored:
        For each group, past batches with what the models had said of them.
    risk_spent:
        Risk of the failed looks together.
    n_reserved:
        `reserved` only: rows of the reserve that are left.
    n_unproved:
        `reserved` only: rows that no reserved row answers for any more, as their wells failed; each counts as an error.
    first_batch:
        The batch of round 0, where batches grow; None where all are of one size.
    first_draw:
        Random rows that were measured before there was a model, and the hits found since; None without such rows.
    last_look:
        A person has stopped the screen and asks for one last look, as `stopping.reserve_audit` does of a budget's end.
    """

    counts: ScreenCounts
    n_observed: int
    batch_size: int
    n_batch: int
    n_random: int
    n_affordable: int
    rule_counts: bool
    histogram: NDArray[np.int64]
    scored: tuple[tuple[ScoredBatch, ...], ...]
    failed_looks: int
    risk_spent: float
    batches_since_look: int
    n_reserved: int | None = None
    n_unproved: int = 0
    first_batch: int | None = None
    first_draw: RandomHits | None = None
    last_look: bool = False


@dataclass(frozen=True, slots=True)
class LookOutlook:
    """Whether to look now.

    Attributes
    ----------
    plans:
        One for each audited group; empty if this is not the round.
    reason:
        Why, or why not.
    errors:
        Losses expected in the audited groups together; None before there is anything to learn from.
    needed:
        What a certificate would still cost.
    """

    plans: tuple[LookPlan, ...]
    reason: str
    errors: float | None = None
    needed: Needed | None = None


@dataclass(frozen=True, slots=True)
class Audit:
    """Readouts of the audit of one group, in the order of drawing.

    Attributes
    ----------
    ranks:
        int64 (m,): position of each row in its group by decreasing uncertainty; empty beside `outcomes`.
    losses:
        float64 (m,): against the frozen predictions; 1 where the well gave no readout or the readout was amended.
    measured:
        bool (m,): rows with a readout. The others count as errors that nobody corrects.
    outcomes:
        Of a panel with a claim about each output, (m, K) as `isd_ray.core.goals.by_output.Column`; else None.
    amended:
        bool (m,): rows whose first readout was amended; None if none was. Whatever the amendment says, they count as
        errors that nobody corrects: an error too many makes a pass less likely, so nothing is won by amending.
    rows:
        int64 (m,): rows of the library; empty where nobody asks for them.
    lost:
        float64 (m,): the part of each loss that is of lost wells; None if that is all of the loss of a row without a
        readout, and nothing of the others.
    filling:
        int64: as `ranks`, of rows that were measured beside the audit: a finish need not take them.
    """

    ranks: NDArray[np.int64]
    losses: NDArray[np.float64]
    measured: NDArray[np.bool_]
    outcomes: NDArray[np.int8] | NDArray[np.float64] | None = None
    amended: NDArray[np.bool_] | None = None
    rows: Rows = field(default_factory=lambda: np.empty(0, np.int64))
    filling: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    lost: NDArray[np.float64] | None = None

    @property
    def kept(self) -> NDArray[np.float64]:
        """The part of each loss that no readout has put right, float64 (m,): all of it where one was amended."""
        lost = (~self.measured).astype(np.float64) if self.lost is None else self.lost
        return lost if self.amended is None else np.where(self.amended, 1.0, lost)

    def n_known(self, cut: int) -> int:
        """Rows before a cut that are measured."""
        return int((self.ranks[self.measured] < cut).sum() + (self.filling < cut).sum())

    @property
    def n_lost(self) -> int:
        """Audited rows without a readout."""
        return int((~self.measured).sum())

    @property
    def n_amended(self) -> int:
        """Audited rows whose first readout was amended."""
        return 0 if self.amended is None else int(self.amended.sum())

    @property
    def n_uncorrected(self) -> int:
        """Errors that no readout has put right: lost and amended rows."""
        return int((~self.measured if self.amended is None else ~self.measured | self.amended).sum())
