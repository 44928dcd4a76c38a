"""Size and time of the report of a large campaign: ``python -m tests.benchmarks.report``.

    python -m tests.benchmarks.report --library DIR --observed 40000     # millions of rows
    python -m tests.benchmarks.report --campaign DIR                     # a finished campaign

Without a campaign a small model screens the library first, in this process; its labels are the sizes of the compounds'
fingerprints.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from isd_ray.campaign.store import CampaignStore
from isd_ray.config_file import parse_config
from isd_ray.data.library import Library
from isd_ray.ops.simulate import simulate
from isd_ray.report.sections import render_report
from tests.benchmarks.campaigns import many_bits
from tests.benchmarks.measure import Line, parser, report
from tests.benchmarks.molecules import sample_library

SECONDS, MEGABYTES = 20.0, 8.0
"""Limits at 3.3 million rows."""


def screened(library: Library, n_observed: int, folder: Path) -> Path:
    """A finished campaign of a few rounds over a library."""
    table = {"id": library.arrow_column("id"), "many_bits": many_bits(library).astype(int).astype(str)}
    pq.write_table(pa.table(table), folder / "labels.parquet")
    config = parse_config(
        {
            "library": {"path": str(library.path), "features": library.spec.model_dump(mode="json")},
            "labels": {"source": str(folder / "labels.parquet"), "id_column": "id", "column": "many_bits"},
            "model": {"members": 1, "hidden_size": 32, "epochs": 2, "batch_size": 1024},
            "acquisition": {"batch_size": n_observed},
            "stopping": {"gamma": 0.8, "max_rounds": 4},
            "compute": {"backend": "local"},
        }
    )
    return simulate(config, folder / "campaign").path


def main(arguments=None):
    options_of = parser("report", __doc__)
    options_of.add_argument("--campaign", type=Path, help="a finished campaign; default: one is run")
    options_of.add_argument("--library", type=Path, help="a library of fingerprints; default: a sample is built")
    options_of.add_argument("--rows", type=int, default=50_000, help="size of the sample")
    options_of.add_argument("--observed", type=int, default=5_000, help="compounds of a batch")
    options = options_of.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        path = options.campaign
        if path is None:
            sample = Path(folder)
            library = (
                Library.open(options.library) if options.library else sample_library("ecfp4", options.rows, sample)
            )
            path = screened(library, options.observed, sample)
        store = CampaignStore.open(path)
        summary = json.loads((path / "summary.json").read_bytes())
        start, cpu = time.perf_counter(), time.process_time()
        page = render_report(store, summary)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    megabytes, name = len(page.encode()) / 1e6, f"{summary['n_target']:,} rows"
    note = f"{cpu:.1f} s of processor time"
    report(
        [
            Line(f"{name}: time", seconds, SECONDS, SECONDS / seconds, "s", 1.0, note),
            Line(f"{name}: size", megabytes, MEGABYTES, MEGABYTES / megabytes, "MB", 1.0),
        ],
        options.json,
    )


if __name__ == "__main__":
    main()
