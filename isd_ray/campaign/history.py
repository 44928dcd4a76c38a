"""What a campaign has measured so far: all of it follows from the batches and readouts in the store."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isd_ray.campaign.oracle import Readouts
from isd_ray.campaign.selection import Selection
from isd_ray.campaign.store import Attempt
from isd_ray.config import CampaignConfig
from isd_ray.core.metrics import is_correct
from isd_ray.core.sets import TargetSets
from isd_ray.core.trigger import ScoredBatch
from isd_ray.core.watch import CalibrationAlarm, calibration_alarm
from isd_ray.messages import ROLES

CALIBRATION_RISK = 0.05
"""Probability of a false calibration alarm in a campaign."""
RANDOM_ROLES = [ROLES.index("random"), ROLES.index("audit")]


class History:
    """The observation set in the order of acquisition, and what the models had said before each readout.

    Parameters
    ----------
    config:
        The campaign.
    n_target:
        Size of the target set.
    """

    def __init__(self, config: CampaignConfig, n_target: int) -> None:
        self._config = config
        self.sets = TargetSets(n_target)
        self.records: list[dict[str, Any]] = []
        self.feature_files: list[str] = []
        self.scored: list[ScoredBatch] = []
        self._values: list[NDArray[np.float64]] = []
        self._roles: list[NDArray[np.int8]] = []

    def correct(self, selection: Selection, readouts: Readouts) -> NDArray[np.bool_]:
        """Which rows of a batch the model had predicted right before their labels were used."""
        tolerance = self._config.stopping.tolerance
        return is_correct(selection.scored.prediction, readouts.labels, self._config.task, tolerance)

    def observe(self, attempt: Attempt, selection: Selection, readouts: Readouts) -> None:
        """Move a measured batch into the observation set."""
        if self._config.counts_errors and len(selection.ranks) and np.isfinite(selection.ranks).all():
            batch = ScoredBatch(
                n_inference=self.sets.n_inference,
                uncertainty=selection.scored.uncertainty,
                rank=selection.ranks,
                loss=(~self.correct(selection, readouts)).astype(np.float64),
                is_random=np.isin(selection.roles, RANDOM_ROLES),
            )
            self.scored.append(batch)
        self.sets.observe(selection.scored.rows, readouts.labels)
        self.feature_files.append(str(attempt.features_file))
        self._values.append(readouts.values)
        self._roles.append(selection.roles)

    def calibration(self) -> CalibrationAlarm:
        """Whether confident predictions were wrong more often than unconfident ones (risk of a false alarm: 5 %)."""
        look = len(self.scored)
        return calibration_alarm(self.scored, CALIBRATION_RISK / (look * (look + 1)) if look else 0.0)

    @property
    def failed_looks(self) -> int:
        """Looks that did not stop the screen."""
        return sum(record["look"] is not None and record["decision"] == "continue" for record in self.records)

    @property
    def batches_since_look(self) -> int:
        """Acquisition batches since the last failed look, or since the start."""
        looks = [number for number, record in enumerate(self.records) if record["look"] is not None]
        return len(self.records) - 1 - looks[-1] if looks else len(self.records)

    @property
    def stop_round(self) -> int | None:
        """The first round that decided to stop."""
        return next((record["round"] for record in self.records if record["decision"] == "stop"), None)

    def measured(self) -> dict[str, NDArray[Any]]:
        """The observation set sorted by row: rows, labels, values, rounds and roles, each of shape (n_observed,)."""
        order = np.argsort(self.sets.rows)
        sizes = [len(roles) for roles in self._roles]
        return {
            "rows": self.sets.rows[order],
            "labels": self.sets.labels[order],
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
