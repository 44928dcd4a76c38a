"""A whole screen of up to 10^8 compounds on one machine, leg by leg: processor time a row, and memory of each process.

    python -m tests.benchmarks.hundred_million --out FOLDER --rows 1000000 10000000 100000000

A source of ids and texts is written and built to a library as any other, by two processes that draw 48 on-bits for
each text where they would do chemistry. A campaign of a laboratory then measures some of it: a batch drawn at random, a
chosen one, and a look, on Ray with one trainer, two scorers and a committee of one small network. Batches have the same
size for any number of rows, so that what grows is what the rows cost. At last the campaign is verified and exported.

10^8 rows take about 20 GB of disk. What is done is on record in FOLDER: the same command goes on, and prints the table.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from isd_ray.actors.workers import RayWorkers
from isd_ray.campaign.backend import Backend
from isd_ray.campaign.setup import CampaignSetup, open_loop
from isd_ray.campaign.store import CampaignStore
from isd_ray.config import CampaignConfig
from isd_ray.config_file import parse_config
from isd_ray.core.features import OnBits
from isd_ray.data.ingest.build import build_library
from isd_ray.data.ingest.molecules import done
from isd_ray.data.library import Library
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.connect import ray_session
from isd_ray.ops.run import Steps
from isd_ray.ops.verify import verify
from isd_ray.report.digest import digest_of
from tests.benchmarks.legs import Leg, Legs, LegsOfCalls
from tests.benchmarks.without_chemistry import SPEC, prepared, write_source

BATCH, HIDDEN, GAMMA = 10_000, 128, 0.8
WORKERS = 2
MEMORY = "24 GiB"
"""What the check before the start allows: it reckons with the labels of a simulation."""
LEGS = {
    "source": "write the source",
    "build": "build the library",
    "open": "open and hash the library",
    "create": "begin the campaign",
    "fit": "fit",
    "score": "score",
    "freeze": "freeze",
    "look": "draw and judge the audit",
    "tell": "tell",
    "write_hybrid": "hybrid screen",
    "rest": "all else in the rounds, and the results",
    "verify": "verify",
    "export": "export to Parquet",
    "digest": "digest of the report",
}
"""Legs of the table, in its order."""
ROLES = ("driver", "Trainer", "Scorer")
"""Processes of the table; the others hold the same for any number of rows."""
OUTSIDE = ("source", "build", "open", "create", "ask", "tell", "verify", "export", "digest")
"""Legs that are no calls of workers."""
OF_LOOK = ("look_up", "count_ranks", "most_uncertain", "forecast_look", "decide_look")


def config_of(folder: Path) -> CampaignConfig:
    library = {
        "path": str(folder / "library"),
        "source": str(folder / "source.parquet"),
        "smiles_column": "text",
        "id_column": "id",
        "features": SPEC.model_dump(mode="json"),
    }
    return parse_config(
        {
            "library": library,
            "labels": {"column": "label", "classes": ["inactive", "active"]},
            "model": {"families": ["resmlp"], "members": 1, "hidden_size": HIDDEN, "epochs": 5, "batch_size": 256},
            "acquisition": {"batch_size": BATCH},
            "stopping": {"gamma": GAMMA, "max_compounds": 10 * BATCH},
            "compute": {"scorers": WORKERS, "memory": MEMORY},
        }
    )


def build(folder: Path) -> None:
    config = config_of(folder).library
    work = partial(done, prepared, n_processes=WORKERS)
    build_library(config, folder / "library", base_dir=folder, prepare=work)


def readouts_of(library: Library, ids: list[str]) -> dict[str, str]:
    """The class of compounds, which follows from their bits."""
    weights = np.random.default_rng(0).standard_normal(SPEC.width)
    features = library.features(np.array([int(name[1:]) for name in ids]))
    assert isinstance(features, OnBits)
    active = np.add.reduceat(weights[features.values], features.offsets[:-1]) > 0
    return dict(zip(ids, np.where(active, "active", "inactive").tolist(), strict=True))


def screen(folder: Path, legs: Legs) -> None:
    """Measure batch after batch, to the end."""
    config = config_of(folder)
    with legs.leg("create"):
        Campaign.create(folder / "run", config)
    with ray_session(config.compute):
        backend: Backend | None = None

        def steps(setup: CampaignSetup) -> Steps:
            nonlocal backend
            backend = backend or Backend(setup.spec, setup.truth, RayWorkers(setup.spec, str(setup.out)))
            measured: Any = LegsOfCalls(backend, legs)
            loop = open_loop(setup, measured)
            while True:
                progress = loop.advance()
                yield progress
                if progress.done or progress.waiting:
                    return

        campaign = Campaign(CampaignStore.open(folder / "run"), run=steps)
        while not campaign.has_ended:
            with legs.leg("ask"):
                batch = campaign.ask()
            if batch is None:
                break
            readouts = readouts_of(campaign.library, batch.ids)
            with legs.leg("tell"):
                campaign.tell(readouts)
        if backend is not None:
            backend.close()


def open_and_hash(folder: Path) -> None:
    Library.open(folder / "library").verify()


def verify_run(folder: Path) -> None:
    found = verify(CampaignStore.open(folder / "run"))
    assert found.is_sound, found.problems


def export_run(folder: Path) -> None:
    Campaign.open(folder / "run").export(folder / "screen.parquet")


def digest_run(folder: Path) -> None:
    digest_of(folder / "run" / "hybrid", "classification")


def run_leg(name: str, folder: Path, n_rows: int) -> None:
    """One leg, or all legs of the screen, in a process of its own."""
    legs = Legs(folder / "legs.jsonl")
    if name == "screen":
        screen(folder, legs)
        return
    works: dict[str, Callable[[], None]] = {
        "source": partial(write_source, folder / "source.parquet", n_rows),
        "build": partial(build, folder),
        "open": partial(open_and_hash, folder),
        "verify": partial(verify_run, folder),
        "export": partial(export_run, folder),
        "digest": partial(digest_run, folder),
    }
    with legs.leg(name):
        works[name]()


def is_done(name: str, folder: Path) -> bool:
    if name == "screen":
        return CampaignStore.exists(folder / "run") and CampaignStore.open(folder / "run").is_delivered()
    return any(leg.name == name for leg in Legs(folder / "legs.jsonl").done())


def by_name(folder: Path) -> dict[str, Leg]:
    """The legs of one size: those of several rounds summed, but fits and passes, of which the table has the mean."""
    found: dict[str, list[Leg]] = defaultdict(list)
    for leg in Legs(folder / "legs.jsonl").done():
        found["look" if leg.name in OF_LOOK else leg.name].append(leg)
    together = {}
    for name, legs in found.items():
        n = len(legs) if name in ("fit", "score") else 1
        roles = {role for leg in legs for role in leg.peak}
        peak = {role: max(leg.peak.get(role, 0) for leg in legs) for role in roles}
        together[name] = Leg(name, sum(leg.wall for leg in legs) / n, sum(leg.cpu for leg in legs) / n, peak)
    asked = together["ask"]
    calls = [leg for name, legs in found.items() if name not in OUTSIDE for leg in legs]
    wall, cpu = (getattr(asked, kind) - sum(getattr(leg, kind) for leg in calls) for kind in ("wall", "cpu"))
    together["rest"] = Leg("rest", wall, cpu, {"driver": asked.peak["driver"]})
    return together


def table(out: Path) -> str:
    """Processor time a row of all sizes that are done, and of the largest the rest."""
    sizes = sorted(int(folder.name) for folder in out.iterdir() if folder.name.isdigit() and is_done("digest", folder))
    found = {n_rows: by_name(out / str(n_rows)) for n_rows in sizes}
    largest = found[sizes[-1]]
    heads = [f"{n_rows:,} rows: CPU-µs a row" for n_rows in sizes]
    lines = [["leg", *heads, "last / first", "wall (s)", "CPU (s)", "memory (MiB)"]]
    for name, words in LEGS.items():
        if name not in largest:
            continue
        cells = [1e6 * found[n_rows][name].cpu / n_rows for n_rows in sizes]
        held = sorted(((size >> 20, role) for role, size in largest[name].peak.items()), reverse=True)
        memory = ", ".join(f"{role} {size:,}" for size, role in held if role in ROLES)
        last = [f"{cells[-1] / cells[0]:.2f}", f"{largest[name].wall:,.1f}", f"{largest[name].cpu:,.1f}", memory]
        lines.append([words, *(f"{cell:.2f}" for cell in cells), *last])
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000])
    options = parser.parse_args(arguments)
    for n_rows in options.rows:
        folder = options.out.resolve() / str(n_rows)
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("source", "build", "open", "screen", "verify", "export", "digest"):
            if not is_done(name, folder):
                with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
                    process.submit(run_leg, name, folder, n_rows).result()
    print(table(options.out))


if __name__ == "__main__":
    main()
