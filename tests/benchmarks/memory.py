"""Memory of every process of a screen on Ray beside what `isd plan` and the check before a start reckon.

    python -m tests.benchmarks.memory --rows 100000 1000000 --json out.json

A whole screen of a synthetic library, from its labels to its report, in a process of its own for each size: random
batches and chosen ones, a look, the hybrid screen. No chemistry is done: rows have 48 on-bits, and their class follows
from the bits. Measured is what a process holds alone; what all share, Ray's object store, is said beside.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from isd_ray.config import CampaignConfig, Fingerprint, OnBitFeatures
from isd_ray.config_file import parse_config
from isd_ray.core.features import OnBits
from isd_ray.core.memory import MIB, ScreenSize, memory_of_each, memory_together, network_bytes
from isd_ray.data.layout import FEATURES, features_to_arrow
from isd_ray.data.library import Library
from isd_ray.data.writer import LibraryWriter, RejectsWriter, write_metadata
from isd_ray.ops.simulate import simulate
from tests.benchmarks.measure import Line, parser, report
from tests.benchmarks.memory_by_process import OWN, MemoryWatch

ON_BITS, BLOCK_ROWS, PART_BLOCKS = 48, 8_192, 16
LEAST, MOST = 1 / 1.1, 1.5
"""How far below and above the truth the model may be."""
BATCHES = 50
"""A batch is one of so many parts of the library."""
LABELS, LABEL = "labels.parquet", "class"
SPEC = OnBitFeatures(fingerprints=(Fingerprint(kind="morgan"),))


def synthetic_library(n_rows: int, folder: Path) -> Library:
    """A library of random on-bits; the class of a row is the sign of a sum of weights of its bits."""
    weights = np.random.default_rng(0).standard_normal(SPEC.width)
    known = pq.ParquetWriter(folder.with_name(LABELS), pa.schema({"id": pa.string(), LABEL: pa.string()}))
    writer = LibraryWriter(folder, BLOCK_ROWS, PART_BLOCKS)
    part_rows = BLOCK_ROWS * PART_BLOCKS
    for first in range(0, n_rows, part_rows):
        size, rng = min(part_rows, n_rows - first), np.random.default_rng(first + 1)
        bits = np.sort(rng.integers(0, SPEC.width, (size, ON_BITS), dtype=np.uint16), axis=1)
        features = OnBits(bits.ravel(), np.arange(size + 1, dtype=np.int64) * ON_BITS, SPEC.width)
        rows = np.arange(first, first + size)
        ids = pa.array([f"C{row:09d}" for row in rows])
        labels = pa.array(np.where(weights[bits].sum(axis=1) > 0, "active", "inactive"))
        known.write_table(pa.table({"id": ids, LABEL: labels}))
        columns = {
            "id": ids,
            "smiles": pa.array(["C" * 40] * size),
            "record": pa.array(rows),
            FEATURES: features_to_arrow(features),
        }
        writer.append(pa.table(columns))
    known.close()
    parts = writer.close()
    RejectsWriter(folder / "rejects.parquet").close()
    write_metadata(
        folder,
        {
            "n_rows": n_rows,
            "features": SPEC.model_dump(mode="json"),
            "width": SPEC.width,
            "block_rows": BLOCK_ROWS,
            "parts": parts,
            "sources": [],
            "counts": {"read": n_rows, "kept": n_rows, "duplicates": 0, "rejected": {}, "changed": {}},
            "columns": [],
            "options": {"part_blocks": PART_BLOCKS},
            "rdkit": "none",
        },
    )
    return Library.open(folder)


def config_of(library: Library, members: int, workers: int) -> CampaignConfig:
    return parse_config(
        {
            "library": {"path": str(library.path), "features": SPEC.model_dump(mode="json")},
            "labels": {"source": str(library.path.with_name(LABELS)), "id_column": "id", "column": LABEL},
            "model": {"families": ["resmlp"], "members": members, "epochs": 2, "batch_size": 1024},
            "acquisition": {"batch_size": library.n_rows // BATCHES},
            "stopping": {"gamma": 0.6, "max_fraction": 0.2},
            "compute": {"trainers": workers, "scorers": workers},
        }
    )


def measured(config: CampaignConfig, out: Path) -> tuple[dict[str, int], int, int, int]:
    """Bytes of the largest process of each kind, of all together, of what they share; and the rows acquired."""
    with MemoryWatch((OWN,), 0.5) as memory:
        acquired = simulate(config, out).summary["n_acquired"]
    return dict(memory.peak), memory.total, memory.shared, acquired


def compared(config: CampaignConfig, library: Library, out: Path) -> list[Line]:
    """The model beside a screen in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as process:
        peaks, total, shared, acquired = process.apply(measured, (config, out))
    n, model, compute = library.n_rows, config.model, config.compute
    size = ScreenSize(
        n_rows=n,
        n_observed=acquired,
        n_outputs=0,
        members=model.n_members,
        member_bytes=network_bytes(library.width, model.hidden_size, model.residual_blocks, 2),
        row_values=0.0,
        block_rows=BLOCK_ROWS,
        part_rows=min(n, BLOCK_ROWS * PART_BLOCKS),
        trainers=compute.trainers,
        scorers=compute.scorers,
    )
    found = {**memory_of_each(size), "all of them, and Ray": memory_together(size, 0.0)}
    truth = {name.lower(): peak for name, peak in peaks.items()} | {"all of them, and Ray": total}
    judge = peaks.get("BoundActor", 0) / MIB
    print(f"{n:,} rows, {acquired:,} acquired; shared by all {shared / MIB:,.0f} MiB, the judge {judge:,.0f} MiB")
    lines = []
    for name, reckoned in found.items():
        ratio = reckoned / truth[name]
        note = "" if LEAST <= ratio <= MOST else f"MISSED: {LEAST:.2f} to {MOST:g}"
        lines.append(Line(f"{n:,} rows: {name}", reckoned / MIB, truth[name] / MIB, ratio, "MiB", note=note))
    return lines


def main(arguments=None):
    options_of = parser("memory", __doc__)
    options_of.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    options_of.add_argument("--members", type=int, default=3)
    options_of.add_argument("--workers", type=int, default=2, help="trainers, and scorers")
    options = options_of.parse_args(arguments)
    lines: list[Line] = []
    for n_rows in options.rows:
        with tempfile.TemporaryDirectory() as folder:
            library = synthetic_library(n_rows, Path(folder) / "library")
            config = config_of(library, options.members, options.workers)
            lines += compared(config, library, Path(folder) / "run")
    report(lines, options.json)


if __name__ == "__main__":
    main()
