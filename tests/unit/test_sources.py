"""Every format gives the same records, with true numbers; what is wrong with a file is said."""

from __future__ import annotations

import gzip

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rdkit import Chem

from isd_ray.data.ingest import readers
from isd_ray.data.ingest.files import SourceFile
from isd_ray.data.ingest.sources import open_source as open_file
from isd_ray.data.ingest.sources import resolve_source
from isd_ray.errors import InputFileError

COMPOUNDS = [("CCO", "a"), ("CCN", "b"), ("c1ccccc1", "c")]


def open_source(path, file_format="auto"):
    return open_file(SourceFile.local(path), file_format)


def sdf_text(newline="\n"):
    records = []
    for smiles, name in COMPOUNDS:
        block = Chem.MolToMolBlock(Chem.MolFromSmiles(smiles))
        records.append(f"{name}{block}> <id>\n{name}\n\n>  <cost>  (1)\n1.5\n\n$$$$\n")
    return "".join(records).replace("\n", newline)


def write(path, text):
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def read_all(path, columns):
    chunks = list(open_source(path).read(columns))
    table = pa.concat_tables([chunk.table for chunk in chunks])
    lines = np.concatenate([chunk.lines for chunk in chunks]).tolist()
    problems = {chunk.first + i: why for chunk in chunks for i, why in chunk.problems.items()}
    firsts = [chunk.first for chunk in chunks]
    assert firsts == np.cumsum([1, *map(len, chunks)])[:-1].tolist(), "record numbers have a gap"
    return table, lines, problems


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "x.tsv", "x.smi", "x.smi.gz", "x.parquet"])
def test_formats_agree(tmp_path, name):
    path = tmp_path / name
    if name.endswith(".parquet"):
        pq.write_table(pa.table({"smiles": [s for s, _ in COMPOUNDS], "id": [i for _, i in COMPOUNDS]}), path)
    else:
        separator = {"csv": ",", "tsv": "\t", "smi": " "}[name.split(".")[1]]
        write(path, "".join(f"{s}{separator}{i}\n" for s, i in [("smiles", "id"), *COMPOUNDS]))
    table, lines, problems = read_all(path, ["id", "smiles"])
    assert table.to_pylist() == [{"id": i, "smiles": s} for s, i in COMPOUNDS]
    assert lines == ([1, 2, 3] if name.endswith(".parquet") else [2, 3, 4])
    assert not problems


