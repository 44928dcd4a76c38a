"""What fewer trips to the laboratory cost in wells: B3DB, the screen of `make demo`, with other batches.

    python -m tests.benchmarks.growth --out runs/growth

simulates it with each batch, growth and seed to the certified end, and says beside it what `isd plan --like` foretells
from the screen with the first of them. What is finished is kept: the same command goes on.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import isd_ray as isd
from isd_ray.ops.plan_trips import plan_trips
from tests.benchmarks.measure import Line, parser, report

DEMO = Path(__file__).parents[2] / "examples" / "quickstart.toml"
CASES = ["400x1", "400x1.3", "400x1.6", "400x2", "800x1", "1200x1"]
ANY_TRIPS = 100


def config_of(case: str, seed: int, folder: Path) -> isd.CampaignConfig:
    size, growth = case.split("x")
    overrides = [
        f"seed={seed}",
        f"acquisition.batch_size={size}",
        f"acquisition.growth={growth}",
        f"library.path={folder / 'library'}",
        "simulation.random_baseline=false",
        "compute.backend=local",
    ]
    return isd.CampaignConfig.from_toml(DEMO, overrides)


def measured(case: str, seed: int, folder: Path) -> dict[str, Any]:
    """The summary of a finished screen; made if there is none."""
    run = folder / f"{case}-seed{seed}"
    if not (run / "summary.json").exists():
        isd.simulate(config_of(case, seed, folder), run)
    return dict(isd.Campaign.open(run).summary())


def options() -> argparse.Namespace:
    made = parser("growth", __doc__)
    made.add_argument("--out", type=Path, required=True, help="folder of the library and the runs")
    made.add_argument("--cases", nargs="+", default=CASES, help="first batch x growth")
    made.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    return made.parse_args()


def main() -> None:
    asked = options()
    folder, lines = asked.out.resolve(), []
    columns = ("batch x growth, seed", "trips", "wells", "share", "audited", "true accuracy", "foretold", "claim")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for seed in asked.seeds:
        first = measured(asked.cases[0], seed, folder)
        for case in asked.cases:
            found = measured(case, seed, folder)
            trips, wells = found["n_trips"], found["n_acquired"]
            like = folder / f"{asked.cases[0]}-seed{seed}"
            plan = plan_trips(config_of(case, seed, folder), found["n_target"], ANY_TRIPS, [like]).unlimited
            between = "–" if plan.wells is None else f"{plan.wells[0]:,} to {plan.wells[1]:,} in {plan.n_trips}"
            cells = (
                f"{case}, {seed}", trips, f"{wells:,}", f"{found['fraction_acquired']:.1%}", f"{found['n_audited']:,}",
                f"{found['system_accuracy']:.4f}", between, found["claim"],
            )  # fmt: skip
            print(f"| {' | '.join(map(str, cells))} |", flush=True)
            unit = f"wells; {trips} trips, not {first['n_trips']}"
            lines.append(Line(f"{case}, seed {seed}", wells, first["n_acquired"], first["n_acquired"] / wells, unit))
    report(lines, asked.json)


if __name__ == "__main__":
    main()
