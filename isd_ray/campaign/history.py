"""What a campaign has measured so far: all of it follows from the batches and readouts in the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isd_ray.campaign.oracle import Readouts
from isd_ray.campaign.selection import Selection
from isd_ray.campaign.store import Attempt
from isd_ray.core.goals import Goal, ScreenCounts
from isd_ray.core.sets import TargetSets
from isd_ray.core.trigger import ScoredBatch
from isd_ray.core.watch import CalibrationAlarm, ReliabilityBin, calibration_alarm, reliability
from isd_ray.messages import ROLES, LabelArray, Rows

CALIBRATION_RISK = 0.05
"""Probability of a false calibration alarm in a campaign."""
RELIABILITY_ROUNDS = 5
"""Rounds whose rows the table of reliability shows: those of models like the present one."""
RANDOM_ROLES = [ROLES.index("random"), ROLES.index("audit")]
_RESERVE = ROLES.index("reserve")


class History:
    """The observation set in the order of acquisition, and what the models had said before each readout.

    Parameters
    ----------
    goal:
        What the campaign claims.
    n_target:
        Size of the target set.
    """

    def __init__(self, goal: Goal, n_target: int) -> None:
        self._goal = goal
        self.sets = TargetSets(n_target)
        self.records: list[dict[str, Any]] = []
        self.feature_files: list[str] = []
        self.scored: tuple[list[ScoredBatch], ...] = tuple([] for _ in range(goal.n_groups))
        self._rows: list[Rows] = []
        self._labels: list[LabelArray] = []
        self._values: list[NDArray[np.float64]] = []
        self._roles: list[NDArray[np.int8]] = []

    def correct(self, selection: Selection, readouts: Readouts) -> NDArray[np.float64]:
        """How far the model had predicted the rows of a batch right before their labels were used, float64 (n,)."""
        return self._goal.correct(selection.scored.prediction, readouts.labels)

    def losses(self, selection: Selection, readouts: Readouts) -> NDArray[np.float64]:
        """Losses of what the model had predicted for a batch, float64 (n,)."""
        return self._goal.losses(selection.scored.prediction, readouts.labels)

    def observe(self, attempt: Attempt, selection: Selection, readouts: Readouts, details: Mapping[str, Any]) -> None:
        """Take in a measured batch: into the observation set, or, what is drawn as a reserve, beside it."""
        rows, is_reserve = selection.scored.rows, selection.roles == _RESERVE
        if self._goal.has_losses and len(selection.ranks) and np.isfinite(selection.ranks).all():
            self._learn(selection, self.losses(selection, readouts), details["group_sizes"])
        self.sets.observe(rows[~is_reserve], readouts.labels[~is_reserve])
        self.sets.set_aside(rows[is_reserve], readouts.labels[is_reserve])
        self.sets.pass_over(np.array(details.get("passed", ()), np.int64))
        self.feature_files.append(str(attempt.features_file))
        self._rows.append(rows)
        self._labels.append(readouts.labels)
        self._values.append(readouts.values)
        self._roles.append(selection.roles)

    def _learn(self, selection: Selection, losses: NDArray[np.float64], sizes: list[int]) -> None:
        groups = self._goal.groups(selection.scored.prediction)
        for group, batches in enumerate(self.scored):
            inside = groups == group
            if inside.any():
                batch = ScoredBatch(
                    n_inference=sizes[group],
                    n_observed=self.sets.n_observed,
                    uncertainty=selection.scored.uncertainty[inside],
                    rank=selection.ranks[inside],
                    loss=losses[inside],
                    is_random=np.isin(selection.roles[inside], RANDOM_ROLES),
                )
                batches.append(batch)

    @property
    def n_hits(self) -> int:
        """Measured hits, where the goal knows hits."""
        return sum(int(self._goal.hits(labels).sum()) for labels in self._labels)

    def labels_of(self, rows: Rows) -> LabelArray:
        """Labels of measured rows."""
        known, labels = np.concatenate(self._rows), np.concatenate(self._labels)
        order = np.argsort(known)
        return labels[order[np.searchsorted(known, rows, sorter=order)]]

    def counts(self, left: tuple[int, ...]) -> ScreenCounts:
        """Sizes that the claim depends on, with so many rows left in each group."""
        n_hits = self.n_hits
        return ScreenCounts(self.sets.n_target, n_hits, self.sets.n_measured - n_hits, left)

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
        return len(self._failed())

    @property
    def risk_spent(self) -> float:
        """Risk of the failed looks together."""
        return sum(record["look"][0]["delta"] for record in self._failed())

    def _failed(self) -> list[dict[str, Any]]:
        return [record for record in self.records if record["look"] and record["decision"] == "continue"]

    @property
    def batches_since_look(self) -> int:
        """Acquisition batches since the last failed look, or since the start."""
        looks = [number for number, record in enumerate(self.records) if record["look"]]
        return len(self.records) - 1 - looks[-1] if looks else len(self.records)

    @property
    def stop_round(self) -> int | None:
        """The first round that decided to stop."""
        return next((record["round"] for record in self.records if record["decision"] == "stop"), None)

    def measured(self) -> dict[str, NDArray[Any]]:
        """All readouts sorted by row: rows, labels, values, rounds and roles, n_measured of each."""
        rows = np.concatenate(self._rows)
        order = np.argsort(rows)
        sizes = [len(roles) for roles in self._roles]
        return {
            "rows": rows[order],
            "labels": np.concatenate(self._labels)[order],
            "values": np.concatenate(self._values)[order],
            "rounds": np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)[order],
            "roles": np.concatenate(self._roles)[order],
        }


def calibration_warning(alarm: CalibrationAlarm) -> str:
    """A raised alarm in words."""
    return (
        "confident predictions are wrong more often than unconfident ones: "
        f"{alarm.n_confident_errors} of {alarm.n_errors} errors of random rows lie in the most confident "
        f"{alarm.share:.0%} (p = {alarm.pvalue:.2g}); do not trust the paper's rule here"
    )
