"""The results of a comparison, as they stand beside the paper's claims: a CSV, a figure, and the numbers in words.

    python examples/paper/results.py runs/qm9-compare --name qm9 --flags runs/qm9-hard.parquet --column hard

Reads a folder of `isd compare` (or several, with one `--label` for each) and writes ``results/<name>.csv`` and
``results/<name>.svg`` beside this file. With `--flags`, a true or false column of the library's source whose record
numbers are the ids, also the share of the flagged samples that was acquired (Figs. 2 and 5 of the paper).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from matplotlib.figure import Figure
from numpy.typing import NDArray

from isd_ray.report.figures import COLOURS

RESULTS = Path(__file__).with_name("results")
SHOWN = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75, 0.8, 0.9)
"""Shares of the target set at which numbers are printed."""
QUANTITIES = {
    "inference_accuracy": "accuracy, inference set",
    "system_accuracy": "accuracy, whole screen",
    "test_accuracy": "accuracy, test set",
    "batch_accuracy": "accuracy, batch",
    "inference_mse": "MSE, inference set",
    "test_mse": "MSE, test set",
    "flagged_acquired": "share of the flagged acquired",
}
STYLES = ("-", "--", ":", "-.")


def flagged_acquired(run: Path, flags: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share of the target set, and of its flagged samples, that a finished run had acquired after each batch."""
    hybrid = pq.read_table(run / "hybrid", columns=["id", "round"])
    flagged = flags[np.array(hybrid["id"].to_pylist(), np.int64) - 1]
    rounds = hybrid["round"].fill_null(-1).to_numpy()
    measured, n_rounds = rounds >= 0, int(rounds.max()) + 1
    n_rows = np.bincount(rounds[measured], minlength=n_rounds)
    n_flagged = np.bincount(rounds[measured & flagged], minlength=n_rounds)
    return np.append(0.0, n_rows.cumsum() / len(rounds)), np.append(0.0, n_flagged.cumsum() / flagged.sum())


def points(comparison: Path, flags: NDArray[np.bool_] | None) -> pd.DataFrame:
    """A line for each agent, seed, quantity and round: `acquired` (share of the target set) and `value`."""
    rounds = pd.read_parquet(comparison / "comparison.parquet")
    n_target = rounds["n_observed"] + rounds["n_inference"]
    parts = []
    for quantity in QUANTITIES:
        if quantity in rounds:
            # A batch is predicted by the model of its round, and measured with it.
            place = rounds["n_acquired"] if quantity == "batch_accuracy" else rounds["n_observed"]
            part = rounds[["agent", "seed"]].assign(quantity=quantity, acquired=place / n_target)
            parts.append(part.assign(value=rounds[quantity]).dropna())
    if flags is not None:
        for agent, seed in rounds[["agent", "seed"]].drop_duplicates().itertuples(index=False):
            acquired, share = flagged_acquired(comparison / agent / str(seed), flags)
            curve = {"agent": agent, "seed": seed, "quantity": "flagged_acquired", "acquired": acquired, "value": share}
            parts.append(pd.DataFrame(curve))
    return pd.concat(parts, ignore_index=True)


def at_shares(curves: pd.DataFrame) -> pd.DataFrame:
    """Mean and range over the seeds by quantity, agent and share acquired, interpolated linearly between rounds."""
    lines = []
    for (quantity, agent), group in curves.groupby(["quantity", "agent"], sort=False):
        seeds = [seed.sort_values("acquired") for _, seed in group.groupby("seed")]
        for share in SHOWN:
            if all(seed["acquired"].iloc[0] <= share <= seed["acquired"].iloc[-1] + 1e-3 for seed in seeds):
                values = [np.interp(share, seed["acquired"], seed["value"]) for seed in seeds]
                found = (np.mean(values), min(values), max(values), len(values))
                lines.append((quantity, agent, share, *found))
    return pd.DataFrame(lines, columns=["quantity", "agent", "acquired", "mean", "low", "high", "n_seeds"])


def draw(curves: pd.DataFrame) -> Figure:
    """A panel for each quantity: thin lines are seeds, thick ones their mean where all go on."""
    quantities = [name for name in QUANTITIES if name in set(curves["quantity"])]
    figure = Figure(figsize=(3.4 * min(len(quantities), 3), 2.7 * -(-len(quantities) // 3)), layout="constrained")
    grid = figure.subplots(-(-len(quantities) // 3), min(len(quantities), 3), squeeze=False)
    agents = list(dict.fromkeys(curves["agent"]))
    for axes, quantity in zip(grid.flat, quantities, strict=False):
        for number, agent in enumerate(agents):
            chosen = curves[(curves["quantity"] == quantity) & (curves["agent"] == agent)].sort_values("acquired")
            seeds = [seed for _, seed in chosen.groupby("seed")]
            if not seeds:
                continue
            style = {"color": COLOURS[number % len(COLOURS)], "linestyle": STYLES[number % len(STYLES)]}
            for seed in seeds[: len(seeds) if len(seeds) > 1 else 0]:
                axes.plot(100 * seed["acquired"], seed["value"], linewidth=0.6, alpha=0.6, **style)
            places = max(seeds, key=len)["acquired"].to_numpy()
            places = places[places <= min(seed["acquired"].max() for seed in seeds)]
            mean = np.mean([np.interp(places, seed["acquired"], seed["value"]) for seed in seeds], axis=0)
            axes.plot(100 * places, mean, linewidth=1.8, label=agent, **style)
        axes.set_xlabel("acquired (% of the target set)")
        axes.set_ylabel(QUANTITIES[quantity])
        axes.grid(alpha=0.25)
    for axes in grid.flat[len(quantities) :]:
        axes.set_axis_off()
    handles, names = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper left", ncols=3, frameon=False)
    return figure


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("comparisons", type=Path, nargs="+")
    parser.add_argument("--name", required=True)
    parser.add_argument("--label", action="append", help="What the agents of each folder are called besides.")
    parser.add_argument("--flags", type=Path)
    parser.add_argument("--column")
    options = parser.parse_args()
    flags = pq.read_table(options.flags, columns=[options.column])[options.column].to_numpy() if options.flags else None
    labels = options.label or [""] * len(options.comparisons)
    parts = []
    for folder, label in zip(options.comparisons, labels, strict=True):
        part = points(folder, flags)
        parts.append(part.assign(agent=part["agent"] + (f" {label}" if label else "")))
    curves = pd.concat(parts, ignore_index=True)
    RESULTS.mkdir(exist_ok=True)
    curves.to_csv(RESULTS / f"{options.name}.csv", index=False, float_format="%.6g")
    # Text stays text, and the same numbers give the same file.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": options.name, "font.size": 8}):
        draw(curves).savefig(RESULTS / f"{options.name}.svg", metadata={"Date": None})
    table = at_shares(curves)
    spread = [f"{low:#.3g}–{high:#.3g}" for low, high in zip(table["low"], table["high"], strict=True)]
    shown = table.assign(found=table["mean"].map("{:#.3g}".format) + " (" + pd.Series(spread) + ")")
    wide = shown.pivot_table(index=["quantity", "acquired"], columns="agent", values="found", aggfunc="first")
    print(wide.to_string())


if __name__ == "__main__":
    main()
