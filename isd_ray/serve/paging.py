"""Long lists in pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar
from urllib.parse import urlencode

T = TypeVar("T")
_MAX_DIGITS = 9


def number_of(text: str, otherwise: int = 1) -> int:
    """A number as an address gives it; `otherwise` where it is none."""
    return int(text) if text.isdecimal() and len(text) <= _MAX_DIGITS else otherwise


def link_to(entries: Mapping[str, object], usual: Mapping[str, str]) -> str:
    """An address on the same page; entries that are empty or as usual are left out."""
    texts = {name: str(value) for name, value in entries.items()}
    return "?" + urlencode({name: text for name, text in texts.items() if text and text != usual.get(name)})


def pages_of(every: Sequence[T], page: int, size: int) -> tuple[int, int]:
    """Number of the page that is shown, and of the last."""
    last = max(1, -(-len(every) // size))
    return min(max(page, 1), last), last


def page_of(every: Sequence[T], page: int, size: int) -> Sequence[T]:
    """What is on a page."""
    number, _ = pages_of(every, page, size)
    return every[(number - 1) * size : number * size]
