"""Which family of models needs the fewest wells, and how far the default is behind it.

    python -m tests.benchmarks.models --out runs/models --seeds 0 1 2

simulates each screen with each family alone and with the default, to the certified end. `--rows` draws so many
compounds of each data set at random (0: all). What is finished is kept: the same command goes on. In brackets is the
share from which the claim was true: of one screen's wells its audits are luck, and this is not. Nor are those of

    python -m tests.benchmarks.models --out runs/models --seeds 0 --draws 60

which runs each screen nearly to its end, and gives the mean of so many draws of its random rows and audits
(`tests.benchmarks.redrawn`).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

import isd_ray as isd
from isd_ray.config import CampaignConfig, LibraryConfig
from tests.benchmarks import redrawn
from tests.benchmarks.measure import Line, parser, report

EXAMPLES = Path(__file__).parents[2] / "examples"
DEFAULT = "auto"
WORSE = 0.02
"""Relative: no default may measure so much more than the best single family."""
MEMBERS = 2
ALONE_IN_DOUBT = ("linear",)
"""Members of these are all alike: no disagreement tells which value is hard to predict."""
BATCHES = 25
TO_THE_END = {"gamma": 0.9999, "max_fraction": 0.9}
"""Changes of the stopping of a screen whose looks are drawn anew: it hardly looks by itself."""
UNIT = "share measured, by the best family and by the default"


@dataclass(frozen=True)
class Screen:
    """A data set and what is claimed of it.

    Attributes
    ----------
    file:
        In the folder of data sets; or made of it by `script` of the examples.
    labels:
        The table of the configuration; rows without the label of `complete` are left out.
    sections:
        Further tables, and what differs of these.
    """

    file: str
    labels: Mapping[str, Any]
    stopping: Mapping[str, Any]
    task: str = "classification"
    features: str = "ecfp4"
    library: Mapping[str, Any] = field(default_factory=dict)
    complete: str | None = None
    script: tuple[str, ...] = ()

    def source(self, name: str, data: Path, folder: Path, n_rows: int) -> Path:
        """The file with its compounds, sampled."""
        found = folder / "sources" / f"{name}.parquet"
        if found.exists():
            return found
        found.parent.mkdir(parents=True, exist_ok=True)
        made = data / self.file
        if self.script:
            script, *options = self.script
            out = folder / "made" / script
            asked = str(out / self.file if "panel" in script else out)
            out.mkdir(parents=True, exist_ok=True)
            subprocess.run([sys.executable, EXAMPLES / "paper" / script, "--out", asked, *options], check=True)
            made = out / self.file
        table = pq.read_table(made)
        if self.complete:
            table = table.filter(table[self.complete].is_valid())
        if n_rows:
            drawn = np.random.default_rng(0).permutation(len(table))[:n_rows]
            table = table.take(np.sort(drawn))
        pq.write_table(table, found)
        return found


def hits(name: str) -> Screen:
    column = f"active_{name}"
    return Screen("hts25_primary.parquet", {"column": column}, RECALL, complete=column)


ACCURACY = {"gamma": 0.95}
RECALL = {"quantity": "recall", "gamma": 0.8}
SCREENS = {
    "QM9 gap": Screen(
        "qm9.parquet", {"column": "gap", "transform": "median"}, ACCURACY,
        features="standard", library={"standardise": False, "duplicates": "keep"},
    ),
    "B3DB": Screen(
        "package:B3DB", {"column": "BBB+/BBB-", "classes": ["BBB-", "BBB+"]}, ACCURACY, features="standard",
        library={"source": "package:B3DB/B3DB_classification.tsv", "smiles_column": "SMILES", "id_column": "NO."},
    ),
    "Tox21 panel": Screen(
        "moleculenet_tox21.parquet", {"columns": ["NR-*", "SR-*"]}, ACCURACY, "panel", features="standard"
    ),
    "yeast panel": Screen(
        "panel.parquet", {"columns": ["strain m*"], "transform": "threshold", "threshold": 4.0}, ACCURACY, "panel",
        features="standard", library={"id_column": "id"}, complete="strain mrc1", script=("yeast_panel.py",),
    ),
    "GDSC pairs": Screen(
        "pairs.parquet", {"column": "sensitive"}, {"gamma": 0.9},
        library={"id_column": "id", "context_columns": ["cell_line"]}, script=("gdsc.py", "--n-lines", "100"),
    ),
    "MUV panel": Screen("moleculenet_muv.parquet", {"columns": ["MUV-*"]}, {"gamma": 0.999}, "panel"),
    "splicing": hits("splicing"),
    "streptokinase": hits("streptokinase"),
    "hsf1": hits("hsf1"),
    "pi gap": Screen(
        "library3m_huckel.parquet", {"column": "gap_pi"}, {"gamma": 0.95, "tolerance": 0.16}, "regression",
        complete="gap_pi",
    ),
    "docking": Screen(
        "enamine50k_4unn_docking.parquet", {"column": "docking_score"}, {"gamma": 0.95, "tolerance": 0.82}, "regression"
    ),
}  # fmt: skip
"""Tolerances are half a standard deviation of the gaps, and one of the docking scores. Of the 291 yeast strains 11 are
taken: trees fit a model for each."""


def config_of(name: str, screen: Screen, family: str, seed: int, folder: Path, n_rows: int) -> CampaignConfig:
    """The campaign of a screen, on a library that is built if it is not there: batches go by its rows."""
    sections: dict[str, Any] = {"features": screen.features, "descriptors": ["rdkit2d"], **screen.library}
    called = name.replace(" ", "-")
    if "source" not in sections:
        sections["source"] = str(screen.source(called, Path(os.environ["ISD_DATA"]), folder, n_rows))
    path = folder / "libraries" / called
    made = isd.Library.open(path) if isd.Library.exists(path) else isd.build_library(LibraryConfig(**sections), path)
    return CampaignConfig.model_validate(
        {
            "name": called,
            "task": screen.task,
            "seed": seed,
            "library": {**sections, "path": str(path)},
            "labels": dict(screen.labels),
            "model": {"members": MEMBERS, "families": family if family == DEFAULT else [family]},
            "acquisition": {"batch_size": max(len(made) // BATCHES, 100)},
            "stopping": {"rule": "certify", **screen.stopping},
            "compute": {"backend": "local"},
        }
    )


def measured(name: str, family: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """The summary of a finished screen, made if there is none; with the mean share of screens drawn anew."""
    whole = "-whole" if options.draws else ""
    run = options.out.resolve() / f"{name.replace(' ', '-')}-{family}-seed{seed}{whole}"
    found = run / "summary.json"
    if not found.exists():
        config = config_of(name, SCREENS[name], family, seed, options.out.resolve(), options.rows)
        if options.draws:
            config = config.model_copy(update={"stopping": config.stopping.model_copy(update=TO_THE_END)})
        isd.simulate(config, run)
    summary = dict(json.loads(found.read_bytes()))
    if options.draws:
        asked = redrawn.Run.of(run).asking(SCREENS[name].stopping["gamma"])
        screens = [redrawn.screen(asked, np.random.default_rng(n), is_known=False) for n in range(options.draws)]
        n_rows = len(asked.labels)
        summary["fraction_acquired"] = statistics.fmean((drawn.wells or n_rows) / n_rows for drawn in screens)
        summary |= {"oracle_fraction": asked.true_from, "certified": False}
    return summary


def _true_from(summary: Mapping[str, Any]) -> float:
    """Share from which the claim was true; that at the end where only the audit made it so."""
    return float(summary["oracle_fraction"] or summary["fraction_acquired"])


def table(rows: list[list[str]]) -> None:
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


def main() -> None:
    made = parser("models", __doc__)
    made.add_argument("--out", type=Path, required=True, help="folder of the libraries and runs")
    made.add_argument("--screens", nargs="+", choices=SCREENS, default=list(SCREENS))
    made.add_argument("--families", nargs="+", default=["boosted", "linear", "resmlp"])
    made.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    made.add_argument("--rows", type=int, default=12_000)
    made.add_argument("--draws", type=int, default=0, help="screens drawn anew of each that runs to its end; 0: none")
    options = made.parse_args()
    if "ISD_DATA" not in os.environ:
        raise SystemExit("set ISD_DATA to the folder of the data sets")
    lines, n_claims, n_false = [], 0, 0
    table([["screen", *options.families, DEFAULT, "least true value"], ["---"] * (len(options.families) + 3)])
    for name in options.screens:
        shares: dict[str, float] = {}
        true_from: dict[str, float] = {}
        truths: list[float] = []
        for family in (*options.families, DEFAULT):
            if family in ALONE_IN_DOUBT and SCREENS[name].task == "regression":
                continue
            summaries = [measured(name, family, seed, options) for seed in options.seeds]
            shares[family] = statistics.median(summary["fraction_acquired"] for summary in summaries)
            true_from[family] = statistics.median(_true_from(summary) for summary in summaries)
            truths += [summary["system_value"] for summary in summaries if summary["certified"]]
        n_claims += len(truths)
        n_false += sum(value < SCREENS[name].stopping["gamma"] for value in truths)
        each = (
            f"{shares[family]:.1%} ({true_from[family]:.1%})" if family in shares else "–"
            for family in (*options.families, DEFAULT)
        )
        table([[name, *each, f"{min(truths):.4f}" if truths else "–"]])
        best = min(share for family, share in shares.items() if family != DEFAULT)
        lines.append(Line(name, best, shares[DEFAULT], best / shares[DEFAULT], UNIT, 1 / (1 + WORSE)))
    print(f"\n{n_claims} claims, {n_false} of them false; medians of seeds {options.seeds}\n")
    report(lines, options.json)


if __name__ == "__main__":
    main()
