"""Blocks of features beside the main ones are aligned with the rows, and leave the library itself as it is.

Invariants: the library's files and hash do not change; rows of a block are those of the library; statistics are of all
values that are there; what was altered, or made for another library, is refused in words; an addition that was cut off
ends in the same bytes.
"""

from __future__ import annotations

import fcntl
import json
import os
import pickle

import numpy as np
import pytest

from isd_ray.campaign.watcher import Watcher
from isd_ray.config import CampaignConfig, SplitConfig
from isd_ray.core.features import Dense, OnBits, Texts, concatenate
from isd_ray.data.blocks.add import add_block, remove_block
from isd_ray.data.blocks.standard import CLIP, Moments, signed_log, standardise
from isd_ray.data.library import Library
from isd_ray.data.split import split_library
from isd_ray.errors import CorruptFileError, LibraryError
from isd_ray.ops import prepare
from tests.unit.blocks_helpers import SETTINGS, N, Values, add_values, build

WIDTH = 3


def raw_values(n=N, width=WIDTH, seed=0):
    values = np.random.default_rng(seed).normal(0, 50, (n, width))
    values[::7, 0] = np.nan
    return values


@pytest.fixture
def plain(tmp_path):
    return build(tmp_path)


@pytest.fixture
def library(plain):
    return add_values(plain, "embedding", raw_values())


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def expected(values):
    logged = np.copysign(np.log1p(np.abs(values)), values)
    scaled = (logged - np.nanmean(logged, axis=0)) / np.nanstd(logged, axis=0)
    return np.clip(scaled, -CLIP, CLIP)


def edit(library, change):
    file = library.path / "library.json"
    metadata = json.loads(file.read_text())
    change(metadata)
    file.write_text(json.dumps(metadata))


def test_a_library_without_blocks_has_the_main_one_only(plain):
    assert "blocks" not in plain.metadata
    assert plain.block_names == ("fingerprints",)
    assert plain.block_hash("fingerprints") == plain.hash
    assert plain.block_width("fingerprints") == plain.width
    assert plain.block_columns("fingerprints") == ()
    assert plain.added_blocks == ()


def test_adding_a_block_changes_nothing_that_was_there(tmp_path):
    plain = build(tmp_path)
    before = files(plain.path)
    after = add_values(plain, "embedding", raw_values())
    assert after.hash == plain.hash
    for name in before.keys() - {"library.json"}:
        assert (after.path / name).read_bytes() == before[name]
    old, new = (json.loads(text) for text in (before["library.json"], (after.path / "library.json").read_text()))
    assert {key: value for key, value in new.items() if key != "blocks"} == old
    assert sorted(files(after.path).keys() - before.keys()) == [
        f"blocks/embedding/part-0000{i}.arrow" for i in range(3)
    ]


def test_rows_of_a_block_are_those_of_the_library(library):
    assert library.block_names == ("fingerprints", "embedding")
    assert library.block_width("embedding") == WIDTH
    assert library.block_columns("embedding") == ("v0", "v1", "v2")
    blocks = [library.feature_blocks(i, library.block_names) for i in range(library.n_blocks)]
    whole = concatenate(blocks)
    assert len(whole) == N
    np.testing.assert_allclose(whole["embedding"].values, expected(raw_values()), atol=4e-3)
    assert list(np.flatnonzero(np.isnan(whole["embedding"].values[:, 0]))) == list(range(0, N, 7))
    assert isinstance(whole["fingerprints"], OnBits)
    rows = np.array([74, 0, 15, 16, 33, 0, 48, 17])
    found = library.features_of(rows, ["embedding", "smiles", "fingerprints"])
    assert list(found.blocks) == ["embedding", "smiles", "fingerprints"]
    np.testing.assert_array_equal(found["embedding"].values, whole["embedding"].values[rows])
    assert found["smiles"].values.tolist() == library.smiles(rows).tolist()
    np.testing.assert_array_equal(found["fingerprints"].values, library.features(rows).values)
    assert len(library.features_of(rows[:0], library.block_names)) == 0


def test_values_are_read_only_views_of_the_file(library):
    values = library.feature_blocks(1, ["embedding"])["embedding"].values
    assert values.dtype == np.float16
    assert not values.flags.owndata
    assert not values.flags.writeable


def test_texts_come_only_when_they_are_asked_for(library):
    assert "smiles" not in library.block_names
    texts = library.feature_blocks(0, ["smiles"])["smiles"]
    assert isinstance(texts, Texts)
    assert texts.values.tolist() == library.smiles(np.arange(16)).tolist()


