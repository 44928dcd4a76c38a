"""Boosted trees keep the columns that they ask for, and answer as XGBoost does with all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from isd_ray.core.features import Dense, FeatureBlocks, Stack
from isd_ray.core.panels import pack_labels
from isd_ray.models import boosted
from isd_ray.models.base import BlockShape, Observed, Problem
from isd_ray.models.boosted import Boosted, BoostedConfig
from isd_ray.models.device import Placement
from isd_ray.models.sparse import Columns
from tests.unit.models_helpers import WIDTH, from_matrix, random_bits, to_matrix

N_ROWS = 300
N_DENSE = 3


def as_fitted(columns: Columns, trees: list[Any]) -> tuple[Columns, list[bytes]]:
    return columns, [b"" if booster is None else bytes(booster.save_raw("ubj")) for booster in trees]


def matrix_of_bits() -> np.ndarray:
    return to_matrix(random_bits(N_ROWS, seed=1))


LABELS = {
    "classification": lambda bits: bits[:, 60].astype(np.int64),
    "regression": lambda bits: 3.0 * bits[:, 60] - bits[:, 63],
    "panel": lambda bits: pack_labels(np.stack([bits[:, 60], bits[:, 7], bits[:, 0] * 0], axis=1).astype(np.int8)),
}


@pytest.mark.parametrize("dense", [True, False], ids=["dense", "bits alone"])
@pytest.mark.parametrize("task", list(LABELS))
def test_columns_that_no_tree_asks_for_are_left_out_and_change_no_answer(
    task: Any, dense: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    bits = matrix_of_bits()
    blocks = {"bits": from_matrix(bits.astype(bool))}
    shapes = [BlockShape("bits", "on_bits", WIDTH)]
    if dense:
        values = np.random.default_rng(0).normal(size=(N_ROWS, N_DENSE)).astype(np.float32)
        values[::7, 1] = np.nan
        blocks["numbers"] = Dense(values)
        shapes.append(BlockShape("numbers", "dense", N_DENSE))
    features = FeatureBlocks(blocks)
    problem = Problem(task, {"classification": 2, "regression": 1, "panel": 3}[task], tuple(shapes))
    model = Boosted(BoostedConfig(trees=4, max_leaves=3, column_share=0.99), problem)
    data = Observed(Stack((features,)), np.arange(N_ROWS), LABELS[task](bits))
    fitted = model.fit(data, seed=3, split_seed=0, placement=Placement())
    monkeypatch.setattr(boosted, "_only_used", as_fitted)
    whole = model.fit(data, seed=3, split_seed=0, placement=Placement())

    assert 60 in fitted.weights["columns.bits"]
    assert len(fitted.weights["columns.bits"]) <= 4 * 2 * 3 < len(whole.weights["columns.bits"]) == WIDTH
    assert fitted.leading == whole.leading
    answers, expected = (model.open([each.weights], Placement()).outputs(features) for each in (fitted, whole))
    np.testing.assert_array_equal(answers, expected)


def test_trees_that_learnt_nothing_keep_one_column() -> None:
    bits = from_matrix(np.zeros((N_ROWS, WIDTH), bool))
    features = FeatureBlocks({"bits": bits})
    model = Boosted(BoostedConfig(trees=2), Problem("classification", 2, (BlockShape("bits", "on_bits", WIDTH),)))
    labels = np.arange(N_ROWS, dtype=np.int64) % 2
    fitted = model.fit(
        Observed(Stack((features,)), np.arange(N_ROWS), labels), seed=0, split_seed=0, placement=Placement()
    )
    assert len(fitted.weights["columns.bits"]) == 1
    assert fitted.leading is None
    answers = model.open([fitted.weights], Placement()).outputs(features)
    np.testing.assert_allclose(answers, 0.5, rtol=0.0, atol=1e-3)
