"""Claims about stacks of features: the same rows as one container, read from files without copying them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from isd_ray.config import ModelConfig, ValidationConfig
from isd_ray.core import features as features_module
from isd_ray.core.features import Dense, FeatureBlocks, Features, OnBits, Stack, Texts, concatenate, stack
from isd_ray.data import features_file
from isd_ray.data.features_file import read_features, write_features
from isd_ray.data.layout import features_to_arrow
from isd_ray.errors import CorruptFileError
from isd_ray.models import fit as fit_module
from isd_ray.models.fit import fit_member
from tests.unit.models_helpers import has_rule_bit, one_thread, random_bits, small_architecture, small_model

SIZES = (40, 0, 1, 159)


def as_matrix(features: Features) -> np.ndarray:
    if isinstance(features, Dense):
        return features.values
    matrix = np.zeros((len(features), features.width), np.uint8)
    matrix[np.repeat(np.arange(len(features)), np.diff(features.offsets)), features.values] = 1
    return matrix


def dense(n_rows: int, seed: int) -> Dense:
    return Dense(np.random.default_rng(seed).random((n_rows, 8), dtype=np.float32))


@pytest.mark.parametrize("make", [random_bits, dense])
@pytest.mark.parametrize(
    "indices", [np.arange(200), np.random.default_rng(0).integers(0, 200, 500), np.array([199, 40, 39]), np.arange(0)]
)
def test_a_stack_takes_rows_as_one_container_does(make, indices: np.ndarray) -> None:
    parts = [make(size, seed) for seed, size in enumerate(SIZES)]
    taken = Stack(tuple(parts)).take(indices)
    assert len(taken) == len(indices)
    np.testing.assert_array_equal(as_matrix(taken), as_matrix(concatenate(parts).take(indices)))


def test_small_parts_are_merged_and_large_ones_left_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = random_bits(10, seed=0), random_bits(1000, seed=1)
    monkeypatch.setattr(features_module, "SMALL_PART", 2 * small.nbytes)
    stacked = stack([small, small, large, small, small])
    assert [len(part) for part in stacked.parts] == [20, 1000, 20]
    assert stacked.parts[1] is large
    assert len(stacked) == 1040


def test_unlike_parts_are_refused() -> None:
    for parts in ([], [random_bits(3, seed=0), dense(3, seed=0)], [random_bits(3, 0), random_bits(3, 0, width=128)]):
        with pytest.raises(ValueError, match="kinds or widths"):
            stack(parts)


@pytest.mark.usefixtures(one_thread.__name__)
def test_a_fit_does_not_depend_on_how_its_rows_are_cut() -> None:
    features, model = random_bits(400, seed=1), small_model(epochs=3)

    def fit(observed: Features | Stack) -> dict[str, np.ndarray]:
        return fit_member(
            observed,
            has_rule_bit(features),
            task="classification",
            architecture=small_architecture(model),
            model=model,
            validation=ValidationConfig(),
            seed=0,
        ).weights

    cut = Stack(tuple(features.take(rows) for rows in np.split(np.arange(400), [7, 7, 250])))
    whole, pieces = fit(features), fit(cut)
    for name, weight in whole.items():
        np.testing.assert_array_equal(pieces[name], weight)


@pytest.mark.usefixtures(one_thread.__name__)
def test_a_fit_never_takes_more_than_a_batch_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Observed rows may be more than memory holds: only batches are copied, to train and to validate."""
    model: ModelConfig = small_model(epochs=2, batch_size=64)
    features = random_bits(3000, seed=1)
    taken: list[int] = []
    original = OnBits.take
    monkeypatch.setattr(fit_module, "CPU_MICRO_ROWS", 100)
    monkeypatch.setattr(OnBits, "take", lambda self, rows: taken.append(len(rows)) or original(self, rows))
    fit_member(
        Stack((features,)),
        has_rule_bit(features),
        task="classification",
        architecture=small_architecture(model),
        model=model,
        validation=ValidationConfig(),
        seed=0,
    )
    assert sum(taken) == 2 * 3000
    assert sorted(set(taken)) == [12, 64, 100]  # 2,700 rows in batches of 64, and 300 to validate by 100


def some_blocks(n_rows: int, seed: int = 0) -> FeatureBlocks:
    texts = np.array([f"C{i}" for i in range(n_rows)], dtype=object)
    blocks = {"fingerprints": random_bits(n_rows, seed), "rdkit2d": dense(n_rows, seed + 1), "smiles": Texts(texts)}
    return FeatureBlocks(blocks)


