"""No text in a CSV file that people open is a formula to their spreadsheet, and our own readers read it as it was."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isd_ray.data.export import export_hybrid
from isd_ray.data.ingest.sources import open_source, resolve_source
from isd_ray.formulas import escaped, unescaped, without_mark
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.predict import load_model
from tests.unit.test_laboratory import HITS, LABORATORY

FORMULAS = [
    "=1+1",
    "=O",
    "+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "\tx",
    "\r=x",
    "\n=x",
    "-[Cl]",
    "=",
    "'=O",
    "''@x",
    "--5",
]
PLAIN = ["O=C=O", "C[C@H](N)C(=O)O", "-5", "+1.5e-3", "-.5", "12", "", "C-1", "'quoted'", "'", "[O-]", "5e", " =x"]
BEGINNINGS = ("=", "+", "-", "@", "\t", "\r", "\n")


def written(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pa.csv.write_csv(escaped(table), sink)
    return sink.getvalue()


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_marked_as_text_and_nothing_else_is(text, kind):
    numbers = [-1.5] * (len(PLAIN) + 2)
    table = escaped(pa.table({"x": pa.array([text, *PLAIN, None], pa.string()).cast(kind), "n": numbers}))
    assert table["x"].to_pylist() == ["'" + text, *PLAIN, None]
    assert table["n"].to_pylist() == numbers


@given(st.lists(st.text("=+-@'\t\r\nC1 ", max_size=6) | st.text(max_size=8)))
def test_what_is_escaped_comes_back_and_is_no_formula(texts):
    column = escaped(pa.table({"x": pa.array(texts, pa.string())}))["x"].combine_chunks()
    assert unescaped(column).to_pylist() == texts
    assert [without_mark(text) for text in column.to_pylist()] == texts
    for text in column.to_pylist():
        assert not text.startswith(BEGINNINGS) or float(text) is not None


def test_names_of_columns_are_texts_too(tmp_path):
    file = tmp_path / "table.csv"
    file.write_bytes(written(pa.table({"=cmd": ["C"], "smiles": ["=O"], "id": ["-x"]})))
    assert b'"\'=cmd"' in file.read_bytes()
    [records] = open_source(resolve_source(str(file), tmp_path)).read(["=cmd", "smiles", "id"])
    assert [column.to_pylist() for column in records.table.columns] == [["C"], ["=O"], ["-x"]]


@pytest.fixture(scope="module")
def evil(tmp_path_factory, compounds) -> Path:
    """Compounds whose ids are formulas."""
    table = pa.csv.read_csv(compounds)
    ids = [f"{'=+-@'[place % 4]}cmd{place}" for place in range(len(table))]
    file = tmp_path_factory.mktemp("evil") / "compounds.csv"
    pa.csv.write_csv(table.set_column(0, "name", pa.array(ids)), file)
    return file


@pytest.fixture
def campaign(make_config, evil, tmp_path) -> Campaign:
    library = {"source": str(evil), "path": str(tmp_path / "library")}
    found = Campaign.create(tmp_path / "run", make_config(**HITS, library=library))
    found.ask()
    return found


def cells(file: Path) -> list[str]:
    with file.open(newline="", encoding="utf-8") as stream:
        return [cell for line in csv.reader(stream) for cell in line]


def test_every_file_of_a_batch_is_escaped_and_raw_leaves_it(campaign, tmp_path):
    for name, is_raw in (("for people", False), ("raw", True)):
        for file in campaign.dispatch(tmp_path / name, raw=is_raw):
            formulas = [cell for cell in cells(file) if "cmd" in cell and cell.startswith(BEGINNINGS)]
            marked = [cell for cell in cells(file) if cell.startswith("'")]
            assert (bool(formulas), bool(marked)) == (is_raw, not is_raw), file


def test_the_list_of_a_batch_comes_back_with_its_readouts(make_config, evil, tmp_path):
    library = {"source": str(evil), "path": str(tmp_path / "library")}
    campaign = Campaign.create(tmp_path / "run", make_config(**LABORATORY, library=library))
    ids = campaign.ask().ids
    [file] = campaign.dispatch(tmp_path / "out")
    first, *lines = file.read_text().splitlines()
    file.write_text("\n".join([f"{first},bbb", *(f"{line},BBB+" for line in lines)]) + "\n")
    told = campaign.tell(file)
    assert (told.n_new, told.refused) == (len(ids), ())


def test_an_exported_screen_is_escaped_and_raw_leaves_it(tmp_path):
    hybrid, table = tmp_path / "hybrid", pa.table({"id": FORMULAS, "smiles": FORMULAS, "value": [-1.0] * len(FORMULAS)})
    hybrid.mkdir()
    pa.parquet.write_table(table, hybrid / "part-00000.parquet")
    export_hybrid(hybrid, tmp_path / "out.csv")
    assert not [cell for cell in cells(tmp_path / "out.csv") if cell.startswith(BEGINNINGS) and cell != "-1"]
    export_hybrid(hybrid, tmp_path / "raw.csv", raw=True)
    assert set(FORMULAS) - {"\r=x"} <= set(cells(tmp_path / "raw.csv"))
    assert export_hybrid(hybrid, tmp_path / "out.parquet").n_lines == len(FORMULAS)
    assert pa.parquet.read_table(tmp_path / "out.parquet")["id"].to_pylist() == FORMULAS


def test_predictions_are_escaped_and_raw_leaves_them(make_config, tmp_path):
    campaign = Campaign.create(tmp_path / "run", make_config(**LABORATORY))
    for _ in range(2):  # the second batch is the first that a model chose
        ids = campaign.ask().ids
        campaign.tell({name: ("BBB+", "BBB-")[place % 2] for place, name in enumerate(ids)})
    campaign.ask()
    file = tmp_path / "new.csv"
    file.write_text("name,smiles\n=cmd,CCO\n-cmd,CCN\n")
    model = load_model(campaign.path)
    model.predict_file(file, tmp_path / "out.csv", workers=1)
    model.predict_file(file, tmp_path / "raw.csv", workers=1, raw=True)
    assert [cell for cell in cells(tmp_path / "out.csv") if "cmd" in cell] == ["'=cmd", "'-cmd"]
    assert [cell for cell in cells(tmp_path / "raw.csv") if "cmd" in cell] == ["=cmd", "-cmd"]
