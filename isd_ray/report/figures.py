"""Figures as plotly takes them, each with its numbers as a table.

Colours are four of Okabe and Ito's and two more, chosen so that any two can be told apart with each kind of colour
blindness and all keep a contrast of 3 : 1 on white and in the dark. Lines differ in marker and dash as well, bars in
pattern. Text and grid get their colours from the page (`page.css`), so that a figure follows it into the dark and onto
paper.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import wrap
from typing import Any

from isd_ray.report.blocks import Figure, Table

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#A578FF", "#965A3C")
MARKERS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
PATTERNS = ("", "/", ".", "x", "-", "+")
NEUTRAL = "#6A6A6A"
_PATTERN = {"fillmode": "overlay", "fgcolor": "rgba(255,255,255,.65)", "size": 7, "solidity": 0.25}
TITLE_LETTERS = 34
"""Letters in a line of the title of an axis."""
WHOLE = {"tick0": 0, "dtick": 1}
"""Ticks of an axis at whole numbers."""
FEW_ROUNDS = 12
"""So many bars and fewer are numbered one by one."""
MANY_POINTS = 60
"""A line with more points is drawn without markers."""


@dataclass(frozen=True, slots=True)
class Line:
    """Points of a line, a band around them, or a band alone (without `y`).

    `style` numbers its colour, marker and dash, for what has to look alike in several figures; None: by its place among
    the lines that are drawn.
    """

    name: str
    x: list[float]
    y: list[float] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    style: int | None = None


def plain(text: str) -> str:
    """Text that plotly shows as it is: names of classes come from users, and plotly reads tags."""
    return html.escape(text, quote=False)


def _title(text: str) -> str:
    """The title of an axis in lines that fit a phone, the unit in one of its own."""
    if len(text) <= TITLE_LETTERS:
        return plain(text)
    name, bracket, unit = text.rpartition(" (")
    lines = [*wrap(name, TITLE_LETTERS), *wrap(f"({unit}", TITLE_LETTERS)] if bracket else wrap(text, TITLE_LETTERS)
    return "<br>".join(map(plain, lines))


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.2)"


def _layout(x: str, y: str, **more: Any) -> dict[str, Any]:
    axis: dict[str, Any] = {
        "exponentformat": "none",
        "automargin": True,
        "zeroline": False,
        "fixedrange": True,
        "showline": True,
        "ticks": "outside",
    }
    title = {"standoff": 8, "font": {"size": 13}}
    return {
        "xaxis": {**axis, "title": {**title, "text": _title(x)}, "showgrid": False},
        "yaxis": {**axis, "title": {**title, "text": _title(y)}},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "traceorder": "normal"},
        "margin": {"l": 56, "r": 12, "t": 12, "b": 48},
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#1b1f24"},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hovermode": "closest",
        "showlegend": True,
        **more,
    }


def _level(at: float, name: str, x: Sequence[float]) -> dict[str, Any]:
    """A horizontal line, in the legend too; around a single point it has a length, or nothing would be seen of it."""
    first, last = (min(x), max(x)) if x else (0.0, 1.0)
    ends = [first, last] if first < last else [first - 0.5, last + 0.5]
    style = {"color": NEUTRAL, "width": 2, "dash": "longdash"}
    return {"type": "scatter", "mode": "lines", "x": ends, "y": [at, at], "name": plain(name), "line": style}


def lines(
    name: str,
    drawn: Sequence[Line],
    *,
    x: str,
    y: str,
    alt: str,
    caption: str,
    level: tuple[float, str] | None = None,
    diagonal: str | None = None,
) -> Figure:
    """Lines over one axis.

    Parameters
    ----------
    drawn:
        Those without points are left out.
    x, y:
        Titles of the axes, with units.
    level:
        A horizontal line, and what it is.
    diagonal:
        What the line y = x stands for, if it is drawn.
    """
    drawn = [line for line in drawn if len(line.x)]
    data: list[dict[str, Any]] = []
    columns: dict[str, list[Any]] = {"line": [], x: [], y: []}
    banded = any(len(line.low) for line in drawn)
    if banded:
        columns |= {"least": [], "most": []}
    for place, line in enumerate(drawn):
        index = place if line.style is None else line.style
        colour = COLOURS[index % len(COLOURS)]
        if len(line.low):
            around = [*line.high, *reversed(line.low)]
            band = {"x": [*line.x, *reversed(line.x)], "y": around, "fill": "toself", "fillcolor": _faint(colour)}
            # The outline is all there is to see of a band with a single point.
            outline = {"color": _faint(colour), "width": 3}
            shown = {"type": "scatter", "mode": "lines", "line": outline, "hoverinfo": "skip"}
            data.append({**shown, **band, "name": plain(line.name), "showlegend": not line.y})
        columns["line"] += [line.name] * len(line.x)
        columns[x] += map(float, line.x)
        columns[y] += line.y or [None] * len(line.x)
        if banded:
            columns["least"] += line.low or [None] * len(line.x)
            columns["most"] += line.high or [None] * len(line.x)
        if not line.y:
            continue
        data.append(
            {
                "type": "scatter",
                "mode": "lines" if len(line.x) > MANY_POINTS else "lines+markers",
                "x": list(line.x),
                "y": list(line.y),
                "name": plain(line.name),
                "line": {"color": colour, "width": 2, "dash": DASHES[index % len(DASHES)]},
                "marker": {"symbol": MARKERS[index % len(MARKERS)], "size": 7},
            }
        )
    every = [place for line in drawn for place in line.x]
    if level is not None:
        data.append(_level(*level, every))
    if diagonal is not None:
        top = max([*every, *(value for line in drawn for value in line.y)], default=1.0)
        style = {"color": NEUTRAL, "width": 2, "dash": "longdash"}
        ideal = {"x": [0, top], "y": [0, top], "name": diagonal, "line": style, "mode": "lines", "type": "scatter"}
        data.append(ideal)
    layout = _layout(x, y)
    layout["yaxis"]["rangemode"] = "nonnegative"
    if every and all(isinstance(place, int) for place in every) and max(every) - min(every) < FEW_ROUNDS:
        layout["xaxis"] |= WHOLE
    return Figure(name, {"data": data, "layout": layout}, alt, caption, Table.of(alt, columns))


def bars(
    name: str,
    places: Sequence[Any],
    heights: Mapping[str, Sequence[float]],
    *,
    x: str,
    y: str,
    alt: str,
    caption: str,
    mode: str = "stack",
    level: tuple[float, str] | None = None,
    logarithmic: bool = False,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Bars, for each place one of each name, stacked or in a group (`mode`); places may be names or numbers.

    What goes beyond `limits` is cut off.
    """
    named = bool(places) and isinstance(places[0], str)
    shown = [plain(place) for place in places] if named else list(places)
    data: list[dict[str, Any]] = [
        {
            "type": "bar",
            "x": shown,
            "y": list(values),
            "name": plain(series),
            "marker": {
                "color": COLOURS[index % len(COLOURS)],
                "pattern": {**_PATTERN, "shape": PATTERNS[index % len(PATTERNS)]},
            },
        }
        for index, (series, values) in enumerate(heights.items())
    ]
    if level is not None:
        ends = [shown[0], shown[-1]] if shown else []
        style = {"color": NEUTRAL, "width": 2, "dash": "longdash"}
        line = {"type": "scatter", "mode": "lines", "x": ends, "y": [level[0]] * len(ends), "line": style}
        data.append({**line, "name": plain(level[1])})
    layout = _layout(x, y, barmode=mode, bargap=0.15)
    layout["showlegend"] = len(data) > 1
    if named:
        layout["xaxis"]["type"] = "category"
    elif len(places) <= FEW_ROUNDS:
        layout["xaxis"] |= WHOLE
    if limits is not None:
        layout["yaxis"]["range"] = list(limits)
    if logarithmic:
        layout["yaxis"] |= {"type": "log", "dtick": 1}
    return Figure(name, {"data": data, "layout": layout}, alt, caption, Table.of(alt, {x: places, **heights}))
