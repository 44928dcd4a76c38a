"""The tables of README.md from finished runs, as Markdown; and its figures.

    python examples/hts/table.py runs/hts-* --figure examples/hts/recall.svg
    python examples/hts/table.py runs/hts25/*-seed0 --by-screen --ends examples/hts/screens.svg

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

HISTORIES = ("random", "none", "older", "all")
MARKS = {"random": ("x", "grey"), "none": ("^", COLOURS[1]), "older": ("s", COLOURS[2]), "all": ("o", COLOURS[0])}
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


def by_screen(runs: Sequence[Path]) -> dict[str, dict[str, Path]]:
    """Runs of `screens.py` by screen and history, the screen first that is cheapest with the most history it has."""
    found: dict[str, dict[str, Path]] = {}
    for run in runs:
        screen, _, history = run.name.rpartition("-seed")[0].rpartition("-")
        if history not in HISTORIES:
            raise SystemExit(f"{run}: not named as `screens.py` does, as serine-all-seed0")
        if history in found.setdefault(screen, {}):
            raise SystemExit(f"{run}: another seed than {found[screen][history].name}; give the runs of one")
        found[screen][history] = run
    ordered = {screen: {name: of[name] for name in HISTORIES if name in of} for screen, of in found.items()}
    return dict(sorted(ordered.items(), key=lambda item: summary_of(list(item[1].values())[-1])["fraction_acquired"]))


def true_value(run: Path) -> float | None:
    """What the delivered screen is worth; None of one that is not certified."""
    return rounds_of(run)[-1]["delivered_value"] if summary_of(run)["certified"] else None


def cell_of(run: Path) -> str:
    """Share measured, true recall and rounds."""
    summary, value = summary_of(run), true_value(run)
    told = "not certified" if value is None else f"{value:.3f}"
    return f"{summary['fraction_acquired']:.1%}, {told}, {summary['rounds']}"


def rows_by_screen(runs: Sequence[Path]) -> list[tuple[str, ...]]:
    """A line for each screen with its runs by history, and one of medians with the number of true claims."""
    screens = by_screen(runs)
    rows = [
        (f"`{screen}`", *(cell_of(of_screen[name]) if name in of_screen else "–" for name in HISTORIES))
        for screen, of_screen in screens.items()
    ]
    last = []
    for name in HISTORIES:
        there = [of_screen[name] for of_screen in screens.values() if name in of_screen]
        shares = [summary_of(run)["fraction_acquired"] for run in there]
        claims = [(value, run) for run in there if (value := true_value(run)) is not None]
        n_true = sum(value >= config_of(run)["stopping"]["gamma"] for value, run in claims)
        last.append(f"{np.median(shares):.1%}, {n_true} of {len(claims)} claims true" if there else "–")
    return [("screen", *HISTORIES), ("---",) * (1 + len(HISTORIES)), *rows, ("median", *last)]


def draw_ends(runs: Sequence[Path]) -> Figure:
    """For each screen where it was certified, by history; and from where the claim was true with the last of these."""
    screens = by_screen([run for run in runs if summary_of(run)["certified"]])
    figure = Figure(figsize=(7.0, 0.2 * len(screens) + 0.9), layout="constrained")
    axes = figure.subplots()
    for place, of_screen in enumerate(screens.values()):
        shares = {name: 100 * summary_of(run)["fraction_acquired"] for name, run in of_screen.items()}
        last, run = list(of_screen.items())[-1]
        # Of a claim that its last round or its audit made true there is no earlier share.
        reached = true_from(rounds_of(run), config_of(run)["stopping"]["gamma"])
        start = shares[last] if reached is None else 100 * reached
        axes.plot([start, shares[last]], [place, place], "-", color="lightgrey", linewidth=2, zorder=1)
        axes.plot(start, place, "o", markerfacecolor="white", color=COLOURS[0], label=f"true from, {last}")
        for name, share in shares.items():
            mark, colour = MARKS[name]
            axes.plot(share, place, mark, color=colour, label=f"certified, {name}")
    labels = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    axes.set_yticks(range(len(screens)), list(screens))
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("acquired (% of the target set)")
    axes.grid(axis="x", alpha=0.25)
    figure.legend(labels.values(), labels.keys(), frameon=False, loc="outside upper center", ncols=len(labels))
    return figure


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="Folders of `isd simulate`; unfinished ones are left out.")
    parser.add_argument("--figure", type=Path, help="SVG file of the runs that claim a recall.")
    parser.add_argument("--by-screen", action="store_true", help="A line for each screen of `screens.py`, one seed.")
    parser.add_argument("--ends", type=Path, help="SVG file of where these became true and were certified.")
    options = parser.parse_args()
    runs = [run for run in options.runs if (run / "summary.json").is_file()]
    each = [HEADER, ("---",) * len(HEADER), *map(row_of, runs)]
    for row in rows_by_screen(runs) if options.by_screen else each:
        print(f"| {' | '.join(row)} |")
    recalls = [run for run in runs if config_of(run)["stopping"]["quantity"] == "recall"]
    for file, drawn in ((options.figure, draw), (options.ends, draw_ends)):
        if file:
            with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "hts", "font.size": 8}):
                drawn(recalls).savefig(file, metadata={"Date": None})


if __name__ == "__main__":
    main()
