"""The HTML report of a comparison: the same screen by several agents and seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

import numpy as np

from isd_ray.campaign.round_files import n_target_of
from isd_ray.core.trips import trips_made
from isd_ray.report.blocks import NOTHING, Block, Figure, Links, ReportSection, Table, Text
from isd_ray.report.figures import Line, lines
from isd_ray.report.page import render_page
from isd_ray.report.record import Rows, series
from isd_ray.report.sections.accuracy import MEASURED
from isd_ray.report.words import ACCURACY, CONSTANT, constant_cell, percent

SHARE = "share, 0 to 1"
PANELS = {
    "classification": (
        ("system_accuracy", "accuracy of the whole screen", SHARE),
        ("inference_accuracy", "accuracy on the inference set", SHARE),
        ("test_accuracy", "accuracy on the held-out test set", SHARE),
        ("batch_accuracy", "accuracy on the measured batch", SHARE),
    ),
    "regression": (
        ("system_mse", "mean squared error of the whole screen", "unit of the readout, squared"),
        ("inference_mse", "mean squared error on the inference set", "unit of the readout, squared"),
        ("test_mse", "mean squared error on the held-out test set", "unit of the readout, squared"),
        ("system_accuracy", "share of values within the tolerance", SHARE),
    ),
}
PANELS["panel"] = PANELS["classification"]
"""What is drawn for each task: column of ``rounds.parquet``, what it is, and its unit."""
BASELINE = "random"
"""The agent that savings are counted against."""


def render_comparison(
    summary: Mapping[str, Any], runs: Mapping[str, Mapping[int, Rows]], gamma: float | None, n_target: int
) -> str:
    """The comparison as one page.

    Parameters
    ----------
    summary:
        The content of ``summary.json`` of the comparison.
    runs:
        Rounds by agent and seed.
    gamma:
        Drawn where that is which agents are compared by: the accuracy of the screen, or another claimed share.
    """
    styles = {agent: style for style, agent in enumerate(runs)}
    measure = summary.get("measure", ACCURACY)
    claimed = [] if measure == ACCURACY else [("system_value", f"{measure} of the whole screen", SHARE)]
    drawn = "system_value" if claimed else "system_accuracy"
    panels = [
        panel
        for column, name, unit in (*claimed, *PANELS[summary["task"]])
        if (panel := _panel(runs, styles, column, name, unit, gamma if column == drawn else None))
    ]
    panels.append(_wells_by_trip(runs, styles))
    seeds = max(len(by_seed) for by_seed in runs.values())
    spread = (
        f"lines are means over {seeds} seeds, bands span all of them"
        if seeds > 1
        else "one seed each, so no spread is known"
    )
    curves: list[Block] = [Text(f"Against the share of the {n_target:,} compounds that is measured; {spread}.")]
    links = [
        (f"{agent}/{seed}/report.html", f"{agent}, seed {seed}") for agent, by_seed in runs.items() for seed in by_seed
    ]
    sections = [
        ReportSection("In short", "short", _savings(summary["agents"], n_target, measure)),
        ReportSection("Curves", "curves", (*curves, *panels)),
        ReportSection("Reports of the runs", "runs", (Links(tuple(links)),)),
    ]
    return render_page(f"Comparison {summary['name']}", f"{len(runs)} agents, {len(links)} runs", sections)


def _panel(
    runs: Mapping[str, Mapping[int, Rows]],
    styles: Mapping[str, int],
    column: str,
    name: str,
    unit: str,
    gamma: float | None,
) -> Figure | None:
    """One quantity, a line for each agent that has it."""
    drawn = []
    for agent, seeds in runs.items():
        place = "n_acquired" if column == "batch_accuracy" else "n_observed"
        curves = [curve for rounds in seeds.values() if (curve := series(rounds, column, place))[0]]
        if curves:
            drawn.append(_mean(agent, curves, styles[agent]))
    if not drawn:
        return None
    return lines(
        column.replace("_", "-"),
        drawn,
        x=MEASURED,
        y=f"{name} ({unit})",
        level=None if gamma is None else (gamma, f"goal γ = {gamma:g}"),
        alt=f"{name.capitalize()} by agent, against the share of compounds measured",
        caption="",
    )


def _wells_by_trip(runs: Mapping[str, Mapping[int, Rows]], styles: Mapping[str, int]) -> Figure:
    """What was measured after each trip to the laboratory, a line for each agent."""
    drawn = [
        _mean(
            agent,
            [
                (
                    [float(made) for made in trips_made(rounds)],
                    [100.0 * row["n_acquired"] / n_target_of(row) for row in rounds],
                )
                for rounds in seeds.values()
            ],
            styles[agent],
        )
        for agent, seeds in runs.items()
    ]
    return lines(
        "wells-by-trip",
        drawn,
        x="trips to the laboratory (number)",
        y=MEASURED,
        alt="Share of compounds measured by agent, against the trips to the laboratory made",
        caption="Each point is a round, after its batch.",
    )


def _mean(agent: str, curves: Sequence[tuple[list[float], list[float]]], style: int) -> Line:
    """Mean of the seeds where all of them go on, on the points of the longest, and their range."""
    stop = min(x[-1] for x, _ in curves)
    grid = [place for place in max((x for x, _ in curves), key=len) if place <= stop] or [stop]
    values = np.array([np.interp(grid, x, y) for x, y in curves])
    low, high = (values.min(axis=0).tolist(), values.max(axis=0).tolist()) if len(curves) > 1 else ([], [])
    return Line(agent, grid, values.mean(axis=0).tolist(), low, high, style)


def _savings(agents: Mapping[str, Mapping[str, Any]], n_target: int, measure: str) -> tuple[Block, ...]:
    """What each agent measured, what it had to measure for each level of the measure, and what that saves."""
    asked = "the screen is as accurate as asked" if measure == ACCURACY else f"the {measure} is as asked"
    of_claim = {} if measure == ACCURACY else {f"{measure} of the screen": "system_value"}

    def share(value: float | None) -> str:
        return NOTHING if value is None else percent(value)

    ends = Table.of(
        "At the end of the runs (means over the seeds)",
        {
            "agent": list(agents),
            "measured": [share(numbers["fraction_acquired"]) for numbers in agents.values()],
            "compounds": [f"{numbers['fraction_acquired'] * n_target:,.0f}" for numbers in agents.values()],
            "rounds": [f"{mean(numbers['stopped_at_round']) + 1:.3g}" for numbers in agents.values()],
            "trips to the laboratory": [f"{numbers['n_trips']:.3g}" for numbers in agents.values()],
            **{name: [share(numbers.get(column)) for numbers in agents.values()] for name, column in of_claim.items()},
            "accuracy of the screen": [share(numbers.get("system_accuracy")) for numbers in agents.values()],
            "accuracy on the test set": [share(numbers.get("test_accuracy")) for numbers in agents.values()],
            f"{CONSTANT}, by the claim": [constant_cell(numbers) for numbers in agents.values()],
        },
    )
    goals = sorted({goal for numbers in agents.values() for goal in numbers["fraction_to_reach"]}, key=float)
    if not goals:
        return (ends, Text(f"No agent reached a level of the {measure} that savings are counted for."))
    reached = Table.of(
        f"Share of compounds to be measured before {asked} (means over the seeds)",
        {
            "agent": list(agents),
            **{
                f"{measure} ≥ {goal}": [share(numbers["fraction_to_reach"].get(goal)) for numbers in agents.values()]
                for goal in goals
            },
        },
    )
    trips = Table.of(
        f"Trips to the laboratory before {asked} (means over the seeds)",
        {
            "agent": list(agents),
            **{
                f"{measure} ≥ {goal}": [
                    NOTHING if (made := numbers["trips_to_reach"].get(goal)) is None else f"{made:.3g}"
                    for numbers in agents.values()
                ]
                for goal in goals
            },
        },
    )
    blocks: list[Block] = [reached, trips, ends]
    if BASELINE in agents and len(agents) > 1:
        others = {agent: numbers["fraction_to_reach"] for agent, numbers in agents.items() if agent != BASELINE}
        random = agents[BASELINE]["fraction_to_reach"]
        columns: dict[str, Sequence[Any]] = {"agent": list(others)}
        for goal in goals:
            pairs = [(random.get(goal), fractions.get(goal)) for fractions in others.values()]
            columns[f"{measure} ≥ {goal}"] = [
                None if None in pair else round((pair[0] - pair[1]) * n_target) for pair in pairs
            ]
        blocks.insert(
            0,
            Table.of(f"Compounds saved against random selection at equal {measure} (negative: it needs more)", columns),
        )
    blocks.append(Text(f"{NOTHING} stands where not all seeds reached the {measure}."))
    return tuple(blocks)