def test_a_dense_main_block_is_called_vectors(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"x": [[1.0, 2.0]] * 9, "name": [f"c{i}" for i in range(9)]}), tmp_path / "x.parquet")
    options = {"source": str(tmp_path / "x.parquet"), "features": {"kind": "dense", "column": "x", "width": 2}}
    (tmp_path / "x.csv").touch()
    library = build(tmp_path, smiles_column="", duplicates="keep", **options)
    assert library.block_names == ("vectors",)
    assert isinstance(library.feature_blocks(0, ["vectors"])["vectors"], Dense)


def test_an_unknown_block_names_the_known(library):
    for ask in (library.block_hash, library.block_width, library.block_columns):
        with pytest.raises(LibraryError, match="fingerprints, embedding"):
            ask("rdkit2d")
    with pytest.raises(LibraryError, match="fingerprints, embedding"):
        library.feature_blocks(0, ["rdkit2d"])
    with pytest.raises(LibraryError, match="name at least one"):
        library.feature_blocks(0, [])


def test_rows_and_blocks_outside_are_index_errors(library):
    with pytest.raises(IndexError):
        library.features_of(np.array([N]), ["embedding"])
    with pytest.raises(IndexError):
        library.feature_blocks(library.n_blocks, ["embedding"])


def test_statistics_are_stored_and_give_the_same_values_again(library):
    (block,) = library.added_blocks
    mean, sd = (np.array([getattr(column, name) for column in block.columns]) for name in ("mean", "sd"))
    again = standardise(raw_values(), mean, sd)
    stored = concatenate([library.feature_blocks(i, ["embedding"]) for i in range(library.n_blocks)])["embedding"]
    np.testing.assert_array_equal(again, stored.values)
    assert block.n_missing == len(range(0, N, 7))


def test_a_constant_or_empty_column_is_zero_or_missing(tmp_path):
    values = np.column_stack([np.full(N, 0.1), np.full(N, np.nan), np.r_[np.full(N - 1, 0.0), 1e9]])
    library = add_values(build(tmp_path), "odd", values)
    found = library.features_of(np.arange(N), ["odd"])["odd"].values
    assert np.all(np.abs(found[:, 0]) < 1e-6)
    assert np.isnan(found[:, 1]).all()
    assert found[-1, 2] == CLIP
    assert [column.sd for column in library.added_blocks[0].columns][:2] == [1.0, 1.0]


def test_moments_do_not_depend_on_where_rows_are_cut():
    logged = signed_log(raw_values(1000))
    whole = Moments.of(logged)
    for cuts in ([1], [10, 500], [333, 334, 335]):
        merged = Moments.merged(Moments.of(part) for part in np.split(logged, cuts))
        np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-12)
        np.testing.assert_allclose(merged.sd, whole.sd, rtol=1e-12)


def test_a_block_has_a_hash_of_its_own(tmp_path):
    library = add_values(build(tmp_path), "a", raw_values())
    library = add_values(library, "b", raw_values())
    library = add_values(library, "c", raw_values(seed=1))
    hashes = [library.block_hash(name) for name in ("a", "b", "c")]
    assert len({*hashes, library.hash}) == 4
    again = add_values(build(tmp_path, out="again"), "a", raw_values())
    assert again.block_hash("a") == hashes[0]


def test_a_pickled_library_opens_its_blocks_again(library):
    library.feature_blocks(0, ["embedding"])
    data = pickle.dumps(library)
    assert len(data) < 10_000
    again = pickle.loads(data)  # noqa: S301
    np.testing.assert_array_equal(
        again.feature_blocks(2, ["embedding"])["embedding"].values,
        library.feature_blocks(2, ["embedding"])["embedding"].values,
    )


def test_a_truncated_or_missing_part_is_found_on_opening(library):
    part = library.path / "blocks/embedding/part-00001.arrow"
    part.write_bytes(part.read_bytes()[:-10])
    with pytest.raises(CorruptFileError, match=r"part-00001[\s\S]*bytes instead of[\s\S]*remove-block PATH embedding"):
        Library.open(library.path)
    part.unlink()
    with pytest.raises(CorruptFileError, match="missing"):
        Library.open(library.path)


def test_a_flipped_bit_is_found_by_verify(library):
    library.verify()
    part = library.path / "blocks/embedding/part-00002.arrow"
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    with pytest.raises(CorruptFileError, match="blocks/embedding/part-00002"):
        Library.open(library.path).verify()


