"""`isd predict`: compounds outside the library, by the model that a campaign leaves."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import AllChem
from typer.testing import CliRunner

import isd_ray as isd
from isd_ray.campaign.predicting import MIN_RANDOM, NO_CLAIM
from isd_ray.campaign.store import CampaignStore
from isd_ray.cli import app
from isd_ray.config import HistoryConfig, LibraryConfig
from isd_ray.core.features import OnBits
from isd_ray.data import outside
from isd_ray.data.blocks.add import add_block
from isd_ray.data.blocks.history import AssayHistory
from isd_ray.data.ingest.build import build_library
from isd_ray.data.ingest.sources import open_source, resolve_source
from isd_ray.data.library import Library
from isd_ray.data.outside import Preparation, fingerprints_of
from isd_ray.data.similar import Similar
from isd_ray.errors import CorruptFileError, InputFileError, LibraryChangedError, LibraryError, StoreError
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.simulate import simulate
from tests.unit.models_helpers import random_bits, to_matrix

FAMILIES = {"families": ["boosted", "linear", "resmlp"], "members": 1, "boosted": {"trees": 10}}
OUTSIDE = "CCCCCCCCCCCCCCCCCCCCC[Si](C)(C)C"


@pytest.fixture(scope="module")
def run(make_config, tmp_path_factory):
    """A finished screen with descriptors, and with dense values of its own."""
    folder = tmp_path_factory.mktemp("predict")
    library = {"path": str(folder / "library"), "descriptors": ["rdkit2d"]}
    settings = {
        "model": FAMILIES,
        "library": library,
        "acquisition": {"batch_size": 120, "random_share": 0.5},
        "stopping": {"rule": "none", "max_rounds": 4},
    }
    made = simulate(make_config(**settings), folder / "run")
    assert Library.open(folder / "library").block_names == ("fingerprints", "rdkit2d")
    return made


@pytest.fixture(scope="module")
def model(run):
    return isd.load_model(run.path)


@pytest.fixture(scope="module")
def whole(model, compounds):
    """The compounds of the library, as if they were others."""
    return model.predict(pyarrow.csv.read_csv(compounds)).to_pylist()


def frozen(run):
    return {line["id"]: line for line in run.hybrid.to_pylist()}


# --- the numbers ------------------------------------------------------------------------------------------------------


def test_a_compound_of_the_library_is_predicted_as_the_screen_predicted_it(run, whole):
    """The same preparation to the last descriptor: nothing but the file's text is common to the two ways."""
    screen = frozen(run)
    predicted = [line for line in whole if screen[line["id"]]["source"] == "predicted"]
    assert len(predicted) > 100
    for line in predicted:
        assert line["label"] == screen[line["id"]]["label"]
        assert line["confidence"] == pytest.approx(screen[line["id"]]["confidence"], abs=1e-5)
        assert line["p_BBB+"] + line["p_BBB-"] == pytest.approx(1.0, abs=1e-6)
        assert line[f"p_{line['label']}"] == pytest.approx(line["confidence"], abs=1e-6)


@pytest.mark.parametrize("task", ["regression", "panel"])
def test_values_and_panels_are_predicted_as_the_screen_predicted_them(task, request, make_config, compounds, tmp_path):
    run = simulate(make_config(**request.getfixturevalue(task)), tmp_path / "run")
    found = isd.load_model(run.path).predict(pyarrow.csv.read_csv(compounds)).to_pylist()
    screen = frozen(run)
    outputs = CampaignStore.open(run.path).manifest["outputs"]
    n_compared = n_measured = 0
    for line in found:
        there = screen[line["id"]]
        assert line["source"] == there["source"]
        if there["source"] == "predicted":
            n_compared += 1
            assert line["uncertainty"] == pytest.approx(there["uncertainty"], rel=1e-3, abs=1e-5)
            if task == "regression":
                assert line["value"] == pytest.approx(there["value"], rel=1e-4)
            else:
                ones = np.unpackbits(np.frombuffer(there["labels"], np.uint8), count=len(outputs))
                assert [int(line[f"p_{name}"] > 0.5) for name in outputs] == ones.tolist()
        elif task == "regression":
            assert line["readout"] == there["value"]
        elif there["source"] == "measured":
            n_measured += 1
            bits = [np.unpackbits(np.frombuffer(there[x], np.uint8)) for x in ("labels", "measured")]
            told = {name: str(bits[0][place]) for place, name in enumerate(outputs) if bits[1][place]}
            assert json.loads(line["readout"]) == told
    assert n_compared > 50
    assert task == "regression" or n_measured > 50


