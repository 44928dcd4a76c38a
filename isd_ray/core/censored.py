"""Numbers as they are written, and bounds among them: a readout of ``>10`` is censored."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np

Mark = Literal[">", ">=", "<", "<=", "~"]

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_MARK = re.compile(r"(>=|<=|=>|=<|>>|<<|>|<|\u2265|\u2264|~|\u2248|=)\s*")
_MARKS = {"=>": ">=", "=<": "<=", ">>": ">", "<<": "<", "\u2265": ">=", "\u2264": "<=", "\u2248": "~"}


@dataclass(frozen=True, slots=True)
class Number:
    """A number of a text; `mark` says that it is a bound (``>10``) or about the value (``~10``), else None."""

    number: float
    mark: Mark | None = None


def is_number(text: str) -> bool:
    """Whether a text is one plain number."""
    return _NUMBER.fullmatch(text) is not None


def parse_number(text: str) -> Number | None:
    """The number of a text, infinite where it is too large for any; None of a text that is none."""
    plain, mark = without_mark(text), mark_of(text)
    if not is_number(plain):
        return None
    return Number(float(plain), None if mark == "=" else mark)  # type: ignore[arg-type]  # of _MARK


def mark_of(text: str | None) -> str | None:
    """The mark of a censored readout as it came (``> 10``); None of one that is exact."""
    found = _MARK.match(text) if text else None
    return None if found is None else _MARKS.get(found[1], found[1])


def without_mark(text: str) -> str:
    """A text from behind its mark on."""
    found = _MARK.match(text)
    return text[found.end() :] if found else text


def interval(number: float, mark: str | None) -> tuple[float, float]:
    """Between which values a readout lies, both included; a bound that is not reached begins at the next float."""
    match mark:
        case ">":
            return float(np.nextafter(number, np.inf)), np.inf
        case ">=":
            return number, np.inf
        case "<":
            return -np.inf, float(np.nextafter(number, -np.inf))
        case "<=":
            return -np.inf, number
        case "~":
            return -np.inf, np.inf
    return number, number
