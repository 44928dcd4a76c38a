"""What `isd plan` says beforehand beside what screens then take: six of different shape.

    python -m tests.benchmarks.plan --out runs/plan

Each screen has a past one to learn from: other compounds of the same kind, a part as many, drawn at random. The plan is
made first (`--like` the past screen's campaign file), then `isd simulate` builds the library and runs the screen, in a
process of its own that is watched. What is finished is kept: the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from isd_ray.config import CampaignConfig
from isd_ray.config_file import parse_config, to_toml
from isd_ray.core.memory import MIB, memory_in_one, memory_together
from isd_ray.core.outlay import Outlay
from isd_ray.data.ingest.sources import resolve_source
from isd_ray.ops.plan import plan_campaign
from isd_ray.report.numbers import duration
from tests.benchmarks.measure import Line, parser, report
from tests.benchmarks.memory import LABEL, LABELS, SPEC, synthetic_library
from tests.benchmarks.watched import Watched

# Ray's processes are as important as others: at Ray's niceness of 15 they would starve on a busy machine.
os.environ.setdefault("RAY_worker_niceness", "0")

B3DB = "B3DB"
SYNTHETIC = "synthetic"
TARGET = 0.3
"""The forecast should be so near."""
OF_ALL = {"wells": "", "trips": "", "core seconds": "s", "memory": "MiB"}


@dataclass(frozen=True)
class Case:
    """A screen.

    Attributes
    ----------
    source, complete:
        File of the data sets, and the column without which a row is left out.
    n_past:
        Compounds of the past screen; the others are those that are screened.
    tables:
        Of the configuration.
    n_rows:
        Of both together, drawn of the file; of a synthetic library of its own. Default: all of the file.
    """

    source: str
    n_past: int
    tables: Mapping[str, Any]
    complete: str | None = None
    library: Mapping[str, Any] = field(default_factory=dict)
    n_rows: int = 0


ON_RAY = {"backend": "ray", "trainers": 2, "scorers": 2}
HERE = {"backend": "local"}
CASES = {
    "B3DB, accuracy, trees and linear": Case(
        B3DB, 2_000,
        {"labels": {"column": "BBB+/BBB-", "classes": ["BBB-", "BBB+"]}, "model": {"members": 2},
         "acquisition": {"batch_size": 300}, "stopping": {"gamma": 0.95}, "compute": HERE},
        library={"smiles_column": "SMILES", "id_column": "NO.", "features": "standard", "descriptors": ["rdkit2d"]},
    ),
    "GPCR_3, recall, linear": Case(
        "hts25_primary.parquet", 8_000,
        {"labels": {"column": "active_GPCR_3"}, "model": {"families": ["linear"]},
         "acquisition": {"batch_size": 2_000}, "stopping": {"quantity": "recall", "gamma": 0.8}, "compute": HERE},
        complete="active_GPCR_3", library={"features": "ecfp4"}, n_rows=38_000,
    ),
    "Tox21, panel, linear": Case(
        "moleculenet_tox21.parquet", 2_000,
        {"task": "panel", "labels": {"columns": ["NR-*", "SR-*"]}, "model": {"families": ["linear"], "members": 2},
         "acquisition": {"batch_size": 300}, "stopping": {"gamma": 0.95}, "compute": HERE},
        library={"features": "standard"},
    ),
    "QM9 gap, values, trees, on Ray": Case(
        "qm9.parquet", 5_000,
        {"task": "regression", "labels": {"column": "gap"}, "acquisition": {"batch_size": 2_500},
         "model": {"families": ["boosted"], "members": 2, "boosted": {"trees": 60}},
         "stopping": {"gamma": 0.9, "tolerance": 0.024}, "compute": ON_RAY},
        library={"features": "ecfp4", "standardise": False, "duplicates": "keep"}, n_rows=35_000,
    ),
    "docking, mean error, linear and trees": Case(
        "enamine50k_4unn_docking.parquet", 4_000,
        {"task": "regression", "labels": {"column": "docking_score"}, "acquisition": {"batch_size": 1_000},
         "model": {"families": ["linear", "boosted"], "members": 2, "boosted": {"trees": 30}},
         "stopping": {"quantity": "mae", "max_loss": 0.4, "loss_clip": 4.0}, "compute": HERE},
        library={"features": "ecfp4"}, n_rows=24_000,
    ),
    "on-bits, classes, network, on Ray": Case(
        SYNTHETIC, 20_000,
        {"model": {"families": ["resmlp"], "members": 1, "epochs": 6, "batch_size": 1024},
         "acquisition": {"batch_size": 8_000}, "stopping": {"gamma": 0.85}, "compute": ON_RAY},
        n_rows=400_000,
    ),
}  # fmt: skip


def table_of(case: Case) -> pa.Table:
    if case.source == B3DB:
        file = resolve_source("package:B3DB/B3DB_classification.tsv", Path.cwd()).path
        return pa.csv.read_csv(file, parse_options=pa.csv.ParseOptions(delimiter="\t", newlines_in_values=False))
    table = pq.read_table(Path(os.environ["ISD_DATA"]) / case.source)
    return table.filter(table[case.complete].is_valid()) if case.complete else table


def drawn_of(case: Case, table: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The past compounds, and the others."""
    drawn = np.random.default_rng(1).permutation(len(table))[: case.n_rows or None]
    return tuple(table.take(np.sort(rows)) for rows in (drawn[: case.n_past], drawn[case.n_past :]))


