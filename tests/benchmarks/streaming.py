"""A fit on a million observed rows: memory beyond the memory-mapped files, and what shuffled reading costs.

    python -m tests.benchmarks.streaming --json out.json

Rows are synthetic (320 on-bits of 12,288) and lie in one file for each batch, as a campaign's trainers find them.
"""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import numpy as np

from isd_ray.config import ModelConfig, ValidationConfig
from isd_ray.core.features import FeatureBlocks, OnBits, Stack, stack
from isd_ray.data.blocks.description import MAIN_ON_BITS
from isd_ray.data.features_file import read_features, write_features
from isd_ray.models.device import Placement
from isd_ray.models.fit import fit_member
from isd_ray.models.resmlp import Architecture
from tests.benchmarks.gpu import BLOCK_ROWS, WIDTH, synthetic_block
from tests.benchmarks.measure import Line, core_seconds, parser, prepare, report

FILES_OF_BLOCKS = 5
BATCH = 1024
SAMPLE_SECONDS = 0.05


class PeakMemory:
    """Largest anonymous resident memory of this process within a ``with`` block, beyond that at its start; bytes."""

    def __enter__(self) -> PeakMemory:
        self.start = self.peak = self._now()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def growth(self) -> int:
        return self.peak - self.start

    def _watch(self) -> None:
        while not self._done.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, self._now())

    def _now(self) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def observed_rows(n_rows: int, folder: Path) -> Stack[OnBits]:
    blocks = [synthetic_block(seed) for seed in range(FILES_OF_BLOCKS)]
    files = []
    for number in range(-(-n_rows // (FILES_OF_BLOCKS * BLOCK_ROWS))):
        files.append(folder / f"{number}.arrow")
        features = stack(blocks).take(np.arange(FILES_OF_BLOCKS * BLOCK_ROWS))
        write_features(FeatureBlocks({MAIN_ON_BITS: features}), files[-1])
    parts = [part for file in files for part in read_features(file, {MAIN_ON_BITS: WIDTH}, MAIN_ON_BITS)]
    return stack([part[MAIN_ON_BITS] for part in parts])


def main() -> None:
    made = parser("streaming", __doc__)
    made.add_argument("--rows", type=int, default=1_000_000)
    options = made.parse_args()
    bf16 = prepare()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        observed = observed_rows(options.rows, Path(folder))
        n_rows = len(observed)

        def read() -> None:
            order = rng.permutation(n_rows)
            for start in range(0, n_rows, BATCH):
                observed.take(np.sort(order[start : start + BATCH]))

        def fit() -> None:
            fit_member(
                observed,
                rng.integers(0, 2, n_rows),
                task="classification",
                architecture=Architecture("on_bits", WIDTH, 2),
                model=ModelConfig(batch_size=BATCH, epochs=1),
                validation=ValidationConfig(),
                seed=0,
                placement=Placement(bf16=bf16),
            )

        reading = n_rows / core_seconds(read)
        with PeakMemory() as memory:
            training = n_rows / core_seconds(fit)
    bytes_a_row = memory.growth / n_rows
    note = f"{memory.growth / 1e6:.0f} MB for {n_rows} rows; baseline: dense float32"
    lines = [
        Line("memory", 1e6 / bytes_a_row, 1e6 / (4 * WIDTH), 4 * WIDTH / bytes_a_row, "rows/MB", note=note),
        Line("shuffled reading", reading, training, reading / training, "rows/core-second", note="baseline: the fit"),
    ]
    report(lines, options.json)


if __name__ == "__main__":
    main()
