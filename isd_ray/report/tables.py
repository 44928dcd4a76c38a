"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.box import SIMPLE_HEAD
from rich.console import JustifyMethod
from rich.table import Table

from isd_ray.report import blocks


def two_columns(title: str, lines: Iterable[tuple[str, str]]) -> Table:
    """A table of (what, answer) pairs; long answers are folded, never cut."""
    table = Table(title=title, show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for what, answer in lines:
        table.add_row(what, answer)
    return table


def of_block(block: blocks.Table) -> Table:
    """A table of a page; names of lines stay whole, other cells are folded where there is no room, never cut."""
    table = Table(title=block.caption, title_justify="left", box=SIMPLE_HEAD, padding=0)
    for place, heading in enumerate(block.headings):
        justify: JustifyMethod = "left" if place in block.words else "right"
        table.add_column(heading, justify=justify, overflow="fold", no_wrap=place == 0)
    for row in block.rows:
        table.add_row(*row)
    return table
