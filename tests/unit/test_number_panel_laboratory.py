"""A panel of classes and numbers in a laboratory: told in files of both kinds, failed, amended, delivered."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from isd_ray.campaign.certificate import certificate_lines
from isd_ray.errors import LabelError
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.verify import verify
from isd_ray.serve.lines import lines_of
from isd_ray.serve.shades import shading_of
from tests.unit.test_laboratory import isd, write

ASSAYS = ("has_n", "n_atoms", "n_hetero")


@pytest.fixture(scope="module")
def truth(compounds) -> dict[str, dict[str, float]]:
    """Every readout: there is none missing."""
    table = pyarrow.csv.read_csv(compounds)
    pairs = zip(table["name"].to_pylist(), table["smiles"].to_pylist(), strict=True)
    return {
        name: {
            "has_n": int("N" in text),
            "n_atoms": sum(map(text.count, "CNOScnos")) + 0.5,
            "n_hetero": sum(map(text.count, "NOSnos")) / 8,
        }
        for name, text in pairs
    }


@pytest.fixture(scope="module")
def settings():
    return {
        "task": "panel",
        "labels": {"column": None, "columns": list(ASSAYS), "numbers": ["n_*"]},
        "readouts": {"id": "name"},
        "model": {"hidden_size": 16, "epochs": 4, "members": 2},
        "acquisition": {"batch_size": 100},
        "stopping": {
            "rule": "certify",
            "gamma": 0.6,
            "tolerances": {"n_atoms": 8.0, "n_hetero": 0.5},
            "panel": {"quantity": {"n_hetero": "mae"}, "max_loss": {"n_hetero": 0.3}, "loss_clip": {"n_hetero": 1.0}},
        },
    }


@pytest.fixture
def campaign(make_config, settings, tmp_path) -> Campaign:
    return Campaign.create(tmp_path / "run", make_config(**settings))


def wide(path, truth, ids, assays=ASSAYS):
    return write(path, ["name", *assays], [[name, *(truth[name][assay] for assay in assays)] for name in ids])


def test_classes_and_numbers_come_in_one_file_or_several_and_are_kept_to_the_last_digit(campaign, truth, tmp_path):
    ids = campaign.ask().ids
    told = campaign.tell(wide(tmp_path / "wide.csv", truth, ids[:40], ("has_n", "n_hetero")))
    assert (told.n_new, told.n_missing) == (80, 220)
    odd = 1 / 3 + 1e-16
    lines = [[name, assay, truth[name][assay]] for name in ids[40:] for assay in ("n_hetero", "has_n")]
    told = campaign.tell(write(tmp_path / "long.csv", ["name", "assay", "value"], lines))
    assert told.n_new == 120
    values = [[ids[0], repr(odd)], *([name, truth[name]["n_atoms"]] for name in ids[1:])]
    told = campaign.tell(write(tmp_path / "one.csv", ["name", "value"], values), assay="n_atoms")
    assert (told.n_new, told.n_missing) == (100, 0)
    assert campaign.tell(tmp_path / "one.csv", assay="n_atoms").n_new == 0
    lines = {line.id: line for line in lines_of(campaign.store, campaign.store.rounds()[0])}
    assert lines[ids[0]].numbers == {"n_atoms": odd, "n_hetero": truth[ids[0]]["n_hetero"]}
    assert lines[ids[0]].classes == {"has_n": str(truth[ids[0]]["has_n"])}
    assert lines[ids[0]].answer == "3 of 3 outputs"
    shown = shading_of("output:n_hetero", campaign.store, list(lines.values()), campaign.store.rounds()[0].read_batch())
    assert shown.of_well("", "", lines[ids[0]]).words == f"{truth[ids[0]]['n_hetero']:.4g}"
    assert not set(campaign.ask().ids) & set(ids)
    kept = campaign.store.read_readouts(campaign.store.rounds()[0].committed["readouts_sha256"])
    names = campaign.library.ids(kept["row"].to_numpy()).tolist()
    expected = [[truth[name][assay] for assay in ASSAYS] for name in names]
    expected[names.index(ids[0])][1] = odd
    assert kept["labels"].to_pylist() == expected


def test_what_is_of_the_wrong_kind_is_refused_by_line_and_the_rest_counts(campaign, truth, tmp_path):
    ids = campaign.ask().ids
    lines = [
        [ids[0], "n_atoms", 17.25],
        [ids[1], "n_atoms", "active"],
        [ids[2], "has_n", 17.25],
        [ids[3], "n_hetero", ">4"],
        [ids[4], "has_n", 0],
        [ids[4], "has_n", 1],
        [ids[5], "n_atoms", 10],
        [ids[5], "n_atoms", 20],
    ]
    told = campaign.tell(write(tmp_path / "long.csv", ["name", "assay", "value"], lines))
    assert told.n_new == 2
    assert {refusal.line: refusal.reason.split(",")[0] for refusal in told.refused} == {
        3: "'active' is not a number",
        4: "'17.25' is none of the classes '0'",
        5: f"'n_hetero' of {ids[3]!r}: '>4' is no number",
        6: f"readings of 'has_n' of {ids[4]!r} contradict each other (line 6: 0",
    }
    [line] = [line for line in lines_of(campaign.store, campaign.store.rounds()[0]) if line.id == ids[5]]
    assert line.numbers == {"n_atoms": 15.0}, "the median of its readings"
    with pytest.raises(LabelError, match="has another readout of 'n_atoms' already; only an amendment"):
        campaign.tell({ids[0]: {"n_atoms": 17.5}})


def test_plates_and_wells_find_their_numbers(make_config, settings, truth, tmp_path):
    plates = {"format": 96, "negative": {"columns": [1]}, "positive": {"columns": [12]}, "transfer_volume": "25 nL"}
    campaign = Campaign.create(tmp_path / "run", make_config(**settings, plates=plates))
    batch = campaign.ask()
    wells = [line for line in batch.plate_map.to_pylist() if line["id"] is not None]
    lines = [[line["plate"], line["well"], *(truth[line["id"]][assay] for assay in ASSAYS)] for line in wells]
    told = campaign.tell(write(tmp_path / "plates.csv", ["plate", "well", *ASSAYS], lines))
    assert (told.n_new, told.n_missing) == (300, 0)
    assert campaign.status().counts["OBSERVED"] == 100


def test_readouts_of_before_start_a_panel_with_numbers(make_config, settings, truth, tmp_path):
    names = sorted(truth)[:130]
    cells = {assay: [truth[name][assay] for name in names] for assay in ASSAYS}
    cells["n_atoms"][0] = None
    file = tmp_path / "before.parquet"
    pq.write_table(pa.table({"name": names, **cells}), file)
    labels = {**settings["labels"], "known": str(file)}
    campaign = Campaign.create(tmp_path / "run", make_config(**{**settings, "labels": labels}))
    assert campaign.status().counts["EXTERNAL"] == 129, "a compound that was read in part stays to be measured"
    assert not set(campaign.ask().ids) & set(names[1:])


@pytest.fixture(scope="module")
def ended(make_config, settings, truth, tmp_path_factory):
    """A screen that has ended, an entry of its audit lost; and the compound that it is of."""
    campaign = Campaign.create(tmp_path_factory.mktemp("lab") / "run", make_config(**settings))
    lost = ""
    while (batch := campaign.ask()) is not None:
        readouts = {name: dict(truth[name]) for name in batch.ids}
        if campaign.store.rounds()[-1].released["look"] and not lost:
            lost = batch.ids[0]
            del readouts[lost]["n_hetero"]
            campaign.fail([lost], "spilt", assays=["n_hetero"])
        campaign.tell(readouts)
    return campaign, lost


def test_the_screen_keeps_its_claims_and_delivers_numbers(ended, truth):
    campaign, lost = ended
    certificate = campaign.store.certificate()
    assert [output["name"] for output in certificate["audit"]["outputs"]] == list(ASSAYS)
    assert certificate["audit"]["outputs"][2]["n_lost"] == 1
    hybrid = pq.read_table(campaign.path / "hybrid").to_pylist()
    of_line = {line["id"]: line for line in hybrid}
    assert of_line[lost]["labels"][2] is None
    wrong, errors = [], []
    for line in hybrid:
        expected = [truth[line["id"]][assay] for assay in ASSAYS]
        if line["source"] == "measured":
            assert line["labels"][:2] == expected[:2]
        wrong.append((line["labels"][0] != expected[0], abs(line["labels"][1] - expected[1]) > 8.0))
        if line["labels"][2] is not None:
            errors.append(min(abs(line["labels"][2] - expected[2]), 1.0))
    assert (1 - np.mean(wrong, axis=0) > 0.6).all()
    assert np.mean(errors) <= 0.3
    assert verify(campaign.store).is_sound


def test_history_export_and_status_name_numbers(ended, truth, tmp_path):
    campaign, lost = ended
    events = json.loads(isd("history", campaign.path, lost, "--json"))["events"]
    [told] = [event["readouts"] for event in events if event["kind"] == "tell"]
    assert told == {"has_n": str(truth[lost]["has_n"]), "n_atoms": truth[lost]["n_atoms"]}
    assert set(events[0]["prediction"]) == set(ASSAYS)
    isd("export", campaign.path, "--long", "--out", tmp_path / "long.parquet")
    table = pq.read_table(tmp_path / "long.parquet")
    lines = {(line["id"], line["output"]): line for line in table.to_pylist()}
    assert len(lines) == 3 * len(truth)
    assert (lines[lost, "n_hetero"]["source"], lines[lost, "n_hetero"]["value"]) == ("missing", None)
    assert lines[lost, "n_atoms"]["value"] == truth[lost]["n_atoms"]
    assert (lines[lost, "has_n"]["label"], lines[lost, "has_n"]["value"]) == (str(truth[lost]["has_n"]), None)
    assert "mean absolute error at most 0.3" in isd("status", campaign.path)
    assert "share within 8 above 0.6" in isd("certificate", "show", campaign.path)


def test_single_numbers_are_amended_and_the_certificate_goes_with_its_audit(ended, truth, tmp_path):
    campaign, lost = ended
    before = {line["id"]: line for line in pq.read_table(campaign.path / "hybrid").to_pylist()}
    first = next(name for name, line in before.items() if line["role"] == "initial")
    file = write(tmp_path / "fix.csv", ["name", "n_atoms"], [[first, 3.25]])
    assert "1 readout changed" in isd("amend", campaign.path, file, "--reason", "mixed up")
    assert "0 readouts changed" in isd("amend", campaign.path, file, "--reason", "mixed up")
    found = write(tmp_path / "found.csv", ["name", "n_hetero"], [[lost, 0.25]])
    assert "1 readout changed" in isd("amend", campaign.path, found, "--reason", "found")
    after = {line["id"]: line for line in pq.read_table(campaign.path / "hybrid").to_pylist()}
    assert after[first]["labels"] == [before[first]["labels"][0], 3.25, before[first]["labels"][2]]
    assert after[lost]["labels"][2] == 0.25
    assert {name for name in after if after[name] != before[name]} == {first, lost}
    assert campaign.store.withdrawn() is None, "it passes with that compound as an error in every output"
    audit = [name for name, line in before.items() if line["role"] == "audit"]
    file = write(tmp_path / "turned.csv", ["name", "n_atoms"], [[name, 99.0] for name in audit])
    assert "WITHDRAWN" in isd("amend", campaign.path, file, "--reason", "lot")
    assert verify(campaign.store).is_sound
    predicted = next(name for name, line in before.items() if line["source"] == "predicted")
    file = write(tmp_path / "no.csv", ["name", "n_atoms"], [[predicted, 1.0]])
    with pytest.raises(LabelError, match="never measured"):
        campaign.amend(file, "x")


def test_a_panel_of_numbers_alone_takes_no_words_and_cut_classes_come_as_numbers(
    make_config, settings, truth, tmp_path
):
    stopping = {"rule": "certify", "gamma": 0.6, "tolerance": 8.0}
    alone = {"column": None, "columns": ["n_atoms", "n_hetero"], "numbers": ["*"]}
    cut = {"column": None, "columns": ["n_atoms", "n_hetero"], "numbers": ["n_atoms"], "transform": "threshold"}
    for name, labels, expected in (
        ("alone", alone, lambda atoms, hetero: [atoms, hetero]),
        ("cut", {**cut, "threshold": 0.3}, lambda atoms, hetero: [atoms, float(hetero > 0.3)]),
    ):
        config = make_config(**{**settings, "labels": labels, "stopping": stopping})
        campaign = Campaign.create(tmp_path / name, config)
        ids = campaign.ask().ids
        campaign.tell(wide(tmp_path / f"{name}.csv", truth, ids, ("n_atoms", "n_hetero")))
        assert len(set(campaign.ask().ids) - set(ids)) == 100
        kept = campaign.store.read_readouts(campaign.store.rounds()[0].committed["readouts_sha256"])
        names = campaign.library.ids(kept["row"].to_numpy()).tolist()
        told = [(truth[name]["n_atoms"], truth[name]["n_hetero"]) for name in names]
        assert kept["labels"].to_pylist() == [expected(*one) for one in told]


def test_a_predicted_hit_that_is_lost_twice_may_be_wrong_in_every_output_but_its_own(
    make_config, settings, truth, tmp_path
):
    claims = settings["stopping"]["panel"]
    panel = {**claims, "quantity": {**claims["quantity"], "has_n": "recall"}}
    stopping = {**settings["stopping"], "delta": 0.2, "panel": panel}
    acquisition = {"batch_size": 100, "function": "least_confidence"}  # which leaves hits for the look
    config = make_config(**{**settings, "stopping": stopping, "acquisition": acquisition})
    campaign, lost = Campaign.create(tmp_path / "run", config), ""
    while (batch := campaign.ask()) is not None:
        released = campaign.store.rounds()[-1].read_batch()
        if not lost and "hit" in released["role"].to_pylist():
            lost = released["id"][released["role"].to_pylist().index("hit")].as_py()
        readouts = {name: truth[name] for name in batch.ids if name != lost}
        if lost in batch.ids:
            campaign.fail([lost], "spilt")
        if readouts:
            campaign.tell(readouts)
    certificate = campaign.store.certificate()
    assert lost
    assert certificate["n_repeated"] == 1
    look = campaign.store.rounds()[certificate["look"]["round"]].committed["look"]
    assert [plan["n_unread"] for plan in look] == [0, 1, 1]
    assert "2 entries of theirs that may be wrong" in "\n".join(certificate_lines(certificate))
    hybrid = {line["id"]: line for line in pq.read_table(campaign.path / "hybrid").to_pylist()}
    assert hybrid[lost]["source"] == "predicted"
    hits = [line["id"] for line in hybrid.values() if truth[line["id"]]["has_n"]]
    assert np.mean([hybrid[name]["labels"][0] for name in hits]) >= 0.6
    assert verify(campaign.store).is_sound
    certified = "\n".join(certificate_lines(certificate))
    assert "recall of hits at least 0.6" in isd("status", campaign.path)
    assert "has_n: recall of hits at least 0.6 asked for" in certified


def test_one_mean_error_over_all_numbers_counts_lost_entries_as_the_largest(make_config, settings, truth, tmp_path):
    """In tolerances, which are 8 and 0.5, up to 3 of them."""
    names, widths = ("n_atoms", "n_hetero"), np.array([8.0, 0.5])
    claim = {"quantity": "mae", "max_loss": 0.4, "loss_clip": 3.0, "delta": 0.2}
    stopping = {"rule": "certify", "tolerances": dict(zip(names, widths.tolist(), strict=True)), **claim}
    labels = {"column": None, "columns": list(names), "numbers": ["*"]}
    config = make_config(**{**settings, "labels": labels, "stopping": stopping})
    campaign, lost = Campaign.create(tmp_path / "run", config), ""
    while (batch := campaign.ask()) is not None:
        readouts = {name: {assay: truth[name][assay] for assay in names} for name in batch.ids}
        if campaign.store.rounds()[-1].released["look"]:
            lost = batch.ids[0]
            del readouts[lost]["n_hetero"]
            campaign.fail([lost], "spilt", assays=["n_hetero"])
        campaign.tell(readouts)
    certificate = campaign.store.certificate()
    look = campaign.store.rounds()[certificate["look"]["round"]].committed
    table = campaign.store.read_readouts(look["audits_sha256"])
    row = table["row"].to_pylist().index(campaign.library.rows_of([lost])[0])
    assert table["lost"].to_pylist()[row] == 0.5
    errors = []
    for line in pq.read_table(campaign.path / "hybrid").to_pylist():
        known = np.array([truth[line["id"]][assay] for assay in names])
        said = np.array([np.nan if value is None else value for value in line["labels"]])
        errors.append(np.nanmean(np.minimum(np.abs(said - known) / widths, 3.0)))
    assert 0.0 < np.mean(errors) <= 0.4
    said = "\n".join(certificate_lines(certificate))
    assert "error over all outputs, in tolerances is at most 0.4" in said
    assert "an entry of the audit without one has the largest" in said
    assert verify(campaign.store).is_sound
