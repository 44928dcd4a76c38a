"""Audits on plates: spread over as many as a batch has, among rows that a finish would take, which prove nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow.compute as pc
import pytest

from isd_ray.core.goals import Accuracy
from isd_ray.core.looks import LookPlan
from isd_ray.core.stopping import Audit, decide_look
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.verify import verify
from isd_ray.storage.files import read_json
from tests.unit.test_laboratory import PLATES, isd, truth

__all__ = ["truth"]
CAPACITY = 80
"""Samples on a plate of 96 wells with two columns of controls."""


def at_an_audit(campaign, truth):
    """Until an audit is out: its batch as it is released."""
    while (batch := campaign.ask()) is not None:
        released = campaign.store.rounds()[-1].read_batch()
        if "audit" in released["role"].to_pylist():
            return released
        campaign.tell({name: truth[name] for name in batch.ids})
    raise AssertionError("no look")


@pytest.fixture
def plated(make_config, tmp_path, truth):
    def begin(folder="run", **stopping):
        settings = {
            "labels": {"column": "bbb", "classes": ["BBB+", "BBB-"]},
            "plates": PLATES,
            "acquisition": {"n_plates": 2, "batch_size": None},
            "stopping": {"rule": "certify", "gamma": 0.75, **stopping},
        }
        return Campaign.create(tmp_path / folder, make_config(**settings))

    return begin


def frozen(campaign):
    """The frozen predictions of the look that is out: rows, the most uncertain first but for equal ones."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = campaign.store.rounds()[-1]
    names = files.released["predictions"]
    table = pa.concat_tables([pq.read_table(files.attempt.predictions_dir / name) for name in names])
    return dict(zip(table["row"].to_pylist(), table["uncertainty"].to_pylist(), strict=True))


def test_an_audit_is_spread_over_the_plates_of_a_batch_among_the_most_uncertain(plated, truth, tmp_path):
    campaign = plated()
    batch = at_an_audit(campaign, truth)
    roles = batch["role"].to_pylist()
    n_audit = roles.count("audit")
    assert n_audit < CAPACITY, "one plate would hold it"
    assert roles.count("filling") == min(CAPACITY - n_audit, n_audit)
    by_plate = {
        role: set(batch.filter(pc.equal(batch["role"], role))["plate"].to_pylist()) for role in ("audit", "filling")
    }
    assert by_plate["audit"] == by_plate["filling"] == set(batch["plate"].to_pylist())
    assert len(by_plate["audit"]) == 2
    counts = [batch["plate"].to_pylist().count(plate) for plate in by_plate["audit"]]
    assert max(counts) - min(counts) <= 1
    uncertainty = frozen(campaign)
    inside = set(batch["row"].to_pylist())
    least = min(
        uncertainty[row] for row, role in zip(batch["row"].to_pylist(), roles, strict=True) if role == "filling"
    )
    assert all(value <= least for row, value in uncertainty.items() if row not in inside)
    for file in campaign.dispatch(tmp_path / "out"):
        assert not {"audit", "filling"} & set(file.read_text().replace("\n", ",").split(","))
    assert not {"role", "prediction"} & campaign.history(batch["id"][0].as_py())[-1].keys()
    assert "filling" not in isd("status", campaign.path)
    campaign.tell({name: truth[name] for name in batch["id"].to_pylist()})
    number = campaign.store.rounds()[-1].round
    campaign.ask()
    record = campaign.store.rounds()[number].committed
    assert record["n_filling"] == roles.count("filling")
    assert record["audits"][0]["n"] == n_audit
    assert verify(campaign.store).problems == ()


def test_hits_that_a_filling_finds_make_no_room_for_errors(plated, truth):
    """The allowance of a recall grows with the hits found; those of the filling are of the population."""
    judged = {}
    for folder, answer in (("none", "BBB+"), ("all", "BBB-")):
        campaign = plated(folder, quantity="recall", gamma=0.7, positive="BBB-")
        batch = at_an_audit(campaign, truth)
        filled = set(batch.filter(pc.equal(batch["role"], "filling"))["id"].to_pylist())
        assert filled
        campaign.tell({name: answer if name in filled else truth[name] for name in batch["id"].to_pylist()})
        number = campaign.store.rounds()[-1].round
        campaign.ask()
        record = campaign.store.rounds()[number].committed
        judged[folder] = {name: record[name] for name in ("judged", "audits")}
    assert judged["none"] == judged["all"]


def test_a_campaign_of_an_earlier_version_and_one_without_plates_fill_nothing(plated, make_config, truth, tmp_path):
    from isd_ray.campaign.store import CampaignStore

    begun = plated()
    manifest = read_json(begun.path / "campaign.json")
    old = {name: value for name, value in manifest.items() if name != "fills_plates"}
    earlier = Campaign(CampaignStore.create(tmp_path / "earlier", old))
    without = Campaign.create(
        tmp_path / "without",
        make_config(labels={"column": "bbb", "classes": ["BBB+", "BBB-"]}, stopping={"rule": "certify", "gamma": 0.75}),
    )
    for campaign in (earlier, without):
        assert "filling" not in at_an_audit(campaign, truth)["role"].to_pylist()


def test_a_finish_that_the_filling_holds_needs_no_second_trip():
    goal, plan = Accuracy(0.9), LookPlan(1, 0.05, 60, 400, 40.0, "any", 400)
    ranks = np.arange(0, 360, 6)
    losses = (ranks < 60).astype(float)
    audit = Audit(ranks, losses, np.ones(60, np.bool_))
    alone = decide_look((plan,), (audit,), goal, (0,), 400)
    assert alone.action == "finish"
    others = np.setdiff1d(np.arange(alone.n_finish), ranks)
    for n, action in ((len(others), "stop"), (len(others) - 1, "finish")):
        filled = decide_look((plan,), (replace(audit, filling=others[:n]),), goal, (0,), 400)
        assert (filled.action, filled.n_finish) == (action, alone.n_finish)