def test_a_compound_of_the_library_says_so_with_its_readout_if_it_was_measured(run, whole):
    screen = frozen(run)
    for line in whole:
        there = screen[line["id"]]
        assert line["source"] == there["source"]
        assert screen[line["library_id"]]["smiles"] == line["smiles"] == there["smiles"]
        if there["source"] == "measured":
            assert line["readout"] == screen[line["library_id"]]["label"]
        else:
            assert line["readout"] is None


def test_another_compound_is_outside_whatever_it_is_called(model):
    [line] = model.predict(pa.table({"smiles": [OUTSIDE], "name": ["C0001"]})).to_pylist()
    assert (line["source"], line["id"], line["library_id"], line["readout"]) == ("outside", "C0001", None, None)


def test_how_often_the_screen_was_wrong_is_told_by_its_random_compounds(run, model, whole):
    bins = [line for line in pq.read_table(run.path / "calibration.parquet").to_pylist() if line["n"]]
    told = 0
    for line in whole:
        inside = next((b for b in bins if b["low"] <= line["uncertainty"] < b["high"]), None)
        if inside is None:
            continue
        if inside["n_random"] < MIN_RANDOM:
            assert line["share_wrong"] is None
        else:
            told += 1
            assert line["share_wrong"] == pytest.approx(inside["random_errors"] / inside["n_random"])
    assert told > 100
    early = isd.load_model(run.path, round_number=1).predict([OUTSIDE]).to_pylist()
    assert early[0]["share_wrong"] is None  # of its last models it was measured, not of an earlier one


# --- near what was measured -------------------------------------------------------------------------------------------


def test_the_nearest_measured_compound_is_that_of_rdkit(run, model):
    measured = {name: line for name, line in frozen(run).items() if line["source"] == "measured"}
    generator = AllChem.GetMorganGenerator(radius=2, fpSize=2048)
    prints = {name: generator.GetFingerprint(Chem.MolFromSmiles(line["smiles"])) for name, line in measured.items()}
    for line in model.predict(["CCNC(=O)c1ccccc1", "CC(=O)Oc1ccccc1C(=O)O", OUTSIDE]).to_pylist():
        own = generator.GetFingerprint(Chem.MolFromSmiles(line["smiles"]))
        similar = {name: DataStructs.TanimotoSimilarity(own, other) for name, other in prints.items()}
        assert line["similarity"] == pytest.approx(max(similar.values()))
        assert similar[line["nearest_measured"]] == pytest.approx(max(similar.values()))


def test_a_compound_is_flagged_below_the_threshold_and_not_at_it(run, model, whole):
    similar = next(line["similarity"] for line in whole if 0.3 < line["similarity"] < 0.9)
    text = next(line["smiles"] for line in whole if line["similarity"] == similar)
    for near, is_near in ((similar, True), (similar + 1e-4, False)):
        [line] = isd.load_model(run.path, near=near).predict([text]).to_pylist()
        assert line["is_near"] is is_near


def test_the_search_equals_all_pairs_however_bits_are_counted(monkeypatch):
    others, queries = random_bits(40, 1), random_bits(25, 2)
    a, b = to_matrix(queries).astype(int), to_matrix(others).astype(int)
    shared = a @ b.T
    every = shared / (a.sum(1)[:, None] + b.sum(1) - shared)
    names = np.array([f"c{i}" for i in range(40)], object)
    for frequent, group in ((0, 255), (5, 3), (1 << 20, 255)):
        monkeypatch.setattr("isd_ray.data.similar._FREQUENT", frequent)
        monkeypatch.setattr("isd_ray.data.similar._GROUP", group)
        places, best = Similar(others, names).nearest(queries)
        assert places.tolist() == every.argmax(axis=1).tolist()
        np.testing.assert_allclose(best, every.max(axis=1), rtol=1e-6)
    nothing = OnBits(np.empty(0, np.uint16), np.zeros(2, np.int64), 64)
    assert [found.tolist() for found in Similar(others, names).nearest(nothing)] == [[-1], [0.0]]