WIDTHS = {"fingerprints": random_bits(1, 0).width, "rdkit2d": 8, "smiles": 1}


def assert_same(left: FeatureBlocks, right: FeatureBlocks) -> None:
    assert list(left.blocks) == list(right.blocks)
    for name, block in left.blocks.items():
        if isinstance(block, Texts):
            assert block.values.tolist() == right[name].values.tolist()
        else:
            np.testing.assert_array_equal(as_matrix(block), as_matrix(right[name]))


@pytest.mark.parametrize("indices", [np.arange(200), np.array([199, 40, 39, 40]), np.arange(0)])
def test_a_stack_of_named_blocks_takes_the_same_rows_of_each(indices: np.ndarray) -> None:
    whole = some_blocks(200)
    cut = Stack(tuple(whole.take(rows) for rows in np.split(np.arange(200), [40, 40, 41])))
    assert_same(cut.take(indices), whole.take(indices))
    assert_same(stack(cut.parts).take(indices), whole.take(indices))


def test_small_parts_of_named_blocks_are_merged_and_large_ones_left_where_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small, large = some_blocks(10), some_blocks(1000)
    monkeypatch.setattr(features_module, "SMALL_PART", 2 * small.nbytes)
    stacked = stack([small, small, large, small])
    assert [len(part) for part in stacked.parts] == [20, 1000, 10]
    assert stacked.parts[1] is large


def test_parts_with_other_blocks_are_refused() -> None:
    blocks = some_blocks(5)
    for other in (blocks.only(["fingerprints"]), blocks.only(["rdkit2d", "fingerprints", "smiles"])):
        with pytest.raises(ValueError, match="kinds or widths"):
            stack([blocks, other])
        with pytest.raises(ValueError, match="kinds or widths"):
            concatenate([blocks, other])


def test_features_of_a_batch_are_views_of_their_file(tmp_path: Path) -> None:
    blocks = some_blocks(500)
    write_features(blocks, tmp_path / "features.arrow")
    (part,) = read_features(tmp_path / "features.arrow", WIDTHS, "fingerprints")
    assert_same(part, blocks)
    for name in ("fingerprints", "rdkit2d"):
        values = part[name].values
        assert not values.flags.owndata
        assert not values.flags.writeable
    (some,) = read_features(tmp_path / "features.arrow", {"rdkit2d": 8}, "fingerprints")
    assert list(some.blocks) == ["rdkit2d"]


def test_features_are_written_and_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features_file, "_CHUNK_ROWS", 100)
    blocks = some_blocks(250)
    write_features(blocks, tmp_path / "features.arrow")
    parts = read_features(tmp_path / "features.arrow", WIDTHS, "fingerprints")
    assert [len(part) for part in parts] == [100, 100, 50]
    assert_same(concatenate(parts), blocks)


@pytest.mark.parametrize(("main", "make"), [("fingerprints", random_bits), ("vectors", dense)])
def test_files_from_before_there_were_names_hold_the_main_block(tmp_path: Path, main: str, make) -> None:
    features = make(30, 0)
    array = features_to_arrow(features)
    with pa.ipc.new_file(tmp_path / "old.arrow", pa.schema([("features", array.type)])) as sink:
        sink.write_batch(pa.record_batch([array], names=["features"]))
    (part,) = read_features(tmp_path / "old.arrow", {main: features.width}, main)
    assert_same(part, FeatureBlocks({main: features}))
    with pytest.raises(CorruptFileError, match="no block 'rdkit2d', only"):
        read_features(tmp_path / "old.arrow", {main: features.width, "rdkit2d": 8}, main)


def test_an_altered_file_of_features_is_corrupt(tmp_path: Path) -> None:
    file = tmp_path / "features.arrow"
    write_features(some_blocks(300), file)
    original, rng, n_found = file.read_bytes(), np.random.default_rng(0), 0
    for _ in range(100):
        data = bytearray(original)
        start = int(rng.integers(0, len(data)))
        data[start : start + 16] = rng.bytes(len(data[start : start + 16]))
        file.write_bytes(data)
        try:
            read_features(file, WIDTHS, "fingerprints")
        except CorruptFileError:
            n_found += 1
    assert n_found > 10, "the damage never mattered: the test shows nothing"
