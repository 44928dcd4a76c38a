"""What a campaign has measured so far: all of it follows from the batches and readouts in the store."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isd_ray.campaign.batch import Selection
from isd_ray.campaign.oracle import Readouts
from isd_ray.campaign.round_files import Attempt, RoundRecord, look_of
from isd_ray.core.goals import Goal, ScreenCounts
from isd_ray.core.hits_left import RandomHits
from isd_ray.core.looks import look_risk
from isd_ray.core.panels import count_measured
from isd_ray.core.race import WINDOW, RaceBatch
from isd_ray.core.scored import ScoredBatch
from isd_ray.core.sets import TargetSets
from isd_ray.core.watch import CalibrationAlarm, ReliabilityBin, calibration_alarm, reliability
from isd_ray.messages import ROLES, UNJUDGED, LabelArray, Rows

CALIBRATION_RISK = 0.05
"""Probability of a false calibration alarm in a campaign."""
RELIABILITY_ROUNDS = 5
"""Rounds whose rows the table of reliability shows: those of models like the present one."""
_AUDIT = ROLES.index("audit")
RANDOM_ROLES = [ROLES.index("random"), _AUDIT]
_INITIAL, _RANDOM, _RESERVE, _WANTED, _EXTERNAL = map(
    ROLES.index, ("initial", "random", "reserve", "wanted", "external")
)
_SPENT = ("finish", "continue")
"""Decisions of a passed look and of the round after it, when its finish could not be completed."""


@dataclass(frozen=True, slots=True)
class _Batch:
    round: int
    rows: Rows
    roles: NDArray[np.int8]
    readouts: Readouts


class History:
    """The observation set in the order of acquisition, and what the models had said before each readout.

    Parameters
    ----------
    goal:
        What the campaign claims.
    n_rows:
        Rows of the library.

    Attributes
    ----------
    n_drawn_from, n_beside:
        Rows that the first random rows were drawn from, and the others of the target set: measured before, or come
        into it later.
    n_known:
        Rows whose readouts started the screen: no limit counts them.
    race:
        The latest batches that families had forecast, as many as the race looks back on: of wide panels each is large.
    """

    def __init__(self, goal: Goal, n_rows: int) -> None:
        self._goal = goal
        self.sets = TargetSets(n_rows)
        self.records: list[RoundRecord] = []
        self.feature_files: list[Path] = []
        self.race: deque[RaceBatch] = deque(maxlen=WINDOW)
        self.scored: tuple[list[ScoredBatch], ...] = tuple([] for _ in range(goal.n_groups))
        self._batches: list[_Batch] = []
        self._places: list[Rows] = []
        self._n_in_files = 0
        self.n_drawn_from, self.n_beside = 0, 0
        self.n_known = 0

    def extend(self, n_rows: int) -> None:
        """Let further rows of the library into the target set, up to `n_rows` in all; the first draw knew none."""
        if self.n_drawn_from:
            self.n_beside += n_rows - self.sets.n_rows
        self.sets.extend(n_rows)

    def correct(self, selection: Selection, readouts: Readouts) -> NDArray[np.float64]:
        """How far the model had predicted the rows of a batch right before their labels were used, float64 (n,)."""
        return self._goal.correct(selection.scored.prediction, readouts.labels)

    def losses(self, selection: Selection, readouts: Readouts) -> NDArray[np.float64]:
        """Losses of what the model had predicted for a batch, float64 (n,)."""
        return self._goal.losses(selection.scored.prediction, readouts.labels)

    def observe(
        self,
        attempt: Attempt,
        selection: Selection,
        readouts: Readouts,
        details: RoundRecord,
        round_number: int,
    ) -> None:
        """Take in a measured batch: into the observation set, or, what is drawn as a reserve, beside it.

        Rows whose wells gave no readout stay where they are; of the reserve they are spent all the same.
        """
        rows, is_reserve, present = selection.scored.rows, selection.roles == _RESERVE, readouts.present
        # What no well answers for, and what people chose, says nothing of the order by uncertainty.
        learned = np.flatnonzero(present & (selection.roles != _WANTED) & np.isfinite(selection.ranks))
        if self._goal.has_losses and np.isfinite(selection.ranks).any():
            losses = self.losses(selection, readouts)
            self._learn(selection.take(learned), losses[learned], readouts.labels[learned], details)
        if not self.n_drawn_from and _drawn_first(selection.roles).any():
            self.n_drawn_from, self.n_beside = self.sets.n_inference, self.sets.n_target - self.sets.n_inference
        kept = present & ~is_reserve
        self.sets.observe(rows[kept], readouts.labels[kept])
        self.sets.set_aside(rows[is_reserve], readouts.labels[is_reserve])
        self.sets.pass_over(np.array(details.get("passed", ()), np.int64))
        self._add_features(attempt.features_file, present[~is_reserve])
        self._batches.append(_Batch(round_number, rows, selection.roles, readouts))

    def observe_external(
        self, attempt: Attempt, rows: Rows, readouts: Readouts, round_number: int, *, starts: bool = False
    ) -> None:
        """Take readouts from outside the plan into the observation set; they are no evidence of anything.

        Parameters
        ----------
        starts:
            They were known before the screen and start it.
        """
        self.n_known += len(rows) if starts else 0
        self.sets.observe(rows, readouts.labels)
        self._add_features(attempt.external_file, np.ones(len(rows), np.bool_))
        self._batches.append(_Batch(round_number, rows, np.full(len(rows), _EXTERNAL, np.int8), readouts))

    def _add_features(self, file: Path, labelled: NDArray[np.bool_]) -> None:
        self.feature_files.append(file)
        self._places.append(self._n_in_files + np.flatnonzero(labelled))
        self._n_in_files += len(labelled)

    @property
    def places(self) -> Rows:
        """Where the observed rows stand among those of the feature files, int64 (n_observed,)."""
        return np.concatenate(self._places)

    @property
    def values(self) -> NDArray[np.float64]:
        """Raw readouts of the observed rows, in the order of their labels; NaN where the source gave a class name."""
        batches = [batch.readouts.values[batch.readouts.present & (batch.roles != _RESERVE)] for batch in self._batches]
        return np.concatenate(batches) if batches else np.empty(0)

    def _learn(
        self, selection: Selection, losses: NDArray[np.float64], labels: LabelArray, details: RoundRecord
    ) -> None:
        # A further portion of an audit is ranked by the predictions of its look.
        sizes = details.get("look_sizes", details["group_sizes"])
        groups = self._goal.groups(selection.scored.prediction)
        outcomes = self._goal.outcomes(selection.scored.prediction, labels) if self._goal.outputs else None
        for group, batches in enumerate(self.scored):
            inside = groups == group
            if inside.any():
                batch = ScoredBatch(
                    n_inference=sizes[group],
                    n_observed=details.get("n_fitted", self.sets.n_observed),
                    uncertainty=selection.scored.uncertainty[inside],
                    rank=selection.ranks[inside],
                    loss=losses[inside],
                    is_random=np.isin(selection.roles[inside], RANDOM_ROLES),
                    outcomes=None if outcomes is None else outcomes[inside],
                    is_audit=bool((selection.roles[inside] == _AUDIT).any()),
                )
                batches.append(batch)

    def observe_late(self, rows: Rows, readouts: Readouts, round_number: int) -> None:
        """Take in readouts that came after the last model was fitted: they are delivered, and nothing more."""
        self.sets.observe(rows, readouts.labels)
        self._batches.append(_Batch(round_number, rows, np.full(len(rows), _EXTERNAL, np.int8), readouts))

    @property
    def asked(self) -> Rows:
        """Rows that were asked for, each as often as it was, with a readout or without."""
        asked = [batch.rows[batch.roles != _EXTERNAL] for batch in self._batches]
        return np.concatenate(asked) if asked else np.empty(0, np.int64)

    @property
    def n_unproved(self) -> int:
        """Rows that a reserve proves nothing of: left without a readout though asked for, or passed over without one.

        What is left of a reserve is a uniform sample of the rows that were never asked for. One that was, and gave no
        readout, is left as well, but the reserved rows beside it in the order have been passed over.
        """
        without = [batch.rows[~batch.readouts.present] for batch in self._batches]
        asked = np.unique(np.concatenate(without)) if without else np.empty(0, np.int64)
        spent = np.setdiff1d(self.sets.lost, self.sets.reserve)
        return int(self.sets.is_left(asked).sum()) + len(spent)

    @property
    def initial(self) -> tuple[Rows, LabelArray]:
        """Rows that chance drew first, and their readouts, missing where a well gave none.

        They are the first batch, or, where a screen starts from what is known, the random rows of its first.
        """
        for batch in self._batches:
            if (drawn := _drawn_first(batch.roles)).any():
                return batch.rows[drawn], batch.readouts.labels[drawn]
        return np.empty(0, np.int64), np.empty(0)

    @property
    def first_draw(self) -> RandomHits | None:
        """The rows that were drawn at random before there was a model, and what was measured since; None without any.

        Hits are of all outputs (`Goal.count_hits`).
        """
        first = next((n for n, batch in enumerate(self._batches) if (batch.roles == _INITIAL).any()), None)
        if first is None or not self._goal.knows_hits:
            return None
        roles, readouts = self._batches[first].roles, self._batches[first].readouts
        drawn = readouts.labels[(roles == _INITIAL) & readouts.present]
        since = [batch.readouts for batch in self._batches[first:]]
        return RandomHits(
            n_rows=len(drawn),
            n_hits=sum(self._goal.count_hits(drawn)),
            n_since=sum(int(measured.present.sum()) for measured in since),
            hits_since=sum(sum(self._goal.count_hits(measured.labels)) for measured in since),
        )

    @property
    def n_external(self) -> int:
        """Rows with a readout from outside the plan."""
        return sum(int((batch.roles == _EXTERNAL).sum()) for batch in self._batches)

    @property
    def hits(self) -> tuple[int, ...]:
        """Measured hits, where the goal knows hits (`Goal.count_hits`)."""
        counts = [self._goal.count_hits(batch.readouts.labels) for batch in self._batches]
        return tuple(map(sum, zip(*counts, strict=True))) if counts else (0,)

    def labels_of(self, rows: Rows) -> LabelArray:
        """Labels of rows of a batch, each tried once; missing for a well that gave none."""
        known = np.concatenate([batch.rows for batch in self._batches])
        labels = np.concatenate([batch.readouts.labels for batch in self._batches])
        order = np.argsort(known)
        return labels[order[np.searchsorted(known, rows, sorter=order)]]

    def counts(self, left: tuple[int, ...]) -> ScreenCounts:
        """Sizes that the claim depends on, with so many rows left in each group."""
        hits, measured = self.hits, self._measured_by_output()
        return ScreenCounts(self.sets.n_target, sum(hits), self.sets.n_measured - sum(hits), left, measured, hits)

    def _measured_by_output(self) -> tuple[int, ...]:
        """Readouts of each output of a panel that has a claim about each."""
        if not self._goal.outputs:
            return ()
        counts = [count_measured(batch.readouts.labels, len(self._goal.outputs)) for batch in self._batches]
        return tuple(sum(int(n) for n in of_output) for of_output in zip(*counts, strict=True))

    def calibration(self) -> CalibrationAlarm:
        """Whether confident predictions were wrong more often than unconfident ones (risk of a false alarm: 5 %)."""
        batches = [batch for group in self.scored for batch in group]
        look = len(batches)
        return calibration_alarm(batches, CALIBRATION_RISK / (look * (look + 1)) if look else 0.0)

    def reliability(self) -> tuple[ReliabilityBin, ...]:
        """How sure the last models were, and how often they were wrong."""
        return reliability([batch for group in self.scored for batch in group[-RELIABILITY_ROUNDS:]])

    @property
    def failed_looks(self) -> int:
        """Looks that did not stop the screen."""
        return len(self.spent_looks)

    @property
    def risk_spent(self) -> float:
        """Risk of the failed looks together."""
        return sum(look_risk(look_of(record)) for record in self.spent_looks)

    @property
    def spent_looks(self) -> list[RoundRecord]:
        """Records of looks that were not passed, or whose finish was not completed: they prove nothing."""
        # Of a finish whose lost wells are measured once more the round after it says nothing yet, nor does a portion.
        judged = [record for record in self.records if record["decision"] not in UNJUDGED]
        after = [*judged, {"decision": "finish"}][1:]
        return [
            record
            for record, following in zip(judged, after, strict=True)
            if record["look"]
            and (record["decision"] == "continue" or (record["decision"], following["decision"]) == _SPENT)
        ]

    @property
    def batches_since_look(self) -> int:
        """Acquisition batches since the last failed look, or since the start."""
        looks = [number for number, record in enumerate(self.records) if record["look"]]
        return len(self.records) - 1 - looks[-1] if looks else len(self.records)

    @property
    def stop_round(self) -> int | None:
        """The first round that decided to stop."""
        return next((record["round"] for record in self.records if record["decision"] == "stop"), None)

    def measured(self) -> dict[str, Any]:
        """All readouts sorted by row: rows, labels, values, rounds, roles and wells, each of n_measured."""
        present = [np.flatnonzero(batch.readouts.present) for batch in self._batches]
        rows = np.concatenate([batch.rows[kept] for batch, kept in zip(self._batches, present, strict=True)])
        order = np.argsort(rows)
        readouts = [batch.readouts.take(kept) for batch, kept in zip(self._batches, present, strict=True)]
        rounds = [np.full(len(kept), batch.round, np.int32) for batch, kept in zip(self._batches, present, strict=True)]
        roles = [batch.roles[kept] for batch, kept in zip(self._batches, present, strict=True)]
        return {
            "rows": rows[order],
            "labels": np.concatenate([part.labels for part in readouts])[order],
            "values": np.concatenate([part.values for part in readouts])[order],
            "rounds": np.concatenate(rounds)[order],
            "roles": np.concatenate(roles)[order],
            "wells": pa.concat_tables([part.wells for part in readouts]).take(order),
        }

    def absent(self) -> tuple[Rows, NDArray[np.bool_]]:
        """Rows that cannot be had, ascending, and which of them were tried: excluded ones, and a reserve's lost wells.

        Returns
        -------
        tuple
            int64 (m,) and bool (m,).
        """
        lost = [batch.rows[~batch.readouts.present] for batch in self._batches]
        tried = np.concatenate(lost) if lost else np.empty(0, np.int64)
        rows = np.union1d(self.sets.excluded, self.sets.lost)
        return rows, np.isin(rows, tried)


def _drawn_first(roles: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Which rows of a batch are a uniform sample of what was left before it, if it is the first such batch."""
    is_initial: NDArray[np.bool_] = roles == _INITIAL
    return is_initial if is_initial.any() else roles == _RANDOM


def calibration_warning(alarm: CalibrationAlarm) -> str:
    """A raised alarm in words."""
    return (
        "confident predictions are wrong more often than unconfident ones: "
        f"{alarm.n_confident_errors} of {alarm.n_errors} errors of random rows lie in the most confident "
        f"{alarm.share:.0%} (p = {alarm.pvalue:.2g}); do not trust the paper's rule here"
    )