def test_altered_parts_never_raise_pyarrows_own_errors(library):
    part = library.path / "blocks/embedding/part-00000.arrow"
    original, rng, n_found = part.read_bytes(), np.random.default_rng(0), 0
    for _ in range(150):
        data = bytearray(original)
        start = int(rng.integers(0, len(data)))
        data[start : start + 16] = rng.bytes(len(data[start : start + 16]))
        part.write_bytes(data)
        try:
            for block in range(2):
                Library.open(library.path).feature_blocks(block, ["embedding"])
        except CorruptFileError:
            n_found += 1
    assert n_found > 10, "the damage never mattered: the test shows nothing"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m["blocks"].append(m["blocks"][0]), "two blocks are called 'embedding'"),
        (lambda m: m["blocks"][0].update(name="smiles"), "hash of block 'smiles'"),
        (lambda m: m["blocks"][0].update(width=7), "width, dtype or hash"),
        (lambda m: m["blocks"][0]["columns"][0].update(mean=0.5), "width, dtype or hash"),
        (lambda m: m["blocks"][0]["parts"][0].update(sha256="0" * 64), "width, dtype or hash"),
        (lambda m: m["blocks"][0]["parts"][0].update(file="../../x"), "not those of the library"),
        (lambda m: m["blocks"][0]["parts"][0].update(n_rows=7), "not those of the library"),
        (lambda m: m["blocks"][0].pop("columns"), "columns"),
        (lambda m: m.update(blocks=["x"]), "not a library description"),
    ],
)
def test_a_description_that_was_altered_is_refused(library, change, words):
    edit(library, change)
    with pytest.raises(CorruptFileError, match=words):
        Library.open(library.path)


def test_a_block_of_another_library_is_refused(tmp_path, library):
    other = build(tmp_path, out="other", features="ecfp4")
    edit(other, lambda metadata: metadata.update(blocks=library.metadata["blocks"]))
    with pytest.raises(LibraryError, match=r"made for another library[\s\S]*remove-block"):
        Library.open(other.path)


def test_a_block_that_is_there_is_not_made_again_and_may_be_dropped(library):
    with pytest.raises(LibraryError, match=r"there is a block 'embedding' already[\s\S]*remove-block"):
        add_values(library, "embedding", raw_values())
    (library.path / "blocks/embedding/part-00000.arrow").unlink()
    remove_block(library.path, "embedding")
    plain = Library.open(library.path)
    assert plain.block_names == ("fingerprints",)
    assert "blocks" not in plain.metadata
    assert list((library.path / "blocks").iterdir()) == []
    with pytest.raises(LibraryError, match="no block 'embedding' to drop"):
        remove_block(library.path, "embedding")


@pytest.mark.parametrize("name", ["fingerprints", "vectors", "smiles", "features", "", "../x", "a b", "1st"])
def test_names_that_are_taken_or_no_names_are_refused(plain, name):
    with pytest.raises(LibraryError, match="name"):
        add_values(plain, name, raw_values())


def test_two_processes_do_not_change_one_library(plain):
    folder = os.open(plain.path, os.O_RDONLY)
    add_values(plain, "first", raw_values())
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        with pytest.raises(LibraryError, match="another process adds a block"):
            add_values(plain, "embedding", raw_values())
        with pytest.raises(LibraryError, match="another process adds a block"):
            remove_block(plain.path, "first")
    finally:
        os.close(folder)
    assert add_values(plain, "embedding", raw_values()).block_names == ("fingerprints", "first", "embedding")
    remove_block(plain.path, "first")


@pytest.mark.parametrize("stop_at", [1, 2])
def test_an_addition_that_was_cut_off_keeps_its_parts_and_ends_in_the_same_bytes(tmp_path, library, stop_at):
    other = build(tmp_path, out="other")
    maker = Values("embedding", raw_values())
    maker.stop_at = stop_at
    with pytest.raises(KeyboardInterrupt):
        add_block(other, maker)
    assert Library.open(other.path).block_names == ("fingerprints",)
    again = Values("embedding", raw_values())
    add_block(other, again)
    assert again.filled == list(range(stop_at, 3))
    assert files(other.path) == files(library.path)


@pytest.mark.parametrize("after", [0, 1, 2, "in place"])
def test_an_addition_cut_off_between_its_finished_parts_goes_on_too(tmp_path, library, monkeypatch, after):
    from isd_ray.data.blocks import add
    from isd_ray.data.blocks.spool import Spool

    other, finished = build(tmp_path, out="other"), Spool.finish

    def finish(self, part, blocks):
        if part == after:
            raise KeyboardInterrupt
        finished(self, part, blocks)

    def fail(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Spool, "finish", finish)
        if after == "in place":
            patch.setattr(add, "replace_description", fail)
        with pytest.raises(KeyboardInterrupt):
            add_values(other, "embedding", raw_values())
    again = Values("embedding", raw_values())
    add_block(other, again)
    assert again.filled == []
    assert files(other.path) == files(library.path)


