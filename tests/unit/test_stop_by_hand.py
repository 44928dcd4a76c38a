"""A screen that a person stops: on record, delivered without a certificate, or judged by one last look."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.watcher import Watcher
from isd_ray.cli import app
from isd_ray.errors import LabelError, StoreError
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.resume import resume
from isd_ray.ops.simulate import simulate
from isd_ray.ops.verify import verify
from tests.chaos.crashes import Disk, Killed, writing_to
from tests.unit.test_laboratory import truth

__all__ = ["truth"]
FAST = {"model": {"families": ["linear"]}, "acquisition": {"batch_size": 60}}
LABORATORY = {"labels": {"column": "bbb", "classes": ["BBB+", "BBB-"]}, **FAST}


class CutOffError(Exception):
    """The process ends."""


class CutOff(Watcher):
    """Ends the process when a round begins."""

    def __init__(self, at_round):
        self.at_round = at_round

    def step(self, name, progress):
        if progress.round >= self.at_round:
            raise CutOffError


@pytest.fixture
def under_way(make_config, tmp_path):
    """A simulation that was cut off in its third round."""

    def begin(name="run", **stopping):
        config = make_config(**FAST, stopping={"rule": "certify", "gamma": 0.95, **stopping})
        with pytest.raises(CutOffError):
            simulate(config, tmp_path / name, CutOff(2))
        return tmp_path / name

    return begin


@pytest.fixture
def laboratory(make_config, truth, tmp_path):
    """A campaign with two batches told and the third one out."""
    campaign = Campaign.create(tmp_path / "lab", make_config(**LABORATORY, stopping={"rule": "certify", "gamma": 0.95}))
    for _ in range(2):
        campaign.tell({name: truth[name] for name in campaign.ask().ids})
    campaign.ask()
    return campaign


def test_a_laboratory_closes_what_is_out_and_delivers_without_a_certificate(laboratory, truth):
    ids = laboratory.batch().ids
    laboratory.tell({name: truth[name] for name in ids[:20]})
    assert laboratory.stop("the project ends") == 40
    assert "stopped" in laboratory.status().next
    assert laboratory.ask() is None
    summary = laboratory.summary()
    assert (summary["certified"], summary["n_acquired"]) == (False, 140)
    assert summary["stop_reason"] == "stopped by a person: the project ends"
    assert "NOT CERTIFIED" in summary["claim"]
    said = json.loads((laboratory.path / "not_certified.json").read_text())
    assert (said["certified"], said["reason"]) == (False, "the project ends")
    shown = CliRunner().invoke(app, ["certificate", "show", str(laboratory.path)])
    assert "stopped by a person: the project ends. Nothing is guaranteed" in str(shown.exception)
    assert verify(laboratory.store).problems == ()
    assert [event["reason"] for event in laboratory.store.events() if event["kind"] == "stop"] == ["the project ends"]


def test_a_simulation_is_stopped_and_resumed_to_its_end(under_way):
    path = under_way()
    shown = CliRunner().invoke(app, ["stop", str(path), "--reason", "enough"], catch_exceptions=False)
    assert f"now: isd resume {path}, which delivers it, NOT CERTIFIED" in shown.output.replace("\n", "")
    summary = resume(path)
    assert (summary["certified"], summary["stop_reason"]) == (False, "stopped by a person: enough")
    assert verify(CampaignStore.open(path)).problems == ()


def test_a_last_look_is_at_all_the_risk_that_is_left_and_certifies_if_it_passes(under_way):
    path = under_way(gamma=0.7, max_compounds=900)
    n_looks = len([files for files in CampaignStore.open(path).rounds() if (files.committed or {}).get("look")])
    assert n_looks == 0
    Campaign.open(path).stop("time is up", last_look=True)
    summary = resume(path)
    looks = [files.committed["look"] for files in CampaignStore.open(path).rounds() if files.committed["look"]]
    assert [plan["delta"] for plan in looks[-1]] == [pytest.approx(0.05)]
    assert summary["certified"]
    assert not (path / "not_certified.json").exists()
    assert summary["n_predicted"] > 0


def test_a_last_look_that_fails_leaves_the_screen_without_a_certificate(under_way):
    path = under_way(gamma=0.97, max_compounds=420)
    Campaign.open(path).stop("time is up", last_look=True)
    summary = resume(path)
    assert (summary["certified"], summary["stop_reason"]) == (False, "stopped by a person: time is up")


def test_what_cannot_be_is_refused_and_nothing_is_noted(make_config, laboratory, tmp_path):
    with pytest.raises(LabelError, match="needs a reason"):
        laboratory.stop(" ")
    new = Campaign.create(tmp_path / "new", make_config(**LABORATORY, stopping={"rule": "certify", "gamma": 0.9}))
    with pytest.raises(StoreError, match="nothing is measured"):
        new.stop("never mind")
    assert new.store.events() == []
    laboratory.stop("first")
    with pytest.raises(StoreError, match="stopped already: first"):
        laboratory.stop("second")
    laboratory.ask()
    with pytest.raises(StoreError, match="has ended"):
        laboratory.stop("third")


@pytest.mark.parametrize("stopping", [{"rule": "pac"}, {"quantity": "recall", "positive": "BBB-"}, {"rule": "none"}])
def test_a_last_look_is_refused_where_it_has_no_proof(under_way, stopping):
    path = under_way(**stopping)
    with pytest.raises(StoreError, match=r"a last look is for stopping\.rule = 'certify' and accuracy"):
        Campaign.open(path).stop("time is up", last_look=True)
    Campaign.open(path).stop("time is up")
    assert resume(path)["stop_reason"] == "stopped by a person: time is up"


def test_killed_at_any_write_a_stopped_screen_ends_the_same(under_way):
    def end(path):
        if not any(event["kind"] == "stop" for event in CampaignStore.open(path).events()):
            Campaign.open(path).stop("time is up", last_look=True)
        return {key: value for key, value in resume(path).items() if not key.endswith("seconds")}

    whole = under_way("whole", gamma=0.7)
    with writing_to(Disk()) as disk:
        expected = end(whole)
    for die_at in range(0, disk.n_writes, 9):
        path = under_way(f"cut-{die_at}", gamma=0.7)
        with writing_to(Disk(die_at)), pytest.raises(Killed):
            end(path)
        assert end(path) == expected