def campaign_files(name: str, case: Case, folder: Path) -> list[Path]:
    """Campaign files of the past screen and of the one that is planned; written with their compounds."""
    files = []
    parts = (None, None) if case.source == SYNTHETIC else drawn_of(case, table_of(case))
    for part, compounds in zip(("past", "screen"), parts, strict=True):
        place = folder / part
        place.mkdir(parents=True, exist_ok=True)
        tables = {**case.tables, "name": f"{name.split(',')[0].replace(' ', '-')}-{part}"}
        if compounds is None:
            if not (place / "library").exists():
                synthetic_library(case.n_past if part == "past" else case.n_rows, place / "library")
            tables["library"] = {"path": str(place / "library"), "features": SPEC.model_dump(mode="json")}
            tables["labels"] = {"source": str(place / LABELS), "id_column": "id", "column": LABEL}
        else:
            source = place / "compounds.parquet"
            pq.write_table(compounds, source)
            built = {"source": str(source), "path": str(place / "library"), "workers": 2}
            tables["library"] = {**case.library, **built}
        files.append(place / "campaign.toml")
        files[-1].write_text(to_toml(parse_config(tables)))
    return files


def foretold(file: Path, past: Path, out: Path) -> dict[str, Any]:
    """Least, likely and most of what the plan says, as if no library were built of a source."""
    config = CampaignConfig.from_toml(file)
    if config.library.source is not None:
        library = config.library.model_copy(update={"path": str(file.with_name("unbuilt"))})
        config = config.model_copy(update={"library": library})
    plan = plan_campaign(config, out=out, like=[past])

    def numbers(end: Outlay) -> dict[str, float]:
        in_one = config.compute.backend == "local"
        memory = memory_in_one(end.size) if in_one else memory_together(end.size, 0.0)
        return {"wells": end.n_acquired, "trips": end.n_trips, "core seconds": end.core_s, "memory": memory / MIB}

    ends = [plan.least or plan.outlay, plan.outlay, plan.most or plan.outlay]
    return {"ends": [numbers(end) for end in ends], "outlay": asdict(plan.outlay), "assumed": plan.assumptions}


def taken(file: Path, out: Path) -> dict[str, Any]:
    """What the screen takes, in a process of its own."""
    with Watched([sys.executable, "-m", "isd_ray", "simulate", str(file), "--out", str(out)]) as watched:
        watched.wait()
    summary = json.loads((out / "summary.json").read_text())
    return {
        "wells": summary["n_acquired"],
        "trips": summary["n_trips"],
        "core seconds": watched.core_s,
        "memory": watched.peak_bytes / MIB,
        "wall seconds": watched.wall_s,
        "by role": watched.by_role,
        "certified": summary["certified"],
        "n_target": summary["n_target"],
    }


def kept(file: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What a file holds; made and written if it is not there."""
    if not file.exists():
        file.write_text(json.dumps(make(), indent=1) + "\n")
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def options() -> argparse.Namespace:
    made = parser("plan", __doc__)
    made.add_argument("--out", type=Path, required=True, help="folder of the libraries, past screens and screens")
    made.add_argument("--cases", nargs="+", default=list(CASES))
    return made.parse_args()


def main() -> None:
    asked = options()
    asked.out.mkdir(parents=True, exist_ok=True)
    root, lines = asked.out.resolve(), []
    os.chdir(root)  # short simulations of past screens lie in ./runs
    columns = ("screen", "compounds", "what", "forecast", "truth", "forecast / truth", "within 30 %")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for name in asked.cases:
        folder = root / name.replace(",", "").replace(" ", "-")
        past, screen = campaign_files(name, CASES[name], folder)
        plan = kept(folder / "plan.json", partial(foretold, screen, past, folder / "run"))
        truth = kept(folder / "truth.json", partial(taken, screen, folder / "run"))
        least, likely, most = plan["ends"]
        for what, unit in OF_ALL.items():
            ratio = likely[what] / truth[what]
            near = abs(ratio - 1.0) <= TARGET
            between = f"{likely[what]:,.0f} ({least[what]:,.0f} to {most[what]:,.0f}) {unit}"
            cells = (
                name,
                f"{truth['n_target']:,}",
                what,
                between,
                f"{truth[what]:,.0f}",
                f"{ratio:.2f}",
                "yes" if near else "MISSED",
            )
            print(f"| {' | '.join(cells)} |", flush=True)
            lines.append(Line(f"{name}: {what}", likely[what], truth[what], ratio, unit, note="" if near else "MISSED"))
        wall = duration(truth["wall seconds"])
        print(f"| {name} | | wall time of the screen, beside other work | | {wall} | | |", flush=True)
    report(lines, asked.json)


if __name__ == "__main__":
    main()
