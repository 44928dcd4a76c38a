"""Blocks of features by the command line: computed, joined, shown and dropped, on a library that is not built again."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from isd_ray.cli import app
from isd_ray.data.library import Library
from isd_ray.errors import ConfigError, IsdError
from tests.unit.blocks_helpers import N, build


@pytest.fixture
def lib(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return build(tmp_path, out="lib").path


def isd(*arguments, expect=0):
    result = CliRunner().invoke(app, ["library", *map(str, arguments)])
    if isinstance(result.exception, IsdError):
        raise result.exception
    assert result.exit_code == expect, result.output
    return result


def test_descriptors_are_computed_without_building_again(lib):
    part = (lib / "parts/part-00000.arrow").stat().st_mtime_ns
    info = json.loads(isd("add-block", lib, "rdkit2d", "--json").stdout)
    (block,) = info["blocks"]
    assert (block["name"], block["source"], block["width"], block["dtype"]) == (
        "rdkit2d",
        "descriptors",
        118,
        "float16",
    )
    assert block["nbytes"] == sum(path.stat().st_size for path in (lib / "blocks/rdkit2d").iterdir())
    assert (lib / "parts/part-00000.arrow").stat().st_mtime_ns == part
    assert info == json.loads(isd("info", lib, "--verify", "--json").stdout)
    shown = isd("info", lib).stdout
    assert "Block rdkit2d" in shown
    assert "computed: 118 columns as float16" in shown


def test_a_table_is_joined_and_may_be_dropped(lib):
    (lib.parent / "vectors.csv").write_text("name,emb_a,emb_b\n" + "".join(f"c{i},{i},{i % 3}\n" for i in range(50)))
    result = isd("add-block", lib, "--table", "vectors.csv", "--columns", "emb_*", "--name", "mine")
    assert "from another table: 2 columns as float16" in result.stdout
    assert "33.3% missing" in result.stdout
    assert Library.open(lib).block_names == ("fingerprints", "mine")
    isd("remove-block", lib, "mine")
    assert Library.open(lib).block_names == ("fingerprints",)


def test_history_is_joined_and_tells_its_assays(lib):
    lines = [line for i in range(N) for line in (f"c{i},kinase,{i * 7 % 20}", f"c{i},toxic,{int(i % 9 == 0)}")]
    lines.append("c0,bad,7")
    (lib.parent / "old.csv").write_text("\n".join(["id,assay,value", *lines]) + "\n")
    options = ("--assay-column", "assay", "--value-column", "value", "--id-column", "id")
    result = isd("add-block", lib, "--history", "old.csv", *options, "--exclude", "[ab]*")
    assert "kinase (0 hits of 75), toxic (9 hits of 75)" in " ".join(result.stdout.replace("│", " ").split())
    assert Library.open(lib).block_columns("history") == ("kinase", "kinase:hit", "toxic")


def test_a_build_takes_descriptors(lib):
    source = lib.parent / "x.csv"
    isd("build", source, "--out", "other", "--features", "ecfp4", "--descriptors", "rdkit2d", "--set", "workers=1")
    assert Library.open("other").block_names == ("fingerprints", "rdkit2d")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give one of them"),
        (("rdkit2d", "--table", "x.csv"), "give one of them"),
        (("--table", "x.csv"), "name columns of the table"),
        (("--table", "x.csv", "--columns", "a", "--exclude", "b"), "--exclude has no effect with --table"),
        (("--table", "x.csv", "--columns", "a", "--assay-column", "b"), "--assay-column has no effect with --table"),
        (("--history", "x.csv", "--columns", "a", "--name", "b"), "--name has no effect with --history"),
        (("rdkit2d", "--columns", "a"), "--columns has no effect with a set of descriptors"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(lib, arguments, words):
    result = isd("add-block", lib, *arguments, expect=2)
    assert words in " ".join(result.output.replace("│", " ").split())


def test_a_set_of_descriptors_that_there_is_not_is_refused_with_the_near_miss(lib):
    with pytest.raises(ConfigError, match="did you mean 'rdkit2d'"):
        isd("add-block", lib, "rdkit3d")
