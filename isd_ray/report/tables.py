"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table


def two_columns(title: str, lines: Iterable[tuple[str, str]]) -> Table:
    """A table of (what, answer) pairs; long answers are folded, never cut."""
    table = Table(title=title, show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for what, answer in lines:
        table.add_row(what, answer)
    return table
