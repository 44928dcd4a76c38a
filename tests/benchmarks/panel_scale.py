"""The paper's largest panel (Fig. 9), 102,855 compounds by 5,580 genes: ``python -m tests.benchmarks.panel_scale``.

From simulated wells to the map, to packed labels, to whole rounds in one process: seconds and memory of each phase.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from isd_ray.campaign.backend import Backend
from isd_ray.campaign.setup import begin_or_resume, open_loop
from isd_ray.campaign.watcher import Watcher
from isd_ray.campaign.workers import LocalWorkers
from isd_ray.config import PhenomicsConfig
from isd_ray.config_file import parse_config
from isd_ray.data.phenomics.build import build_map
from isd_ray.ops.prepare import prepare
from isd_ray.ops.results import read_rounds
from tests.benchmarks.campaigns import TimedBackend, timed_rounds
from tests.benchmarks.measure import Line, parser, report
from tests.benchmarks.memory_by_process import MemoryWatch

SCRIPT = Path(__file__).parents[2] / "examples" / "paper" / "simulate_wells.py"
MEMORY = 4 << 30
"""Limit of every phase."""


class Phases:
    """Seconds and peak memory of one phase after another."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        with MemoryWatch() as memory:
            yield
        seconds, gib = time.perf_counter() - start, max(memory.total, 1) / 2**30
        print(f"{name}: {seconds:.1f} s, {gib:.2f} GiB", flush=True)
        self.lines.append(Line(f"{name}: memory", gib, MEMORY / 2**30, MEMORY / 2**30 / gib, "GiB", 1.0))


def simulated(folder: Path, compounds: int, genes: int) -> None:
    """Wells of as many compounds and genes, all of them active: one well a plate, two plates each."""
    spec = importlib.util.spec_from_file_location("simulate_wells", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = script
    spec.loader.exec_module(script)
    size = script.Size(
        genes=genes,
        active_genes=genes,
        guides=2,
        gene_plates=4,
        compounds=compounds,
        compound_experiments=2,
        compound_plates=1,
        controls=200,
    )
    script.simulate(size, folder)


def main(arguments=None):
    options_of = parser("panel_scale", __doc__)
    options_of.add_argument("--folder", type=Path, help="keeps wells and map here, and takes them from here")
    options_of.add_argument("--compounds", type=int, default=102_855)
    options_of.add_argument("--genes", type=int, default=5_580)
    options_of.add_argument("--observed", type=int, default=10_000)
    options_of.add_argument("--batch", type=int, default=1_000)
    options_of.add_argument("--members", type=int, default=1)
    options_of.add_argument("--epochs", type=int, default=5)
    options_of.add_argument("--rounds", type=int, default=2, help="rounds with a model")
    options_of.add_argument("--head", default="outputs", choices=["outputs", "two-tower"])
    options = options_of.parse_args(arguments)
    phases = Phases()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        if not (folder / "truth.parquet").is_file():
            simulated(folder, options.compounds, options.genes)
        if not (folder / "map" / "summary.json").is_file():
            with phases.phase("wells to map"):
                print(
                    build_map(
                        PhenomicsConfig(embedding=("embedding",)), "wells.parquet", folder / "map", base_dir=folder
                    )
                )
        tower = {"head": "two-tower", "output_embeddings": str(folder / "map" / "genes.parquet")}
        config = parse_config(
            {
                "task": "panel",
                "library": {
                    "source": str(folder / "compounds.parquet"),
                    "id_column": "id",
                    "smiles_column": "",
                    "duplicates": "keep",
                    "block_rows": 1024,
                    "features": {"kind": "dense", "column": "embedding", "width": 64},
                },
                "labels": {"source": str(folder / "map" / "labels.parquet"), "columns": ["*"]},
                "model": {
                    "preset": "proprietary",
                    "epochs": options.epochs,
                    "members": options.members,
                    **(tower if options.head == "two-tower" else {}),
                },
                "acquisition": {"batch_size": options.batch, "initial_size": options.observed},
                "stopping": {"rule": "none"},
                "compute": {"backend": "local"},
            }
        )
        with phases.phase("library and labels"):
            setup = prepare(config, Path(temporary) / "run", Watcher())
        assert setup.labels is not None
        print(f"{len(setup.labels.labels):,} compounds, {len(setup.rule.outputs):,} outputs")
        with phases.phase("rounds"):
            backend = TimedBackend(Backend(setup.spec, setup.truth, LocalWorkers(setup.spec)))
            rounds = timed_rounds(open_loop(setup, backend), begin_or_resume(setup), backend, 1 + options.rounds)
            accuracy = read_rounds(setup.out)[-1]["system_accuracy"]
    print(f"share of right outputs, true: {accuracy:.4f}")
    for record in rounds:
        calls = ", ".join(f"{name} {seconds:.2f}" for name, seconds in record["calls"].items() if seconds >= 0.005)
        print(f"round {record['round']}: {record['wall']:.1f} s; {calls}")
    report(phases.lines, options.json)


if __name__ == "__main__":
    main()
