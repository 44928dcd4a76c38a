"""Cost of a scoring pass by rows and by scorers: ``python -m tests.benchmarks.scaling --library DIR``.

One backend on Ray for each number of scorers; the inference set is whole blocks, evenly spread over the library.
`baseline` is what linear growth from the smallest set would cost, so a ratio of 1 is linear, and above 1 better.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from isd_ray.actors.workers import RayWorkers
from isd_ray.campaign.backend import Backend
from isd_ray.config_file import parse_config
from isd_ray.data.library import Library
from isd_ray.messages import Committee, ScoreRequest, WorkerSpec
from isd_ray.models.committee import committee_hash
from isd_ray.models.fit import fit_member
from isd_ray.models.resmlp import Architecture
from isd_ray.ops.connect import ray_session
from tests.benchmarks.campaigns import CLASSES, many_bits
from tests.benchmarks.measure import Line, parser, report
from tests.benchmarks.molecules import sample_library

SIZES = (100_000, 300_000, 1_000_000, 3_300_000)
FITTED_ROWS = 2_000
FAMILY = "resmlp"


def main(arguments=None):
    options_of = parser("scaling", __doc__)
    options_of.add_argument("--library", type=Path, help="a library of fingerprints; default: a sample is built")
    options_of.add_argument("--rows", type=int, default=50_000, help="size of the sample")
    options_of.add_argument("--members", type=int, default=1)
    options_of.add_argument("--scorers", type=int, nargs="+", default=[1, 2])
    options_of.add_argument("--k", type=int, default=10_000)
    options = options_of.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        if options.library is None:
            library = sample_library("ecfp4", options.rows, Path(folder))
        else:
            library = Library.open(options.library)
        sizes = [size for size in SIZES if size <= library.n_rows] or [library.n_rows // 4, library.n_rows]
        seconds = {}
        for scorers in options.scorers:
            config = parse_config(
                {
                    "library": {"path": str(library.path), "features": library.spec.model_dump(mode="json")},
                    "labels": {"column": "many_bits"},
                    "model": {"families": [FAMILY], "members": options.members, "epochs": 2},
                    "acquisition": {"batch_size": options.k},
                    "compute": {"scorers": scorers},
                }
            )
            committee = fitted(library, config)
            with ray_session(config.compute):
                spec = WorkerSpec(config, {"target": str(library.path)}, CLASSES)
                backend = Backend(spec, {}, RayWorkers(spec))
                # Once to map the files and to load the committee.
                backend.score(request(library, sizes[0], options.k), committee)
                for size in sizes:
                    start = time.perf_counter()
                    backend.score(request(library, size, options.k), committee)
                    seconds[scorers, size] = time.perf_counter() - start
                backend.close()
    lines = []
    for (scorers, size), ours in seconds.items():
        first = seconds[options.scorers[0], sizes[0]] * (size / sizes[0]) * (options.scorers[0] / scorers)
        lines.append(Line(f"{size:,} rows, {scorers} scorers", ours, first, first / ours, "s"))
    report(lines, options.json)


def fitted(library, config):
    rows = np.linspace(0, library.n_rows - 1, FITTED_ROWS).astype(np.int64)
    labels = many_bits(library)[rows].astype(np.int64)
    architecture = Architecture.from_config(config.model, library.spec, len(CLASSES))
    members = tuple(
        fit_member(
            library.features(rows), labels, task="classification", architecture=architecture, model=config.model,
            validation=config.validation, seed=seed,
        ).weights
        for seed in range(config.model.members)
    )  # fmt: skip
    families, shares = (FAMILY,) * len(members), {FAMILY: 1.0}
    return Committee(committee_hash(members, families, shares), members, families, shares)


def request(library, size, k):
    blocks = np.linspace(0, library.n_blocks - 1, max(1, round(size / library.block_rows))).astype(np.int64)
    inference = np.isin(np.arange(library.n_rows) // library.block_rows, blocks)
    return ScoreRequest(1, k, 0, np.packbits(inference), np.empty(0, np.int64))


if __name__ == "__main__":
    main()
