"""The table of README.md from finished runs, as Markdown; and its figures.

    python examples/hts/table.py runs/hts-* --figure examples/hts/recall.svg
    python examples/hts/table.py runs/hts25/*-all-seed0 --ends examples/hts/screens.svg

A run without a stopping rule, as those of random selection, is given the stop for nothing: its row says at which share
acquired the claim had become true, interpolated linearly between its rounds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pyarrow.parquet as pq
from matplotlib.figure import Figure

from isd_ray.report.figures import COLOURS

HEADER = ("run", "committee", "claim", "acquired", "true value", "true from", "computing (s)")


def rounds_of(run: Path) -> list[dict[str, Any]]:
    """The rounds of a finished run."""
    rounds: list[dict[str, Any]] = pq.read_table(run / "rounds.parquet").to_pylist()
    return rounds


def summary_of(run: Path) -> dict[str, Any]:
    """Its summary."""
    summary: dict[str, Any] = json.loads((run / "summary.json").read_bytes())
    return summary


def config_of(run: Path) -> dict[str, Any]:
    """Its configuration."""
    config: dict[str, Any] = json.loads((run / "campaign.json").read_bytes())["config"]
    return config


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
    summary, config, rounds = summary_of(run), config_of(run), rounds_of(run)
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


def draw(runs: Sequence[Path]) -> Figure:
    """The true recall of the whole screen by share acquired, a line each run; a mark where it was certified."""
    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    axes = figure.subplots()
    assays = list(dict.fromkeys(config_of(run)["labels"]["column"] for run in runs))
    for run in runs:
        config, rounds = config_of(run), rounds_of(run)
        points = [(row["fraction_acquired"], row["system_value"]) for row in rounds if row["system_value"] is not None]
        style = ":" if config["acquisition"]["function"] == "random" else "-"
        colour = COLOURS[assays.index(config["labels"]["column"]) % len(COLOURS)]
        summary = summary_of(run)
        if summary["certified"]:  # the batch of the look, finish and audit, is measured too
            points.append((summary["fraction_acquired"], rounds[-1]["delivered_value"]))
            axes.plot(100 * points[-1][0], points[-1][1], "o", color=colour)
        acquired, value = np.array(points).T
        axes.plot(100 * acquired, value, style, color=colour, label=run.name.removeprefix("hts-"))
    axes.axhline(config_of(runs[0])["stopping"]["gamma"], color="grey", linewidth=0.8, linestyle="--")
    axes.set_xlabel("acquired (% of the target set)")
    axes.set_ylabel("recall of hits, whole screen (share)")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    return figure


def draw_ends(runs: Sequence[Path]) -> Figure:
    """For each run where its claim became true, and where it was certified; the cheapest on top."""
    ends = sorted((summary_of(run)["fraction_acquired"], run) for run in runs if summary_of(run)["certified"])
    figure = Figure(figsize=(7.0, 0.2 * len(ends) + 0.8), layout="constrained")
    axes = figure.subplots()
    for place, (share, run) in enumerate(ends):
        # Of a claim that its last round or its audit made true there is no earlier share.
        start = true_from(rounds_of(run), config_of(run)["stopping"]["gamma"]) or share
        axes.plot([100 * start, 100 * share], [place, place], "-", color="lightgrey", linewidth=2, zorder=1)
        axes.plot(
            100 * start, place, "o", markerfacecolor="white", color=COLOURS[0], label="" if place else "true from"
        )
        axes.plot(100 * share, place, "o", color=COLOURS[0], label="" if place else "certified")
    axes.set_yticks(range(len(ends)), [labels_of(run) for _, run in ends])
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("acquired (% of the target set)")
    axes.grid(axis="x", alpha=0.25)
    axes.legend(frameon=False, loc="upper right")
    return figure


def labels_of(run: Path) -> str:
    """The column of the labels that a run was asked for, as a name."""
    column: str = config_of(run)["labels"]["column"]
    return column.removeprefix("active_")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="Folders of `isd simulate`; unfinished ones are left out.")
    parser.add_argument("--figure", type=Path, help="SVG file of the runs that claim a recall.")
    parser.add_argument("--ends", type=Path, help="SVG file of where claims became true and were certified.")
    options = parser.parse_args()
    runs = [run for run in options.runs if (run / "summary.json").is_file()]
    rows = [row_of(run) for run in runs]
    for row in (HEADER, ("---",) * len(HEADER), *rows):
        print(f"| {' | '.join(row)} |")
    recalls = [run for run in runs if config_of(run)["stopping"]["quantity"] == "recall"]
    for file, drawn in ((options.figure, draw), (options.ends, draw_ends)):
        if file:
            with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "hts", "font.size": 8}):
                drawn(recalls).savefig(file, metadata={"Date": None})


if __name__ == "__main__":
    main()
