"""`isd predict`: the dense columns and the earlier readouts that a file brings, as the blocks of the library."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from rdkit import Chem
from typer.testing import CliRunner

import isd_ray as isd
from isd_ray.campaign.delivered import DeliveredModel
from isd_ray.campaign.store import CampaignStore
from isd_ray.cli import app
from isd_ray.core.features import Dense
from isd_ray.data.blocks.assays import Assay
from isd_ray.data.blocks.numbers import text_or_numbers
from isd_ray.data.ingest.columns import numbers_and_words
from isd_ray.data.ingest.sources import open_source, resolve_source
from isd_ray.data.library import Library
from isd_ray.data.outside import Preparation
from isd_ray.errors import InputFileError
from isd_ray.ops.predict import _TableSource
from isd_ray.ops.simulate import simulate
from tests.unit.blocks_helpers import add_values

# --- dense columns that the file brings -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dense(make_config, compounds, tmp_path_factory):
    """A screen whose linear model has seen two columns of its own."""
    folder = tmp_path_factory.mktemp("dense")
    library = {"path": str(folder / "library")}
    settings = {"library": library, "model": {"families": ["linear"]}, "stopping": {"rule": "none", "max_rounds": 3}}
    config = make_config(**settings)
    from isd_ray.campaign.watcher import Watcher
    from isd_ray.ops.prepare import prepare

    prepare(config, folder / "run", Watcher())
    values = np.random.default_rng(0).normal(size=(900, 2)) * (3.0, 0.1)
    values[::7, 1] = np.nan
    add_values(Library.open(folder / "library"), "emb", values, ("e1", "vector[1]"))
    return simulate(config, folder / "run"), values


def dense_table(compounds, values) -> pa.Table:
    table = pyarrow.csv.read_csv(compounds).select(["name", "smiles"])
    vectors = [None if np.isnan(value) else [0.0, value] for value in values[:, 1]]
    return table.append_column("e1", pa.array(values[:, 0])).append_column("vector", pa.array(vectors))


def test_dense_columns_of_the_file_go_into_the_block_by_the_statistics_of_the_library(dense, compounds):
    run, values = dense
    preparation = isd.load_model(run.path)._predictor.preparation
    made = preparation(_TableSource(dense_table(compounds, values)), None, None)
    assert made.missing == {}
    blocks = [rows.features["emb"] for rows in made.rows()]
    assert all(isinstance(block, Dense) for block in blocks)
    stored = Library.open(CampaignStore.open(run.path).manifest["library"]).features_of(np.arange(900), ["emb"])["emb"]
    np.testing.assert_array_equal(np.concatenate([block.values for block in blocks]), stored.values)


def test_columns_that_the_file_lacks_are_missing_and_named(dense, compounds, tmp_path):
    run, values = dense
    model = isd.load_model(run.path)
    pyarrow.csv.write_csv(dense_table(compounds, values).select(["name", "smiles", "e1"]), tmp_path / "x.csv")
    assert model.predict_file(tmp_path / "x.csv", tmp_path / "out.csv", workers=1).missing == {"emb": ("vector[1]",)}
    assert (
        CliRunner()
        .invoke(app, ["predict", str(run.path), str(tmp_path / "x.csv"), "-o", str(tmp_path / "o.csv")])
        .exit_code
        == 0
    )


def test_columns_that_a_table_lacks_are_warned_of_in_python(dense, compounds):
    run, values = dense
    model = isd.load_model(run.path)
    model.predict(dense_table(compounds, values).slice(0, 3))  # whole: a warning would be an error here
    with pytest.warns(UserWarning, match=r"^1 column of block 'emb' not given, taken as missing: vector\[1\]$"):
        model.predict(dense_table(compounds, values).select(["name", "smiles", "e1"]).slice(0, 3))
    with pytest.warns(UserWarning, match=r"2 columns of block 'emb' not given, taken as missing: e1, vector\[1\]"):
        model.predict(["CCO"])


def test_a_value_that_is_no_number_rejects_its_line_and_no_other(dense, tmp_path):
    run, _ = dense
    (tmp_path / "x.csv").write_text("smiles,e1\nCCO,1.5\nCCN,much\nCCC,inf\nCCCC,NA\n")
    isd.load_model(run.path).predict_file(tmp_path / "x.csv", tmp_path / "out.csv", workers=1)
    reasons = pyarrow.csv.read_csv(tmp_path / "out.csv")["reason"].to_pylist()
    assert reasons == ["", "column e1 holds 'much', no number", "an infinite value", ""]


@pytest.mark.parametrize("column", ["vector", "vector[1]"])
def test_a_column_of_numbers_is_no_vector_of_the_library(dense, column):
    """Its name alone is like that of a vector: `vector` is not `vector[1]`, and fills no other column."""
    made = isd.load_model(dense[0].path)._predictor.preparation(
        _TableSource(pa.table({"smiles": ["CCO"], column: [7.0]})), None, None
    )
    [rows] = made.rows()
    assert made.missing == {"emb": ("e1", "vector[1]") if column == "vector" else ("e1",)}
    assert np.isnan(rows.features["emb"].values).tolist() == [[True, column == "vector"]]


@pytest.mark.parametrize("names", [["smiles", "smiles"], ["smiles", "name", "name"], ["smiles", "e1", "e1"]])
def test_a_column_that_stands_there_twice_is_refused_wherever_it_comes_from(dense, names, tmp_path):
    model, values = isd.load_model(dense[0].path), ["CCO", "1", "2"][: len(names)]
    pandas = pytest.importorskip("pandas")
    (tmp_path / "x.csv").write_text(f"{','.join(names)}\n{','.join(values)}\n")
    with pytest.raises(InputFileError, match=f"{names[-1]!r} is the name of 2 columns"):
        model.predict_file(tmp_path / "x.csv", tmp_path / "out.csv", workers=1)
    for table in (
        pa.Table.from_arrays([pa.array([value]) for value in values], names=names),
        pandas.DataFrame([values], columns=names),
    ):
        with pytest.raises(InputFileError, match=f"{names[-1]!r} is the name of 2 columns"):
            model.predict(table)


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("e1", [["a"]], "column 'e1' holds list<item: string>, not vectors of numbers"),
        ("e1", [{"a": 1}], "column 'e1' holds struct<a: int64>, not numbers"),
        ("name", [["a"]], "--id-column = 'name' holds list<item: string>, which is no id"),
        ("smiles", [["CCO"]], "--smiles-column = 'smiles' holds list<item: string>, and structures are text"),
    ],
)
def test_a_column_of_a_type_that_nothing_can_be_made_of_is_refused_in_words(dense, column, values, words):
    table = pa.table({"smiles": pa.array(["CCO"]), column: values} | {column: pa.array(values)})
    with pytest.raises(InputFileError, match=re.escape(words)):
        isd.load_model(dense[0].path).predict(table)


@pytest.mark.filterwarnings("ignore:1 column of block")
def test_numbers_and_words_in_one_column_of_a_frame_are_read_as_those_of_a_file(dense):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"smiles": ["CCO", "CCN", "CCC"], "e1": [1.0, ">10", None]})
    found = isd.load_model(dense[0].path).predict(frame)
    assert found["reason"].to_pylist() == [None, "column e1 holds '>10', no number", None]


@pytest.mark.parametrize(("text", "number"), [("1_5", None), ("1e1", 10.0), (" 2 ", 2.0), ("NA", np.nan)])
def test_a_number_is_what_the_build_takes_for_one(text, number):
    values, words = numbers_and_words(text_or_numbers(pa.array(["1", text])))
    assert words == ({1: text} if number is None else {})
    np.testing.assert_array_equal(values, [1.0, np.nan if number is None else number])


def test_whole_numbers_beyond_those_of_float64_are_read_as_the_nearest_one():
    assert text_or_numbers(pa.array([2**53 + 1])).to_pylist() == [2.0**53]


# --- models that do not see the fingerprints --------------------------------------------------------------------------


def test_models_without_fingerprints_predict_and_name_the_nearest_measured_compound(make_config, compounds, tmp_path):
    library = {"path": str(tmp_path / "library"), "descriptors": ["rdkit2d"]}
    model = {"families": ["linear"], "blocks": ["rdkit2d"]}
    settings = {"library": library, "model": model, "stopping": {"rule": "none", "max_rounds": 3}}
    run = simulate(make_config(**settings), tmp_path / "run")
    screen = {line["id"]: line for line in run.hybrid.to_pylist()}
    found = isd.load_model(run.path).predict(pyarrow.csv.read_csv(compounds)).to_pylist()
    measured = [line for line in found if line["source"] == "measured"]
    assert len(measured) > 100
    assert {line["similarity"] for line in measured} == {1.0}
    for line in found:
        assert screen[line["nearest_measured"]]["source"] == "measured"
        if line["source"] == "predicted":
            assert line["confidence"] == pytest.approx(screen[line["id"]]["confidence"], abs=1e-5)


# --- earlier screens of the compounds ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def screened(make_config, compounds, tmp_path_factory):
    """A screen that has seen two earlier ones, one of numbers and one of yes and no."""
    folder = tmp_path_factory.mktemp("screened")
    table = pyarrow.csv.read_csv(compounds)
    rng = np.random.default_rng(3)
    numbers = np.where(rng.random(900) < 0.3, np.nan, rng.normal(50, 10, 900) + 200 * (rng.random(900) < 0.02))
    words = [["active", "inactive", None][code] for code in rng.integers(0, 3, 900)]
    earlier = pa.table({"name": table["name"], "smiles": table["smiles"], "assay": pa.array(numbers, from_pandas=True)})
    earlier = earlier.append_column("yes", pa.array(words))
    pyarrow.csv.write_csv(earlier.drop(["smiles"]), folder / "history.csv")
    pyarrow.csv.write_csv(earlier, folder / "both.csv")
    pyarrow.csv.write_csv(earlier.drop(["name"]), folder / "structures.csv")
    with Chem.SDWriter(str(folder / "structures.sdf")) as writer:
        for row in earlier.to_pylist():
            mol = Chem.MolFromSmiles(row["smiles"])
            for name in ("assay", "yes"):
                mol.SetProp(name, "" if row[name] is None else str(row[name]))
            writer.write(mol)
    history = {"source": str(folder / "history.csv"), "columns": ["assay", "yes"]}
    library = {"path": str(folder / "library"), "history": history}
    settings = {"library": library, "model": {"families": ["linear"]}, "stopping": {"rule": "none", "max_rounds": 3}}
    return simulate(make_config(**settings), folder / "run"), folder


@pytest.mark.parametrize("how", ["own columns", "by id", "by structure", "by mol block"])
def test_earlier_readouts_are_scored_by_the_library_s_own_statistics(screened, compounds, how):
    run, folder = screened
    model = DeliveredModel.open(CampaignStore.open(run.path))
    file = folder / "both.csv" if how == "own columns" else compounds
    files = {"by id": "history.csv", "by structure": "structures.csv", "by mol block": "structures.sdf"}
    name = files.get(how)
    source = open_source(resolve_source(str(file), folder))
    earlier = None if name is None else open_source(resolve_source(str(folder / name), folder))
    made = Preparation(model.library, model.blocks, source, history=earlier)
    assert made.missing == {}
    found = np.concatenate([rows.features["history"].values for rows in made.rows()])
    library = Library.open(model.library.address)
    stored = library.features_of(np.arange(900), ["history"])["history"].values
    different = ~((found == stored) | (np.isnan(found) & np.isnan(stored))).all(axis=1)
    smiles = library.smiles().tolist()
    # By structure the readout of a compound that stands there twice is the median of its lines.
    assert all(
        how.startswith("by ") and how != "by id" and smiles.count(smiles[row]) > 1
        for row in np.flatnonzero(different).tolist()
    )
    assert np.isfinite(stored).any(axis=0).all()


def test_assays_that_nobody_brings_are_missing_and_named(screened, compounds, tmp_path):
    run, folder = screened
    model = isd.load_model(run.path)
    assert model.predict_file(compounds, tmp_path / "o.csv", workers=1).missing == {"history": ("assay", "yes")}
    with pytest.raises(InputFileError, match="holds no assay of the library"):
        model.predict_file(compounds, tmp_path / "o.csv", history=compounds, workers=1)
    screen = {line["id"]: line for line in run.hybrid.to_pylist()}
    model.predict_file(compounds, tmp_path / "o.csv", history=folder / "history.csv", workers=1)
    for line in pyarrow.csv.read_csv(tmp_path / "o.csv").to_pylist():
        if line["source"] == "predicted":
            assert line["confidence"] == pytest.approx(screen[line["id"]]["confidence"], abs=1e-5)


def scores_of(run, table: dict, history: Path | None = None):
    """What the model reads of earlier readouts of some compounds, and why lines are rejected."""
    model = DeliveredModel.open(CampaignStore.open(run.path))
    earlier = None if history is None else open_source(resolve_source(str(history), history.parent))
    made = Preparation(model.library, model.blocks, _TableSource(pa.table(table)), history=earlier)
    [rows] = made.rows()
    return rows.features["history"].values, rows.reasons, made


@pytest.mark.parametrize("word", ["Active", "inconclusive", "yes", "1", ">10", "0.5"])
def test_a_word_that_an_assay_of_two_values_does_not_know_rejects_its_line(screened, word):
    table = {"smiles": ["CCO", "CCN", "CCC", "CCCC"], "yes": ["active", word, "inactive", "NA"]}
    values, reasons, _ = scores_of(screened[0], table)
    assert reasons == {1: f"assay yes holds {word!r}, and is 'inactive' or 'active'"}
    np.testing.assert_array_equal(values[:, 2], [1.0, 0.0, np.nan])


@pytest.mark.parametrize(
    ("ones", "zeros", "values", "bits"),
    [
        (("1",), ("0",), [True, False, None], [1.0, 0.0, np.nan]),
        (("True",), ("False",), [True, False, None], [1.0, 0.0, np.nan]),
        (("1",), ("0",), ["1.0", "0", "NA"], [1.0, 0.0, np.nan]),
        (("1",), ("0",), ["True", "no", "2"], None),
        (("aktiv",), ("inaktiv",), ["inaktiv", "aktiv", "no"], [0.0, 1.0, None]),
        (("active",), None, ["inactive", "active", "unclear"], [0.0, 1.0, None]),
        (("1",), None, ["-1", "1", "0.5"], [0.0, 1.0, None]),
        (("hit",), (), ["no", "hit", "2"], [0.0, 1.0, None]),
        ((), ("0",), ["0", "yes", "2"], [0.0, 1.0, None]),
    ],
)
def test_true_and_words_mean_what_they_mean_in_the_library(ones, zeros, values, bits):
    found, wrong = Assay("x", "binary", ones=ones, zeros=zeros).read(text_or_numbers(pa.array(values)))
    expected = [None] * 3 if bits is None else bits
    assert sorted(wrong) == [place for place, bit in enumerate(expected) if bit is None]
    np.testing.assert_array_equal(found, [np.nan if bit is None else bit for bit in expected])


def test_a_history_file_is_read_as_the_library_reads_it(screened, tmp_path):
    """Of repeated readouts the median counts, an empty one hides none, and what is no readout is refused."""
    run, _ = screened
    once, often = tmp_path / "once.csv", tmp_path / "often.csv"
    once.write_text("name,assay,yes\na,60,active\nb,40,inactive\n")
    often.write_text("name,assay,yes\na,,active\na,99,active\na,60,\na,1,inactive\nb,40,inactive\n")
    table = {"smiles": ["CCO", "CCN", "CCC"], "name": ["a", "b", "c"]}
    left, right = (scores_of(run, table, file) for file in (once, often))
    np.testing.assert_array_equal(left[0], right[0])
    assert np.isfinite(left[0]).all(axis=1).tolist() == [True, True, False]
    assert left[2].n_with_history == 2
    for line, what in (("a,>10,active", "assay 'assay' holds '>10'"), ("a,5,maybe", "assay 'yes' holds 'maybe'")):
        once.write_text(f"name,assay,yes\nb,40,inactive\n{line}\n")
        with pytest.raises(InputFileError, match=rf"{what}.*\(line 3\)"):
            scores_of(run, table, once)
    once.write_text("name,assay,yes\n")
    with pytest.raises(InputFileError, match="no readout of any assay"):
        scores_of(run, table, once)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["name", "name", "assay"], "'name' is the name of 2 columns"),
        (["name", "assay", "assay"], "'assay' is the name of 2 columns"),
        (["smiles", "smiles", "assay"], "'smiles' is the name of 2 columns"),
        (["name", "assay"], "--id-column = 'name' holds list"),
        (["smiles", "assay"], "--smiles-column = 'smiles' holds list"),
    ],
)
def test_a_history_file_with_a_column_that_cannot_be_used_is_refused(screened, names, words, tmp_path):
    is_list = "list" in words
    columns = [pa.array([["a"]] if is_list and name != "assay" else ["1"]) for name in names]
    pq.write_table(pa.Table.from_arrays(columns, names=names), tmp_path / "h.parquet")
    with pytest.raises(InputFileError, match=words):
        scores_of(screened[0], {"smiles": ["CCO"], "name": ["a"]}, tmp_path / "h.parquet")


def test_a_history_file_of_other_compounds_is_told_of_and_none_is_written_over(screened, tmp_path):
    run, _ = screened
    compounds, other = tmp_path / "x.csv", tmp_path / "other.csv"
    compounds.write_text("name,smiles\na,CCO\n")
    other.write_text("name,assay\nz,60\n")
    words = ["predict", str(run.path), str(compounds), "--history", str(other), "-o"]
    said = CliRunner().invoke(app, [*words, str(tmp_path / "o.csv")]).output
    assert "0 compounds with earlier readouts in" in said
    assert isinstance(CliRunner().invoke(app, [*words, str(other)]).exception, InputFileError)
    assert other.read_text() == "name,assay\nz,60\n"


def test_a_column_that_no_model_sees_rejects_no_line_and_is_not_missed(screened):
    model = DeliveredModel.open(CampaignStore.open(screened[0].path))
    seen = {"history": ("yes",)}
    table = _TableSource(pa.table({"smiles": ["CCO"], "assay": [">10"], "yes": ["active"]}))
    made = Preparation(model.library, model.blocks, table, seen=seen)
    [rows] = made.rows()
    assert (rows.reasons, made.missing) == ({}, {})
    np.testing.assert_array_equal(rows.features["history"].values, [[np.nan, np.nan, 1.0]])
