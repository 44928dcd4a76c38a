"""A split divides every row of a library exactly once."""

from __future__ import annotations

import numpy as np
import pytest

from isd_ray.config import LibraryConfig, SplitConfig
from isd_ray.data.ingest.build import build_library
from isd_ray.data.library import Library
from isd_ray.data.split import split_library
from isd_ray.errors import LibraryError

N = 100


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    folder = tmp_path_factory.mktemp("split")
    words = ["train", "train", "train", "valid", "test"]
    rows = [f"{'C' * (i % 9 + 1)}N{'C' * (i // 9 + 10)},x{i},{words[i % 5]},{i % 3}.0,{i % 2}" for i in range(N)]
    (folder / "x.csv").write_text("\n".join(["smiles,name,word,fold,half", *rows]) + "\n")
    config = LibraryConfig(
        source="x.csv",
        id_column="name",
        columns=("word", "fold", "half"),
        features="ecfp4",
        block_rows=16,
        part_blocks=2,
        workers=1,
    )
    return build_library(config, folder / "library", base_dir=folder)


def test_a_column_divides_and_rows_keep_their_order_and_features(library, tmp_path):
    config = SplitConfig(column="word", target="train", validation="valid", test="test")
    parts = split_library(library, config, tmp_path / "out")
    assert {name: part.n_rows for name, part in parts.items()} == {"target": 60, "validation": 20, "test": 20}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["target", "test", "validation"]
    target = Library.open(tmp_path / "out" / "target")
    target.verify()
    rows = library.rows_of(target.ids())
    assert rows.tolist() == [i for i in range(N) if i % 5 < 3]
    assert target.column("row").tolist() == list(range(60))
    assert target.column("record").tolist() == (rows + 1).tolist()
    assert [target.block_rows_range(i) for i in range(target.n_blocks)] == [(0, 16), (16, 32), (32, 48), (48, 60)]
    mine, theirs = target.features(np.arange(60)), library.features(rows)
    assert np.array_equal(mine.values, theirs.values)
    assert np.array_equal(mine.offsets, theirs.offsets)
    assert target.metadata["parent"]["hash"] == library.hash
    assert target.spec == library.spec


def test_numbers_match_whatever_their_type(library, tmp_path):
    parts = split_library(library, SplitConfig(column="fold", target=0, validation="1", test=2.0), tmp_path / "out")
    assert [part.n_rows for part in parts.values()] == [34, 33, 33]


def test_a_part_may_have_several_values_or_no_rows(library, tmp_path):
    config = SplitConfig(column="fold", target=[0, 1], validation=7, test=2)
    parts = split_library(library, config, tmp_path / "out")
    assert {name: part.n_rows for name, part in parts.items()} == {"target": 67, "test": 33}
    assert not (tmp_path / "out" / "validation").exists()


def test_a_random_split_has_its_shares_and_depends_on_its_seed_only(library, tmp_path):
    config = SplitConfig(fractions=(0.7, 0.1, 0.2), seed=3)
    first, again = (split_library(library, config, tmp_path / name) for name in "ab")
    other = split_library(library, config.model_copy(update={"seed": 4}), tmp_path / "c")
    assert [first[name].hash for name in first] == [again[name].hash for name in again]
    assert first["target"].hash != other["target"].hash
    assert {name: part.n_rows for name, part in first.items()} == {"target": 70, "validation": 10, "test": 20}
    ids = np.concatenate([part.ids() for part in first.values()])
    assert sorted(ids) == sorted(library.ids())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"column": "word", "target": "train", "validation": "valid"}, r"'test' \(20 rows\)"),
        ({"column": "fold", "target": 0, "validation": 0}, "both target and validation"),
        ({"column": "half", "target": 5, "validation": 0, "test": 1}, "target set is empty"),
        ({"column": "wrod"}, "did you mean 'word'"),
    ],
)
def test_splits_that_cannot_be_meant_are_refused(library, tmp_path, options, message):
    with pytest.raises(LibraryError, match=message):
        split_library(library, SplitConfig(**options), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_existing_directory_is_left_alone(library, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("precious")
    with pytest.raises(LibraryError, match="already exists"):
        split_library(library, SplitConfig(), tmp_path / "out")
    assert (tmp_path / "out" / "thesis.txt").read_text() == "precious"
