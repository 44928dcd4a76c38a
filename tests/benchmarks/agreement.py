"""Whether bfloat16 acquires what float32 would: the rows of least confidence, and the largest change of a probability.

    python -m tests.benchmarks.agreement --json out.json

A committee is fitted on real molecules as in a campaign and scores all others in both precisions. The share of the best
rows in common is given for acquisition batches of 1 % and 5 %.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from isd_ray.config import ModelConfig, ValidationConfig
from isd_ray.core.predictions import predict
from isd_ray.data.library import Library
from isd_ray.models.device import Placement
from isd_ray.models.fit import fit_member
from isd_ray.models.predict import CommitteePredictor
from isd_ray.models.resmlp import Architecture
from tests.benchmarks.measure import Line, parser, prepare, report
from tests.benchmarks.molecules import above_median, sample_library

FEATURES = ("ecfp4", "standard")
COMMITTEES = (1, 5)
SHARES = (0.01, 0.05)
N_LABELS = 8_000
LEAST_OVERLAP = 0.99
CPU = torch.device("cpu")


def compare(library: Library, name: str, bf16: bool) -> list[Line]:
    model = ModelConfig()
    architecture = Architecture.from_config(model, library.spec, 2)
    observed = np.arange(N_LABELS)
    members = [
        fit_member(
            library.features(observed),
            above_median(library)[observed],
            task="classification",
            architecture=architecture,
            model=model,
            validation=ValidationConfig(),
            seed=seed,
            placement=Placement(CPU, bf16),
        ).weights
        for seed in range(max(COMMITTEES))
    ]
    outputs = []
    for precision in (True, False):
        predictor = CommitteePredictor(members, architecture, Placement(CPU, precision))
        blocks = [predictor.outputs(library.block(block)) for block in range(library.n_blocks)]
        outputs.append(np.concatenate(blocks, axis=1)[:, N_LABELS:])
    largest = float(np.abs(outputs[0] - outputs[1]).max())
    lines = []
    for size in COMMITTEES:
        # Every member alone, or all together: one member's 1 % are too few rows for a third digit.
        committees = [slice(first, first + size) for first in range(0, len(members), size)]
        for share in SHARES:
            overlap = float(np.mean([common_share(*outputs, committee, share) for committee in committees]))
            what = f"{name}, committee of {size}, best {share:.0%}"
            note = f"probabilities differ by at most {largest:.1g}"
            lines.append(Line(what, overlap, 1.0, overlap, "share of rows in common", LEAST_OVERLAP, note))
    return lines


def common_share(a: NDArray[np.float32], b: NDArray[np.float32], committee: slice, share: float) -> float:
    """Share of the least certain rows by one set of outputs (M, n, K) that are also so by the other."""
    k = round(share * a.shape[1])
    best = [np.argsort(-predict(each[committee], "classification")[1], kind="stable")[:k] for each in (a, b)]
    return len(np.intersect1d(*best)) / k


def main() -> None:
    made = parser("agreement", __doc__)
    made.add_argument("--rows", type=int, default=65_536)
    options = made.parse_args()
    bf16 = prepare()
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for name in FEATURES:
            lines += compare(sample_library(name, options.rows, Path(folder)), name, bf16)
    report(lines, options.json)


if __name__ == "__main__":
    main()
