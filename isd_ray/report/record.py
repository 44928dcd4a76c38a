"""What a report is made from: everything is read from the campaign directory, so that it can be made again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from isd_ray.campaign.claimed import stored_goal
from isd_ray.campaign.events import Event
from isd_ray.campaign.look_rounds import unjudged
from isd_ray.campaign.round_files import RoundFiles, n_target_of, rounds_table
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.versions import in_force
from isd_ray.config import CampaignConfig
from isd_ray.core.goals import Goal
from isd_ray.report.digest import Digest, digest_of
from isd_ray.storage.files import read_derived

BASELINE = "random-baseline"
"""Folder, beside the rounds, of the random selection that a simulation is compared to."""
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Record:
    """The record of a campaign, finished or not.

    Attributes
    ----------
    store, config, goal, classes:
        The campaign.
    summary:
        The content of ``summary.json``; None while the screen goes on.
    rounds, calibration, baseline:
        What ``rounds.parquet`` and ``calibration.parquet`` hold, and the rounds of random selection in a simulation.
    files:
        The released rounds.
    events:
        The log.
    digest:
        Of the hybrid screen; None while the screen goes on.
    """

    store: CampaignStore
    config: CampaignConfig
    goal: Goal
    classes: tuple[str, ...]
    summary: Mapping[str, Any] | None
    rounds: Rows
    calibration: Rows
    baseline: Rows
    files: Sequence[RoundFiles]
    events: Sequence[Event]
    digest: Digest | None

    @classmethod
    def read(cls, store: CampaignStore, summary: Mapping[str, Any] | None) -> Record:
        """Read a campaign; of one with a summary the hybrid screen too."""
        config = CampaignConfig.from_stored(store.config)
        classes = tuple(store.manifest["classes"])
        if summary is not None:
            store.bring_hybrid()
        files = store.rounds()
        return cls(
            store=store,
            config=config,
            goal=stored_goal(store),
            classes=classes,
            summary=summary,
            rounds=rounds_table(files).to_pylist(),
            calibration=_rows(store, "calibration.parquet"),
            baseline=_rows(store, f"{BASELINE}/rounds.parquet"),
            files=files,
            events=store.events(),
            digest=None if summary is None else digest_of(store.hybrid_dir, config.task),
        )

    @property
    def n_target(self) -> int:
        """Compounds of the target set."""
        return in_force(self.store, self.files).n_rows

    @property
    def readout(self) -> str:
        """What the readouts are called, for axes."""
        return self.config.labels.column or "readout"

    @property
    def compared(self) -> str | None:
        """What the claim is held against, in words, as the last decided round knew; None in earlier versions."""
        said = [files.committed.get("constant") for files in self.files if files.committed is not None]
        return said[-1] if said else None

    @property
    def goal_line(self) -> tuple[float, str] | None:
        """The level that the claim is held against, and what it is; None where nothing is claimed."""
        if not self.config.stopping.in_force.judges:
            return None
        symbol = "" if self.goal.is_error else "γ = "
        name = "lowest goal of an output," if self.goal.outputs else "goal"
        return self.goal.level, f"{name} {symbol}{self.goal.level:g}"

    def roles(self) -> dict[int, Counter[str]]:
        """Compounds of each decided batch by role: of one that is out nobody is told whether it is an audit."""
        decided = [files for files in self.files if files.round not in unjudged(self.files)]
        return {files.round: Counter(files.read_batch()["role"].to_pylist()) for files in decided}

    def asked(self) -> tuple[int, int]:
        """Compounds in the batches of `roles`, and how many of them were in more than one."""
        rows = [files.read_batch()["row"].to_numpy() for files in self.files if files.round not in unjudged(self.files)]
        _, n_times = np.unique(np.concatenate(rows), return_counts=True)
        return len(n_times), int((n_times > 1).sum())

    def waits(self) -> dict[int, float]:
        """Seconds between release and decision of each round, by the clocks of those who wrote the two.

        Below 0 where these clocks differ by more than what was between (`misdated`).
        """
        released, decided = self._first("release"), self._first("decision")
        return {number: (decided[number] - released[number]).total_seconds() for number in released.keys() & decided}

    def misdated(self) -> list[int]:
        """The rounds whose decision is dated before their release."""
        return sorted(number for number, seconds in self.waits().items() if seconds < 0)

    def elapsed(self) -> float | None:
        """Seconds from the first release to the last decision, by the same clocks.

        None of a simulation, and where these clocks differ (`misdated`). How long a laboratory takes is on record once
        it has taken it, and nobody knows it before.
        """
        decided = self._first("decision")
        if not self.store.manifest["in_laboratory"] or not decided or self.misdated():
            return None
        return (max(decided.values()) - min(self._first("release").values())).total_seconds()

    def _first(self, kind: str) -> dict[int, datetime]:
        """When each round had its first event of a kind."""
        times: dict[int, datetime] = {}
        for event in self.events:
            if event["kind"] == kind:
                times.setdefault(event["round"], datetime.fromisoformat(event["time"]))
        return times


def series(rounds: Rows, column: str, place: str = "n_observed") -> tuple[list[float], list[float]]:
    """Share acquired in percent, and a column; the value of the whole screen ends with what was delivered.

    Parameters
    ----------
    place:
        ``n_observed`` for what speaks of the moment at which a round's model was fitted, ``n_acquired`` for what speaks
        of the moment after its batch.
    """
    points = [(100.0 * row[place] / n_target_of(row), row[column]) for row in rounds if row.get(column) is not None]
    last = rounds[-1] if rounds else {}
    delivered = last.get(column.replace("system", "delivered"))
    if column in ("system_accuracy", "system_value") and points and delivered is not None:
        points.append((100.0 * last["n_acquired"] / n_target_of(last), delivered))
    return [x for x, _ in points], [y for _, y in points]


def _rows(store: CampaignStore, name: str) -> list[dict[str, Any]]:
    file = store.latest(name)
    return list(read_derived(file).to_pylist()) if file.is_file() else []
