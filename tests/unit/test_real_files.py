"""What laboratories' files bring is read right or refused in words: nothing is swallowed, and nothing mixed up."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import time
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from isd_ray.config import LabelsConfig, LibraryConfig
from isd_ray.config_file import load_config
from isd_ray.data.ingest import guard, molecules
from isd_ray.data.ingest.build import build_library
from isd_ray.data.ingest.files import SourceFile
from isd_ray.data.ingest.molecules import MoleculeOptions, prepare_chunk
from isd_ray.data.ingest.sdf import _parse, _structures
from isd_ray.data.ingest.sources import open_source
from isd_ray.data.ingest.tables import table_rows
from isd_ray.data.label_table import read_labels
from isd_ray.data.labels import labels_for
from isd_ray.delimited import header_of
from isd_ray.errors import ConfigError, InputFileError, LabelError

BLOCK = "\n\n\n  1  0  0  0  0  0  0  0  0  0999 V2000\n" + f"{0:10.4f}" * 3 + " C   0  0\nM  END\n"


def build(path, **options):
    config = LibraryConfig.model_validate(
        {"source": str(path), "features": "ecfp4", "workers": 1, "id_column": "id", **options}
    )
    return build_library(config, path.parent / f"library-{time.monotonic_ns()}", base_dir=path.parent)


def rejects(library):
    return {r["line"]: r["reason"] for r in pq.read_table(library.path / "rejects.parquet").to_pylist()}


def rows_of(text, n_fields, block_bytes=1 << 20, delimiter=b","):
    found = table_rows(io.BytesIO(text), delimiter, n_fields, 1, block_bytes)
    return [row for rows in found for row in rows]


# SDF

VALUES = st.text(alphabet=st.sampled_from("> <a10$.-µ"), min_size=1, max_size=8).filter(lambda v: v.strip())


def is_like_a_header(value):
    return value.startswith(">") and "<" in value and ">" in value[value.index("<") :]


@given(st.lists(VALUES, min_size=1, max_size=4))
def test_what_an_sdf_item_says_is_what_is_read_or_a_problem(values):
    values = [value for value in values if not value.strip().startswith("$$$$")]
    text = BLOCK + "".join(f"> <i{n}>\n{value}\n\n" for n, value in enumerate(values))
    [(_, record)] = _structures(text.encode(), 1)
    parsed = _parse(record)
    assert not parsed.problem
    for n, value in enumerate(values):
        if parsed.item_problems.get(f"i{n}"):
            assert is_like_a_header(value)
        else:
            assert parsed.items[f"i{n}"].decode() == value


@pytest.mark.parametrize("value", [">10", "> 50 uM", ">=1", ">>3", ">", "<0.01", "> 5 <"])
def test_censored_values_are_never_empty(value):
    parsed = _parse(f"{BLOCK}> <a>\n{value}\n\n> <b>\n1\n\n".encode())
    assert (parsed.items["a"].decode(), parsed.items["b"], parsed.item_problems) == (value, b"1", {})


def test_an_item_twice_counts_where_it_is_asked_for_and_only_with_two_values(tmp_path):
    path = tmp_path / "x.sdf"
    records = [("1", "1"), ("1", "2"), ("", "2")]
    path.write_text(
        "".join(f"{BLOCK}> <id>\n{i}\n\n> <a>\n{v}\n\n> <a>\n{w}\n\n$$$$\n" for i, (v, w) in enumerate(records))
    )
    [chunk] = open_source(SourceFile.local(path)).read(["a"])
    assert chunk.table["a"].to_pylist() == ["1", None, "2"]
    assert chunk.problems == {1: "item 'a' stands there twice, with two values"}
    [chunk] = open_source(SourceFile.local(path)).read(["id"])
    assert not chunk.problems


def test_mol_files_joined_are_as_many_records_with_their_lines(tmp_path):
    path = tmp_path / "x.sdf"
    path.write_text("".join(f"t{i}{BLOCK}" for i in range(3)) + f"t3{BLOCK}> <a>\n3\n\nt4{BLOCK}> <a>\n4\n\n$$$$\n")
    [chunk] = open_source(SourceFile.local(path)).read(["_Name", "a"])
    assert chunk.table["_Name"].to_pylist() == ["t0", "t1", "t2", "t3", "t4"]
    assert chunk.table["a"].to_pylist() == [None, None, None, "3", "4"]
    lines = path.read_text().split("\n")
    assert [lines[line - 1] for line in chunk.lines] == ["t0", "t1", "t2", "t3", "t4"]


def test_a_mol_block_that_is_the_value_of_an_item_is_no_compound(tmp_path):
    path = tmp_path / "x.sdf"
    path.write_text(f"t0{BLOCK}> <drawn>\nold{BLOCK}\n> <a>\n1\n\n$$$$\n")
    [chunk] = open_source(SourceFile.local(path)).read(["_Name", "a"])
    assert chunk.table.to_pylist() == [{"_Name": "t0", "a": "1"}]
    assert not chunk.problems


def test_a_record_cut_off_does_not_take_the_items_of_the_next(tmp_path):
    path = tmp_path / "x.sdf"
    path.write_text(f"t0{BLOCK}".replace("M  END\n", "") + f"t1{BLOCK}> <a>\n1\n\n$$$$\n")
    [chunk] = open_source(SourceFile.local(path)).read(["_Name", "a"])
    assert chunk.problems == {0: "no 'M  END' line"}
    assert chunk.table["a"].to_pylist() == [None, "1"]


# Tables

CELLS = st.text(alphabet=st.sampled_from('ab",;\n \t1'), max_size=5)


@settings(max_examples=300)
@given(st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=8), st.integers(1, 40))
def test_what_was_written_is_read_or_refused_and_every_line_is_told_of(rows, block_bytes):
    sink = io.StringIO()
    csv.writer(sink, lineterminator="\n", quoting=csv.QUOTE_MINIMAL).writerows(rows)
    text = sink.getvalue().encode()
    found = rows_of(text, 3, block_bytes)
    assert found == rows_of(text, 3, 1 << 20)
    lines = [line for line, _, _ in found]
    assert lines == sorted(set(lines))
    written = {tuple(cell for cell in row) for row in rows}
    has_newlines = any("\n" in cell for row in rows for cell in row)
    for _, fields, reason in found:
        # A field of several lines whose lines look like records is refused, and they are read as records.
        if fields is not None and not has_newlines:
            assert tuple(field.decode() for field in fields) in written
        assert (fields is None) == bool(reason)
    if not has_newlines:
        assert len(found) == len(rows)


@settings(max_examples=200)
@given(st.data())
def test_a_stray_quote_costs_its_own_line_only(data):
    n = data.draw(st.integers(2, 12))
    bad = data.draw(st.sets(st.integers(0, n - 1), max_size=3))
    place = data.draw(st.integers(0, 2))
    lines = []
    for i in range(n):
        cells = [f"i{i}", f"C{i}", "note"]
        if i in bad:
            cells[place] = '"' + data.draw(st.sampled_from(["", "5 mg", "x y"]))
        lines.append(",".join(cells))
    found = rows_of("\n".join(lines).encode() + b"\n", 3, data.draw(st.integers(1, 60)))
    good = [line for line, fields, _ in found if fields is not None]
    # Two quotes that open and close over lines that are no records may be one field: its lines are gone together.
    assert set(range(1, n + 1)) - set(good) <= {i + 1 for i in bad} | ({i + 2 for i in bad} if len(bad) > 1 else set())
    if len(bad) == 1:
        [(line, reason)] = [(line, reason) for line, fields, reason in found if fields is None]
        assert line == min(bad) + 1
        assert reason in ("a quote that is not closed", "text behind a closing quote")


def test_reading_takes_time_in_proportion_to_the_length():
    def work(n):
        started = time.process_time()
        rows_of(b'a,"open,b\n' * n, 3)
        rows_of(b'a,"' + b'""' * 10 * n, 3)
        rows_of((b'",x\n' + b"y\n" * 9) * (n // 10), 3)
        return time.process_time() - started

    work(1_000)
    assert work(80_000) < 40 * max(work(10_000), 0.01)  # quadratic it would be 64 times as long, and minutes


def test_long_cells_and_lines_cost_their_records(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"id,smiles\na,C\nb," + b"C" * (2 << 20) + b"\nc," + b"C" * (17 << 20) + b"\nd,CC\n")
    library = build(path)
    assert library.ids().tolist() == ["a", "d"]
    assert rejects(library) == {3: "a field is longer than 1 MiB", 4: "the line is longer than 16 MiB"}


def test_a_row_with_a_field_too_many_and_a_bad_byte_costs_that_row(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"id,smiles\na,C\nb\xff,CC,x\xff\nc,CCC,,\nd\xff,CCCC\n")
    library = build(path)
    assert library.ids().tolist() == ["a", "c"]  # empty fields behind the last are nothing
    assert rejects(library) == {3: "wrong number of fields: 3 instead of 2", 5: "column 'id' is not UTF-8 text"}


def test_titles_above_the_header_are_passed_over_if_it_has_all_that_is_asked_for():
    text = "Results of protocol 7\n\nExported,2024\nID,SMILES,IC50\na,C,1\n"
    assert header_of(text, ["ID", "SMILES"]).names == ["ID", "SMILES", "IC50"]
    assert header_of(text, ["ID", "SMILES"]).n_lines == 4
    assert header_of(text, []).names == ["Results of protocol 7"]
    assert header_of("sep=;\nID;SMILES\n", ["ID", "SMILES"]).names == ["ID", "SMILES"]
    assert header_of("ID,Structure\nsmiles,C\n", ["smiles"]).names == ["ID", "Structure"]


def zstd(data):
    return pa.compress(data, "zstd", asbytes=True)


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "x.csv.zst", "x.csv.bz2"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress, zstd])
def test_how_a_file_is_compressed_shows_in_its_content_not_in_its_name(tmp_path, name, pack):
    path = tmp_path / name
    path.write_bytes(pack(b"\xef\xbb\xbfid,smiles\r\na,C\r\nb,CC\r\n"))
    assert build(path).ids().tolist() == ["a", "b"]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstd])
def test_a_compressed_file_that_is_cut_off_is_an_error(tmp_path, pack):
    noise = np.random.default_rng(0).integers(0, 1 << 40, 20_000)
    path = tmp_path / "x.csv"
    data = pack(b"id,smiles\n" + b"".join(b"%d,C\n" % n for n in noise))
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputFileError, match=r"x\.csv"):
        list(open_source(SourceFile.local(path)).read(["id"]))


def test_smi_and_cxsmiles_keep_what_stands_between_bars_with_the_structure(tmp_path):
    path = tmp_path / "x.smi"
    path.write_text("C[C@H](O)F |&1:1| racemate\nC[C@H](O)F abs\nC[C@H](O)F |o1:1|\nCC |x\n")
    [chunk] = open_source(SourceFile.local(path)).read(["smiles", "id"])
    assert chunk.table["smiles"].to_pylist() == ["C[C@H](O)F |&1:1|", "C[C@H](O)F", "C[C@H](O)F |o1:1|", "CC"]
    assert chunk.table["id"].to_pylist() == ["racemate", "abs", None, "|x"]
    path = tmp_path / "x.cxsmiles"
    path.write_text("smiles\tid\tMW\nC[C@H](O)F |&1:1|\tZ1\t64\nC[C@H](O)F\tZ2\t64\n")
    library = build(path, columns=["MW"])
    assert library.smiles().tolist() == ["C[C@H](O)F |&1:1|", "C[C@H](O)F"]
    assert library.ids().tolist() == ["Z1", "Z2"]


# Types

PUBCHEM = (
    "PUBCHEM_RESULT_TAG,PUBCHEM_SID,SMILES,PUBCHEM_ACTIVITY_OUTCOME,Potency\n"
    'RESULT_TYPE,,,,FLOAT\nRESULT_DESCR,,,,"Potency, in all"\nRESULT_UNIT,,,,MICROMOLAR\n'
    "1,11,CCO,Active,1.5\n2,12,CCN,Inactive,\n3,13,CCS,Inactive,30\n"
)


@pytest.mark.parametrize("id_column", ["PUBCHEM_RESULT_TAG", "PUBCHEM_SID", None])
def test_rows_that_describe_columns_do_not_decide_their_types(tmp_path, id_column):
    path = tmp_path / "x.csv"
    path.write_text(PUBCHEM)
    library = build(path, smiles_column="SMILES", id_column=id_column, columns=["Potency"])
    assert library.metadata["columns"] == {"Potency": "float64"}
    assert library.n_rows == 3
    assert set(rejects(library)) == {2, 3, 4}
    config = LibraryConfig(source=str(path), smiles_column="SMILES", id_column=id_column)
    for source in (None, str(path)):
        table = read_labels(LabelsConfig(column="Potency", source=source), config, tmp_path)
        assert table.is_numeric


def test_a_row_of_units_without_id_or_structure_does_not_decide_types_either(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("id,smiles,y\n,,uM\na,CCO,1\nb,CCN,2\n")
    library = build(path, columns=["y"])
    assert library.metadata["columns"] == {"y": "int64"}
    assert rejects(library) == {2: "no id"}


def labels_of(tmp_path, values, **options):
    path = tmp_path / "y.csv"
    lines = [f'a{i},{"C" * (i + 1)},"{value}"' for i, value in enumerate(values)]
    path.write_text("\n".join(["id,smiles,y", *lines]) + "\n")
    library = build(path)
    config = LibraryConfig(source=str(path), id_column="id")
    task = options.pop("task", "classification")
    return labels_for(read_labels(LabelsConfig(column="y", **options), config, tmp_path), library, task)


@pytest.mark.parametrize(
    "values", [["Active", "active", "x"], ["yes ", "Yes", "no"], ["not  active", "not active", "active"]]
)
def test_classes_that_differ_by_case_or_blanks_are_refused(tmp_path, values):
    with pytest.raises(LabelError, match="differ by case or blanks only"):
        labels_of(tmp_path, values)


def test_classes_that_are_named_may_be_alike(tmp_path):
    assert labels_of(tmp_path, ["a", "A", "a"], classes=("a", "A")).labels.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("values", "remedy"),
    [
        (["10,000", "7", "2,500"], "without commas between thousands: 10000 for '10,000'"),
        (["1,234,567.5", "1", "2"], "without commas between thousands: 1234567.5"),
        (["0,5", "1", "2"], "a decimal point instead of a comma"),
        (["10,000", "2,5", "1"], "a decimal point instead of a comma"),
        (["1.234,5", "2", "3"], "a decimal point instead of a comma"),
        ([">10", "1", "2"], r"line 2 \(id 'a0'\): '>10'[\s\S]*leave these compounds out"),
        (["high", "1", "2"], "choose a numeric column"),
    ],
)
def test_the_remedy_for_numbers_that_are_none_is_the_right_one(tmp_path, values, remedy):
    with pytest.raises(LabelError, match=remedy):
        labels_of(tmp_path, values, task="regression")


# Structures


def options(**changes):
    return MoleculeOptions("smiles", None, True, False, "smiles", **changes)


def test_monsters_cost_their_own_record():
    monsters = ["C" * 30_000, "C" * 1_001, "C(" * 8_000, "[" * 19_999]
    prepared = prepare_chunk(["CCO", *monsters, "CCN"], options())
    assert prepared.canonical == ["CCO", "CCN"]
    assert sorted(prepared.reasons) == [1, 2, 3, 4]
    assert prepared.reasons[1] == "more than 20,000 characters"
    assert prepared.reasons[2] == "more than 1,000 heavy atoms"


def test_a_structure_that_hangs_or_crashes_is_a_reason(monkeypatch):
    slow = MoleculeOptions("smiles", LibraryConfig(source="x", features="standard").features, True, False, "smiles")
    monkeypatch.setattr(guard, "MAX_STRUCTURE_SECONDS", 0.01)
    assert guard.failure("C" * 999, slow) == "takes longer than 0.01 seconds"  # a second
    monkeypatch.setattr(guard, "MAX_STRUCTURE_SECONDS", 30.0)
    assert guard.failure("CCO", options()) is None
    guard._guard._process.kill()
    guard._guard._process.join()
    assert guard.failure("CCO", options()) is None  # another process
    monkeypatch.setattr(guard, "failure", lambda text, _: "RDKit crashes on it" if "N" in text else None)
    prepared = prepare_chunk(["CCO", "CCN"], options(), on_trial="all")
    assert (prepared.canonical, prepared.reasons) == (["CCO"], {1: "RDKit crashes on it"})


def test_a_pool_whose_process_dies_does_the_chunk_again_on_trial(monkeypatch):
    class Chunk:
        def __init__(self, structures):
            self.structures, self.options, self.label = structures, options(), ""

    chunks = [Chunk(["C" * (i + 1)]) for i in range(8)]
    iterator = molecules._in_processes(
        molecules.prepare_chunk, iter(chunks), 1, partial(molecules.prepare_chunk, on_trial="all")
    )
    _, first = next(iterator)
    pools = []
    monkeypatch.setattr(molecules, "_pool", lambda n, make=molecules._pool: pools.append(make(n)) or pools[-1])
    for process in [p for p in __import__("multiprocessing").active_children() if p is not guard._guard._process]:
        process.kill()
    rest = [prepared.canonical[0] for _, prepared in iterator]
    assert [first.canonical[0], *rest] == ["C" * (i + 1) for i in range(8)]


def test_a_merge_by_what_was_stripped_says_so_also_behind_an_interruption(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("id,smiles\na,CCCN.Cl\nb,CCCN\nc,NCCC\nd,CCO\ne,OCC\nf,C[NH3+]\ng,CN\nh,[Pt](Cl)(Cl)(N)N\n")
    library = build(path)
    assert rejects(library) == {
        3: "same parent as row 0 (salt removed)",
        4: "same parent as row 0 (salt removed)",
        6: "duplicate of row 1",
        8: "same parent as row 2 (charge neutralised)",
    }
    assert library.metadata["counts"]["changed"] == {"charge neutralised": 1, "salt removed": 1}


def test_duplicates_may_be_told_by_tautomers(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("id,smiles\na,Oc1ccccn1\nb,O=c1cccc[nH]1\nc,C[C@H](F)O |&1:1|\nd,C[C@H](F)O\n")
    assert build(path).ids().tolist() == ["a", "b", "c", "d"]
    library = build(path, duplicates_by="tautomer")
    assert library.ids().tolist() == ["a", "c", "d"]
    assert rejects(library) == {3: "same tautomer as row 0"}


def test_wildcards_queries_and_polymers_are_no_compounds():
    prepared = prepare_chunk(["*CC", "[*:1]C", "C[1*]", "CCO |Sg:n:1:n:ht|", "CC"], options())
    assert prepared.canonical == ["CC"]
    assert prepared.reasons == {**dict.fromkeys((0, 1, 2), "wildcard atom or R group"), 3: "polymer"}


METALS = ["[Fe+2]", "[Ni+2]", "[Co+2]", "[Ru+2]", "[Mg+2]", "[Zn+2]"]


@pytest.mark.parametrize("metal", METALS)
def test_a_metal_is_never_lost_with_its_ligands_left_behind(metal):
    cp = "[CH-]1C=CC=C1"
    prepared = prepare_chunk([f"{cp}.{cp}.{metal}", "C1=CCC=C1", f"N.N.Cl{metal.replace('+2', '')}Cl", "N"], options())
    assert len(set(prepared.canonical)) == 4


@pytest.mark.parametrize("salt", ["Cl", "Br", "OS(=O)(=O)O", "OC(=O)c1cc2ccccc2c(Cc2c(O)c(cc3ccccc23)C(=O)O)c1O", "O"])
@pytest.mark.parametrize("drug", ["CN1CCCN=C1C=Cc1cccs1", "CC(N)Cc1ccccc1", "NCCCN"])
def test_counter_ions_go_by_a_list_and_not_by_size(drug, salt):
    prepared = prepare_chunk([f"{drug}.{salt}", f"{salt}.{drug}.{salt}", drug], options())
    assert len(set(prepared.canonical)) == 1
    assert prepared.canonical[0] == Chem.CanonSmiles(drug)


# Configurations


@pytest.mark.parametrize("text", ["x = " + "[" * 20_000, 'library = {source = "\\u0000"}', "x" * 10 + "\0"])
def test_configurations_that_python_chokes_on_are_errors_of_ours(tmp_path, text):
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        load_config(path)
    with pytest.raises(ConfigError):
        load_config("a\0b.toml")
