"""What people and files say, before a terminal or a page shows it."""

from __future__ import annotations

import re

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters, that are commands to a terminal, and marks of direction, that reorder what is around them."""
REPLACEMENT = "\ufffd"


def printable(text: str) -> str:
    """A text in which what would act, and is not seen, is seen and does not act; scripts of all directions stay."""
    return _UNSEEN.sub(REPLACEMENT, text)
