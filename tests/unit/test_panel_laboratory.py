"""A panel in a laboratory: entries told some now and others later, failed one by one, amended one by one."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from isd_ray.campaign.certificate import certificate_lines
from isd_ray.campaign.store import CampaignStore
from isd_ray.cli import app
from isd_ray.errors import ConfigError, InputFileError, LabelError, StoreError
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.verify import verify
from isd_ray.ops.watch import watch
from tests.unit.test_laboratory import isd, write

ASSAYS = ("has_01", "has_02", "has_04")
GAMMA = {"has_01": 0.7, "has_0[24]": 0.6}


@pytest.fixture(scope="module")
def truth(compounds) -> dict[str, dict[str, int]]:
    """Every readout: there is none missing."""
    table = pyarrow.csv.read_csv(compounds)
    pairs = zip(table["name"].to_pylist(), table["smiles"].to_pylist(), strict=True)
    letters = dict(zip(ASSAYS, ("Cl", "F", "S"), strict=True))
    return {name: {assay: int(text in smiles) for assay, text in letters.items()} for name, smiles in pairs}


@pytest.fixture
def settings():
    return {
        "task": "panel",
        "labels": {"column": None, "columns": list(ASSAYS)},
        "readouts": {"id": "name"},
        "model": {"hidden_size": 16, "epochs": 4, "members": 1},
        "acquisition": {"batch_size": 100},
        "stopping": {"rule": "certify", "gamma": 0.6, "panel": {"gamma": GAMMA}},
    }


@pytest.fixture
def campaign(make_config, settings, tmp_path) -> Campaign:
    return Campaign.create(tmp_path / "run", make_config(**settings))


def wide(path, truth, ids, assays=ASSAYS):
    return write(path, ["name", *assays], [[name, *(truth[name][assay] for assay in assays)] for name in ids])


def long(path, truth, ids, assays=ASSAYS):
    lines = [[name, assay, truth[name][assay]] for assay in assays for name in ids]
    return write(path, ["name", "assay", "value"], lines)


def finish(campaign, truth) -> None:
    while (batch := campaign.ask()) is not None:
        campaign.tell({name: truth[name] for name in batch.ids})


# --- telling --------------------------------------------------------------------------------------------------------


def test_entries_come_in_any_shape_and_order_and_twice_changes_nothing(campaign, truth, tmp_path):
    ids = campaign.ask().ids
    first = wide(tmp_path / "wide.csv", truth, ids[:60], ASSAYS[1:])
    second = long(tmp_path / "long.csv", truth, ids[40:], ASSAYS)
    third = write(tmp_path / "one.csv", ["name", "value"], [[name, truth[name]["has_01"]] for name in ids[:40]])
    told = campaign.tell(first)
    assert (told.n_new, told.n_unchanged, told.n_missing) == (120, 0, 180)
    assert campaign.status().counts["STAGED"] == 100, "half a row is not measured yet"
    told = campaign.tell(second)
    assert (told.n_new, told.n_unchanged, told.n_missing) == (140, 40, 40)
    assert campaign.ask().ids == ids
    told = campaign.tell(third, assay="has_01")
    assert (told.n_new, told.n_unchanged, told.n_missing) == (40, 0, 0)
    n_events = len(campaign.store.events())
    for file, assay in ((first, None), (second, None), (third, "has_01")):
        assert campaign.tell(file, assay=assay).n_new == 0
    assert len(campaign.store.events()) == n_events
    assert not set(campaign.ask().ids) & set(ids)
    measured = pq.read_table(next(campaign.path.glob("rounds/00001/attempt-*/batch.parquet")))
    assert measured.num_rows == 100
    record = campaign.store.rounds()[0].committed
    kept = campaign.store.read_readouts(record["readouts_sha256"])
    names = campaign.library.ids(kept["row"].to_numpy()).tolist()
    bits = [f"{value[0]:08b}"[:3] for value in kept["labels"].to_pylist()]
    assert bits == ["".join(str(truth[name][assay]) for assay in ASSAYS) for name in names]
    assert {value[0] for value in kept["measured"].to_pylist()} == {0b11100000}


def test_blanks_of_a_wide_file_are_nothing_told_and_floats_of_a_table_with_gaps_are_classes(campaign, truth):
    ids = campaign.ask().ids
    columns = {assay: [float(truth[name][assay]) for name in ids] for assay in ASSAYS}
    columns["has_02"][::2] = [None] * 50
    assert campaign.tell(pa.table({"name": ids, **columns})).n_missing == 50
    assert campaign.tell({name: {"has_02": truth[name]["has_02"]} for name in ids[::2]}).n_missing == 0


def test_what_cannot_be_placed_is_refused_by_line_and_the_rest_counts(campaign, truth, tmp_path):
    ids = campaign.ask().ids
    other = next(name for name in truth if name not in ids)
    lines = [
        [ids[0], "has_01", truth[ids[0]]["has_01"]],
        [ids[0], "has_09", 1],
        ["C9999", "has_01", 1],
        [other, "has_01", truth[other]["has_01"]],
        [ids[1], "has_01", "maybe"],
        [ids[2], "has_01", 0],
        [ids[2], "has_01", 1],
    ]
    told = campaign.tell(write(tmp_path / "long.csv", ["name", "assay", "value"], lines))
    assert told.n_new == 1
    assert {refusal.line: refusal.reason.split(";")[0] for refusal in told.refused} == {
        3: "'has_09' is none of the panel's outputs",
        4: "unknown id 'C9999'",
        5: f"{other!r} was never asked for",
        6: "'maybe' is none of the classes '0', '1'",
        7: f"readings of 'has_01' of {ids[2]!r} contradict each other (line 7: 0, line 8: 1)",
    }
    wrong = {ids[0]: {"has_01": 1 - truth[ids[0]]["has_01"], "has_02": truth[ids[0]]["has_02"]}}
    told = campaign.tell(wrong)
    assert told.n_new == 1
    assert "has another readout of 'has_01' already; only an amendment" in told.refused[0].reason
    with pytest.raises(InputFileError, match="no assay is named"):
        campaign.tell(write(tmp_path / "which.csv", ["name", "value"], [[ids[3], 1]]))
    with pytest.raises(LabelError, match="there is no assay 'has_9'"):
        campaign.tell(tmp_path / "which.csv", assay="has_9")


def test_single_entries_fail_and_rounds_close_without_others(campaign, truth, tmp_path):
    ids = campaign.ask().ids
    campaign.tell(wide(tmp_path / "a.csv", truth, ids, ASSAYS[:2]))
    assert isd("fail", campaign.path, ids[0], ids[1], "--assay", "has_04", "--reason", "spilt").startswith("2 readouts")
    assert campaign.fail(ids[:1], "spilt", assays=["has_04"]) == 0
    assert campaign.fail(ids[:1], "spilt", assays=["has_01"]) == 0, "it is measured"
    with pytest.raises(LabelError, match="there is no assay 'has_9'"):
        campaign.fail(ids[:1], "spilt", assays=["has_9"])
    flagged = write(tmp_path / "b.csv", ["name", "has_04", "flag"], [[ids[2], "", "bubble"], [ids[3], 1, ""]])
    told = campaign.tell(flagged)
    assert (told.n_new, told.n_lost, told.n_missing) == (1, 1, 96)
    assert campaign.close("reader broke") == 96
    second = campaign.ask().ids
    assert not set(second) & set(ids), "what was measured in part is not asked for again"
    late = campaign.tell({ids[9]: {"has_04": 1}, second[0]: truth[second[0]]})
    assert [refusal.reason for refusal in late.refused] == [
        f"{ids[9]!r} was taken in without 'has_04'; only an amendment, with a reason, adds it"
    ]
    history = json.loads(isd("history", campaign.path, ids[0], "--json"))["events"]
    assert [event["outputs"] for event in history if event["kind"] == "fail"] == [["has_04"]]
    told = [event["readouts"] for event in history if event["kind"] == "tell"]
    assert told == [{assay: str(truth[ids[0]][assay]) for assay in ASSAYS[:2]}]


def test_an_entry_that_failed_and_was_read_after_all_is_counted(campaign, truth):
    ids = campaign.ask().ids
    campaign.fail(ids[:1], "spilt", assays=["has_02"])
    campaign.fail(ids[1:2], "fell")
    told = campaign.tell({name: truth[name] for name in ids[:3]})
    assert (told.n_new, told.n_revived) == (9, 4)
    assert [event.get("n_revived") for event in campaign.store.events() if event["kind"] == "tell"] == [4]


def test_compounds_without_any_readout_may_come_late_or_from_elsewhere(campaign, truth):
    ids = campaign.ask().ids
    campaign.fail(ids[:2], "no signal")
    campaign.tell({name: truth[name] for name in ids[2:]})
    campaign.ask()
    assert campaign.tell({ids[0]: truth[ids[0]]}).n_new == 3
    other = next(name for name in sorted(truth, reverse=True) if name not in {*ids, *campaign.batch().ids})
    assert campaign.tell({other: truth[other]}, external=True).n_new == 3
    assert campaign.status().counts["EXTERNAL"] == 1
    assert campaign.status().counts["FAILED"] == 1


def test_plates_and_wells_find_their_entries(make_config, settings, truth, tmp_path):
    plates = {"format": 96, "negative": {"columns": [1]}, "positive": {"columns": [12]}, "transfer_volume": "25 nL"}
    campaign = Campaign.create(tmp_path / "run", make_config(**settings, plates=plates))
    batch = campaign.ask()
    wells = [line for line in batch.plate_map.to_pylist() if line["id"] is not None]
    header = ["plate", "well", "assay", "value"]
    for assay in ASSAYS:
        lines = [[line["plate"], line["well"], assay, truth[line["id"]][assay]] for line in wells]
        told = campaign.tell(write(tmp_path / f"{assay}.csv", header, lines))
    assert told.n_missing == 0
    campaign.ask()
    kept = campaign.store.read_readouts(campaign.store.rounds()[0].committed["readouts_sha256"])
    assert set(kept["plate"].to_pylist()) == {line["plate"] for line in wells}


def test_a_watched_folder_takes_assays_as_they_are_dropped(campaign, truth, tmp_path):
    ids = campaign.ask().ids
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    for assay in ASSAYS:
        long(inbox / f"{assay}.csv", truth, ids, [assay])
    dropped = list(watch(campaign, inbox, tmp_path / "out", every_s=0.01, until_empty=True))
    assert [(found.told.n_new, found.told.n_missing) for found in dropped] == [(100, 200), (100, 100), (100, 0)]
    assert campaign.status().round == 1


def test_a_laboratory_names_every_output(make_config, settings, tmp_path):
    for changes, message in (
        ({"labels": {"column": None, "columns": ["has_*"]}}, "is a pattern"),
        ({"stopping": {"rule": "certify", "panel": {"gamma": {"has_9": 0.9}}}}, "'has_9' is none of the outputs"),
        ({"stopping": {"rule": "certify", "panel": {"gamma": {"has_*": 0.9, "*_01": 0.8}}}}, "both match 'has_01'"),
    ):
        with pytest.raises((LabelError, ConfigError), match=message):
            Campaign.create(tmp_path / "run", make_config(**{**settings, **changes}))


# --- the end --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ended(make_config, truth, tmp_path_factory):
    """A screen that has ended, with an entry lost in its audit; and the audited ids."""
    settings = {
        "task": "panel",
        "labels": {"column": None, "columns": list(ASSAYS)},
        "readouts": {"id": "name"},
        "model": {"hidden_size": 16, "epochs": 6, "members": 1},
        "acquisition": {"batch_size": 100},
        "stopping": {"rule": "certify", "gamma": 0.6, "panel": {"gamma": GAMMA}},
    }
    campaign = Campaign.create(tmp_path_factory.mktemp("lab") / "run", make_config(**settings))
    audited: list[str] = []
    while (batch := campaign.ask()) is not None:
        readouts = {name: dict(truth[name]) for name in batch.ids}
        if campaign.store.rounds()[-1].released["look"]:
            audited = batch.ids
            del readouts[batch.ids[0]]["has_02"]
            campaign.fail(batch.ids[:1], "plate spilt", assays=["has_02"])
            with pytest.raises(LabelError, match=r"failed in this audit before \(plate spilt\)"):
                campaign.tell({batch.ids[0]: {"has_02": truth[batch.ids[0]]["has_02"]}})
        campaign.tell(readouts)
    return campaign, audited


def test_the_certificate_lists_each_assay_and_a_lost_entry_is_an_error(ended, truth):
    campaign, audited = ended
    certificate = campaign.store.certificate()
    found = certificate["audit"]["outputs"]
    assert [(line["name"], line["gamma"]) for line in found] == [("has_01", 0.7), ("has_02", 0.6), ("has_04", 0.6)]
    assert sum(line["delta"] for line in found) == pytest.approx(certificate["look"]["delta"])
    assert all(line["bound"] >= line["gamma"] for line in found)
    assert [line["n"] for line in found] == [len(audited)] * 3
    words = "\n".join(certificate_lines(certificate))
    assert "accuracy of each of 3 outputs is above its own level, 0.6 to 0.7" in words
    assert all(
        f"{assay}: accuracy above {gamma:g}" in words for assay, gamma in zip(ASSAYS, (0.7, 0.6, 0.6), strict=True)
    )
    record = campaign.store.rounds()[certificate["look"]["round"]].committed
    assert record["audits"][1]["n_lost"] == 1
    summary = json.loads((campaign.path / "summary.json").read_text())
    assert [line["bound"] for line in summary["outputs"]] == [line["bound"] for line in found]
    status = campaign.status()
    assert [(line["name"], line["gamma"]) for line in status.outputs] == [
        (line["name"], line["gamma"]) for line in found
    ]
    assert verify(campaign.store).is_sound, verify(campaign.store).problems


def test_the_hybrid_screen_is_above_every_gamma(ended, truth):
    campaign, _ = ended
    lines = pq.read_table(campaign.path / "hybrid").to_pylist()
    for place, (assay, gamma) in enumerate(zip(ASSAYS, (0.7, 0.6, 0.6), strict=True)):
        right = [
            (line["labels"][0] >> (7 - place)) & 1 == truth[line["id"]][assay]
            for line in lines
            if line["source"] == "predicted" or (line["measured"][0] >> (7 - place)) & 1
        ]
        assert np.mean(right) > gamma


def test_a_compound_measured_in_part_after_the_audit_keeps_its_predictions(make_config, settings, truth, tmp_path):
    """Else right predictions could leave a column until its wrong ones are too many: of has_01, all in has_02 known."""
    campaign = Campaign.create(tmp_path / "run", make_config(**{**settings, "model": {"hidden_size": 16, "epochs": 6}}))
    campaign.exclude(["C0500"], "out of stock")
    while (batch := campaign.ask()) is not None:
        if campaign.store.rounds()[-1].released["look"]:
            asked = {name for files in campaign.store.rounds() for name in files.read_batch()["id"].to_pylist()}
            whole, *parts = [name for name in sorted(truth) if name not in {*asked, "C0500"}]
            late = {name: {"has_02": truth[name]["has_02"]} for name in [*parts, "C0500"]}
            campaign.tell({**late, whole: truth[whole]}, external=True)
        campaign.tell({name: truth[name] for name in batch.ids})
    assert campaign.store.certificate() is not None
    hybrid = {line["id"]: line for line in pq.read_table(campaign.path / "hybrid").to_pylist()}
    assert {hybrid[name]["source"] for name in parts} == {"predicted"}
    assert [hybrid[name]["source"] for name in (whole, "C0500")] == ["measured", "measured"]
    assert verify(campaign.store).is_sound
    campaign.amend(
        wide(tmp_path / "fix.csv", {parts[0]: {"has_02": 1 - truth[parts[0]]["has_02"]}}, parts[:1], ["has_02"]), "x"
    )
    assert pq.read_table(campaign.path / "hybrid").to_pylist() == list(hybrid.values())
    assert verify(CampaignStore.open(campaign.path)).is_sound


def test_single_entries_are_amended_and_the_certificate_goes_with_its_audit(ended, truth, tmp_path):
    campaign, audited = ended
    before = {line["id"]: line for line in pq.read_table(campaign.path / "hybrid").to_pylist()}
    first = next(name for name, line in before.items() if line["role"] == "initial")
    entry = {first: {"has_01": 1 - truth[first]["has_01"], "has_02": truth[first]["has_02"]}}
    file = write(tmp_path / "fix.csv", ["name", "has_01", "has_02"], [[first, *entry[first].values()]])
    assert "1 readout changed" in isd("amend", campaign.path, file, "--reason", "mixed up")
    assert "0 readouts changed" in isd("amend", campaign.path, file, "--reason", "mixed up")
    after = {line["id"]: line for line in pq.read_table(campaign.path / "hybrid").to_pylist()}
    assert after[first]["labels"][0] == before[first]["labels"][0] ^ 0b10000000
    assert after[first]["qc"] == "amended"
    assert {name for name in after if after[name] != before[name]} == {first}
    assert campaign.store.withdrawn() is None
    # The entry that was lost in the audit is found again.
    lost = audited[0]
    added = long(tmp_path / "added.csv", truth, [lost], ["has_02"])
    assert "1 readout changed" in isd("amend", campaign.path, added, "--reason", "found")
    assert campaign.store.withdrawn() is None, "it passes with that compound as an error in every output"
    line = next(line for line in pq.read_table(campaign.path / "hybrid").to_pylist() if line["id"] == lost)
    assert line["measured"][0] == 0b11100000
    assert (line["labels"][0] >> 6) & 1 == truth[lost]["has_02"]
    turned = [[name, 1 - truth[name]["has_01"]] for name in audited]
    file = write(tmp_path / "turned.csv", ["name", "has_01"], turned)
    assert "WITHDRAWN" in CliRunner().invoke(app, ["amend", str(campaign.path), str(file), "--reason", "lot"]).output
    assert verify(CampaignStore.open(campaign.path)).is_sound


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([["C9999", "has_01", 1]], "unknown id"),
        ([["{predicted}", "has_01", 1]], "never measured"),
        ([["{measured}", "has_01", ""]], "no value|no reading"),
        ([["{measured}", "has_01", 1], ["{measured}", "has_77", 1]], "line 3: 'has_77' is none"),
    ],
)
def test_an_amendment_with_a_line_that_cannot_be_placed_is_refused(lines, message, ended, tmp_path):
    campaign, _ = ended
    hybrid = pq.read_table(campaign.path / "hybrid").to_pylist()
    names = {
        source: next(line["id"] for line in hybrid if line["source"] == source) for source in ("measured", "predicted")
    }
    n_events = len(campaign.store.events())
    file = write(
        tmp_path / "bad.csv", ["name", "assay", "value"], [[line[0].format(**names), *line[1:]] for line in lines]
    )
    with pytest.raises((LabelError, InputFileError), match=message):
        campaign.amend(file, "wrong lot")
    assert len(campaign.store.events()) == n_events


# --- the head -------------------------------------------------------------------------------------------------------


def test_a_two_tower_head_keeps_to_the_embeddings_that_the_campaign_began_with(make_config, settings, truth, tmp_path):
    file = tmp_path / "assays.parquet"
    pq.write_table(pa.table({"output": ASSAYS, "embedding": [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]]}), file)
    model = {**settings["model"], "head": "two-tower", "output_embeddings": str(file)}
    campaigns = {}
    for name, head in (("tower", model), ("plain", settings["model"])):
        campaign = Campaign.create(tmp_path / name, make_config(**{**settings, "model": head}))
        first = campaign.ask()
        campaign.tell({compound: truth[compound] for compound in first.ids})
        campaigns[name] = campaign, first.ids, campaign.ask().ids
    assert campaigns["tower"][1] == campaigns["plain"][1], "the initial batch needs no model"
    assert campaigns["tower"][2] != campaigns["plain"][2]
    pq.write_table(pa.table({"output": ASSAYS, "embedding": [[0.0, 1.0], [0.8, 0.6], [1.0, 0.0]]}), file)
    tower, _, second = campaigns["tower"]
    tower.tell({compound: truth[compound] for compound in second})
    with pytest.raises(StoreError, match="another campaign was begun here; the configuration differs in its labels"):
        tower.ask()
