"""Rows scored per core-second, by isd_ray and by a plain PyTorch scorer.

    python -m tests.benchmarks.scoring --json out.json

Both score the same real molecules with the same weights and return the k rows of least confidence. The plain scorer is
given its dense float32 features ready-made in memory, where 3.3 million rows would take 27 GB (`ecfp4`) or 163 GB
(`standard`).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch

from isd_ray.config import ModelConfig
from isd_ray.core.acquisition import BUILT_IN, Candidates
from isd_ray.core.features import concatenate
from isd_ray.core.predictions import predict
from isd_ray.core.topk import concatenate_rows, top_k
from isd_ray.data.library import Library
from isd_ray.messages import ScoredRows
from isd_ray.models.device import Placement
from isd_ray.models.predict import CommitteePredictor
from isd_ray.models.resmlp import Architecture, initial_weights
from tests.benchmarks.measure import WITHOUT_BF16, Line, best_of_each, parser, prepare, report
from tests.benchmarks.molecules import sample_library
from tests.benchmarks.plain import dense, plain_network, plain_top

TARGETS = {"ecfp4": 5.0, "standard": 10.0}
COMMITTEES = (1, 5)
K = 1000
CPU = torch.device("cpu")


def our_top(library: Library, predictor: CommitteePredictor, k: int) -> ScoredRows:
    """What a scorer does with a shard: block by block, outputs, predictions, scores, the k best."""
    best = []
    for block in range(library.n_blocks):
        outputs = predictor.outputs(library.block(block))
        rows = np.arange(*library.block_rows_range(block))
        prediction, uncertainty = predict(outputs, "classification")
        candidates = Candidates(rows, outputs, rows.astype(np.float64))
        primary, secondary = BUILT_IN["least_confidence"].score(candidates)
        best.append(top_k(ScoredRows(rows, primary, secondary, prediction, uncertainty), k, 0))
    return top_k(concatenate_rows(best), k, 0)


def compare(library: Library, name: str, bf16: bool, repeats: int) -> list[Line]:
    model = ModelConfig()
    architecture = Architecture.from_config(model, library.spec, 2)
    members = [initial_weights(architecture, np.random.default_rng(seed)) for seed in range(max(COMMITTEES))]
    x = dense(concatenate([library.block(block) for block in range(library.n_blocks)]))
    lines = []
    for size in COMMITTEES:
        predictor = CommitteePredictor(members[:size], architecture, Placement(CPU, bf16))
        networks = [plain_network(weights, model, CPU) for weights in members[:size]]
        found: dict[str, list[int]] = {}
        seconds = best_of_each(
            repeats,
            lambda found=found, predictor=predictor: found.update(ours=our_top(library, predictor, K).rows.tolist()),
            lambda found=found, networks=networks: found.update(plain=plain_top(networks, x, K, CPU)),
        )
        ours, baseline = (library.n_rows / each for each in seconds)
        shared = len(set(found["ours"]) & set(found["plain"])) / K
        target = TARGETS[name] * (1 if bf16 else WITHOUT_BF16)
        note = f"{shared:.1%} of the {K} best in common"
        lines.append(
            Line(f"{name}, committee of {size}", ours, baseline, ours / baseline, "rows/core-second", target, note)
        )
    return lines


def main() -> None:
    made = parser("scoring", __doc__)
    made.add_argument("--rows", type=int, default=16_384)
    made.add_argument("--repeats", type=int, default=3)
    options = made.parse_args()
    bf16 = prepare()
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for name in TARGETS:
            lines += compare(sample_library(name, options.rows, Path(folder)), name, bf16, options.repeats)
    report(lines, options.json)


if __name__ == "__main__":
    main()
