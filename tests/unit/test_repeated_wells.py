"""Lost wells of a look and its finish: released once more before it is judged, on record, and never drawn anew."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.compute as pc
import pytest

from isd_ray.campaign.batch import Selection, unscored
from isd_ray.campaign.look_rounds import Earlier
from isd_ray.campaign.oracle import Readouts, unplated
from isd_ray.campaign.round_files import n_target_of
from isd_ray.campaign.steps.further import repeat_of
from isd_ray.core import certify
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.results import report_of
from isd_ray.ops.simulate import simulate
from isd_ray.ops.verify import verify
from isd_ray.report.certificate import Certificate
from isd_ray.report.words import summary_lines
from tests.unit.test_amended_audits import at_a_look
from tests.unit.test_laboratory import LABORATORY, isd, truth

__all__ = ["truth"]
STRICT = {"rule": "certify", "gamma": 0.7}


@pytest.fixture
def looking(make_config, tmp_path, truth):
    def begin(**stopping):
        settings = {**LABORATORY, "stopping": {**STRICT, **stopping}}
        campaign = Campaign.create(tmp_path / "run", make_config(**settings))
        return campaign, at_a_look(campaign, truth)

    return begin


def losing(campaign, truth, lost) -> None:
    """The batch that is out is measured but for some compounds."""
    ids = campaign.ask().ids
    campaign.tell({name: truth[name] for name in ids if name not in lost})
    if inside := sorted(lost & set(ids)):
        campaign.fail(inside, "no signal")


def record_of(campaign, number):
    return campaign.store.rounds()[number].committed


def test_lost_wells_of_an_audit_are_released_once_more_before_it_is_judged(looking, truth, tmp_path):
    campaign, predicted = looking(gamma=0.75)
    look = campaign.store.rounds()[-1].round
    lost = set(sorted(predicted)[: len(predicted) // 3])
    losing(campaign, truth, lost)
    batch = campaign.ask()
    assert set(batch.ids) == lost
    assert (batch.round, batch.repeats) == (look + 1, look)
    assert (record_of(campaign, look)["decision"], record_of(campaign, look)["look"]) == ("repeat", None)
    assert f"compounds of round {look} whose wells gave none, measured once more" in campaign.status().next
    assert f"{len(lost)} compounds to measure once more" in " ".join(isd("ask", campaign.path).split())
    name = min(lost)
    assert not any({"role", "prediction"} & event.keys() for event in campaign.history(name))
    again = sorted(lost)[:1]
    campaign.preview({name: truth[name] for name in lost})
    losing(campaign, truth, set(again))
    campaign.ask()
    record = record_of(campaign, look + 1)
    [found] = record["audits"]
    wrong = sum(predicted[name] != truth[name] for name in predicted if name not in again)
    assert (found["n"], found["n_lost"], found["n_errors"]) == (len(predicted), 1, wrong + 1)
    assert (record["n_repeated"], record["n_lost"]) == (len(lost), 1)
    assert record["decision"] != "repeat"
    assert campaign.history(name)[0]["role"] == "audit"
    assert f" batches, {len(lost)} of them more than once" in report_of(campaign.store)
    assert verify(campaign.store).problems == ()


def test_a_look_that_passes_with_its_lost_wells_as_errors_asks_for_none_again(
    make_config, tmp_path, truth, monkeypatch
):
    monkeypatch.setattr(certify, "power_z", lambda together: 2.5)
    settings = {"labels": LABORATORY["labels"], "stopping": {**STRICT, "gamma": 0.7}}
    campaign = Campaign.create(tmp_path / "run", make_config(**settings))
    predicted = at_a_look(campaign, truth)
    look = campaign.store.rounds()[-1].round
    losing(campaign, truth, {min(name for name in predicted if predicted[name] == truth[name])})
    assert campaign.ask() is None
    record = record_of(campaign, look)
    assert (record["decision"], record["n_lost"], record["audits"][0]["n_lost"]) == ("stop", 1, 1)


def test_a_compound_of_an_audit_that_cannot_be_had_is_not_asked_for_again(looking, truth):
    campaign, predicted = looking(gamma=0.75)
    look = campaign.store.rounds()[-1].round
    gone, *lost = sorted(predicted)[:10]
    campaign.exclude([gone], "precipitated")
    losing(campaign, truth, {gone, *lost})
    assert set(campaign.ask().ids) == set(lost)
    losing(campaign, truth, set())
    campaign.ask()
    assert record_of(campaign, look + 1)["audits"][0]["n_lost"] == 1


def test_a_lab_that_cannot_repeat_closes_the_round_and_the_losses_count(looking, truth):
    campaign, predicted = looking(gamma=0.75)
    look = campaign.store.rounds()[-1].round
    lost = set(sorted(predicted)[: len(predicted) // 3])
    losing(campaign, truth, lost)
    assert set(campaign.ask().ids) == lost
    campaign.close("no stock left")
    campaign.ask()
    assert record_of(campaign, look + 1)["audits"][0]["n_lost"] == len(lost)


def test_a_campaign_of_an_earlier_version_counts_a_lost_well_at_once(make_config, tmp_path, truth, monkeypatch):
    from isd_ray.campaign import setup
    from isd_ray.campaign.store import CampaignStore

    create = CampaignStore.create

    def old(path, manifest):
        return create(path, {name: value for name, value in manifest.items() if name != "repeats_lost"})

    monkeypatch.setattr(setup.CampaignStore, "create", old)
    campaign = Campaign.create(tmp_path / "run", make_config(**{**LABORATORY, "stopping": {**STRICT, "gamma": 0.75}}))
    predicted = at_a_look(campaign, truth)
    look = campaign.store.rounds()[-1].round
    lost = set(sorted(predicted)[: len(predicted) // 3])
    losing(campaign, truth, lost)
    campaign.ask()
    assert record_of(campaign, look)["audits"][0]["n_lost"] == len(lost)


def test_a_well_that_is_asked_for_again_is_paid_again_or_not_asked_for(make_config, tmp_path, truth):
    """What the money does not buy is said, and the loss counts."""
    spent = {}
    for cap in (10_000.0, None):
        limit = cap or spent["first"] + 0.5
        stopping = {**STRICT, "gamma": 0.75, "max_cost": limit, "cost_per_compound": 1.0}
        campaign = Campaign.create(tmp_path / str(cap), make_config(**{**LABORATORY, "stopping": stopping}))
        try:
            predicted = at_a_look(campaign, truth)
        except AssertionError:
            pytest.fail("the money was to suffice for the audit")
        look = campaign.store.rounds()[-1].round
        lost = set(sorted(predicted)[: len(predicted) // 3])
        losing(campaign, truth, lost)
        campaign.ask()
        record = record_of(campaign, look)
        if cap:
            assert record["decision"] == "repeat"
            spent["first"] = record["spent"]
            losing(campaign, truth, set())
            campaign.ask()
            assert record_of(campaign, look + 1)["spent"] == record["spent"] + len(lost)
        else:
            assert record["decision"] != "repeat"
            assert "does not allow to release them once more" in record["reason"]


@pytest.mark.parametrize("is_panel", [False, True])
def test_what_is_measured_once_more_takes_the_places_of_what_was_lost(is_panel):
    """In the order of drawing, which a test by betting goes by."""

    def readouts(labels):
        labels = np.array(labels, float)
        if is_panel:
            there = ~np.isnan(labels)
            labels = np.stack([np.where(there, labels, 0), there], axis=1).astype(np.uint8)[:, :, None]
        return Readouts(labels, np.arange(len(labels), dtype=float), unplated(len(labels)))

    rows = np.array([9, 4, 7, 1])
    batch = Selection.of(unscored(rows), "audit")
    record, nothing = {"once_more": [1, 4]}, np.empty(0, np.int64)
    earlier = Earlier(record, batch, readouts([1, np.nan, 0, np.nan]), nothing, 0, 0, [])
    again = repeat_of(earlier)
    assert again.scored.rows.tolist() == [4, 1]
    selection, whole = earlier.with_next(again, readouts([0, np.nan]))
    assert selection.scored.rows.tolist() == rows.tolist()
    assert whole.present.tolist() == [True, True, True, False]
    assert np.array_equal(whole.labels, readouts([1, 0, 0, np.nan]).labels, equal_nan=True)


# --- in simulation ------------------------------------------------------------------------------------------------

LOSING = {"stopping": {"rule": "certify", "gamma": 0.75}, "simulation": {"lost_share": 0.2}}


def test_a_simulation_loses_wells_and_measures_those_of_a_look_once_more(make_config, tmp_path):
    result = simulate(make_config(**LOSING), tmp_path / "run")
    rounds = result.rounds.to_pylist()
    asked, lost = sum(row["n_batch"] for row in rounds), sum(row["n_lost"] for row in rounds)
    assert 0.1 < lost / asked < 0.3
    [again] = [row for row in rounds if row["n_repeated"]][-1:]
    before = rounds[again["round"] - 1]
    assert (before["decision"], again["n_repeated"]) == ("repeat", before["n_lost"])
    again_lost = again["n_lost"]
    assert again_lost < again["n_repeated"]
    content = Certificate.of(result_store(result)).content if result.certificate else None
    if content is not None:
        assert content["n_repeated"] == sum(row["n_repeated"] for row in rounds)
    assert verify(result_store(result)).problems == ()


RESERVED = {
    "classes": {"model": {"families": ["linear"]}, "stopping": {"gamma": 0.8}},
    "values": {
        "task": "regression",
        "labels": {"column": "size"},
        "model": {"families": ["boosted"], "boosted": {"trees": 30}},
        "stopping": {"gamma": 0.8, "tolerance": 4.0},
    },
}


@pytest.mark.parametrize("kind", RESERVED)
def test_a_lost_well_of_a_reserve_is_not_measured_before_the_finish_asks_for_it_again(make_config, tmp_path, kind):
    stopping = {"rule": "reserved", "reserve_size": 120, **RESERVED[kind]["stopping"]}
    changes = {**RESERVED[kind], "stopping": stopping, "acquisition": {"batch_size": 60}}
    result = simulate(make_config(**changes, simulation={"lost_share": 0.05}), tmp_path / "run")
    batches = [files.read_batch() for files in result_store(result).rounds()]
    reserved = batches[0].filter(pc.equal(batches[0]["role"], "reserve"))["row"]
    again = [
        role for batch in batches[1:] for role in batch.filter(pc.is_in(batch["row"], reserved))["role"].to_pylist()
    ]
    assert result.summary["certified"]
    assert set(again) == {"finish"}
    n_measured = pc.sum(pc.equal(result.hybrid["source"], "measured")).as_py()
    content = result.certificate.content
    assert result.summary["n_acquired"] == content["n_measured"] == n_measured
    n_lost = pc.sum(pc.equal(result.hybrid["source"], "abandoned")).as_py()
    assert content.get("n_abandoned", 0) == n_lost
    n_predicted = 900 - n_measured - n_lost
    assert f"{n_predicted:,} predicted" in str(result.certificate)
    assert n_lost
    assert (result.summary["n_predicted"], result.summary["n_abandoned"]) == (n_predicted, n_lost)
    assert ("Reserved, without a readout", f"{n_lost:,}") in summary_lines(result.summary)
    for row in result.rounds.to_pylist():
        assert row["n_observed"] + row["n_inference"] + row["n_abandoned"] == n_target_of(row) == 900
    assert row["n_abandoned"], "the last round knew of those that the first had lost"
    assert verify(result_store(result)).problems == ()


def test_a_reserve_whose_finish_was_not_completed_is_not_looked_at_again(make_config, tmp_path, truth):
    """Its readouts have chosen what was measured: what is left of it is no uniform sample of what is left."""
    reserved = {"rule": "reserved", "reserve_size": 120, "gamma": 0.85}
    changes = {**LABORATORY, **RESERVED["classes"], "stopping": reserved, "acquisition": {"batch_size": 60}}
    campaign = Campaign.create(tmp_path / "run", make_config(**changes))
    lost: set[str] = set()
    while (batch := campaign.ask()) is not None and len(campaign.store.rounds()) < 14:
        out = campaign.store.rounds()[-1].read_batch()
        lost |= set(out.filter(pc.equal(out["role"], "finish"))["id"].to_pylist()[:1])
        if inside := sorted(lost.intersection(batch.ids)):
            campaign.fail(inside, "no signal")
        if others := {name: truth[name] for name in batch.ids if name not in lost}:
            campaign.tell(others)
    records = [files.committed for files in campaign.store.rounds() if files.committed]
    spent = next(n for n, record in enumerate(records) if record["decision"] == "finish")
    later = records[spent + 1 :]
    assert [record["decision"] for record in later[:2]] == ["repeat", "continue"]
    assert len(later) > 3
    assert not any(record["look"] for record in later)
    assert "was not completed" in later[2]["outlook"]


def result_store(result):
    from isd_ray.campaign.store import CampaignStore

    return CampaignStore.open(result.path)


def test_which_wells_a_simulation_loses_depends_on_seed_compound_and_round_alone(make_config, tmp_path):
    runs = {}
    for name, changes in {
        "once": {},
        "again": {},
        "scorers": {"compute": {"backend": "local", "scorers": 3}},
        "other seed": {"seed": 1},
    }.items():
        result = simulate(make_config(**{**LOSING, **changes}), tmp_path / name)
        runs[name] = [(row["n_batch"], row["n_lost"], row["n_repeated"]) for row in result.rounds.to_pylist()]
    assert runs["once"] == runs["again"] == runs["scorers"] != runs["other seed"]


def test_a_replay_that_loses_nothing_is_the_one_it_was(make_config):
    from isd_ray.campaign.setup import science_of

    plain = science_of(make_config().model_dump(mode="json"))
    assert "lost_share" not in plain["science"]
    losing = science_of(make_config(simulation={"lost_share": 0.1}).model_dump(mode="json"))
    assert losing["science"]["lost_share"] == 0.1
    assert json.dumps({**losing["science"], "lost_share": None}) != json.dumps(plain["science"])


CLAIMS = {
    "recall": {"quantity": "recall", "gamma": 0.8, "positive": "BBB-"},
    "balanced accuracy": {"quantity": "balanced_accuracy", "gamma": 0.8, "positive": "BBB-"},
    "at the end of a budget": {"rule": "none", "gamma": 0.9, "max_compounds": 450, "reserve_audit": True},
    "pac": {"rule": "pac", "gamma": 0.8},
    "mae": {"quantity": "mae", "max_loss": 5.0, "loss_clip": 20.0},
}


@pytest.mark.parametrize("claim", sorted(CLAIMS))
def test_looks_at_every_claim_are_judged_by_the_whole_audit_after_the_second_try(claim, make_config, tmp_path):
    stopping = {"rule": "certify", "gamma": 0.8, **CLAIMS[claim]}
    values = {"task": "regression", "labels": {"column": "size"}} if claim == "mae" else {"model": {"epochs": 12}}
    config = make_config(**values, stopping=stopping, simulation={"lost_share": 0.2}, acquisition={"batch_size": 90})
    store = result_store(simulate(config, tmp_path / "run"))
    rounds = store.rounds()
    looks = [files for files in rounds if files.committed["look"]]
    assert any(files.repeats is not None for files in looks)
    for files in looks:
        drawn = rounds[files.round if files.repeats is None else files.repeats].read_batch()["role"].to_pylist()
        assert sum(found["n"] for found in files.committed["audits"]) == drawn.count("audit")
        n_lost = sum(found["n_lost"] for found in files.committed["audits"])
        assert n_lost <= files.committed["n_lost"]
    assert verify(store).problems == ()


@pytest.mark.parametrize(("tolerance", "tried_again"), [(0, [1]), (1, [])])
def test_lost_wells_of_a_finish_are_measured_once_more_unless_so_many_are_tolerated(
    tolerance, tried_again, make_config, tmp_path
):
    stopping = {"rule": "pac", "gamma": 0.9, "finish_tolerance": tolerance}
    losing = {"simulation": {"lost_share": 0.02}, "acquisition": {"batch_size": 90}}
    store = result_store(simulate(make_config(seed=1, stopping=stopping, **losing), tmp_path / "run"))
    rounds = store.rounds()
    [look] = [files.round for files in rounds if files.committed["decision"] == "finish"]
    finish, *again = rounds[look + 1 :]
    assert finish.committed["n_lost"] == 1
    assert [files.committed["n_repeated"] for files in again] == tried_again
    assert all(files.read_batch()["role"].to_pylist() == ["finish"] for files in again)
    assert rounds[-1].committed["reason"].startswith(f"the finish of {finish.committed['n_batch']} compounds")
    certificate = store.certificate()
    assert certificate["finish"] == {"cut": rounds[look].committed["n_finish"], "n_new": finish.committed["n_batch"]}
    assert certificate["n_repeated"] == sum(files.committed["n_repeated"] for files in rounds)
