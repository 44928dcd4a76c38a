"""What fewer trips to the laboratory cost in wells: B3DB, the screen of `make demo`, with batches that grow.

    python -m tests.benchmarks.growth --out runs/growth

simulates it with each growth and seed to the certified end. The first batch is the same throughout. What is finished is
kept: the same command goes on.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import isd_ray as isd
from tests.benchmarks.measure import Line, parser, report

DEMO = Path(__file__).parents[2] / "examples" / "quickstart.toml"


def measured(growth: float, seed: int, folder: Path) -> dict[str, Any]:
    """The summary of a finished screen; made if there is none."""
    run = folder / f"growth-{growth:g}-seed{seed}"
    found = run / "summary.json"
    if found.exists():
        return dict(json.loads(found.read_bytes()))
    overrides = [
        f"seed={seed}",
        f"acquisition.growth={growth}",
        f"library.path={folder / 'library'}",
        "simulation.random_baseline=false",
        "compute.backend=local",
    ]
    return dict(isd.simulate(isd.CampaignConfig.from_toml(DEMO, overrides), run).summary)


def main() -> None:
    made = parser("growth", __doc__)
    made.add_argument("--out", type=Path, required=True, help="folder of the library and the runs")
    made.add_argument("--growth", type=float, nargs="+", default=[1.0, 1.3, 1.6, 2.0])
    made.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    options = made.parse_args()
    folder = options.out.resolve()
    lines = []
    print("| growth, seed | trips | wells | share | audited | true accuracy | |\n|---|---|---|---|---|---|---|")
    for seed in options.seeds:
        first = None
        for growth in options.growth:
            found = measured(growth, seed, folder)
            first = first or found
            trips, wells = found["n_trips"], found["n_acquired"]
            print(
                f"| {growth:g}, {seed} | {trips} | {wells:,} | {found['fraction_acquired']:.1%} | "
                f"{found['n_audited']:,} | {found['system_accuracy']:.4f} | {found['claim']} |",
                flush=True,
            )
            name, ratio = f"growth {growth:g}, seed {seed}", first["n_acquired"] / wells
            lines.append(Line(name, wells, first["n_acquired"], ratio, f"wells; {trips} trips, not {first['n_trips']}"))
    report(lines, options.json)


if __name__ == "__main__":
    main()
