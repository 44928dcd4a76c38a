"""The compute core without Ray on whatever `device = "auto"` finds: scoring, fitting, members stacked or in turn.

    python -m tests.benchmarks.gpu --json out.json

On a card: 3.3 million rows of 320 on-bits by 5 members, transfers from host memory and back included; on a machine
without one the same code at a small size. Features are synthetic, so nothing but torch is needed. Speeds are rows per
second of wall time, the fastest of the repetitions.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from isd_ray.config import ModelConfig, ValidationConfig
from isd_ray.core.features import OnBits, concatenate
from isd_ray.models.device import Placement, configure_threads, resolve_placement
from isd_ray.models.fit import fit_member
from isd_ray.models.predict import CommitteePredictor
from isd_ray.models.resmlp import Architecture, initial_weights
from tests.benchmarks.measure import Line, parser, report
from tests.benchmarks.plain import dense, plain_fit, plain_network, plain_top
from tests.benchmarks.stacked import InTurn, Stacked

WIDTH, ON_BITS, BLOCK_ROWS, MEMBERS = 12_288, 320, 8_192, 5
"""The `standard` features and the default block."""
REPEATS = 3
H200_SECONDS = 2.0
"""3.3 million rows by 5 members, transfers included, should take no longer on an H200."""


@dataclass(frozen=True)
class Size:
    score_rows: int
    distinct_blocks: int
    fit_rows: int
    fit_batches: tuple[int, ...]
    plain_rows: int
    stacked_steps: int


ON_A_CARD = Size(3_325_952, 16, 131_072, (1_024, 32_768), 32_768, 100)
ON_A_CPU = Size(16_384, 2, 8_192, (1_024,), 4_096, 2)


def synthetic_block(seed: int) -> OnBits:
    """Rows of 320 distinct bits, some of which are far more common than others, as in real fingerprints."""
    rng = np.random.default_rng(seed)
    bits = (WIDTH * rng.random((BLOCK_ROWS, 2 * ON_BITS)) ** 3).astype(np.uint16)
    rows = [np.unique(row)[:ON_BITS] for row in bits]
    offsets = np.zeros(BLOCK_ROWS + 1, dtype=np.int64)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    return OnBits(np.concatenate(rows), offsets, WIDTH)


def fastest(work: Callable[[], object], placement: Placement) -> float:
    """Wall seconds of the fastest of some runs after one that warms up."""
    seconds = []
    for _ in range(REPEATS + 1):
        if not placement.on_cpu:
            torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        if not placement.on_cpu:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def scoring_line(blocks: list[OnBits], size: Size, placement: Placement) -> Line:
    architecture, model = Architecture("on_bits", WIDTH, 2), ModelConfig()
    members = [initial_weights(architecture, np.random.default_rng(seed)) for seed in range(MEMBERS)]
    predictor = CommitteePredictor(members, architecture, placement)
    networks = [plain_network(weights, model, placement.device) for weights in members]
    n_blocks = size.score_rows // BLOCK_ROWS
    x = dense(blocks[0])[: size.plain_rows]

    def ours() -> None:
        for index in range(n_blocks):
            predictor.outputs(blocks[index % len(blocks)])

    seconds = fastest(ours, placement)
    plain = len(x) / fastest(lambda: plain_top(networks, x, 100, placement.device), placement)
    note = f"{seconds:.2f} s for {size.score_rows} rows"
    if not placement.on_cpu:
        note += f", at most {H200_SECONDS} s on an H200"
    speed = size.score_rows / seconds
    return Line(f"scoring by {MEMBERS} members", speed, plain, speed / plain, "rows/s", note=note)


def fitting_line(blocks: list[OnBits], batch_size: int, size: Size, placement: Placement) -> Line:
    model = ModelConfig(batch_size=batch_size, epochs=2, patience=2)
    stacked = concatenate([blocks[index % len(blocks)] for index in range(-(-size.fit_rows // BLOCK_ROWS))])
    features, held_out = stacked.take(np.arange(size.fit_rows)), blocks[0].take(np.arange(1_024))
    labels = np.random.default_rng(0).integers(0, 2, size.fit_rows)
    plain = (dense(features.take(np.arange(size.plain_rows))), torch.from_numpy(labels[: size.plain_rows]))
    plain_held_out = (dense(held_out), torch.from_numpy(labels[:1_024]))

    def ours() -> None:
        fit_member(
            features,
            labels,
            task="classification",
            architecture=Architecture("on_bits", WIDTH, 2),
            model=model,
            validation=ValidationConfig(),
            seed=0,
            external=(held_out, labels[:1_024]),
            placement=placement,
        )

    speed = model.epochs * size.fit_rows / fastest(ours, placement)
    plain_seconds = fastest(lambda: plain_fit(plain, plain_held_out, model, 0, placement.device), placement)
    plain_speed = model.epochs * size.plain_rows / plain_seconds
    return Line(f"fitting, batch {batch_size}", speed, plain_speed, speed / plain_speed, "rows/s")


def take_steps(trainer: Stacked | InTurn, batch: object, n_steps: int) -> None:
    for _ in range(n_steps):
        trainer.step(batch)


def stacking_line(blocks: list[OnBits], batch_size: int, size: Size, placement: Placement) -> Line:
    """Training steps of all members, by batched matrices or one after the other."""
    architecture = Architecture("on_bits", WIDTH, 2)
    members = [initial_weights(architecture, np.random.default_rng(seed)) for seed in range(MEMBERS)]
    rng = np.random.default_rng(0)
    parts = [concatenate(blocks).take(rng.integers(0, len(blocks) * BLOCK_ROWS, batch_size)) for _ in members]
    labels = [rng.integers(0, 2, batch_size) for _ in members]
    speeds, losses = [], []
    for way in (Stacked, InTurn):
        trainer = way(members, architecture, placement)
        batch = trainer.batch(parts, labels)
        losses.append(trainer.step(batch))
        seconds = fastest(partial(take_steps, trainer, batch, size.stacked_steps), placement)
        speeds.append(MEMBERS * batch_size * size.stacked_steps / seconds)
    name = f"{MEMBERS} members stacked, batch {batch_size} (baseline: in turn)"
    note = f"first losses differ by at most {float((losses[0] - losses[1]).abs().max()):.1g}"
    return Line(name, *speeds, speeds[0] / speeds[1], "member rows/s", note=note)


def main() -> None:
    options = parser("gpu", __doc__).parse_args()
    configure_threads(1)
    placement = resolve_placement("auto", "auto")
    size = ON_A_CPU if placement.on_cpu else ON_A_CARD
    where = "no CUDA device: the same code on the CPU, small" if placement.on_cpu else torch.cuda.get_device_name()
    print(f"torch {torch.__version__}, {where}, {'bfloat16' if placement.bf16 else 'float32'} products")
    blocks = [synthetic_block(seed) for seed in range(size.distinct_blocks)]
    lines = [scoring_line(blocks, size, placement)]
    lines += [fitting_line(blocks, batch_size, size, placement) for batch_size in size.fit_batches]
    lines += [stacking_line(blocks, batch_size, size, placement) for batch_size in (256, 1_024)]
    report(lines, options.json)


if __name__ == "__main__":
    main()
