"""The table of README.md from finished runs, as Markdown.

    python examples/hts/table.py runs/hts-*

A run without a stopping rule, as those of random selection, is given the stop for nothing: its row says at which share
acquired the claim had become true, interpolated linearly between its rounds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

HEADER = ("run", "committee", "claim", "acquired", "true value", "true from", "computing (s)")


def true_from(rounds: Sequence[dict[str, Any]], level: float) -> float | None:
    """Least share acquired at which the claimed quantity reaches its level; None if it does not in these rounds."""
    points = [(row["fraction_acquired"], row["system_value"]) for row in rounds if row["system_value"] is not None]
    for place, (share, value) in enumerate(points):
        if value >= level:
            (x, y) = points[max(place - 1, 0)]
            return share if value == y else float(np.interp(level, (y, value), (x, share)))
    return None


def row_of(run: Path) -> tuple[str, ...]:
    """One line of the table, in the order of `HEADER`."""
    summary = json.loads((run / "summary.json").read_bytes())
    config = json.loads((run / "campaign.json").read_bytes())["config"]
    rounds = pq.read_table(run / "rounds.parquet").to_pylist()
    stopping, last = config["stopping"], rounds[-1]
    reached = true_from(rounds, stopping["gamma"])
    certified = f"{summary['n_acquired']:,} ({summary['fraction_acquired']:.1%})" if summary["certified"] else "–"
    return (
        run.name,
        str(config["model"]["members"]),
        f"{stopping['quantity']} {stopping['gamma']:g}",
        certified,
        f"{last['delivered_value']:.3f}" if summary["certified"] else "–",
        "–" if reached is None else f"{reached:.1%}",
        f"{sum((row['fit_seconds'] or 0) + (row['score_seconds'] or 0) for row in rounds):.0f}",
    )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="Folders of `isd simulate`; unfinished ones are left out.")
    options = parser.parse_args()
    rows = [row_of(run) for run in options.runs if (run / "summary.json").is_file()]
    for row in (HEADER, ("---",) * len(HEADER), *rows):
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