# --- every line is accounted for --------------------------------------------------------------------------------------


@pytest.fixture
def messy(tmp_path) -> Path:
    file = tmp_path / "messy.csv"
    file.write_text('name,smiles\na,CCO\nb,nonsense\nc,"CC(=O)O\n"\nd,\ne,CCN,more\nf,CCCl\n')
    return file


def test_every_line_of_a_file_is_a_line_of_the_result_or_rejected_with_its_reason(model, messy, tmp_path):
    found = model.predict_file(messy, tmp_path / "out.csv", workers=1)
    table = pyarrow.csv.read_csv(tmp_path / "out.csv")
    lines = {line["id"]: line for line in table.to_pylist()}
    assert found.n_lines == table.num_rows == 6
    assert table["line"].to_pylist() == [2, 3, 4, 6, 7, 8]
    rejected = {line["line"]: line["reason"] for line in table.to_pylist() if line["source"] == "rejected"}
    assert set(rejected) == {3, 6, 7}
    assert rejected[3] == "does not parse"
    assert rejected[6] == "empty SMILES"
    assert rejected[7].startswith("wrong number of fields")
    assert found.sources["rejected"] == 3
    assert sum(found.reasons.values()) == 3
    assert lines["a"]["label"]
    assert lines["f"]["reason"] == ""


def test_a_file_is_taken_in_pieces_with_the_same_result(model, compounds, monkeypatch, tmp_path):
    model.predict_file(compounds, tmp_path / "whole.parquet", workers=1)
    monkeypatch.setattr(outside, "CHUNK_ROWS", 64)
    model.predict_file(compounds, tmp_path / "pieces.parquet", workers=1)
    assert pq.ParquetFile(tmp_path / "pieces.parquet").num_row_groups == 15
    one, other = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("whole", "pieces"))
    for name in one.column_names:
        if pa.types.is_floating(one.schema.field(name).type):
            np.testing.assert_allclose(one[name].to_numpy(), other[name].to_numpy(), atol=1e-5)
        else:
            assert one[name].equals(other[name]), name


@pytest.mark.parametrize("name", ["x.smi", "x.sdf"])
def test_structures_come_in_other_formats_too(model, name, tmp_path):
    if name == "x.smi":
        (tmp_path / name).write_text("CCO one\nc1ccccc1O two\n")
    else:
        with Chem.SDWriter(str(tmp_path / name)) as sink:
            for text in ("CCO", "c1ccccc1O"):
                sink.write(Chem.MolFromSmiles(text))
    model.predict_file(tmp_path / name, tmp_path / "out.csv", workers=1)
    found = pyarrow.csv.read_csv(tmp_path / "out.csv").to_pylist()
    assert [line["smiles"] for line in found] == ["CCO", "Oc1ccccc1"]
    plain = model.predict(["CCO", "c1ccccc1O"]).to_pylist()
    assert [line["confidence"] for line in found] == pytest.approx([line["confidence"] for line in plain], abs=1e-6)


def test_a_salt_is_standardised_as_in_the_library(model):
    salt, base = model.predict(["CCN.Cl", "CCN"]).to_pylist()
    assert salt["smiles"] == base["smiles"]
    assert salt["confidence"] == pytest.approx(base["confidence"], abs=1e-6)


def test_a_file_without_structures_or_of_another_kind_is_refused_in_words(model, tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputFileError, match="--smiles-column = 'smiles' is no column"):
        model.predict_file(tmp_path / "x.csv", tmp_path / "out.csv")
    with pytest.raises(InputFileError, match="--id-column = 'nope'"):
        model.predict(pa.table({"smiles": ["CCO"]}), id_column="nope")
    (tmp_path / "y.csv").write_text("smiles\nCCO\n")
    with pytest.raises(InputFileError, match=r"'.xlsx' is no kind of file"):
        model.predict_file(tmp_path / "y.csv", tmp_path / "out.xlsx")
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("given", [np.zeros((2, 3)), [1, 2], 5])
def test_what_is_no_smiles_is_refused_in_words(model, given):
    with pytest.raises(InputFileError, match=r"no SMILES.*\n  Remedy: give a list of SMILES"):
        model.predict(given)


