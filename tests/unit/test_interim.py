"""Something every week: a screen under way as a file, every line of it marked NOT CERTIFIED."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from rdkit import Chem
from typer.testing import CliRunner

from isd_ray.campaign.store import CampaignStore
from isd_ray.cli import app
from isd_ray.data.export import export_hybrid
from isd_ray.data.hybrid import panel_schema
from isd_ray.errors import ConfigError, StoreError
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.exporting import keep_hits
from isd_ray.ops.resume import resume
from tests.unit.test_laboratory import HITS, signals, truth, write
from tests.unit.test_stop_by_hand import FAST, LABORATORY, laboratory, under_way

__all__ = ["laboratory", "truth", "under_way"]


def test_measured_predicted_and_waiting_are_told_apart_and_nothing_is_certified(laboratory, truth, tmp_path):
    out = laboratory.batch().ids
    laboratory.tell({name: truth[name] for name in out[:10]})
    before = {file: file.read_bytes() for file in laboratory.path.rglob("*") if file.is_file()}
    made = laboratory.export_interim(tmp_path / "week.parquet")
    assert {file: file.read_bytes() for file in laboratory.path.rglob("*") if file.is_file()} == before
    lines = {line["id"]: line for line in pq.read_table(tmp_path / "week.parquet").to_pylist()}
    assert len(lines) == made.n_lines == 900
    assert {line["status"] for line in lines.values()} == {"NOT CERTIFIED"}
    assert {line["certificate_id"] for line in lines.values()} == {None}
    sources = [line["source"] for line in lines.values()]
    assert [sources.count(source) for source in ("measured", "predicted", "waiting")] == [130, 720, 50]
    assert all(lines[name]["label"] == truth[name] for name in out[:10])
    # What is predicted of a compound that somebody is measuring is shown to nobody.
    assert all(lines[name]["label"] is None and lines[name]["confidence"] is None for name in out[10:])
    assert all(line["confidence"] > 0 for line in lines.values() if line["source"] == "predicted")
    assert made.round == 1
    notice = (tmp_path / "week.parquet.NOT-CERTIFIED.txt").read_text()
    assert "NOT CERTIFIED" in notice
    assert "130 compounds are measured, 720 predicted by the model of round 1, 50 in the batch that is out" in notice
    assert "what could be said today: accuracy between" in notice


def test_predictions_are_those_of_the_model_that_the_campaign_has(laboratory, tmp_path):
    from isd_ray.ops.predict import load_model

    laboratory.export_interim(tmp_path / "a.parquet")
    lines = [line for line in pq.read_table(tmp_path / "a.parquet").to_pylist() if line["source"] == "predicted"][:50]
    expected = load_model(laboratory.path).predict([line["smiles"] for line in lines]).to_pylist()
    assert [line["label"] for line in lines] == [line["label"] for line in expected]


def test_hits_come_with_structures_the_surest_first(make_config, truth, tmp_path):
    stopping = {"rule": "certify", "quantity": "recall", "positive": "BBB-", "gamma": 0.9}
    campaign = Campaign.create(tmp_path / "run", make_config(**LABORATORY, stopping=stopping))
    for _ in range(2):
        campaign.tell({name: truth[name] for name in campaign.ask().ids})
    campaign.ask()
    command = ["export", str(campaign.path), "--interim", "--hits"]
    shown = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "hits.csv")], catch_exceptions=False)
    assert "NOT CERTIFIED" in shown.output
    lines = pyarrow.csv.read_csv(tmp_path / "hits.csv").to_pylist()
    assert {(line["label"], line["status"]) for line in lines} == {("BBB-", "NOT CERTIFIED")}
    predicted = [line["confidence"] for line in lines if line["source"] == "predicted"]
    assert predicted
    assert predicted == sorted(predicted, reverse=True)
    campaign.export_interim(tmp_path / "hits.sdf", hits=True)
    records = list(Chem.SDMolSupplier(str(tmp_path / "hits.sdf")))
    assert len(records) == len(lines)
    assert all(mol.GetNumAtoms() and mol.GetProp("status") == "NOT CERTIFIED" for mol in records)


def test_hits_that_were_called_on_plates_are_listed_whatever_is_claimed(make_config, truth, tmp_path):
    campaign = Campaign.create(tmp_path / "run", make_config(**HITS, model=LABORATORY["model"]))
    for seed in range(2):
        campaign.ask()
        campaign.tell(write(tmp_path / "read.csv", ("plate", "well", "signal"), signals(campaign, truth, seed)))
    campaign.ask()
    campaign.export_interim(tmp_path / "interim.csv", hits=True)
    campaign.stop("enough")
    assert campaign.ask() is None
    campaign.export(tmp_path / "all.csv")
    campaign.export(tmp_path / "hits.csv", hits=True)
    every, hits, interim = (pyarrow.csv.read_csv(tmp_path / f"{name}.csv") for name in ("all", "hits", "interim"))
    assert set(interim["label"].to_pylist()) == set(hits["label"].to_pylist()) == {"BBB+"}
    assert sorted(hits["id"].to_pylist()) == sorted(every.filter(pc.equal(every["label"], "BBB+"))["id"].to_pylist())


def test_a_simulation_under_way_is_exported_and_an_ended_one_is_not(under_way, tmp_path):
    path = under_way()
    made = Campaign.open(path).export_interim(tmp_path / "a.csv")
    assert made.n_lines == 900
    with pytest.raises(ConfigError, match="no class of this campaign is a hit"):
        Campaign.open(path).export_interim(tmp_path / "b.csv", hits=True)
    Campaign.open(path).stop("enough")
    resume(path)
    with pytest.raises(StoreError, match="without --interim"):
        Campaign.open(path).export_interim(tmp_path / "c.csv")
    with pytest.raises(ConfigError, match="no class of this campaign is a hit"):
        Campaign.open(path).export(tmp_path / "d.csv", hits=True)


def test_hits_of_a_screen_that_has_ended_are_exported_alone(under_way, tmp_path):
    path = under_way(quantity="recall", positive="BBB-", gamma=0.9)
    Campaign.open(path).stop("enough")
    resume(path)
    command = ["export", str(path), "--hits", "--out", str(tmp_path / "hits.csv")]
    CliRunner().invoke(app, command, catch_exceptions=False)
    Campaign.open(path).export(tmp_path / "all.parquet")
    every = pq.read_table(tmp_path / "all.parquet").to_pylist()
    measured = [line["id"] for line in every if line["label"] == "BBB-" and line["source"] == "measured"]
    predicted = [line for line in every if line["label"] == "BBB-" and line["source"] == "predicted"]
    predicted.sort(key=lambda line: (-line["confidence"], line["row"]))
    assert measured
    assert predicted
    found = pyarrow.csv.read_csv(tmp_path / "hits.csv")["id"].to_pylist()
    assert found == measured + [line["id"] for line in predicted]


BITS = [b"\x40", b"\x40", b"\x80", b"\x00", None, b"\xc0"], [b"\x40", b"\x80", b"\x00", b"\x00", None, b"\x00"]
VALUES = [[1.0, 0.5], [None, 1.0], [1.0, 2.0], [0.0, 1.0], None, [1.0, 3.0]]


@pytest.mark.parametrize(
    "cells", [{"labels": BITS[0], "measured": BITS[1]}, {"labels": VALUES}], ids=["bits", "values"]
)
def test_a_compound_of_a_panel_is_a_hit_by_its_readouts_or_where_it_has_none_by_its_prediction(cells, tmp_path):
    sources = ["measured", "measured", "predicted", "predicted", "excluded", "predicted"]
    schema = panel_schema(["a", "b"], ["0", "1"], ["b"] * ("measured" not in cells))
    known = {"row": range(6), "source": sources, "confidence": [None, None, 0.7, 0.9, None, 0.8], **cells}
    columns = [pa.array(known.get(field.name, [None] * 6), field.type) for field in schema]
    (tmp_path / "hybrid").mkdir()
    pq.write_table(pa.table(columns, schema=schema), tmp_path / "hybrid" / "part-00000.parquet")
    keep_hits(tmp_path / "hybrid", tmp_path, None)
    assert pq.read_table(tmp_path / "part-00000.parquet")["row"].to_pylist() == [0, 5, 2]


@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize("numbers", [[], ["b"]])
def test_where_there_are_no_hits_the_file_has_its_columns_and_no_lines(numbers, long, tmp_path):
    schema = panel_schema(["a", "b"], ["0", "1"], numbers)
    lines = pa.Table.from_pylist([{"row": 0, "id": "C1", "source": "excluded"}], schema)
    (tmp_path / "hybrid").mkdir()
    (tmp_path / "hits").mkdir()
    pq.write_table(lines, tmp_path / "hybrid" / "part-00000.parquet")
    keep_hits(tmp_path / "hybrid", tmp_path / "hits", None)
    made = export_hybrid(tmp_path / "hits", tmp_path / "hits.parquet", long=long)
    found = pq.read_table(tmp_path / "hits.parquet")
    assert (made.n_lines, found.num_rows) == (0, 0)
    assert ("output" if long else "smiles") in found.column_names
    assert ("value" in found.column_names) is (long and bool(numbers))


def test_a_panel_is_marked_in_long_tables_too(make_config, compounds, tmp_path):
    table = pyarrow.csv.read_csv(compounds)
    truth = {
        name: {"Cl": int("Cl" in text), "S": int("S" in text)}
        for name, text in zip(table["name"].to_pylist(), table["smiles"].to_pylist(), strict=True)
    }
    labels, readouts = {"column": None, "columns": ["Cl", "S"]}, {"id": "name"}
    config = make_config(**FAST, task="panel", labels=labels, readouts=readouts, stopping={"rule": "certify"})
    campaign = Campaign.create(tmp_path / "run", config)
    with pytest.raises(StoreError, match="no round of this campaign has a model yet"):
        campaign.export_interim(tmp_path / "early.csv", long=True)
    for _ in range(2):
        ids = campaign.ask().ids
        campaign.tell(pa.table({"name": ids, **{name: [truth[one][name] for one in ids] for name in ("Cl", "S")}}))
    campaign.ask()
    campaign.export_interim(tmp_path / "long.csv", long=True)
    lines = pyarrow.csv.read_csv(tmp_path / "long.csv")
    # Compounds that are being measured have no lines.
    assert (lines.num_rows, set(lines["status"].to_pylist())) == (2 * 840, {"NOT CERTIFIED"})
    campaign.export_interim(tmp_path / "hits.parquet", hits=True)
    hits = pq.read_table(tmp_path / "hits.parquet").to_pylist()
    found = [line["id"] for line in hits if line["source"] == "measured"]
    told = [
        name
        for files in CampaignStore.open(campaign.path).rounds()[:2]
        for name in files.read_batch()["id"].to_pylist()
    ]
    assert sorted(found) == sorted(name for name in told if truth[name]["Cl"] or truth[name]["S"])
