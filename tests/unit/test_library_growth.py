"""Compounds are added behind those of a library, as its next version.

Invariants: rows, blocks and files that were there stay what they were; every record of the new files is a row, a
duplicate or a reject; wherever the command is cut off the library is the old version or the new one, and given again it
ends in the same bytes.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from isd_ray.campaign.watcher import Watcher
from isd_ray.cli import app
from isd_ray.config import ComputeConfig, HistoryConfig, LibraryConfig, SplitConfig
from isd_ray.data.blocks.add import remove_block
from isd_ray.data.library import Library
from isd_ray.data.split import split_library
from isd_ray.errors import ConfigError, InputFileError, LibraryChangedError, LibraryError
from isd_ray.ops.additions import add_compounds
from isd_ray.ops.blocks import add_descriptors, add_history, add_table
from isd_ray.ops.prepare import open_or_build
from tests.unit.blocks_helpers import SETTINGS, N, build, smiles_of

N_NEW = 41


def more_lines(first=N, n=N_NEW):
    return [f"{smiles_of(i)},c{i}" for i in range(first, first + n)]


def write(folder, *lines, name="more.csv", header="smiles,name"):
    (folder / name).write_text("\n".join([header, *lines]) + "\n")
    return name


@pytest.fixture
def lib(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return build(tmp_path, out="lib").path


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_new_compounds_are_the_last_rows_and_all_others_stay(lib, tmp_path):
    before, old = files(lib), Library.open(lib)
    library = add_compounds(lib, [write(tmp_path, *more_lines())])
    assert (library.n_rows, library.hash != old.hash) == (N + N_NEW, True)
    assert library.ids().tolist() == [f"c{i}" for i in range(N + N_NEW)]
    assert library.column("row").tolist() == list(range(N + N_NEW))
    assert {name: data for name, data in files(lib).items() if name in before and name != "library.json"} == {
        name: data for name, data in before.items() if name != "library.json"
    }
    for block in range(old.n_blocks):
        assert library.block_rows_range(block) == old.block_rows_range(block)
        assert library.block_table(block).equals(old.block_table(block))
    library.verify()
    assert not (lib / ".adding").exists()


def test_they_are_what_a_build_of_all_files_would_have_made_of_them(lib, tmp_path):
    grown = add_compounds(lib, [write(tmp_path, *more_lines())])
    sources = [str(tmp_path / "x.csv"), str(tmp_path / "more.csv")]
    whole = build(tmp_path, out="whole", source=sources)
    rows = np.arange(N + N_NEW)
    assert np.array_equal(grown.features(rows).values, whole.features(rows).values)
    assert np.array_equal(grown.features(rows).offsets, whole.features(rows).offsets)
    assert grown.smiles().tolist() == whole.smiles().tolist()
    assert grown.rows_of(["c80", "c3", "gone", "c115"]).tolist() == [80, 3, -1, 115]
    assert {name: grown.metadata["counts"][name] for name in ("read", "kept")} == {
        name: whole.metadata["counts"][name] for name in ("read", "kept")
    }


def test_every_record_is_accounted_for(lib, tmp_path):
    lines = [*more_lines(n=5), f"{smiles_of(3)},c3", f"{smiles_of(N)},c{N}", "C1CC,bad"]
    library = add_compounds(lib, [write(tmp_path, *lines)])
    first, second = library.versions
    assert (first.number, first.n_rows, first.n_added, second.number, second.n_added) == (1, N, N, 2, 5)
    assert second.sources == ("more.csv",)
    assert (second.counts["read"], second.counts["duplicates"], sum(second.counts["rejected"].values())) == (8, 2, 1)
    rejects = pq.read_table(lib / "rejects-00002.parquet").to_pylist()
    assert [(line["line"], line["row"]) for line in rejects] == [(7, 3), (8, N), (9, None)]
    assert library.metadata["counts"]["read"] == N + 8


def test_an_earlier_version_opens_as_it_was(lib, tmp_path):
    old = Library.open(lib)
    add_compounds(lib, [write(tmp_path, *more_lines())])
    again = Library.open(lib, old.hash)
    assert again.metadata == old.metadata
    again.verify()
    third = add_compounds(lib, [write(tmp_path, *more_lines(first=N + N_NEW), name="third.csv")])
    assert [version.n_rows for version in third.versions] == [N, N + N_NEW, N + 2 * N_NEW]
    assert [Library.open(lib, version.hash).n_rows for version in third.versions] == [N, N + N_NEW, N + 2 * N_NEW]
    with pytest.raises(LibraryChangedError, match="its hash was 0123"):
        Library.open(lib, "0123" * 16)


def test_the_same_command_again_changes_nothing(lib, tmp_path):
    name, said = write(tmp_path, *more_lines()), list[str]()
    add_compounds(lib, [name])
    before = files(lib)
    add_compounds(lib, [name], say=said.append)
    assert files(lib) == before
    assert "in" in said[0]
    assert "already" in said[0]


def test_nothing_new_is_an_error_and_leaves_the_library(lib, tmp_path):
    before = files(lib)
    with pytest.raises(InputFileError, match=r"none of 2 records is a new compound: duplicate \(2\)"):
        add_compounds(lib, [write(tmp_path, f"{smiles_of(1)},c1", f"{smiles_of(2)},c2")])
    assert files(lib) == before


def test_an_id_of_another_compound_is_refused(lib, tmp_path):
    with pytest.raises(InputFileError, match="id 'c7' belongs to two compounds: row 7 of the library and record 1"):
        add_compounds(lib, [write(tmp_path, f"{smiles_of(N)},c7")])
    assert not (lib / ".adding").exists()


def test_compounds_without_ids_are_rejects(lib, tmp_path):
    with pytest.raises(InputFileError, match=r"none of 2 records is valid: no id \(2\)"):
        add_compounds(lib, [write(tmp_path, f"{smiles_of(N)},", f"{smiles_of(N + 1)},")])


def test_refused_duplicates_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lib = build(tmp_path, out="strict", duplicates="refuse").path
    with pytest.raises(LibraryError, match=r"line 3 .* repeats row 4 of the library"):
        add_compounds(lib, [write(tmp_path, *more_lines(n=1), f"{smiles_of(4)},other")])


def test_record_numbers_as_ids_go_on_with_the_name_of_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lib = build(tmp_path, out="numbered", id_column=None).path
    library = add_compounds(lib, [write(tmp_path, *more_lines(n=2))])
    assert library.ids(np.array([0, N, N + 1])).tolist() == ["1", "more:1", "more:2"]


def test_columns_keep_their_types(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [f"{smiles_of(i)},c{i},{i}" for i in range(N)]
    write(tmp_path, *lines, name="x.csv", header="smiles,name,cost")
    lib = build(tmp_path, out="priced", columns=["cost"], descriptors=["n_heavy_atoms"]).path
    header = "smiles,name,cost"
    with pytest.raises(InputFileError, match="column 'cost' holds float64, and the library keeps it as int64"):
        add_compounds(lib, [write(tmp_path, f"{smiles_of(N)},c{N},1.5", header=header)])
    library = add_compounds(lib, [write(tmp_path, f"{smiles_of(N)},c{N},", f"{smiles_of(N + 1)},d,7", header=header)])
    found = library.column("cost", np.array([74, N, N + 1]))
    assert np.isnan(found[1])
    assert found[[0, 2]].tolist() == [74, 7]
    assert library.column("n_heavy_atoms", np.array([N]))[0] > 0


def test_keys_that_would_change_the_library_are_refused(lib, tmp_path):
    with pytest.raises(ConfigError, match="'features' would change it"):
        add_compounds(lib, [write(tmp_path, *more_lines())], ["features=ecfp4"])
    name = write(tmp_path, f"{smiles_of(N)},new", header="structure,code")
    library = add_compounds(lib, [name], ["smiles_column=structure", "id_column=code"])
    assert library.ids(np.array([N])).tolist() == ["new"]


def test_a_part_of_a_split_does_not_grow(lib, tmp_path):
    parts = split_library(Library.open(lib), SplitConfig(), tmp_path / "parts")
    with pytest.raises(LibraryError, match="is a part of a split"):
        add_compounds(parts["target"].path, [write(tmp_path, *more_lines())])


@pytest.fixture
def with_table(lib, tmp_path):
    """A library with a block of a table."""
    write(tmp_path, *(f"c{i},{i},{i % 3}" for i in range(N)), name="vectors.csv", header="name,emb_a,emb_b")
    return add_table(Library.open(lib), "vectors.csv", ["emb_*"], name="mine")


@pytest.fixture
def with_blocks(with_table, tmp_path):
    """The same with computed descriptors and earlier readouts."""
    write(tmp_path, *(f"c{i},kinase,{i * 7 % 20}" for i in range(N)), name="old.csv", header="name,assay,value")
    history = HistoryConfig.model_validate({"source": "old.csv", "assay_column": "assay", "value_column": "value"})
    return add_history(add_descriptors(with_table, "rdkit2d", ComputeConfig()), history, ComputeConfig())


def values_of(library, name, rows):
    return library.features_of(np.array(rows), [name])[name].values


def test_blocks_go_on_by_the_statistics_that_they_have(with_blocks, tmp_path):
    rows = list(range(N))
    before = {name: values_of(with_blocks, name, rows) for name in ("rdkit2d", "mine", "history")}
    write(tmp_path, *(f"c{i},{i},{i % 3}" for i in range(N, N + N_NEW)), name="v.csv", header="name,emb_a,emb_b")
    write(tmp_path, f"c{N},kinase,19", f"c{N + 1},kinase,400", name="o.csv", header="name,assay,value")
    files_of = {"mine": ["v.csv"], "history": ["o.csv"]}
    library = add_compounds(with_blocks.path, [write(tmp_path, *more_lines())], values=files_of)
    for name, values in before.items():
        assert np.array_equal(values_of(library, name, rows), values, equal_nan=True), name
        assert [(c.mean, c.sd) for c in library.added_blocks[library.block_names.index(name) - 1].columns] == [
            (c.mean, c.sd) for c in with_blocks.added_blocks[with_blocks.block_names.index(name) - 1].columns
        ]
    assert np.isfinite(values_of(library, "mine", range(N, N + N_NEW))).all()
    # 19 is what some of the old compounds had, and as far from the median as theirs.
    same = next(i for i in rows if i * 7 % 20 == 19)
    assert np.array_equal(values_of(library, "history", [N]), values_of(library, "history", [same]))
    assert values_of(library, "history", [N + 1])[0, 0] == 10.0
    assert np.isnan(values_of(library, "history", [N + 2])).all()
    assert library.added_blocks[2].found["assays"][0]["n"] == N + 2
    library.verify()
    old = Library.open(with_blocks.path, with_blocks.hash)
    assert [old.block_hash(name) for name in before] == [with_blocks.block_hash(name) for name in before]


def test_values_that_nobody_gives_are_missing(with_blocks, tmp_path):
    library = add_compounds(with_blocks.path, [write(tmp_path, *more_lines())])
    new = range(N, N + N_NEW)
    assert np.isnan(values_of(library, "mine", new)).all()
    assert np.isnan(values_of(library, "history", new)).all()
    assert np.isfinite(values_of(library, "rdkit2d", new)).any()
    with pytest.raises(LibraryError, match="there is no block 'rdkit2d' that was made of a table"):
        add_compounds(library.path, [write(tmp_path, *more_lines(first=500))], values={"rdkit2d": ["v.csv"]})


def test_a_block_is_dropped_from_all_versions(with_blocks, tmp_path):
    add_compounds(with_blocks.path, [write(tmp_path, *more_lines())])
    remove_block(with_blocks.path, "mine")
    for version in (None, with_blocks.hash):
        assert Library.open(with_blocks.path, version).block_names == ("fingerprints", "rdkit2d", "history")


def test_wherever_it_is_cut_off_there_is_the_old_version_or_the_new_one(with_table, tmp_path, monkeypatch):
    name = write(tmp_path, *more_lines())
    whole = shutil.copytree(with_table.path, tmp_path / "whole")
    expected = (add_compounds(whole, [name]), files(whole))
    seen, n_done = set(), 0
    for cut in range(200):
        lib = shutil.copytree(with_table.path, tmp_path / f"cut-{cut}")
        if not _cut_off(lib, name, cut, monkeypatch):
            break
        found = Library.open(lib)
        assert found.hash in (with_table.hash, expected[0].hash)
        found.verify()
        seen.add(found.hash)
        assert add_compounds(lib, [name]).hash == expected[0].hash
        assert files(lib) == expected[1], cut
        n_done += 1
    assert seen == {with_table.hash, expected[0].hash}
    assert n_done > 10, "the command writes more files than that"


class CutError(BaseException):
    """The command ends here."""


def _cut_off(lib, name, n_renames, monkeypatch):
    """Add, and be killed after so many files were put in place; False if it ended before."""
    left = [n_renames]
    real_replace, real_rename, real_rmtree = os.replace, Path.replace, shutil.rmtree

    def counted(real):
        def do(*arguments, **keywords):
            if left[0] == 0:
                raise CutError
            left[0] -= 1
            return real(*arguments, **keywords)

        return do

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", counted(real_replace))
        patch.setattr(Path, "replace", counted(real_rename))
        patch.setattr("isd_ray.ops.additions.shutil.rmtree", counted(real_rmtree))
        try:
            add_compounds(lib, [name])
        except CutError:
            return True
    return False


def test_an_unfinished_addition_of_other_files_is_not_mixed_in(lib, tmp_path, monkeypatch):
    name = write(tmp_path, *more_lines())
    assert _cut_off(lib, name, 3, monkeypatch)
    other = write(tmp_path, *more_lines(first=300), name="other.csv")
    with pytest.raises(LibraryError, match=r"an unfinished addition of other files lies here|an unfinished build"):
        add_compounds(lib, [other])
    assert add_compounds(lib, [name]).n_rows == N + N_NEW
    assert add_compounds(lib, [other]).n_rows == N + 2 * N_NEW


def cut_before_the_end(lib, name, monkeypatch):
    """Add, and be killed when rows and blocks are made, and none is in place."""

    def put_behind(*_):
        raise CutError

    with monkeypatch.context() as patch:
        patch.setattr("isd_ray.ops.additions.put_behind", put_behind)
        with pytest.raises(CutError):
            add_compounds(lib, [name])


def test_values_given_after_a_cut_replace_those_before_it(with_table, tmp_path, monkeypatch):
    lib, name = with_table.path, write(tmp_path, *more_lines())
    cut_before_the_end(lib, name, monkeypatch)
    write(tmp_path, *(f"c{i},{i},{i % 3}" for i in range(N, N + N_NEW)), name="v.csv", header="name,emb_a,emb_b")
    library = add_compounds(lib, [name], values={"mine": ["v.csv"]})
    assert np.isfinite(values_of(library, "mine", range(N, N + N_NEW))).all()


def test_a_block_that_is_another_one_after_a_cut_is_made_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    header = "smiles,name,a,b"
    write(tmp_path, *(f"{line},{i},{i % 3}" for i, line in enumerate(more_lines(0, N))), name="x.csv", header=header)
    one, both = (
        LibraryConfig.model_validate({"source": "x.csv", "dense_columns": columns, **SETTINGS})
        for columns in (["a"], ["a", "b"])
    )
    lib = open_or_build(one, ComputeConfig(), "measured", Watcher()).path
    name = write(tmp_path, *(f"{line},{i},{i % 3}" for i, line in enumerate(more_lines())), header=header)
    cut_before_the_end(lib, name, monkeypatch)
    remove_block(lib, "columns")
    open_or_build(both, ComputeConfig(), lib, Watcher())
    library = add_compounds(lib, [name])
    assert np.isfinite(values_of(library, "columns", range(N + N_NEW))).all(axis=0).tolist() == [True, True]
    library.verify()


def test_versions_are_listed(lib, tmp_path):
    name = write(tmp_path, *more_lines())
    result = CliRunner().invoke(app, ["library", "add", str(lib), name, "--json"])
    assert result.exit_code == 0, result.output
    assert [version["n_rows"] for version in json.loads(result.stdout)["versions"]] == [N, N + N_NEW]
    shown = CliRunner().invoke(app, ["library", "info", "lib", "--verify"]).stdout
    words = " ".join(shown.replace("│", " ").split())  # lines are broken where a cell ends
    assert "Version 2" in words
    assert "41 from more.csv" in words


def test_a_configuration_names_all_files_of_the_grown_library(lib, tmp_path):
    add_compounds(lib, [write(tmp_path, *more_lines())])
    config = LibraryConfig.model_validate({"source": ["x.csv", "more.csv"], **SETTINGS})
    assert open_or_build(config, ComputeConfig(), lib, Watcher()).n_rows == N + N_NEW
