"""A library gives back its rows in any order, and notices damage."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pyarrow as pa
import pytest

from isd_ray.config import LibraryConfig
from isd_ray.core.features import concatenate
from isd_ray.data.ingest.build import build_library
from isd_ray.data.library import Library
from isd_ray.errors import CorruptFileError, LibraryError

N = 75


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "x.csv"
    rows = [f"{'C' * (i % 9 + 1)}N{'C' * (i // 9 + 10)},id{i:03d},{i * 1.5}" for i in range(N)]
    path.write_text("\n".join(["smiles,name,cost", *rows]) + "\n")
    return path


@pytest.fixture
def library(source, tmp_path):
    config = LibraryConfig(
        source=str(source),
        id_column="name",
        columns=("cost",),
        features="light",
        block_rows=16,
        part_blocks=2,
        workers=1,
    )
    return build_library(config, tmp_path / "library", base_dir=tmp_path)


def rows_equal(left, right):
    return np.array_equal(left.values, right.values) and np.array_equal(left.offsets, right.offsets)


def test_scattered_rows_come_in_the_order_asked_for(library):
    whole = concatenate([library.block(i) for i in range(library.n_blocks)])
    assert len(whole) == N
    rows = np.array([74, 0, 15, 16, 33, 0, 48, 17])
    assert rows_equal(library.features(rows), whole.take(rows))
    assert library.ids(rows).tolist() == [f"id{i:03d}" for i in rows]
    assert library.column("cost", rows).tolist() == (rows * 1.5).tolist()
    assert len(library.features(rows[:0])) == 0
    assert library.features(rows[:0]).width == library.width
    assert library.ids(rows[:0]).tolist() == []


def test_blocks_are_views_of_the_file(library):
    block = library.block(1)
    assert not block.values.flags.owndata
    assert not block.values.flags.writeable
    assert block.offsets.dtype == np.int64


@pytest.mark.parametrize("row", [-1, N])
def test_rows_outside_are_index_errors(library, row):
    with pytest.raises(IndexError):
        library.features(np.array([row]))
    with pytest.raises(IndexError):
        library.ids(np.array([row]))


def test_ids_are_found_wherever_they_lie(library):
    asked = ["id074", "nobody", "id000", "id016", "id074"]
    assert library.rows_of(asked).tolist() == [74, -1, 0, 16, 74]
    assert library.rows_of([]).tolist() == []
    assert library.rows_of(library.ids()).tolist() == list(range(N))


def test_an_unknown_column_names_the_known(library):
    with pytest.raises(LibraryError, match="cost"):
        library.column("price")


def test_a_pickled_library_is_small_and_opens_its_files_again(library):
    library.block(0)
    data = pickle.dumps(library)
    assert len(data) < 5000
    assert rows_equal(pickle.loads(data).block(0), library.block(0))  # noqa: S301


def test_a_notebook_shows_what_a_library_is(library):
    assert repr(library) == f"Library({library.address!r}, {library.n_rows:,} compounds, blocks fingerprints)"


def test_info_sums_up(library):
    info = library.info()
    assert (info.n_rows, info.n_blocks, info.block_rows) == (N, 5, 16)
    assert info.nbytes == sum(path.stat().st_size for path in (library.path / "parts").iterdir())
    assert info.mean_on_bits > 5


def test_what_is_no_library_says_how_to_build_one(tmp_path):
    with pytest.raises(LibraryError, match="isd library build"):
        Library.open(tmp_path)


def test_another_schema_version_is_refused(library):
    file = library.path / "library.json"
    file.write_text(file.read_text().replace('"schema_version": 1', '"schema_version": 99'))
    with pytest.raises(LibraryError, match="99"):
        Library.open(library.path)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"schema_version": 1}'])
def test_a_damaged_description_is_corrupt(library, text):
    (library.path / "library.json").write_text(text)
    with pytest.raises(CorruptFileError, match=r"library\.json"):
        Library.open(library.path)


def test_a_truncated_or_missing_part_is_found_on_opening(library):
    part = library.path / "parts/part-00001.arrow"
    data = part.read_bytes()
    part.write_bytes(data[:-100])
    with pytest.raises(CorruptFileError, match=rf"part-00001[\s\S]*{len(data) - 100} bytes instead of {len(data)}"):
        Library.open(library.path)
    part.unlink()
    with pytest.raises(CorruptFileError, match="missing"):
        Library.open(library.path)


def test_a_flipped_bit_is_found_by_verify(library):
    library.verify()
    part = library.path / "parts/part-00000.arrow"
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    with pytest.raises(CorruptFileError, match="part-00000"):
        Library.open(library.path).verify()


def test_altered_parts_never_raise_pyarrows_own_errors(library):
    part = library.path / "parts/part-00000.arrow"
    original = part.read_bytes()
    rng = np.random.default_rng(0)
    n_found = 0
    for _ in range(150):
        data = bytearray(original)
        start = int(rng.integers(0, len(data)))
        data[start : start + 16] = rng.bytes(len(data[start : start + 16]))
        part.write_bytes(data)
        damaged = Library.open(library.path)
        try:
            for block in range(2):
                damaged.block(block)
                damaged.ids(np.array([block]))
        except CorruptFileError:
            n_found += 1
    assert n_found > 10, "the damage never mattered: the test shows nothing"


def test_the_hash_is_of_content_not_of_place_or_sources(library, source, tmp_path):
    copy = tmp_path / "renamed.csv"
    copy.write_bytes(source.read_bytes())
    config = LibraryConfig(
        source=str(copy), id_column="name", columns=("cost",), features="light", block_rows=16, part_blocks=2, workers=1
    )
    assert build_library(config, tmp_path / "again", base_dir=tmp_path).hash == library.hash
    metadata = json.loads((library.path / "library.json").read_text())
    assert metadata["hash"] == library.hash


def test_resident_parts_are_read_within_their_budget_and_hold_the_same_rows(library, monkeypatch):
    rows, parts = np.arange(library.n_rows), library.metadata["parts"]
    plain = library.smiles(rows).tolist()
    mapped = []
    original = pa.memory_map
    monkeypatch.setattr(pa, "memory_map", lambda name: mapped.append(name) or original(name))
    resident = Library.open(library.path)
    resident.keep_resident(parts[0]["bytes"] + parts[1]["bytes"])
    assert resident.smiles(rows).tolist() == plain
    assert mapped == [str(library.path / part["file"]) for part in parts[2:]]
    assert mapped
