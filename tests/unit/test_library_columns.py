"""Columns of a source or of another table stand as a block beside the rows that they belong to.

Invariants: a value goes with its record, whatever was rejected or merged before it; a value that is no number, or
infinite, is an error that says where; what is missing is missing.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from isd_ray.campaign.watcher import Watcher
from isd_ray.config import ComputeConfig, HistoryConfig, LibraryConfig
from isd_ray.data.blocks import columns
from isd_ray.data.blocks.add import add_block, remove_block
from isd_ray.data.blocks.columns import SourceColumns
from isd_ray.data.blocks.standard import Moments, scaled, signed_log
from isd_ray.data.library import Library
from isd_ray.errors import InputFileError, LibraryError
from isd_ray.ops.blocks import add_history, add_table
from isd_ray.ops.prepare import open_or_build
from tests.unit.blocks_helpers import SETTINGS, build, smiles_of


class Told(Watcher):
    def __init__(self):
        self.lines = []

    def message(self, text):
        self.lines.append(text)


def lines_of(first, n):
    """Every seventh does not parse, every fifth is there twice, every eleventh has no value."""
    lines = []
    for i in range(first, first + n):
        value = "" if i % 11 == 0 else f"{i * 1.5 - 20}"
        line = f"{'C1CC' if i % 7 == 0 else smiles_of(i)},c{i},{value},{i % 3}"
        lines += [line, line] if i % 5 == 0 else [line]
    return lines


def write(folder, name, lines):
    (folder / name).write_text("\n".join(["smiles,name,emb_a,emb_b", *lines]) + "\n")
    return str(folder / name)


@pytest.fixture
def sources(tmp_path):
    return [write(tmp_path, "a.csv", lines_of(0, 60)), write(tmp_path, "b.csv", lines_of(50, 40))]


def config_of(source, **options):
    settings = {**SETTINGS, "dense_columns": ["emb_*"], "duplicates_by": "smiles"}
    return LibraryConfig.model_validate({"source": source, **settings, **options})


def open_library(config, out, told=None):
    return open_or_build(config, ComputeConfig(), out, told or Told())


def expected(raw):
    logged = signed_log(raw)
    moments = Moments.of(logged)
    return scaled(logged, moments.mean, moments.sd)


def values_of(library, name="columns"):
    return library.features_of(np.arange(library.n_rows), [name])[name].values


def raw_of(ids):
    numbers = np.array([int(name[1:]) for name in ids], float)
    return np.column_stack([np.where(numbers % 11 == 0, np.nan, numbers * 1.5 - 20), numbers % 3])


def test_values_go_with_their_records_whatever_was_rejected_before(sources, tmp_path, monkeypatch):
    monkeypatch.setattr(columns, "_REJECTS_AT_A_TIME", 3)
    library = open_library(config_of(sources), tmp_path / "library")
    assert library.metadata["counts"]["duplicates"] > 10
    assert library.metadata["counts"]["rejected"]
    assert library.block_columns("columns") == ("emb_a", "emb_b")
    np.testing.assert_allclose(values_of(library), expected(raw_of(library.ids())), atol=2e-3)
    assert np.isnan(values_of(library)).any()


def test_the_library_itself_is_the_one_without_the_block(sources, tmp_path):
    plain = open_library(config_of(sources, dense_columns=[]), tmp_path / "plain")
    assert open_library(config_of(sources), tmp_path / "library").hash == plain.hash
    told = Told()
    again = open_library(config_of(sources), tmp_path / "plain", told)
    assert told.lines == ["plain: adding block columns"]
    np.testing.assert_array_equal(values_of(again), values_of(Library.open(tmp_path / "library")))


def test_an_addition_that_was_cut_off_writes_what_is_missing(sources, tmp_path, monkeypatch):
    from isd_ray.data.blocks.spool import Spool

    whole = open_library(config_of(sources), tmp_path / "whole")
    open_library(config_of(sources, dense_columns=[]), tmp_path / "library")
    completed = Spool.complete

    def complete(self, part, **counts):
        if part == 1:
            raise KeyboardInterrupt
        completed(self, part, **counts)

    with monkeypatch.context() as patch:
        patch.setattr(Spool, "complete", complete)
        with pytest.raises(KeyboardInterrupt):
            open_library(config_of(sources), tmp_path / "library")
    library = open_library(config_of(sources), tmp_path / "library")
    assert library.block_hash("columns") == whole.block_hash("columns")
    part = "blocks/columns/part-00001.arrow"
    assert (library.path / part).read_bytes() == (whole.path / part).read_bytes()


def test_vectors_and_numbers_are_joined_as_one_block(tmp_path):
    vectors = [[float(i), -float(i), 1.0] if i % 4 else None for i in range(20)]
    table = {
        "smiles": [smiles_of(i) for i in range(20)],
        "name": [f"c{i}" for i in range(20)],
        "emb_list": pa.array(vectors, pa.list_(pa.float32())),
        "emb_fixed": pa.array([[i, i] for i in range(20)], pa.list_(pa.int16(), 2)),
        "emb_flag": [bool(i % 2) for i in range(20)],
    }
    pq.write_table(pa.table(table), tmp_path / "x.parquet")
    library = open_library(config_of(str(tmp_path / "x.parquet")), tmp_path / "library")
    names = ("emb_list[0]", "emb_list[1]", "emb_list[2]", "emb_fixed[0]", "emb_fixed[1]", "emb_flag")
    assert library.block_columns("columns") == names
    i = np.arange(20.0)
    raw = np.column_stack([i, -i, np.ones(20), i, i, i % 2])
    raw[::4, :3] = np.nan
    np.testing.assert_allclose(values_of(library), expected(raw), atol=2e-3)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("heavy", r"column 'emb_a' holds 'heavy', no number, of id 'c3' \(line 6\)"),
        ("inf", r"column 'emb_a' is infinite in the record of id 'c3' \(line 6\)"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_its_place(tmp_path, value, words):
    lines = lines_of(0, 20)
    lines = [line.replace(",-15.5,", f",{value},") for line in lines]
    source = write(tmp_path, "a.csv", lines)
    with pytest.raises(InputFileError, match=words) as error:
        open_library(config_of(source), tmp_path / "library")
    assert error.value.where.endswith("a.csv")
    assert Library.open(tmp_path / "library").block_names == ("fingerprints",)


def test_a_vector_of_another_length_is_named_with_its_place(tmp_path):
    table = {"smiles": ["CCO", "CCN"], "name": ["a", "b"], "emb_x": [[1.0, 2.0], [1.0]]}
    pq.write_table(pa.table(table), tmp_path / "x.parquet")
    with pytest.raises(InputFileError, match=r"'emb_x' has a vector of 1 instead of 2 values of id 'b' \(line 2\)"):
        open_library(config_of(str(tmp_path / "x.parquet")), tmp_path / "library")


def test_columns_that_are_not_there_or_no_numbers_are_refused(sources, tmp_path):
    with pytest.raises(InputFileError, match=r"no column matches 'vec_\*'; to choose from there are 'emb_a', 'emb_b'"):
        open_library(config_of(sources, dense_columns=["emb_a", "vec_*"]), tmp_path / "library")
    table = {"smiles": ["CCO"], "name": ["a"], "emb_x": pa.array([[["a"]]])}
    pq.write_table(pa.table(table), tmp_path / "x.parquet")
    with pytest.raises(InputFileError, match="not vectors of numbers"):
        open_library(config_of(str(tmp_path / "x.parquet")), tmp_path / "other")


def test_other_columns_than_those_of_the_block_are_refused(sources, tmp_path):
    open_library(config_of(sources), tmp_path / "library")
    with pytest.raises(LibraryError, match=r"block 'columns' was made otherwise[\s\S]*: columns[\s\S]*remove-block"):
        open_library(config_of(sources, dense_columns=["emb_a"]), tmp_path / "library")


def test_sources_that_changed_since_the_build_are_refused(sources, tmp_path):
    library = open_library(config_of(sources, dense_columns=[]), tmp_path / "library")
    text = (tmp_path / "b.csv").read_text()
    (tmp_path / "b.csv").write_text(text.replace("c83", "d83"))
    with pytest.raises(LibraryError, match="not those of the sources as they are now"):
        add_block(library, SourceColumns(config_of(sources), tmp_path))


def test_a_table_is_joined_by_ids_in_any_order(tmp_path):
    library = build(tmp_path)
    order = np.random.default_rng(0).permutation(60)
    lines = [f"c{i},{i * 2},{'' if i % 4 else -i}" for i in order]
    (tmp_path / "extra.csv").write_text("\n".join(["key,emb_x,emb_y", *lines, "c900,1,1", "c901,1,1"]) + "\n")
    library = add_table(library, str(tmp_path / "extra.csv"), ["emb_*"], id_column="key")
    (block,) = library.added_blocks
    assert block.name == "extra"
    assert block.found == {"n_unmatched": 2, "unmatched": ["c900", "c901"]}
    i = np.arange(75.0)
    raw = np.column_stack([i * 2, np.where(i % 4, np.nan, -i)])
    raw[60:] = np.nan
    np.testing.assert_allclose(values_of(library, "extra"), expected(raw), atol=2e-3)
    assert np.isnan(values_of(library, "extra")[60:]).all()


@pytest.mark.parametrize(
    ("lines", "options", "words"),
    [
        (["c1,1", "c2,2", "c1,3"], {}, "id 'c1' stands in line 2 and in line 4"),
        (["x1,1", "x2,2"], {}, r"no compound is in the library; the first are 'x1', 'x2'[\s\S]*'name' was taken"),
        (["c1,one"], {}, r"holds 'one', no number, of id 'c1' \(line 2\)"),
        (["c1,1"], {"id_column": "id"}, "--id-column = 'id' is no column"),
        (["c1,1"], {"columns": ["x*"]}, "no column matches"),
        (
            ["c1,1,5", "c2,2,5", ""],
            {},
            "all 2 records are broken; the first is line 2 of extra.csv: wrong number of fiel",
        ),
    ],
)
def test_a_table_that_cannot_be_joined_is_refused(tmp_path, lines, options, words):
    library = build(tmp_path)
    (tmp_path / "extra.csv").write_text("\n".join(["name,emb", *lines]) + "\n")
    with pytest.raises(InputFileError, match=words):
        add_table(library, str(tmp_path / "extra.csv"), **{"columns": ["emb"], **options})


def test_broken_lines_of_a_table_are_counted_and_the_first_is_named(tmp_path):
    library = build(tmp_path)
    (tmp_path / "extra.csv").write_text("name,emb\nc0,1\nc1,5,041\n\nc2,2\n")
    said = "1 record is broken, and left out of block extra; the first: line 3 of extra.csv: wrong number of fields: 3"
    with pytest.warns(UserWarning, match=said):
        add_table(library, str(tmp_path / "extra.csv"), ["emb"])
    heard = []
    add_table(library, str(tmp_path / "extra.csv"), ["emb"], name="mine", say=heard.append)
    assert heard == [said.replace("block extra", "block mine") + " instead of 2"]


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (pa.array([[], [], None]), "column 'v' holds"),
        (pa.array([[], [], None], pa.list_(pa.float64())), "column 'v' holds no vector"),
        (pa.array([[], [1.0, 2.0], None]), r"has a vector of 0 instead of 2 values of id 'c0' \(line 1\)"),
    ],
)
def test_empty_vectors_are_refused_in_words(tmp_path, column, words):
    pq.write_table(pa.table({"name": ["c0", "c1", "c2"], "v": column}), tmp_path / "v.parquet")
    with pytest.raises(InputFileError, match=words):
        add_table(build(tmp_path), str(tmp_path / "v.parquet"), ["v"])


def test_vectors_of_whole_numbers_beyond_those_of_float64_are_read_as_the_nearest(tmp_path):
    vectors = pa.array([[2**53 + 1, 1], [3, -(2**53) - 1]], pa.list_(pa.int64()))
    pq.write_table(pa.table({"name": ["c0", "c1"], "v": vectors}), tmp_path / "v.parquet")
    library = add_table(build(tmp_path), str(tmp_path / "v.parquet"), ["v"])
    assert library.block_columns("v") == ("v[0]", "v[1]")


@pytest.mark.parametrize(
    "add",
    [
        lambda library, file: add_table(library, file, ["v"]),
        lambda library, file: add_history(library, HistoryConfig(source=file, columns=("v",)), ComputeConfig()),
    ],
)
def test_ids_that_are_lists_are_refused_in_words(tmp_path, add):
    pq.write_table(pa.table({"name": [["c0"], ["c1"]], "v": [1.0, 2.0]}), tmp_path / "v.parquet")
    file, library = str(tmp_path / "v.parquet"), build(tmp_path)
    with pytest.raises(InputFileError, match=r"id.column = 'name' holds list<.*>, which is no id"):
        add(library, file)


def test_a_block_of_a_table_may_have_any_name(tmp_path):
    library = build(tmp_path)
    (tmp_path / "1 x.csv").write_text("name,emb\nc1,1\nc2,4\n")
    with pytest.raises(LibraryError, match="'1_x' is no name of a block"):
        add_table(library, str(tmp_path / "1 x.csv"), ["emb"])
    library = add_table(library, str(tmp_path / "1 x.csv"), ["emb"], name="mine")
    assert library.block_names == ("fingerprints", "mine")
    remove_block(library.path, "mine")
