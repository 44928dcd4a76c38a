"""Earlier readouts of the same compounds stand as a block: scores and hits of each assay, missing where not measured.

Invariants: wide and long tables of the same readouts give the same block; statistics are those of the library's own
compounds; what cannot be used is an error that says where.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError
from rdkit import Chem

from isd_ray.campaign.watcher import Watcher
from isd_ray.config import ComputeConfig, HistoryConfig, LibraryConfig
from isd_ray.data.blocks.add import add_block, remove_block
from isd_ray.data.blocks.assays import HIT_Z
from isd_ray.data.blocks.history import CLIP_Z, AssayHistory
from isd_ray.errors import InputFileError, LibraryError
from isd_ray.ops.blocks import add_history, found_words
from isd_ray.ops.prepare import open_or_build
from tests.unit.blocks_helpers import SETTINGS, N, build, smiles_of

MEASURED = 60
LONG = {"columns": [], "assay_column": "a", "value_column": "v"}
SCORES = np.round(np.random.default_rng(0).standard_t(2, N) * 10, 3)


class Told(Watcher):
    def __init__(self):
        self.lines = []

    def message(self, text):
        self.lines.append(text)


def write(folder, name, header, lines):
    (folder / name).write_text("\n".join([header, *lines]) + "\n")
    return str(folder / name)


def wide(folder, name="wide.csv"):
    """A score of the first compounds, an activity of every second of them, and what else stands in such files."""
    lines = [
        f"c{i},{SCORES[i]},{'' if i % 2 else ('active' if i % 6 == 0 else 'inactive')},plate {i // 8}"
        for i in range(MEASURED)
    ]
    return write(folder, name, "name,score_a,active_b,plate", lines)


def history(library, **options):
    config = HistoryConfig.model_validate(options)
    return add_block(library, AssayHistory(library, config, None, library.path.parent))


def block_of(library):
    values = library.features_of(np.arange(library.n_rows), ["history"])["history"].values
    return dict(zip(library.block_columns("history"), values.T, strict=True))


def robust(values):
    centre = np.median(values)
    return (values - centre) / (1.482602218505602 * np.median(np.abs(values - centre)))


def test_a_score_gives_a_robust_z_and_a_hit_and_two_words_a_zero_or_one(tmp_path):
    library = history(build(tmp_path), source=wide(tmp_path), columns=["score_*", "active_*"])
    found = block_of(library)
    assert list(found) == ["score_a", "score_a:hit", "active_b"]
    z = robust(SCORES[:MEASURED])
    assert (np.abs(z) > CLIP_Z).any(), "nothing to clip: the test shows less than it says"
    np.testing.assert_allclose(found["score_a"][:MEASURED], np.clip(z, -CLIP_Z, CLIP_Z), atol=5e-3)
    np.testing.assert_array_equal(found["score_a:hit"][:MEASURED], np.sign(z) * (np.abs(z) >= HIT_Z))
    assert {-1.0, 0.0, 1.0} == set(found["score_a:hit"][:MEASURED].tolist())
    i = np.arange(MEASURED)
    np.testing.assert_array_equal(found["active_b"][:MEASURED], np.where(i % 2, np.nan, i % 6 == 0))
    for column in found.values():
        assert np.isnan(column[MEASURED:]).all()
    (block,) = library.added_blocks
    assays = {assay["name"]: (assay["n"], assay["n_hits"]) for assay in block.found["assays"]}
    assert assays == {"score_a": (60, int((np.abs(z) >= HIT_Z).sum())), "active_b": (30, 10)}
    assert (block.source, [(c.mean, c.sd) for c in block.columns]) == ("history", [(0.0, 1.0)] * 3)


def test_a_long_table_of_the_same_readouts_gives_the_same_values(tmp_path):
    library = history(build(tmp_path), source=wide(tmp_path), columns=["score_*", "active_*"])
    lines = [f"c{i},score_a,{SCORES[i]}" for i in range(MEASURED)]
    lines += [f"c{i},active_b,{'active' if i % 6 == 0 else 'inactive'}" for i in range(0, MEASURED, 2)]
    lines += [f"c{i},not this,{i}" for i in range(9)]
    shuffled = np.random.default_rng(1).permutation(lines).tolist()
    source = write(tmp_path, "long.csv", "name,assay,value", shuffled)
    long = {"assay_column": "assay", "value_column": "value", "exclude": ["not*"]}
    other = history(build(tmp_path, out="other"), source=source, **long)
    left, right = block_of(library), block_of(other)
    assert sorted(left) == sorted(right)
    for name in left:
        np.testing.assert_array_equal(left[name], right[name])


def test_compounds_may_be_matched_by_structure(tmp_path):
    library = history(build(tmp_path), source=wide(tmp_path), columns=["score_a"])
    # Another writing of the same molecules, as salts, and what does not parse.
    lines = [f"{smiles_of(i)[::-1]}.Cl,{SCORES[i]}" for i in range(MEASURED)]
    source = write(tmp_path, "by_structure.csv", "molecule,score_a", [*lines, "C1CC,7", "CCO,8"])
    other = history(build(tmp_path, out="other"), source=source, smiles_column="molecule", columns=["score_a"])
    left, right = block_of(library), block_of(other)
    for name in left:
        np.testing.assert_array_equal(left[name], right[name])
    assert other.added_blocks[0].found["unmatched"] == ["C1CC", "CCO"]


def test_repeated_measurements_count_by_their_median(tmp_path):
    lines = [f"c{i},{SCORES[i]}" for i in range(MEASURED)]
    once = write(tmp_path, "once.csv", "name,score_a", lines)
    thrice = write(
        tmp_path,
        "thrice.csv",
        "name,score_a",
        [f"c{i},{SCORES[i] + shift}" for i in range(MEASURED) for shift in (5000, 0, -70)],
    )
    library = history(build(tmp_path), source=once, columns=["score_a"])
    other = history(build(tmp_path, out="other"), source=thrice, columns=["score_a"])
    np.testing.assert_allclose(block_of(library)["score_a"], block_of(other)["score_a"], atol=1e-2)
    even = write(tmp_path, "even.csv", "name,yes", ["c0,1", "c0,0", "c1,1", "c2,0"])
    assert block_of(history(build(tmp_path, out="even"), source=even, columns=["yes"]))["yes"][:3].tolist() == [
        0.5,
        1,
        0,
    ]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["0", "1", "1"], [0, 1, 1]),
        (["true", "false", "true"], [1, 0, 1]),
        (["Inactive", "Active", "Inactive"], [0, 1, 0]),
        (["blue", "red", "red"], [0, 1, 1]),
        (["-1", "1", "1"], [0, 1, 1]),
        (["1", "1", "1"], [1, 1, 1]),
        (["0", "0", "NA"], [0, 0, np.nan]),
    ],
)
def test_two_values_are_zero_and_one(tmp_path, values, expected):
    source = write(tmp_path, "two.csv", "name,assay", [f"c{i},{value}" for i, value in enumerate(values)])
    found = block_of(history(build(tmp_path), source=source, columns=["assay"]))
    np.testing.assert_array_equal(found["assay"][:3], expected)


def test_columns_of_typed_files_are_read_by_their_types(tmp_path):
    table = {"name": [f"c{i}" for i in range(9)], "flag": [bool(i % 2) for i in range(9)], "score": np.arange(9.0)}
    table["score"][4] = np.nan
    pq.write_table(pa.table(table), tmp_path / "x.parquet")
    found = block_of(history(build(tmp_path), source=str(tmp_path / "x.parquet"), columns=["flag", "score"]))
    assert found["flag"][:9].tolist() == [i % 2 for i in range(9)]
    assert np.isnan(found["score"][4])
    assert list(found) == ["flag", "score", "score:hit"]


def test_an_assay_whose_mad_is_zero_is_scaled_by_its_standard_deviation(tmp_path):
    values = np.r_[np.zeros(57), 5.0, 6.0, 7.0]
    source = write(tmp_path, "flat.csv", "name,score", [f"c{i},{value}" for i, value in enumerate(values)])
    found = block_of(history(build(tmp_path), source=source, columns=["score"]))
    np.testing.assert_allclose(found["score"][:60], values / values.std(), atol=5e-3)


def test_readouts_of_compounds_that_are_not_in_the_library_are_counted_and_take_no_part(tmp_path):
    lines = [f"c{i},{SCORES[i]}" for i in range(MEASURED)]
    plain = write(tmp_path, "plain.csv", "name,score", lines)
    more = write(tmp_path, "more.csv", "name,score", [*lines, *(f"x{i},{1000 + i}" for i in range(40))])
    library = history(build(tmp_path), source=plain, columns=["score"])
    other = history(build(tmp_path, out="other"), source=more, columns=["score"])
    np.testing.assert_array_equal(block_of(library)["score"], block_of(other)["score"])
    (words,) = found_words(other.added_blocks[0])
    assert words == "40 compounds of block history are not in the library: 'x0', 'x1', 'x2', 'x3', 'x4', …"


@pytest.mark.parametrize(
    ("header", "lines", "options", "words"),
    [
        ("name,s", ["x1,1", "x2,2"], {}, r"no compound is in the library; the first are 'x1', 'x2'"),
        ("name,s,s", ["c1,1,2"], {}, "'library.history.columns' = 's'|is the name of 2 columns"),
        ("name,s", ["c1,1", "c2,2", "c3,blue"], {}, r"assay 's' holds 'blue' \(line 4\), no number"),
        ("name,s", ["c1,1", "c2,inf", "c3,3"], {}, r"assay 's' is infinite for 'c2' \(line 3\)"),
        ("name,s", ["c1,1"], {"columns": ["t*"]}, r"library.history.columns: no column matches 't\*'"),
        ("name,s", ["c1,1"], {"id_column": "id"}, "library.history.id_column = 'id' is no column"),
        ("name,s", ["c1,1"], {"smiles_column": "mol"}, "library.history.smiles_column = 'mol' is no column"),
        ("name,s", ["c1,"], {}, "there is no readout of any assay"),
        ("name,s", ["c1,1"], {"exclude": ["s"]}, "there is no readout of any assay"),
        (
            "name,score",
            ["c1,1"],
            {"columns": ["score"], "exclude": ["scroe"]},
            r"exclude: no .* 'scroe'[\s\S]*'score'\?",
        ),
        ("name,a,v", ["c1,x,1"], {**LONG, "exclude": ["y*"]}, r"exclude: no column matches 'y\*'; .* are 'x'"),
        ("name,s", ["c1,1"], {"dates": {"t": "2020-01-01"}}, "history.dates: no assay matches 't'; there are 's'"),
        ("name,s", ["c1,1"], {"columns": ["name"]}, "'name' is the column of ids or structures, which are left out"),
        (
            "name,s",
            ["c1,1", "c2,2", "c3,1_000"],
            {},
            r"assay 's' holds '1_000' \(line 4\), no number, and more than two",
        ),
        ("name,s", ["c1,1,5", "c2,2,5"], {}, "all 2 records are broken; the first is line 2 of bad.csv: wrong number"),
        ("name,s", ["c1,0", "c2,0", "c3,1", "c4,0", "c5,1e300"], {}, r"holds 1e\+300 for 'c5' \(line 6\), too large"),
        ("name,s,s:hit", ["c1,1,1", "c2,2,0", "c3,3,0"], {"columns": ["s*"]}, "two assays would give column 's:hit'"),
        ("name,a,v", ["c1,x,1"], {"columns": [], "assay_column": "a", "value_column": "w"}, "value_column = 'w' is no"),
    ],
)
def test_what_cannot_be_used_is_refused_in_words(tmp_path, header, lines, options, words):
    source = write(tmp_path, "bad.csv", header, lines)
    with pytest.raises(InputFileError, match=words):
        history(build(tmp_path), source=source, **{"columns": ["s"], **options})


@pytest.mark.parametrize("is_long", [False, True])
def test_an_assay_with_brackets_in_its_name_is_excluded_by_it(tmp_path, is_long):
    """And not the one that the brackets would mean as a wildcard."""
    rows = range(MEASURED)
    lines = [f"c{i},{SCORES[i]},{-SCORES[i]},{i}" for i in rows]
    source, options = write(tmp_path, "a.csv", "name,kinase [A],kinase A,v", lines), {"columns": ["k*", "v"]}
    if is_long:
        lines = [line for i in rows for line in (f"c{i},kinase [A],{SCORES[i]}", f"c{i},kinase A,{i}", f"c{i},v,{i}")]
        source, options = write(tmp_path, "a.csv", "name,a,v", lines), LONG
    library = history(build(tmp_path), source=source, exclude=["kinase [A]"], **options)
    assert library.block_columns("history") == ("kinase A", "kinase A:hit", "v", "v:hit")


def test_the_day_of_an_excluded_assay_may_stay(tmp_path):
    source, dates = wide(tmp_path), {"score_a": "2019-05-31", "active_*": "2020-01-01"}
    library = history(build(tmp_path), source=source, columns=["*_a", "*_b"], exclude=["score_a"], dates=dates)
    assert library.block_columns("history") == ("active_b",)


def test_broken_lines_are_counted_and_the_first_is_named(tmp_path):
    """Blank ones are none. In Python it is a warning, where nobody is told."""
    lines = [f"c{i},{i}" for i in range(9)]
    source = write(tmp_path, "old.csv", "name,s", [*lines[:3], "", "c3,5,041", "c4,1,5", *lines[5:]])
    said = "2 records are broken, and left out of block history; the first: line 6 of old.csv: wrong number of fields: "
    config = HistoryConfig.model_validate({"source": source, "columns": ["s"]})
    with pytest.warns(UserWarning, match=said):
        library = add_history(build(tmp_path), config, ComputeConfig())
    told = Told()
    open_library(config_of(tmp_path, history=config), tmp_path / "other", told=told)
    assert told.lines[1] == f"other: {next(found_words(library.added_blocks[0]))}"
    assert told.lines[1].removeprefix("other: ").startswith(said)
    assert np.isnan(block_of(library)["s"][[3, 4]].astype(float)).all()


def test_mol_blocks_match_whatever_their_titles_and_messages_show_no_block(tmp_path):
    """Whether the first line is empty or not; of those that do not match the title or the number of the record."""
    blocks = []
    for i in range(12):
        molecule = Chem.MolFromSmiles(smiles_of(i) if i < 10 else "C1CC1" + "N" * (i - 9))
        molecule.SetProp("_Name", f"m{i}" if i % 2 else "")
        blocks.append(f"{Chem.MolToMolBlock(molecule)}> <v>\n{i}\n\n$$$$\n")
    (tmp_path / "old.sdf").write_text("".join(blocks))
    library = history(build(tmp_path), source=str(tmp_path / "old.sdf"), columns=["v"], smiles_column="smiles")
    assert np.flatnonzero(~np.isnan(block_of(library)["v"].astype(float))).tolist() == list(range(10))
    (words,) = found_words(library.added_blocks[0])
    assert words == "2 compounds of block history are not in the library: 'record 11', 'm11'"


def test_whole_numbers_beyond_those_of_float64_are_read_as_the_nearest(tmp_path):
    ids, big = [f"c{i}" for i in range(40)], [2**53 + 1 + i * 2**40 for i in range(40)]
    pq.write_table(pa.table({"name": ids, "big": pa.array(big, pa.uint64())}), tmp_path / "big.parquet")
    library = history(build(tmp_path), source=str(tmp_path / "big.parquet"), columns=["big"])
    expected = np.clip(robust(np.array(big, float)), -CLIP_Z, CLIP_Z)
    np.testing.assert_allclose(block_of(library)["big"][:40], expected, atol=5e-3)


def test_a_second_history_is_told_how_assays_are_added(tmp_path):
    library = history(build(tmp_path), source=wide(tmp_path), columns=["score_a"])
    with pytest.raises(LibraryError, match=r"to make it anew, drop it first: .* history; then add it with all files"):
        history(library, source=wide(tmp_path), columns=["active_b"])


def test_without_a_column_of_ids_nothing_is_guessed(tmp_path):
    source = write(tmp_path, "plain.csv", "name,score", ["c1,1"])
    with pytest.raises(InputFileError, match="which column holds the ids"):
        history(build(tmp_path, id_column=None), source=source, columns=["score"])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"columns": ["a"], "assay_column": "b", "value_column": "c"},
        {"assay_column": "b"},
        {"columns": ["a"], "value_column": "c"},
        {"columns": ["a"], "id_column": "b", "smiles_column": "c"},
        {"columns": ["a"], "source": []},
    ],
)
def test_a_configuration_that_is_neither_wide_nor_long_is_refused(options):
    with pytest.raises(ValidationError):
        HistoryConfig.model_validate(options)


def config_of(folder, **options):
    settings = {"source": str(folder / "x.csv"), **SETTINGS, **options}
    return LibraryConfig.model_validate(settings)


def open_library(config, out, like=None, told=None):
    return open_or_build(config, ComputeConfig(), out, told or Told(), like)


def test_the_source_of_the_library_may_hold_its_history(tmp_path):
    source = write(
        tmp_path, "x.csv", "smiles,name,score", [f"{smiles_of(i)},c{i},{SCORES[i]}" for i in range(MEASURED)]
    )
    for number, id_column in enumerate(("name", None)):
        config = config_of(tmp_path, source=source, id_column=id_column, history={"columns": ["score"]})
        library = open_library(config, tmp_path / f"library-{number}")
        np.testing.assert_allclose(
            block_of(library)["score"], np.clip(robust(SCORES[:MEASURED]), -CLIP_Z, CLIP_Z), atol=5e-3
        )


def test_a_configuration_adds_the_block_once_and_refuses_another(tmp_path):
    build(tmp_path)
    source, told = wide(tmp_path), Told()
    config = config_of(tmp_path, history={"source": source, "columns": ["score_a"]})
    library = open_library(config, tmp_path / "library", told=told)
    assert told.lines == ["library: adding block history"]
    again = open_library(config, tmp_path / "library", told=told)
    assert again.block_hash("history") == library.block_hash("history")
    assert len(told.lines) == 1
    for other in ({"columns": ["active_b"]}, {"columns": ["score_a"], "exclude": ["x"]}):
        with pytest.raises(LibraryError, match=r"block 'history' was made otherwise"):
            open_library(config_of(tmp_path, history={"source": source, **other}), tmp_path / "library")
    (tmp_path / "wide.csv").write_text((tmp_path / "wide.csv").read_text() + "c1,1,active,x\n")
    with pytest.raises(LibraryError, match=r"block 'history' was made otherwise[\s\S]*: sources"):
        open_library(config, tmp_path / "library")


def test_held_out_sets_take_the_assays_and_statistics_of_the_target_set(tmp_path):
    build(tmp_path)
    config = config_of(tmp_path, history={"source": wide(tmp_path), "columns": ["score_a", "active_b"]})
    target = open_library(config, tmp_path / "library")
    few = [f"{smiles_of(i)},c{i}" for i in range(40, 50)]
    held_out = config.model_copy(update={"source": write(tmp_path, "few.csv", "smiles,name", few)})
    library = open_library(held_out, tmp_path / "held-out", like=target)
    whole, part = block_of(target), block_of(library)
    assert list(part) == list(whole)
    rows = target.rows_of(library.ids())
    for name, column in part.items():
        np.testing.assert_array_equal(column, whole[name][rows])
    remove_block(library.path, "history")
    only = HistoryConfig(source=write(tmp_path, "other.csv", "name,active_b", ["c41,active"]), columns=("active_b",))
    (like,) = target.added_blocks
    library = add_block(library, AssayHistory(library, only, None, tmp_path, like=like), like)
    found = block_of(library)
    assert list(found) == list(whole)
    assert np.isnan(found["score_a"]).all()
    assert np.nansum(found["active_b"]) == 1


@pytest.mark.parametrize("is_long", [False, True])
def test_further_compounds_have_the_assays_of_the_block_whatever_its_patterns_mean_today(tmp_path, is_long):
    """An earlier version took the name of an assay for a wildcard, which left that assay in."""
    if is_long:
        lines = [f"c{i},{name},{value}" for i in range(60) for name, value in (("IC50 [uM]", i), ("new", -i))]
        source, options = write(tmp_path, "l.csv", "name,a,v", lines), LONG
    else:
        lines = [f"c{i},{i},{-i}" for i in range(60)]
        source, options = write(tmp_path, "w.csv", "name,IC50 [uM],new", lines), {"columns": ["*"]}
    (like,) = history(build(tmp_path), source=source, **{**options, "exclude": ["new"]}).added_blocks
    config = HistoryConfig.model_validate({"source": source, **options, "exclude": ["IC50 [uM]"]})
    other = build(tmp_path, out="other")
    found = block_of(add_block(other, AssayHistory(other, config, None, tmp_path, like=like), like))
    assert list(found) == ["IC50 [uM]", "IC50 [uM]:hit"]
    assert np.isfinite(found["IC50 [uM]"]).sum() == 60


def test_readouts_of_further_compounds_without_an_assay_of_the_block_are_refused(tmp_path):
    (like,) = history(build(tmp_path), source=wide(tmp_path), columns=["score_a"]).added_blocks
    config = HistoryConfig(source=write(tmp_path, "new.csv", "name,new", ["c1,1"]), columns=("new",))
    with pytest.raises(InputFileError, match="no readout of an assay of the library: 'score_a'"):
        AssayHistory(build(tmp_path, out="other"), config, None, tmp_path, like=like)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("active_b", "ACTIVE", "'active_b' holds 'ACTIVE', and is 'inactive' or 'active'"),
        ("active_b", "1", "'active_b' holds '1', and is 'inactive' or 'active'"),
        ("score_a", ">10", "'score_a' holds '>10', no finite number"),
    ],
)
def test_further_readouts_that_the_assay_does_not_know_are_refused_with_their_line(tmp_path, column, value, words):
    (like,) = history(build(tmp_path), source=wide(tmp_path), columns=["score_*", "active_*"]).added_blocks
    known = {"active_b": "inactive", "score_a": "2"}[column]
    file = write(tmp_path, "more.csv", f"name,{column}", [f"c41,{known}", f"c42,{value}"])
    config = HistoryConfig(source=file, columns=(column,))
    with pytest.raises(InputFileError, match=rf"{words} \(line 3\)"):
        AssayHistory(build(tmp_path, out="other"), config, None, tmp_path, like=like)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"history": {"source": "wide.csv", "columns": ["scores_*"]}}, r"no column matches 'scores_\*'"),
        ({"history": {"source": "narrow.csv", "columns": ["score_*"]}}, "no such file"),
        (
            {"history": {"source": "wide.csv", "columns": ["score_*"], "exclude": ["scroe_a"]}},
            "no column matches 'scroe_a'",
        ),
        (
            {"history": {"source": "long.csv", "assay_column": "a", "value_column": "v", "exclude": ["y"]}},
            "no column matches 'y'",
        ),
        ({"dense_columns": ["emb_*"]}, r"library.dense_columns: no column matches 'emb_\*'"),
    ],
)
def test_what_can_never_be_added_is_refused_before_the_build(tmp_path, monkeypatch, options, words):
    build(tmp_path)
    wide(tmp_path)
    write(tmp_path, "long.csv", "name,a,v", ["c1,x,1"])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputFileError, match=words):
        open_library(config_of(tmp_path, **options), tmp_path / "other")
    assert not (tmp_path / "other").exists()