def test_structures_and_ids_may_be_bytes_as_in_a_build(model):
    texts = {"smiles": ["CCO", "CCN"], "name": ["a", "b"]}
    as_bytes = pa.table({name: pa.array(values).cast(pa.binary()) for name, values in texts.items()})
    assert model.predict(as_bytes).equals(model.predict(pa.table(texts)))


# --- the files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["same", "link", "detour"])
def test_no_file_that_is_read_is_written_over(model, messy, how, tmp_path):
    out = {"same": messy, "link": tmp_path / "link.csv", "detour": tmp_path / ".." / tmp_path.name / messy.name}[how]
    if how == "link":
        out.symlink_to(messy)
    before = messy.read_bytes()
    (tmp_path / "other.csv").write_text("name,smiles\na,CCO\n")
    with pytest.raises(InputFileError, match="would take the place of"):
        model.predict_file(messy, out, workers=1)
    assert messy.read_bytes() == before


def test_a_history_file_for_models_that_see_none_is_refused(model, messy, tmp_path):
    (tmp_path / "earlier.csv").write_text("name,assay\na,60\n")
    with pytest.raises(InputFileError, match="the models see no earlier readouts"):
        model.predict_file(messy, tmp_path / "out.csv", history=tmp_path / "earlier.csv", workers=1)
    assert not (tmp_path / "out.csv").exists()


def test_compounds_are_prepared_by_the_parents_of_the_library(tmp_path):
    pytest.importorskip("chembl_structure_pipeline", reason="pip install 'isd_ray[chembl]'")
    salt, parents = "CCCCCCCCCCCCOS(=O)(=O)O.CCN", {"largest": "CCCCCCCCCCCCOS(=O)(=O)O", "chembl": "CCN"}
    (tmp_path / "x.csv").write_text(f"name,smiles,score\na,CCCO,1\nb,{salt},2\nc,CCCN,4\n")
    for parent, smiles in parents.items():
        config = LibraryConfig(source="x.csv", smiles_column="smiles", id_column="name", parent=parent)
        library = build_library(config, tmp_path / parent, base_dir=tmp_path)
        assert library.smiles().tolist() == ["CCCO", smiles, "CCCN"]
        asked = HistoryConfig(source="x.csv", smiles_column="smiles", columns=("score",))
        library = add_block(library, AssayHistory(library, asked, None, tmp_path))
        source = open_source(resolve_source("x.csv", tmp_path))
        (tmp_path / "h.csv").write_text(f"smiles,score\n{salt},2\n")
        earlier = open_source(resolve_source("h.csv", tmp_path))
        [rows] = Preparation(library, library.block_names, source, history=earlier).rows()
        assert rows.smiles == library.smiles().tolist()
        assert rows.features["history"].values[:, 0].tolist() == pytest.approx([np.nan, 0.0, np.nan], nan_ok=True)
        stored = library.features_of(np.arange(3), ["history"])["history"].values
        assert np.isfinite(stored).all(), "matched by structure"
        assert (
            fingerprints_of(library, [salt])[0].values.tolist() == fingerprints_of(library, [smiles])[0].values.tolist()
        )


# --- the model --------------------------------------------------------------------------------------------------------


def test_the_description_of_the_library_is_all_of_it_that_is_needed(run, whole, compounds, tmp_path):
    folder = tmp_path / "described"
    folder.mkdir()
    library = Path(CampaignStore.open(run.path).manifest["library"])
    shutil.copy(library / "library.json", folder)
    alone = isd.load_model(run.path, library=folder).predict(pyarrow.csv.read_csv(compounds)).to_pylist()
    assert alone == whole


def test_another_library_is_refused(run, make_config, tmp_path):
    config = make_config().library
    other = build_library(config.model_copy(update={"block_rows": 128}), tmp_path / "other", base_dir=tmp_path)
    with pytest.raises(LibraryChangedError, match="not the one that the campaign began with"):
        isd.load_model(run.path, library=other.path)
    with pytest.raises(LibraryError, match="no library here"):
        isd.load_model(run.path, library=tmp_path)


