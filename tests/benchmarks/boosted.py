"""Rows that boosted trees score per core-second, by isd_ray from its blocks and by XGBoost from a matrix ready-made.

    python -m tests.benchmarks.boosted --json out.json

Both use one thread, the same trees and the same rows: real molecules, fingerprints and `rdkit2d`. XGBoost is given its
sparse matrix of all columns that the trees were fitted on, which isd_ray has to make of each block, of the columns that
the trees ask for; the answers must be equal bit for bit.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from isd_ray.config import ComputeConfig
from isd_ray.core.features import Stack
from isd_ray.models import boosted
from isd_ray.models.base import BlockShape, Observed, Problem
from isd_ray.models.boosted import TREES, Boosted, BoostedConfig
from isd_ray.models.device import Placement
from isd_ray.models.sparse import Columns
from isd_ray.ops.blocks import add_descriptors
from tests.benchmarks.measure import Line, best_of_each, parser, prepare, report
from tests.benchmarks.molecules import above_median, sample_library

PRESETS = ("ecfp4", "standard")
TARGET = 0.95
"""The library's own prediction is the limit; making its input may cost a twentieth."""


def as_fitted(columns: Columns, boosters: list[Any]) -> tuple[Columns, list[bytes]]:
    """In the place of what leaves out columns."""
    return columns, [bytes(booster.save_raw("ubj")) for booster in boosters]


def compare(preset: str, n_rows: int, folder: Path, repeats: int) -> Line:
    import xgboost

    library = add_descriptors(sample_library(preset, n_rows, folder), "rdkit2d", ComputeConfig())
    names = library.block_names
    main = BlockShape(names[0], "on_bits", library.width)
    shapes = (main, BlockShape(names[1], "dense", library.block_width(names[1]), standardised=True))
    problem = Problem("classification", 2, shapes)
    rows = np.arange(library.n_rows)
    model = Boosted(BoostedConfig(), problem)
    data = Observed(Stack((library.features_of(rows, names),)), rows, above_median(library))
    weights = model.fit(data, seed=0, split_seed=0, placement=Placement()).weights
    predictor = model.open([weights], Placement())
    with mock.patch.object(boosted, "_only_used", as_fitted):
        whole = model.fit(data, seed=0, split_seed=0, placement=Placement()).weights
    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(whole[f"{TREES}.00000"].tobytes()))
    columns = Columns.of(problem, whole)
    blocks = [library.feature_blocks(index, names) for index in range(library.n_blocks)]
    matrices = [columns.matrix(block) for block in blocks]
    found: dict[str, list[np.ndarray]] = {}
    seconds = best_of_each(
        repeats,
        lambda: found.update(ours=[predictor.outputs(block)[0, :, 1] for block in blocks]),
        lambda: found.update(theirs=[booster.inplace_predict(matrix) for matrix in matrices]),
    )
    assert all(map(np.array_equal, found["ours"], found["theirs"])), "other answers than XGBoost's"
    ours, theirs = (library.n_rows / each for each in seconds)
    return Line(f"{preset} and rdkit2d", ours, theirs, ours / theirs, "rows/core-second", TARGET, "equal answers")


def main() -> None:
    made = parser("boosted", __doc__)
    made.add_argument("--rows", type=int, default=16_384)
    made.add_argument("--repeats", type=int, default=5)
    options = made.parse_args()
    prepare()
    with tempfile.TemporaryDirectory() as folder:
        lines = [compare(preset, options.rows, Path(folder), options.repeats) for preset in PRESETS]
    report(lines, options.json)


if __name__ == "__main__":
    main()
