"""Rows trained per core-second, by isd_ray and by a plain PyTorch loop, at equal validation loss.

    python -m tests.benchmarks.fitting --json out.json

Both fit the same network on the same real molecules for the same epochs, from initial weights of the same distribution,
and keep the weights of the best epoch; each repetition has its own seed, and the losses are means over seeds. The plain
loop is given its dense float32 features ready-made in memory. Batches of 32,768 are the paper's for Molecules3D, where
it fits 5 members for 30 epochs: their time is 150 times that of one member and epoch.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from isd_ray.config import ModelConfig, ValidationConfig
from isd_ray.core.features import OnBits
from isd_ray.data.library import Library
from isd_ray.models.device import Placement
from isd_ray.models.fit import fit_member
from isd_ray.models.resmlp import Architecture
from tests.benchmarks.measure import WITHOUT_BF16, Line, core_seconds, parser, prepare, report
from tests.benchmarks.molecules import above_median, sample_library
from tests.benchmarks.plain import dense, plain_fit

HELD_OUT = 2_000
SAME_LOSS = 1.03
"""Our loss may be this many times the plain one: two seeds of one loop differ as much."""
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Case:
    features: str
    batch_size: int
    n_train: int
    epochs: int
    repeats: int
    target: float | None


CASES = (
    Case("ecfp4", 1_024, 16_000, 4, 3, 3.0),
    Case("standard", 1_024, 16_000, 4, 3, 4.0),
    Case("standard", 32_768, 32_768, 8, 1, None),
)


def compare(library: Library, case: Case, bf16: bool) -> Line:
    model = ModelConfig(batch_size=case.batch_size, epochs=case.epochs, patience=case.epochs)
    labels = above_median(library)[: HELD_OUT + case.n_train]
    held_out, train = np.split(np.arange(len(labels)), [HELD_OUT])
    parts = {name: (library.features(rows), labels[rows]) for name, rows in (("held", held_out), ("train", train))}
    plain = {name: (dense(x), torch.from_numpy(y)) for name, (x, y) in parts.items() if isinstance(x, OnBits)}
    losses: dict[str, list[float]] = {"ours": [], "plain": []}

    def ours(seed: int) -> None:
        fitted = fit_member(
            *parts["train"],
            task="classification",
            architecture=Architecture.from_config(model, library.spec, 2),
            model=model,
            validation=ValidationConfig(),
            seed=seed,
            external=parts["held"],
            placement=Placement(CPU, bf16),
        )
        losses["ours"].append(fitted.validation_loss)

    def theirs(seed: int) -> None:
        losses["plain"].append(plain_fit(plain["train"], plain["held"], model, seed, CPU))

    seconds = [[core_seconds(partial(fit, seed)) for fit in (ours, theirs)] for seed in range(case.repeats)]
    speeds = len(train) * case.epochs / np.min(seconds, axis=0)
    loss, plain_loss = float(np.mean(losses["ours"])), float(np.mean(losses["plain"]))
    same = "equal" if loss <= SAME_LOSS * plain_loss else "WORSE"
    return Line(
        f"{case.features}, batch {case.batch_size}",
        *speeds.tolist(),
        speeds[0] / speeds[1],
        "rows/core-second",
        case.target if case.target is None or bf16 else WITHOUT_BF16 * case.target,
        f"validation loss {loss:.4f}, plain {plain_loss:.4f}: {same}",
    )


def main() -> None:
    made = parser("fitting", __doc__)
    options = made.parse_args()
    bf16 = prepare()
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        n_rows = int(1.02 * max(case.n_train for case in CASES)) + HELD_OUT
        libraries = {
            name: sample_library(name, n_rows, Path(folder)) for name in dict.fromkeys(case.features for case in CASES)
        }
        lines = [compare(libraries[case.features], case, bf16) for case in CASES]
    report(lines, options.json)


if __name__ == "__main__":
    main()