def test_a_damaged_model_predicts_nothing(run, tmp_path, messy):
    shutil.copytree(run.path, tmp_path / "run")
    store = CampaignStore.open(tmp_path / "run")
    description = store.rounds()[-1].attempt.committee_dir / "committee.json"
    told = json.loads(description.read_text())
    told["shares"] = {**told["shares"], "linear": told["shares"]["linear"] / 2}
    description.write_text(json.dumps(told))
    result = CliRunner().invoke(app, ["predict", str(store.path), str(messy), "--out", str(tmp_path / "out.csv")])
    assert isinstance(result.exception, CorruptFileError)
    assert not (tmp_path / "out.csv").exists()


def test_a_round_can_be_chosen_and_one_without_a_model_is_refused(run):
    rounds = [isd.load_model(run.path, round_number=number) for number in (1, 2)]
    assert [model.round for model in rounds] == [1, 2]
    committees = [files.released["committee_hash"] for files in CampaignStore.open(run.path).rounds()]
    assert [model.hash for model in rounds] == committees[1:3]
    with pytest.raises(StoreError, match="round 0 has no model"):
        isd.load_model(run.path, round_number=0)


def test_a_campaign_that_goes_on_predicts_by_the_last_model_whose_round_is_decided(make_config, compounds, tmp_path):
    laboratory = {
        "labels": {"column": "bbb", "classes": ["BBB+", "BBB-"]},
        "stopping": {"rule": "none", "max_rounds": 5},
    }
    campaign = Campaign.create(tmp_path / "run", make_config(**laboratory))
    truth = dict(zip(*(pyarrow.csv.read_csv(compounds)[name].to_pylist() for name in ("name", "bbb")), strict=True))
    first = campaign.ask()
    with pytest.raises(StoreError, match="no round of this campaign has a model yet"):
        isd.load_model(campaign.path)
    campaign.tell({name: truth[name] for name in first.ids})
    second = campaign.ask()
    with pytest.raises(StoreError, match="no round of this campaign has a model yet"):
        isd.load_model(campaign.path)  # what the model of a batch that is out predicts is shown to nobody
    campaign.tell({name: truth[name] for name in second.ids})
    campaign.ask()
    model = isd.load_model(campaign.path)
    assert model.round == 1
    found = model.predict(pyarrow.csv.read_csv(compounds)).to_pylist()
    assert {line["id"] for line in found if line["source"] == "measured"} >= set(first.ids)
    for line in found:
        assert line["source"] != "measured" or line["readout"] == truth[line["library_id"]]
        assert line["nearest_measured"] in [*first.ids, *second.ids]


# --- the command ------------------------------------------------------------------------------------------------------


def test_nothing_is_certified_and_everybody_is_told(run, messy, tmp_path):
    result = CliRunner().invoke(app, ["predict", str(run.path), str(messy), "--out", str(tmp_path / "out.parquet")])
    assert result.exit_code == 0, result.output
    assert NO_CLAIM in result.output.replace("\n", " ")
    assert "does not parse (1)" in result.output
    metadata = pq.read_schema(tmp_path / "out.parquet").metadata
    assert metadata[b"claim"].decode() == NO_CLAIM
    assert metadata[b"committee_hash"].decode() == CampaignStore.open(run.path).rounds()[-1].released["committee_hash"]


def test_predictions_go_to_standard_output_or_counts_for_programs(run, messy, tmp_path):
    printed = CliRunner().invoke(app, ["predict", str(run.path), str(messy)])
    assert pyarrow.csv.read_csv(io.BytesIO(printed.stdout_bytes)).num_rows == 6
    out = str(tmp_path / "out.csv")
    counts = json.loads(CliRunner().invoke(app, ["predict", str(run.path), str(messy), "-o", out, "--json"]).stdout)
    assert counts["n_lines"] == 6
    assert counts["claim"] is None
    assert CliRunner().invoke(app, ["predict", str(run.path), str(messy), "--json"]).exit_code == 2
