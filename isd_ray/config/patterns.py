"""What patterns of names mean: names of columns, assays and outputs, with the wildcards ``*``, ``?`` and ``[…]``."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase
from glob import escape


def named(pattern: str, names: Sequence[str]) -> list[str]:
    """The names that a pattern means, in their order.

    That is the one which is the pattern letter for letter, as ``IC50 [uM]`` and ``emb[0]`` may be; else all that match.
    """
    return [name for name in names if name == pattern] or [name for name in names if fnmatchcase(name, pattern)]


def chosen(patterns: Iterable[str], names: Sequence[str]) -> list[str]:
    """The names that some patterns mean, in the order of the names."""
    meant = {name for pattern in patterns for name in named(pattern, names)}
    return [name for name in names if name in meant]


def literal(patterns: Iterable[str], names: Collection[str]) -> tuple[str, ...]:
    """The same for a reader who knows wildcards alone: a name in the place of a pattern has none."""
    return tuple(escape(pattern) if pattern in names else pattern for pattern in patterns)


def idle(patterns: Iterable[str], names: Sequence[str]) -> str | None:
    """The first pattern that means no name, as one with a slip of the pen; None where all mean some."""
    return next((pattern for pattern in patterns if not named(pattern, names)), None)


def shown(names: Collection[str], n: int = 20) -> str:
    """The first names, for messages."""
    return ", ".join(map(repr, list(names)[:n])) + (" …" if len(names) > n else "") if names else "none"
