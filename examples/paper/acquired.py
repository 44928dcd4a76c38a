"""Which share of flagged samples each agent has acquired, by share of the target set: Figs. 2 and 5 of the paper.

    python examples/paper/acquired.py runs/mnist-shuffled-compare --flags runs/mnist.parquet --column noisy_689

The folder is one of `isd compare`; flags are a true/false column of the library's source, whose record numbers are the
ids. Writes ``acquired-<column>.png`` and ``.json`` into the folder, and prints the shares.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from matplotlib.figure import Figure
from numpy.typing import NDArray

SHOWN = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)
"""Shares of the target set at which the numbers are printed."""


def curve(run: Path, flags: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share of the target set, and of its flagged samples, that a finished run had acquired after each batch."""
    hybrid = pq.read_table(run / "hybrid", columns=["id", "round"])
    flagged = flags[np.array(hybrid["id"].to_pylist(), np.int64) - 1]
    rounds = hybrid["round"].fill_null(-1).to_numpy()
    measured, n_rounds = rounds >= 0, int(rounds.max()) + 1
    n_rows = np.bincount(rounds[measured], minlength=n_rounds)
    n_flagged = np.bincount(rounds[measured & flagged], minlength=n_rounds)
    return np.append(0.0, n_rows.cumsum() / len(rounds)), np.append(0.0, n_flagged.cumsum() / flagged.sum())


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("comparison", type=Path)
    parser.add_argument("--flags", type=Path, required=True)
    parser.add_argument("--column", required=True)
    options = parser.parse_args()
    flags = pq.read_table(options.flags, columns=[options.column])[options.column].to_numpy()
    figure = Figure(figsize=(6.0, 4.0), layout="constrained")
    axes = figure.subplots()
    shares: dict[str, dict[str, list[float]]] = {}
    for agent in sorted(folder for folder in options.comparison.iterdir() if (folder / "0" / "hybrid").is_dir()):
        curves = [curve(run, flags) for run in sorted(agent.iterdir())]
        values = np.array([np.interp(SHOWN, x, y, right=np.nan) for x, y in curves])
        reached = [place for place in range(len(SHOWN)) if not np.isnan(values[:, place]).any()]
        shares[agent.name] = {f"{SHOWN[place]:g}": values[:, place].tolist() for place in reached}
        for number, (x, y) in enumerate(curves):
            label = agent.name if number == 0 else None
            axes.plot(100 * x, 100 * y, color=f"C{len(shares) - 1}", marker="o", markersize=3, label=label)
        print(agent.name, *(f"{SHOWN[place]:.0%}: {np.mean(values[:, place]):.3f}" for place in reached), sep="  ")
    axes.set(xlabel="acquired (% of the target set)", ylabel=f"acquired of {options.column} (%)")
    axes.legend()
    figure.savefig(options.comparison / f"acquired-{options.column}.png", dpi=130)
    (options.comparison / f"acquired-{options.column}.json").write_text(json.dumps(shares, indent=1) + "\n")


if __name__ == "__main__":
    main()
