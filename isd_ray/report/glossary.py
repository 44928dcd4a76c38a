"""The words of the field and what they mean: one list, which the site, the report and `isd explain` show."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FILE = Path(__file__).with_name("glossary.md")
_MARKS = str.maketrans("", "", "*`")


@dataclass(frozen=True, slots=True)
class Term:
    """A word, or several that are explained together, as "Committee, member"."""

    name: str
    meaning: str

    @property
    def words(self) -> tuple[str, ...]:
        """What it may be asked by: its words, and what stands in brackets, in small letters."""
        parts = self.name.replace("(", ",").replace(")", "").split(",")
        return tuple(part.strip().casefold() for part in parts)


@cache
def terms() -> tuple[Term, ...]:
    """All terms, in the order of the list."""
    found: list[Term] = []
    for entry in _FILE.read_text(encoding="utf-8").split("\n\n")[1:]:
        name, _, meaning = entry.strip().partition("\n:   ")
        text = " ".join(line.strip() for line in meaning.splitlines())
        found.append(Term(name, text.translate(_MARKS)))
    return tuple(found)


def term(name: str) -> Term:
    """The term of that very name."""
    return next(term for term in terms() if term.name == name)


def explained(asked: str) -> Term | None:
    """The term that a word belongs to, however it is spelt; None if it is none of them."""
    word = asked.strip().casefold()
    for candidate in (word, word.removesuffix("s")):
        for known in terms():
            if candidate in known.words or any(name.startswith(f"{candidate} ") for name in known.words):
                return known
    close = difflib.get_close_matches(word, [word for known in terms() for word in known.words], 1, 0.8)
    return explained(close[0]) if close else None
