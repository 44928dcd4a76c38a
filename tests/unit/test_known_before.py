"""What was measured before starts a screen: no random first batch, no limit counts it, no audit ever draws it."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from isd_ray.campaign.status import status_of
from isd_ray.campaign.store import CampaignStore
from isd_ray.errors import InputFileError, LabelError, StoreError
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.simulate import simulate
from isd_ray.ops.verify import verify
from tests.chaos.crashes import Disk, Killed, writing_to

FAST = {"families": ["linear"]}
N_KNOWN = 200


@pytest.fixture(scope="module")
def table(compounds):
    return pyarrow.csv.read_csv(compounds).to_pydict()


@pytest.fixture
def known(table, tmp_path):
    """Compounds that somebody chose: the largest, and a few that are not in the library."""
    largest = sorted(range(len(table["name"])), key=lambda place: -table["size"][place])[:N_KNOWN]
    lines = [(table["name"][place], table["bbb"][place]) for place in largest]
    return write(tmp_path / "last-year.csv", [*lines, ("not here", "BBB+")])


def write(path, lines, header=("name", "bbb")):
    with path.open("w", newline="") as sink:
        csv.writer(sink).writerows([header, *lines])
    return path


def names(file):
    with file.open() as source:
        return {line["name"] for line in csv.DictReader(source)} - {"not here"}


def laboratory(make_config, known, **changes):
    labels = {"column": "bbb", "classes": ["BBB+", "BBB-"], "known": str(known), **changes.pop("labels", {})}
    stopping = {"rule": "certify", "gamma": 0.7, **changes.pop("stopping", {})}
    settings = {"labels": labels, "model": FAST, "acquisition": {"batch_size": 60}, "stopping": stopping}
    return make_config(**{**settings, **changes})


def roles(path):
    return [
        dict(zip(*np.unique(files.read_batch()["role"].to_pylist(), return_counts=True), strict=True))
        for files in CampaignStore.open(path).rounds()
    ]


def simulated(make_config, known, out, **changes):
    settings = {"model": FAST, "acquisition": {"batch_size": 60}, "simulation": {"known": str(known)}}
    settings["stopping"] = {"rule": "certify", "gamma": 0.8, **changes.pop("stopping", {})}
    return simulate(make_config(**{**settings, **changes}), out)


def test_a_laboratory_begins_with_a_batch_that_a_model_has_chosen(make_config, known, table, tmp_path):
    campaign = Campaign.create(tmp_path / "run", laboratory(make_config, known))
    batch = campaign.ask()
    assert roles(campaign.path) == [{"random": 6, "top": 54}]
    assert not set(batch.ids) & names(known)
    truth = dict(zip(table["name"], table["bbb"], strict=True))
    campaign.tell({name: truth[name] for name in batch.ids})
    campaign.ask()
    [first] = [files.committed for files in CampaignStore.open(campaign.path).rounds() if files.committed]
    assert (first["n_observed"], first["n_acquired"], first["n_known"]) == (N_KNOWN, N_KNOWN + 60, N_KNOWN)
    assert "first batch" in first["constant"]  # by its random rows
    assert verify(CampaignStore.open(campaign.path)).problems == ()


def test_plates_are_not_demanded_of_what_is_known(make_config, known, tmp_path):
    plates = {"format": 96, "negative": {"columns": [1]}, "positive": {"columns": [12]}}
    hits = {"method": "percent_inhibition", "cut": 50.0}
    labels = {"classes": ["BBB-", "BBB+"]}
    campaign = Campaign.create(
        tmp_path / "run", laboratory(make_config, known, labels=labels, plates=plates, hits=hits)
    )
    assert len(campaign.ask()) == 60
    assert campaign.batch().plate_map is not None
    assert roles(campaign.path) == [{"random": 6, "top": 54}]


def test_of_a_panel_only_compounds_that_were_read_in_every_output_are_known(make_config, known, table, tmp_path):
    lines = [
        (name, int("N" in text), int("S" in text)) for name, text in zip(table["name"], table["smiles"], strict=True)
    ]
    told = [(name, first, second if place < 150 else "") for place, (name, first, second) in enumerate(lines[:N_KNOWN])]
    file = write(tmp_path / "panel.csv", told, ("name", "has N", "has S"))
    labels = {"column": None, "classes": [], "columns": ["has N", "has S"]}
    config = laboratory(make_config, file, task="panel", labels=labels, readouts={"id": "name"})
    campaign = Campaign.create(tmp_path / "run", config)
    assert campaign.status().counts["EXTERNAL"] == 150
    campaign.ask()
    assert roles(campaign.path) == [{"random": 6, "top": 54}]


def test_too_few_or_one_class_leave_the_first_batch_random(make_config, known, table, tmp_path):
    few = write(tmp_path / "few.csv", [(name, "BBB+") for name in sorted(names(known))[:59]])
    one = write(tmp_path / "one.csv", [(name, "BBB+") for name in sorted(names(known))])
    for number, file in enumerate((few, one)):
        campaign = Campaign.create(tmp_path / str(number), laboratory(make_config, file))
        campaign.ask()
        assert roles(campaign.path) == [{"initial": 60}]


def test_limits_count_what_was_asked_for_only(make_config, known, tmp_path):
    found = simulated(make_config, known, tmp_path / "run", stopping={"rule": "none", "max_compounds": 130})
    assert found.summary["n_known"] == N_KNOWN
    assert found.summary["n_acquired"] == N_KNOWN + 130
    by_share = simulated(make_config, known, tmp_path / "share", stopping={"rule": "none", "max_fraction": 0.1})
    assert by_share.summary["n_acquired"] == N_KNOWN + 90


def test_a_budget_larger_than_what_is_left_ends_where_nothing_is(make_config, known, tmp_path):
    found = simulated(make_config, known, tmp_path / "run", stopping={"rule": "none", "max_compounds": 900})
    assert found.summary["n_predicted"] == 0


@pytest.mark.parametrize("stopping", [{}, {"rule": "pac"}, {"quantity": "recall", "positive": "BBB-", "gamma": 0.5}])
def test_no_audit_draws_what_is_known_and_the_claim_is_of_the_whole(make_config, known, tmp_path, stopping):
    found = simulated(make_config, known, tmp_path / "run", stopping=stopping)
    hybrid, before = found.hybrid.to_pylist(), names(known)
    assert {line["role"] for line in hybrid if line["id"] in before} == {"external"}
    audited = {line["id"] for line in hybrid if line["role"] == "audit"}
    assert not audited & before
    certificate = json.loads((found.path / "certificate.json").read_text())
    assert certificate["n_target"] == len(hybrid)
    assert certificate["n_external"] == N_KNOWN
    assert found.summary["certified"]
    store = CampaignStore.open(found.path)
    assert verify(store).problems == ()
    assert status_of(store).counts["EXTERNAL"] == N_KNOWN


def test_an_audit_is_drawn_from_the_whole_of_what_is_not_known(make_config, known, tmp_path):
    found = simulated(make_config, known, tmp_path / "run")
    store = CampaignStore.open(found.path)
    look = next(files for files in store.rounds() if files.committed["look"])
    before = [name for files in store.rounds()[: look.round] for name in files.read_batch()["id"].to_pylist()]
    frozen = sum(pq.read_metadata(file).num_rows for file in look.attempt.predictions_dir.glob("*.parquet"))
    assert frozen == len(found.hybrid) - N_KNOWN - len(before)


def test_a_reserve_is_drawn_from_what_is_not_known_with_a_random_first_batch(make_config, known, tmp_path):
    found = simulated(make_config, known, tmp_path / "run", stopping={"rule": "reserved", "gamma": 0.7})
    first = CampaignStore.open(found.path).rounds()[0].read_batch()
    assert set(first["role"].to_pylist()) == {"initial", "reserve"}
    assert not set(first["id"].to_pylist()) & names(known)


def test_a_list_of_ids_does_and_the_file_of_a_laboratory_too(make_config, known, tmp_path):
    ids = tmp_path / "ids.txt"
    ids.write_text("\n".join(sorted(names(known))))
    by_list = simulated(make_config, ids, tmp_path / "list")
    labels = {"column": "bbb", "known": str(known)}
    by_file = simulated(make_config, known, tmp_path / "file", labels=labels, simulation={})
    rounds = [run.rounds.select(["n_acquired", "decision"]) for run in (by_list, by_file)]
    assert rounds[0].equals(rounds[1])


def test_another_file_is_another_simulation(make_config, known, tmp_path):
    simulated(make_config, known, tmp_path / "run")
    (tmp_path / "run" / "summary.json").unlink()
    write(known, [(name, "BBB+") for name in sorted(names(known))[1:]])
    with pytest.raises(StoreError, match="another campaign was begun here"):
        simulated(make_config, known, tmp_path / "run")


def test_a_file_that_says_nothing_is_refused(make_config, known, tmp_path):
    strange = write(tmp_path / "strange.csv", [("A", "BBB+"), ("B", "BBB-")])
    with pytest.raises(LabelError, match="none of its 2 ids is in the library"):
        simulated(make_config, strange, tmp_path / "simulated")
    with pytest.raises(LabelError, match="no label belongs to a compound"):
        Campaign.create(tmp_path / "laboratory", laboratory(make_config, strange))
    bare = write(tmp_path / "bare.csv", [("A", "BBB+")], ("code", "bbb"))
    with pytest.raises(InputFileError, match=r"labels\.id_column = 'name' is no column"):
        Campaign.create(tmp_path / "bare", laboratory(make_config, bare))


def test_a_campaign_that_has_begun_takes_no_other_file(make_config, known, tmp_path):
    config = laboratory(make_config, known)
    Campaign.create(tmp_path / "run", config)
    Campaign.create(tmp_path / "run", config)  # the same once more changes nothing
    assert len(CampaignStore.open(tmp_path / "run").events()) == 1
    write(known, [(name, "BBB-") for name in names(known)])
    with pytest.raises(StoreError, match="began with another content"):
        Campaign.create(tmp_path / "run", config)
    plain = laboratory(make_config, known, labels={"known": None})
    Campaign.create(tmp_path / "plain", plain)
    with pytest.raises(StoreError, match="created without readouts of before"):
        Campaign.create(tmp_path / "plain", config)


def test_killed_at_any_write_it_begins_with_the_same_batch(make_config, known, tmp_path):
    config = laboratory(make_config, known)

    def begin(path):
        Campaign.create(path, config)
        return Campaign.open(path).ask().ids

    with writing_to(Disk()) as disk:
        expected = begin(tmp_path / "whole")
    for die_at in range(0, disk.n_writes, 4):
        path = tmp_path / f"cut-{die_at}"
        with writing_to(Disk(die_at)), pytest.raises(Killed):
            begin(path)
        if CampaignStore.exists(path) and not CampaignStore.open(path).events():
            with pytest.raises(StoreError, match="the creation of the campaign was cut off"):
                Campaign.open(path).ask()
        assert begin(path) == expected
        assert roles(path) == [{"random": 6, "top": 54}]
        shutil.rmtree(path)
