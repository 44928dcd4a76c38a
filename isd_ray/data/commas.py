"""Numbers that commas make texts of: "0,5" is a half, "10,000" ten thousand, and neither is guessed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from isd_ray.core.censored import without_mark

_DECIMAL_COMMA = re.compile(r"[+-]?[\d.]*\d,\d+([eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?")
"""A comma that stands before each three digits: "10,000" is ten thousand."""


def has_comma(word: str) -> bool:
    """Whether a word is a number but for its commas, which may be decimal or stand between thousands."""
    word = without_mark(word)
    return bool(_DECIMAL_COMMA.fullmatch(word) or _THOUSANDS.fullmatch(word))


def remedy_for_commas(words: Sequence[str]) -> str | None:
    """What to do about numbers with commas; None where no word is one."""
    commas = [word for word in map(without_mark, words) if has_comma(word)]
    if not commas:
        return None
    if any(not _THOUSANDS.fullmatch(word) for word in commas):
        return "export numbers with a decimal point instead of a comma, and with nothing between thousands"
    number = commas[0].replace(",", "")
    return f"export numbers without commas between thousands: {number} for {commas[0]!r}"
