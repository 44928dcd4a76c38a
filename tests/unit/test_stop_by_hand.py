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
from tests.unit.test_amended_audits import at_a_look
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
    words = json.loads((path / "not_certified.json").read_text())["words"]
    assert "The last look that was asked for did not pass." in words


def test_a_last_look_that_no_model_allows_is_said_not_to_have_been_taken(make_config, truth, tmp_path):
    labels = {"labels": {"column": "bbb", "classes": ["BBB+", "BBB-"]}}
    campaign = Campaign.create(tmp_path / "lab", make_config(**{**LABORATORY, **labels}, stopping={"rule": "certify"}))
    one_class = [name for name in campaign.ask().ids if truth[name] == "BBB+"]
    campaign.tell(dict.fromkeys(one_class, "BBB+"))
    campaign.stop("enough", last_look=True)
    while (batch := campaign.ask()) is not None:
        campaign.tell({name: truth[name] for name in batch.ids})
    words = json.loads((campaign.path / "not_certified.json").read_text())["words"]
    assert not any(files.committed["look"] for files in campaign.store.rounds())
    assert "The last look that was asked for could not be taken, as no model had predictions to judge." in words


@pytest.fixture
def looking(make_config, truth, tmp_path):
    """A campaign with an audit out, and what the model says of it by id."""

    def begin(**stopping):
        config = make_config(**LABORATORY, stopping={"rule": "certify", "gamma": 0.75, **stopping})
        campaign = Campaign.create(tmp_path / "look", config)
        predicted = at_a_look(campaign, truth)
        return campaign, {name: predicted.get(name, truth[name]) for name in campaign.batch().ids}

    return begin


def opposite(labels):
    return {name: "BBB+" if label == "BBB-" else "BBB-" for name, label in labels.items()}


def test_after_a_stop_no_further_portion_of_an_audit_is_asked_for(looking):
    campaign, predicted = looking(portions=3)
    campaign.tell(opposite(predicted))
    campaign.stop("enough")
    assert campaign.ask() is None
    look, end = [files.committed for files in campaign.store.rounds()[-2:]]
    assert (look["decision"], look["look"][0]["portion"]) == ("continue", 1)
    assert look["reason"].endswith("a person has stopped the screen, nothing more is released")
    assert end["reason"] == "stopped by a person: enough"
    assert not campaign.summary()["certified"]
    assert verify(campaign.store).problems == ()


@pytest.mark.parametrize("portions", [1, 3])
def test_after_a_stop_lost_wells_of_an_audit_are_not_asked_for_once_more_and_are_errors(looking, portions):
    campaign, predicted = looking(portions=portions)
    kept = sorted(predicted)[4:]
    campaign.tell(opposite({name: predicted[name] for name in kept}))
    assert campaign.stop("enough") == 4
    assert campaign.ask() is None
    [audit] = campaign.store.rounds()[-2].committed["audits"]
    assert (audit["n_lost"], audit["n_errors"]) == (4, len(predicted))
    assert verify(campaign.store).problems == ()


def test_an_audit_that_is_told_before_a_stop_certifies_if_it_passes(looking):
    campaign, predicted = looking()
    campaign.tell(predicted)
    campaign.stop("enough")
    assert campaign.ask() is None
    assert campaign.summary()["certified"]
    assert not (campaign.path / "not_certified.json").exists()


def test_no_finish_is_asked_for_after_a_stop(looking):
    campaign, predicted = looking(gamma=0.8)
    few = dict(list(predicted.items())[:4])
    campaign.tell(predicted | opposite(few))
    campaign.stop("enough")
    assert campaign.ask() is None
    assert "is beyond the budget of 0" in campaign.store.rounds()[-2].committed["reason"]
    assert not campaign.summary()["certified"]


def test_recall_is_not_judged_where_a_stop_keeps_lost_hits_from_being_measured_once_more(looking):
    campaign, predicted = looking(quantity="recall", positive="BBB-", gamma=0.3)
    hits = [line["id"] for line in campaign.store.rounds()[-1].read_batch().to_pylist() if line["role"] == "hit"]
    predicted |= dict.fromkeys(hits, "BBB-")
    campaign.tell({name: label for name, label in predicted.items() if name != hits[0]})
    assert campaign.stop("enough") == 1
    assert campaign.ask() is None
    look = campaign.store.rounds()[-2].committed
    assert look["decision"] == "continue"
    assert look["reason"].startswith(f"1 of {len(predicted)} compounds gave no readout, and without them")


def test_before_a_last_look_the_one_under_way_goes_on_to_its_end(looking):
    campaign, predicted = looking(portions=3)
    campaign.tell(opposite(predicted))
    campaign.stop("enough", last_look=True)
    looks = []
    while len(looks) < 3:
        campaign.ask()
        out = campaign.store.rounds()[-1]
        looks += out.released["look"]
        lines = out.read_batch().to_pylist()
        campaign.tell({line["id"]: "BBB-" if line["prediction"] == 0 else "BBB+" for line in lines})
    assert [(look["number"], look["portion"], look["portions"]) for look in looks] == [(1, 2, 3), (1, 3, 3), (2, 1, 1)]
    assert looks[1]["delta"] + looks[2]["delta"] == pytest.approx(0.05)


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
