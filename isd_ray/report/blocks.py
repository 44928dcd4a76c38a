"""What a page is made of: sections of text, tables, figures and drawn compounds. No HTML is written here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

NOTHING = "–"
"""Shown where there is no value."""


def cell(value: Any) -> str:
    """A value as a cell of a table: whole numbers in groups of three digits, others with four significant digits."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph; of the kinds ``note`` and ``alarm`` it stands in a box."""

    words: str
    kind: str = "plain"


@dataclass(frozen=True, slots=True)
class Facts:
    """Pairs of (what, answer)."""

    pairs: tuple[tuple[str, str], ...]
    caption: str


@dataclass(frozen=True, slots=True)
class Tile:
    """One of the numbers that a reader should see first; `good` marks it as proved (or not), None as neither."""

    number: str
    words: str
    good: bool | None = None


@dataclass(frozen=True, slots=True)
class Tiles:
    """A row of tiles."""

    tiles: tuple[Tile, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table; the first cell of a row names it. Columns of `words` are set to the left, numbers to the right."""

    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: frozenset[int] = frozenset({0})

    @classmethod
    def of(cls, caption: str, columns: Mapping[str, Sequence[Any]], words: Sequence[str] = ()) -> Table:
        """A table of columns by heading; `words` names those, beside the first, that hold words."""
        headings = tuple(columns)
        rows = tuple(tuple(map(cell, row)) for row in zip(*columns.values(), strict=True))
        return cls(caption, headings, rows, frozenset({0, *map(headings.index, words)}))


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of plotly with what those read who do not see it.

    Attributes
    ----------
    name:
        Unique on the page; also the name of the file it is saved to.
    spec:
        ``data`` and ``layout`` of plotly.
    alt:
        What there is to see, in a sentence or two.
    caption:
        How to read it.
    table:
        Its numbers.
    """

    name: str
    spec: Mapping[str, Any]
    alt: str
    caption: str
    table: Table


@dataclass(frozen=True, slots=True)
class Drawing:
    """A drawn compound: an SVG, or None where there is nothing to see, with lines of text below."""

    svg: str | None
    alt: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Card:
    """A compound, with another one that it is compared to."""

    drawings: tuple[Drawing, ...]


@dataclass(frozen=True, slots=True)
class Cards:
    """Compounds side by side."""

    title: str
    cards: tuple[Card, ...]


@dataclass(frozen=True, slots=True)
class Code:
    """A file as it is."""

    content: str
    title: str


@dataclass(frozen=True, slots=True)
class Links:
    """A list of links to files beside the page: (relative address, words)."""

    links: tuple[tuple[str, str], ...]


Block: TypeAlias = Text | Facts | Tiles | Table | Figure | Cards | Code | Links


@dataclass(frozen=True, slots=True)
class ReportSection:
    """A part of a page; `anchor` is its address in the page."""

    title: str
    anchor: str
    blocks: tuple[Block, ...]
