"""Figures, as PNG; colours from the palette of Okabe and Ito, which colour-blind readers can tell apart."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from isd_ray.config import Quantity
from isd_ray.core.goals import QUANTITY_NAMES

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
PANELS = {
    "classification": (
        ("system_accuracy", "system accuracy"),
        ("inference_accuracy", "accuracy on the inference set"),
        ("test_accuracy", "accuracy on the held-out test set"),
        ("batch_accuracy", "accuracy on the acquired batch"),
    ),
    "regression": (
        ("system_mse", "MSE of the whole screen"),
        ("inference_mse", "MSE on the inference set"),
        ("test_mse", "MSE on the held-out test set"),
        ("system_accuracy", "share within the tolerance"),
    ),
}
PANELS["panel"] = PANELS["classification"]
"""What is drawn for each task: column of ``rounds.parquet`` and label of the axis."""

Rows = Sequence[Mapping[str, Any]]


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()


def _percent_axis(axes: Axes) -> None:
    axes.set_xlabel("acquired (% of the target set)")
    axes.grid(alpha=0.3)


AFTER_THE_BATCH = frozenset({"system_bound", "batch_accuracy"})
"""Columns that speak of the moment after a round's batch; the others of the moment its model was fitted."""


def _series(rows: Rows, column: str) -> tuple[list[float], list[float]]:
    """Share acquired in percent, and the column; the accuracy of the screen ends with what was delivered."""
    place = "n_acquired" if column in AFTER_THE_BATCH else "n_observed"
    points = [
        (100.0 * row[place] / (row["n_observed"] + row["n_inference"]), row[column])
        for row in rows
        if row.get(column) is not None
    ]
    last = rows[-1]
    delivered = last.get(column.replace("system", "delivered"))
    if column in ("system_accuracy", "system_value") and points and delivered is not None:
        points.append((100.0 * last["n_acquired"] / (last["n_observed"] + last["n_inference"]), delivered))
    return [x for x, _ in points], [y for _, y in points]


def rounds_figure(rows: Rows, quantity: Quantity, goal: float | None) -> bytes:
    """The claimed quantity and its bound by share acquired, as PNG; `goal` is drawn as a line."""
    figure = Figure(figsize=(7.5, 4.5), layout="constrained")
    axes = figure.subplots()
    lines = [
        ("system_accuracy", "true system accuracy"),
        ("inference_accuracy", "true accuracy on the inference set"),
        ("batch_accuracy", "accuracy on the acquired batch"),
        ("system_bound", "bound"),
    ]
    if quantity != "accuracy":
        lines = [("system_value", f"true {QUANTITY_NAMES[quantity]}"), ("system_bound", "bound by the random rows")]
    for index, (column, label) in enumerate(lines):
        x, y = _series(rows, column)
        if x:
            axes.plot(x, y, color=COLOURS[index], marker=MARKERS[index], markersize=3.5, label=label)
    if goal is not None:
        axes.axhline(goal, color="black", linestyle="--", linewidth=1, label=f"goal {goal:g}")
    _percent_axis(axes)
    axes.set_ylabel(QUANTITY_NAMES[quantity])
    if axes.lines:
        axes.legend(fontsize="small")
    return _png(figure)


def comparison_figure(runs: Mapping[str, Mapping[int, Rows]], task: str, gamma: float | None) -> bytes:
    """Four panels, one line for each agent: the mean over its seeds, with their range shaded; as PNG.

    Parameters
    ----------
    runs:
        Rounds by agent and seed.
    task:
        Classification or regression: which panels.
    gamma:
        Drawn into the panel of system accuracy.
    """
    figure = Figure(figsize=(11.0, 7.5), layout="constrained")
    for axes, (column, label) in zip(figure.subplots(2, 2).flat, PANELS[task], strict=True):
        for index, (agent, seeds) in enumerate(runs.items()):
            curves = [_series(rows, column) for rows in seeds.values()]
            curves = [curve for curve in curves if curve[0]]
            if not curves:
                continue
            grid = np.array(max((x for x, _ in curves), key=len))
            values = np.array([np.interp(grid, x, y, right=np.nan) for x, y in curves])
            mean = values.mean(axis=0)
            axes.plot(grid, mean, color=COLOURS[index], marker=MARKERS[index], markersize=3, label=agent)
            axes.fill_between(grid, values.min(axis=0), values.max(axis=0), color=COLOURS[index], alpha=0.2)
        if column == "system_accuracy" and gamma is not None:
            axes.axhline(gamma, color="black", linestyle="--", linewidth=1)
        _percent_axis(axes)
        axes.set_ylabel(label)
        if axes.lines:
            axes.legend(fontsize="small")
        else:
            axes.text(0.5, 0.5, "not measured in these runs", ha="center", transform=axes.transAxes)
    return _png(figure)
