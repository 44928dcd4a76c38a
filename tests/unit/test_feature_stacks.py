"""Claims about stacks of features: the same rows as one container, read from files without copying them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from isd_ray.config import ModelConfig, ValidationConfig
from isd_ray.core import features as features_module
from isd_ray.core.features import Dense, Features, OnBits, Stack, concatenate, stack
from isd_ray.data.features_file import read_features, write_features
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


def test_features_of_a_batch_are_views_of_their_file(tmp_path: Path) -> None:
    features = random_bits(500, seed=0)
    write_features(features, tmp_path / "features.arrow")
    (part,) = read_features(tmp_path / "features.arrow", features.width)
    np.testing.assert_array_equal(as_matrix(part), as_matrix(features))
    assert isinstance(part, OnBits)
    assert not part.values.flags.owndata
    assert not part.values.flags.writeable