@pytest.mark.parametrize("file", ["raw/part-00000.f32", "raw/part-00001.f32", "parts/part-00000.arrow"])
def test_what_a_crash_left_half_written_is_done_again(tmp_path, library, monkeypatch, file):
    from isd_ray.data.blocks.spool import Spool

    other, finished = build(tmp_path, out="other"), Spool.finish
    cut = 1 if file.startswith("parts") else 0

    def finish(self, part, blocks):
        if part == cut:
            raise KeyboardInterrupt
        finished(self, part, blocks)

    with monkeypatch.context() as patch:
        patch.setattr(Spool, "finish", finish)
        with pytest.raises(KeyboardInterrupt):
            add_values(other, "embedding", raw_values())
    damaged = other.path / "blocks/.embedding.building" / file
    data = np.frombuffer(damaged.read_bytes(), np.uint8)
    damaged.write_bytes((~data).tobytes() if file.startswith("raw") else data[:-8].tobytes())
    add_values(other, "embedding", raw_values())
    assert files(other.path) == files(library.path)


def test_an_unfinished_addition_of_another_definition_is_refused(plain):
    maker = Values("embedding", raw_values())
    maker.stop_at = 1
    with pytest.raises(KeyboardInterrupt):
        add_block(plain, maker)
    other = Values("embedding", raw_values())
    other.definition = {"given": "otherwise"}
    with pytest.raises(LibraryError, match=r"unfinished addition of block 'embedding' with other definition"):
        add_block(plain, other)


def test_statistics_may_be_those_of_another_library(tmp_path, library):
    held_out = build(tmp_path, out="held-out")
    (like,) = library.added_blocks
    shifted = add_block(held_out, Values("embedding", raw_values() * 3), like)
    assert shifted.added_blocks[0].columns == like.columns
    found = shifted.features_of(np.arange(N), ["embedding"])["embedding"].values
    mean, sd = (np.array([getattr(column, name) for column in like.columns]) for name in ("mean", "sd"))
    np.testing.assert_array_equal(found, standardise(raw_values() * 3, mean, sd))
    remove_block(shifted.path, "embedding")
    with pytest.raises(LibraryError, match="other columns"):
        add_block(shifted, Values("embedding", raw_values(), "abc"), like)


def test_values_may_be_stored_as_they_are(plain):
    values = raw_values().clip(-10, 10)
    library = add_block(plain, Values("history", values, takes_logs=False))
    found = library.features_of(np.arange(N), ["history"])["history"].values
    np.testing.assert_array_equal(found, values.astype(np.float32).astype(np.float16))


def test_a_split_carries_blocks_with_the_values_of_the_whole(tmp_path, library):
    library = add_block(library, Values("history", raw_values(seed=3).clip(-10, 10), takes_logs=False))
    parts = split_library(library, SplitConfig(fractions=(0.5, 0.2, 0.3), seed=1), tmp_path / "parts")
    whole = library.features_of(np.arange(N), library.block_names)
    for name, part in parts.items():
        part.verify()
        assert part.block_names == library.block_names
        rows = library.rows_of(part.ids())
        found = part.features_of(np.arange(part.n_rows), part.block_names)
        np.testing.assert_array_equal(found["embedding"].values, whole["embedding"].values[rows])
        np.testing.assert_array_equal(found["history"].values, whole["history"].values[rows])
        assert [block.columns for block in part.added_blocks] == [block.columns for block in library.added_blocks]
        assert part.metadata["parent"]["blocks"] == {block.name: block.hash for block in library.added_blocks}, name
    plain = Library.open(library.path)
    assert sum(part.added_blocks[0].n_missing for part in parts.values()) == plain.added_blocks[0].n_missing


def test_a_split_from_before_a_block_was_added_is_refused(tmp_path):
    settings = {"source": str(tmp_path / "x.csv"), **SETTINGS, "split": {"fractions": [0.6, 0.0, 0.4]}}
    build(tmp_path, out="unused")
    config = CampaignConfig.model_validate(
        {
            "library": {**settings, "path": str(tmp_path / "library")},
            "labels": {"column": "x"},
            "acquisition": {"batch_size": 8},
        }
    )
    libraries = prepare._libraries(config, tmp_path / "run", Watcher())
    assert set(libraries) == {"target", "test"}
    assert prepare._libraries(config, tmp_path / "run", Watcher())["target"].hash == libraries["target"].hash
    add_values(Library.open(tmp_path / "library"), "embedding", raw_values())
    with pytest.raises(LibraryError, match="with other settings or blocks"):
        prepare._libraries(config, tmp_path / "run", Watcher())