@pytest.mark.parametrize("name", ["x.sdf", "x.sdf.gz"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("read_bytes", [50, 1 << 20])
def test_sdf_records_have_mol_block_title_items_and_lines(tmp_path, monkeypatch, name, newline, read_bytes):
    monkeypatch.setattr("isd_ray.data.ingest.sdf._READ_BYTES", read_bytes)  # records cut anywhere by the reads
    text = sdf_text(newline)
    path = write(tmp_path / name, text)
    source = open_source(path)
    assert source.column_names == ["_Name", "id", "cost"]
    table, lines, problems = read_all(path, ["_MolBlock", "_Name", "id", "cost"])
    assert table["id"].to_pylist() == table["_Name"].to_pylist() == ["a", "b", "c"]
    assert table["cost"].to_pylist() == ["1.5"] * 3
    molecules = [Chem.MolToSmiles(Chem.MolFromMolBlock(block)) for block in table["_MolBlock"].to_pylist()]
    assert molecules == [s for s, _ in COMPOUNDS]
    assert [text.split(newline)[line - 1] for line in lines] == ["a", "b", "c"]
    assert not problems


def test_sdf_record_cut_short_is_a_problem_of_that_record(tmp_path):
    text = sdf_text()
    path = write(tmp_path / "x.sdf", text.replace("M  END", "", 1))
    _, _, problems = read_all(path, ["id"])
    assert problems == {1: "no 'M  END' line"}


def test_smi_ids_may_hold_blanks_or_be_missing_and_the_header_is_optional(tmp_path):
    path = write(tmp_path / "x.smi", "CCO ethyl alcohol\nCCN\tCHEMBL1\t0.5\nC\n\nCC x\n")
    table, lines, problems = read_all(path, ["smiles", "id"])
    assert table["id"].to_pylist() == ["ethyl alcohol", "CHEMBL1", None, None, "x"]
    assert lines == [1, 2, 3, 4, 5]
    assert problems == {4: "blank line"}


@pytest.mark.parametrize("block_bytes", [64, 1 << 20])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_bad_csv_lines_keep_their_numbers_among_quoted_newlines_and_blank_lines(
    tmp_path, monkeypatch, newline, block_bytes
):
    monkeypatch.setattr(readers, "CSV_BLOCK_BYTES", block_bytes)  # bad lines at the borders of blocks
    lines, expected = ["smiles,id,note"], []
    for i in range(40):
        first_line = len(lines) + 1
        if i % 10 == 3:
            lines.append(f"C{i},bad{i}")
            expected.append((first_line, None, "wrong number of fields: 2 instead of 3"))
        elif i % 10 == 5:
            lines += [f'C{i},id{i},"two', 'lines"']
            expected.append((first_line, f"id{i}", None))
        elif i % 10 == 7:
            lines += [f'C{i},id{i},"two', "", 'lines",4']
            expected.append((first_line, None, "wrong number of fields: 4 instead of 3"))
        elif i % 10 == 8:
            lines.append("")
            expected.append((first_line, None, "blank line"))
        else:
            lines.append(f"C{i},id{i},n")
            expected.append((first_line, f"id{i}", None))
    path = write(tmp_path / "x.csv", newline.join([*lines, "C,last"]) + newline)
    expected.append((len(lines) + 1, None, "wrong number of fields: 2 instead of 3"))
    table, found_lines, problems = read_all(path, ["id"])
    found = [
        (line, name, problems.get(record))
        for record, (line, name) in enumerate(zip(found_lines, table["id"].to_pylist(), strict=True), start=1)
    ]
    assert found == expected


def test_csv_bytes_that_are_not_utf8_are_a_problem_of_their_record(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"\xef\xbb\xbfsmiles,id,note\nC,a,\xb5\nCC,\xb5,x\nCCC,c,x\n")
    table, _, problems = read_all(path, ["smiles", "id"])
    assert table["id"].to_pylist() == ["a", None, "c"]  # the note is not asked for
    assert problems == {2: "column 'id' is not UTF-8 text"}


def test_a_header_alone_has_columns_and_no_records(tmp_path):
    path = write(tmp_path / "x.csv", "smiles,id\n")
    assert open_source(path).column_names == ["smiles", "id"]
    assert sum(len(chunk) for chunk in open_source(path).read(["id"])) == 0


@pytest.mark.parametrize("name", ["x.parquet", "x.csv.gz"])
def test_a_truncated_file_is_an_input_file_error(tmp_path, name):
    path = tmp_path / name
    if name.endswith("gz"):
        noise = np.random.default_rng(0).integers(0, 1 << 40, 20_000)
        write(path, "smiles,id\n" + "".join(f"C,{n}\n" for n in noise))
    else:
        pq.write_table(pa.table({"smiles": ["C"] * 1000}), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputFileError, match=name):
        list(open_source(path).read(["smiles"]))


def test_missing_columns_name_what_there_is_and_the_closest(tmp_path):
    source = open_source(write(tmp_path / "x.csv", "SMILES,Compound_ID\nC,a\n"))
    with pytest.raises(InputFileError, match=r"'SMILES', 'Compound_ID'[\s\S]*did you mean 'SMILES'"):
        source.require("smiles", "smiles_column")
    bars = open_source(write(tmp_path / "y.csv", "smiles|name\nC|a\n"))
    with pytest.raises(InputFileError, match=r"separated by '\|'"):
        bars.require("potency", "columns")
    twice = open_source(write(tmp_path / "z.csv", "smiles,id,id\nC,a,b\n"))
    with pytest.raises(InputFileError, match="2 columns"):
        twice.require("id", "id_column")


def test_paths_are_resolved_against_the_base_and_the_environment(tmp_path, monkeypatch):
    path = write(tmp_path / "compounds.csv", "smiles\nC\n")
    monkeypatch.setenv("SOME_FOLDER", str(tmp_path))
    assert resolve_source("compounds.csv", tmp_path).path == str(path)
    assert resolve_source("${SOME_FOLDER}/compounds.csv", tmp_path / "elsewhere").path == str(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("missing.csv", r"no such file\n.*check the path \(library.source\); relative"),
        ("compound.csv", "did you mean 'compounds.csv'"),
        (".", "is a directory"),
        ("empty.csv", "empty"),
        ("${ISD_DATA}/x.csv", "ISD_DATA[\\s\\S]*folder with the data sets"),
        ("${NOT_SET_HERE}/x.csv", "NOT_SET_HERE"),
        ("package:no_such_package_/x.csv", "pip install no_such_package_"),
        ("package:pytest", "NAME/FILE"),
    ],
)
def test_unusable_paths_say_what_to_do(tmp_path, monkeypatch, text, message):
    monkeypatch.delenv("ISD_DATA", raising=False)
    write(tmp_path / "compounds.csv", "smiles\nC\n")
    (tmp_path / "empty.csv").touch()
    with pytest.raises(InputFileError, match=message) as caught:
        resolve_source(text, tmp_path, "library.source")
    assert caught.value.remedy


def test_the_demo_package_has_its_own_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputFileError, match=r"isd_ray\[demo\]"):
        resolve_source("package:B3DB/x.tsv", tmp_path)


def test_an_unknown_ending_asks_for_the_format(tmp_path):
    path = write(tmp_path / "x.dat", "smiles\nC\n")
    with pytest.raises(InputFileError, match="set format"):
        open_source(path)
    assert open_source(path, "csv").column_names == ["smiles"]
