"""Cards: what an object shows of itself in a notebook, a small piece of HTML.

Whatever is shown may have been written by anybody (ids, reasons, names of classes), so all of it is escaped here.
Colours are those of the notebook, light or dark; lines are a grey that both show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape
from importlib import import_module
from typing import Any

from isd_ray.errors import IsdError
from isd_ray.printable import printable

_LINE = "border-bottom:1px solid rgba(128,128,128,.35)"
_CELL = f"text-align:left;vertical-align:top;padding:.2em .8em .2em 0;white-space:pre-line;{_LINE}"
_BOX = "max-width:60em;overflow-x:auto;line-height:1.45"
_WRAP = "overflow-wrap:anywhere"
"""Hashes and paths are longer than a line; ids, headings and names of plates stay whole."""


class Carded:
    """An object of a lower layer that shows itself as a card.

    Its words are the report's, a layer above: they are asked for when it is shown, and only then.
    """

    __slots__ = ()

    def _repr_html_(self) -> str:
        shown: str = import_module("isd_ray.report.shown").card_of(self)
        return shown


def _text(value: Any) -> str:
    return escape(printable(str(value)))


def card(title: str, *parts: str) -> str:
    """A box with a title over parts that are HTML already (`pairs`, `rows`, `paragraphs`)."""
    heading = f"<strong>{_text(title)}</strong>" if title else ""
    return f'<div style="{_BOX}">{heading}{"".join(parts)}</div>'


def pairs(lines: Iterable[tuple[str, str]]) -> str:
    """Pairs of (what, answer)."""
    cells = (
        f'<tr><th scope="row" style="{_CELL};font-weight:600">{_text(what)}</th>'
        f'<td style="{_CELL};{_WRAP}">{_text(answer)}</td></tr>'
        for what, answer in lines
    )
    return f'<table style="border-collapse:collapse;background:none">{"".join(cells)}</table>'


def rows(headings: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    """A table of lines below headings."""
    head = "".join(f'<th scope="col" style="{_CELL};font-weight:600">{_text(heading)}</th>' for heading in headings)
    body = "".join(
        "<tr>"
        + "".join(f'<td style="{_CELL};max-width:26em;overflow-wrap:break-word">{_text(value)}</td>' for value in line)
        + "</tr>"
        for line in lines
    )
    return (
        f'<table style="border-collapse:collapse;background:none"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


def paragraphs(lines: Iterable[str]) -> str:
    """Lines of text."""
    return "".join(f'<p style="margin:.3em 0;{_WRAP}">{_text(line)}</p>' for line in lines)


def bar(done: int, total: int, words: str) -> str:
    """How much of a whole is done."""
    return (
        f'<progress value="{done}" max="{max(total, 1)}" aria-label="{_text(words)}" '
        f'style="width:14em;vertical-align:middle"></progress> {_text(words)}'
    )


def asked_card(title: str, ask: Callable[[], list[tuple[str, str]]]) -> str:
    """A card of what the answer says; of one that cannot be had why not: to show an object must not fail."""
    try:
        return card(title, pairs(ask()))
    except IsdError as error:
        return card(title, paragraphs(str(error).splitlines()))
