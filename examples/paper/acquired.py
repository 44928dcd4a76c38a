"""Which share of flagged samples each agent has acquired, by share of the target set: Figs. 2 and 5 of the paper.

    python examples/paper/acquired.py runs/mnist-shuffled-compare --flags runs/mnist.parquet --column noisy_689

The folder is one of `isd compare`; flags are a true/false column of the library's source, whose record numbers are the
ids. Writes ``acquired-<column>.html`` and ``.json`` into the folder, and prints the shares.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pyarrow.parquet as pq
from numpy.typing import NDArray

SHOWN = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)
"""Shares of the target set at which the numbers are printed."""
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
"""Of the agents, told apart by colour-blind readers as well (Okabe and Ito)."""


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
    figure = go.Figure()
    shares: dict[str, dict[str, list[float]]] = {}
    for agent in sorted(folder for folder in options.comparison.iterdir() if (folder / "0" / "hybrid").is_dir()):
        curves = [curve(run, flags) for run in sorted(agent.iterdir())]
        values = np.array([np.interp(SHOWN, x, y, right=np.nan) for x, y in curves])
        reached = [place for place in range(len(SHOWN)) if not np.isnan(values[:, place]).any()]
        shares[agent.name] = {f"{SHOWN[place]:g}": values[:, place].tolist() for place in reached}
        for number, (x, y) in enumerate(curves):
            style = {
                "name": agent.name,
                "legendgroup": agent.name,
                "line_color": COLOURS[(len(shares) - 1) % len(COLOURS)],
            }
            figure.add_scatter(x=100 * x, y=100 * y, mode="lines+markers", showlegend=number == 0, **style)
        print(agent.name, *(f"{SHOWN[place]:.0%}: {np.mean(values[:, place]):.3f}" for place in reached), sep="  ")
    figure.update_layout(
        template="plotly_white",
        xaxis_title="acquired (% of the target set)",
        yaxis_title=f"acquired of {options.column} (%)",
    )
    figure.write_html(options.comparison / f"acquired-{options.column}.html")
    (options.comparison / f"acquired-{options.column}.json").write_text(json.dumps(shares, indent=1) + "\n")


if __name__ == "__main__":
    main()
