"""A small laboratory: its compounds, their true readouts, and a technician who works through every batch."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from isd_ray.campaign.laboratory import Laboratory
from isd_ray.campaign.store import CampaignStore
from isd_ray.config import CampaignConfig
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.verify import verify

CONFIG = {
    "task": "classification",
    "labels": {"column": "bbb", "classes": ["BBB+", "BBB-"]},
    "model": {"families": ["linear", "resmlp"], "hidden_size": 8, "epochs": 2, "members": 1},
    "acquisition": {"batch_size": 60},
    "stopping": {"rule": "certify", "gamma": 0.7},
}
SCREEN = {
    "model": {"families": ["boosted", "linear", "resmlp"], "boosted": {"trees": 5}, "hidden_size": 16, "epochs": 3},
    "acquisition": {"batch_size": 120},
    "stopping": {"rule": "certify", "gamma": 0.7},
}
"""A simulated screen of the same compounds."""
FEW = 10
"""A batch of fewer compounds is of wells that failed before."""
TIMES = ("fit_seconds", "score_seconds", "round_seconds")


@dataclass(frozen=True)
class Technician:
    """Measures what is asked for; some wells fail, at the first try, a compound is out of stock, one must be tested.

    All of it follows from the batch, so that it may be repeated from anywhere.
    """

    truth: dict[str, str]

    def work(self, campaign: Campaign) -> bool:
        """One batch; whether there was one."""
        batch = campaign.ask()
        if batch is None:
            return False
        for step in self.steps(batch.round, sorted(batch.ids)):
            step(campaign)
        return True

    def steps(self, number: int, ids: list[str]) -> list[Callable[[Campaign], object]]:
        """What is said of a batch, command by command."""
        said: list[Callable[[Campaign], object]] = []
        if number == 1:
            said = [
                lambda campaign: campaign.fail(ids[:2], "no signal"),
                lambda campaign: campaign.exclude([ids[2]], "precipitates"),
                lambda campaign: campaign.exclude(["C0007", "C0008", "C0009"], "out of stock"),
                lambda campaign: campaign.include(["C0011", "C0012"], "a chemist wants them"),
            ]
        if number > 1 and len(ids) > FEW:
            said = [lambda campaign: campaign.fail(ids[:2], "no signal")]
        told = ids[3:] if number == 1 else ids[2:] if said else ids
        return [
            *said,
            lambda campaign: campaign.tell({name: self.truth[name] for name in told[: max(1, len(told) // 2)]}),
            lambda campaign: campaign.tell({name: self.truth[name] for name in told}),
        ]

    def finish(self, path: Path) -> None:
        """Work to the end."""
        while self.work(Campaign.open(path)):
            pass


def outcome(path: str | Path) -> dict:
    """All that a campaign decided and delivered, without times and places."""
    store = CampaignStore.open(path)
    rounds = []
    for files in store.rounds():
        record = {name: value for name, value in (files.committed or {}).items() if name not in TIMES}
        # Where frozen predictions lie has the name of an attempt in it, which is random; how many entries the log has
        # is how it was told, at once or little by little.
        of_its_own = dict.fromkeys(("frozen", "n_events", "n_heard"))
        rounds.append((files.read_batch(), json.dumps({**record, **of_its_own}, sort_keys=True)))
    return {
        "rounds": rounds,
        "certificate": store.certificate(),
        "hybrid": _hybrid(store) if store.is_delivered() else None,
    }


def _hybrid(store: CampaignStore) -> pa.Table:
    store.bring_hybrid()
    return pq.read_table(store.hybrid_dir)


def ledger(path: str | Path) -> dict:
    """All that people have said."""
    store = CampaignStore.open(path)
    found = Laboratory(store).ledger()
    every = np.arange(store.manifest["n_target"])
    failed = {event["round"] for event in store.events() if event["kind"] == "fail"}
    return {
        "told": found.all().to_pylist(),
        "lost": {round_number: found.lost(round_number, every).tolist() for round_number in failed},
        "why": found.why_lost(every, np.zeros_like(every), np.zeros_like(every)),
        "closed": found.closed,
        "excluded": found.excluded.tolist(),
        "wanted": found.wanted.tolist(),
    }


def assert_same(path: str | Path, expected: dict) -> None:
    """The same batches, decisions, certificate and hybrid screen, and nothing wrong in the folder."""
    found = outcome(path)
    assert len(found["rounds"]) == len(expected["rounds"])
    for (batch, record), (batch_before, record_before) in zip(found["rounds"], expected["rounds"], strict=True):
        assert batch.equals(batch_before)
        assert record == record_before
    assert found["certificate"] == expected["certificate"]
    assert found["hybrid"].equals(expected["hybrid"])
    problems = verify(CampaignStore.open(path)).problems
    assert problems == (), problems


def create(path: Path, config: CampaignConfig) -> None:
    """Begin the campaign."""
    Campaign.create(path, config)
