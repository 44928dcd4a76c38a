"""What a cell of a readout says: a number, a bound, nothing, or a word of the instrument; and what a flag says."""

from __future__ import annotations

import math
import re

from isd_ray.core.censored import Number, is_number, parse_number, without_mark

MAX_CELL_CHARS = 4096
"""A longer cell is no readout, id or place; lines with one are refused."""
NO_VALUE = frozenset({"", "na", "n/a", "nan", "null", "none", "#n/a", "<na>", "nat"})
"""Values that mean there is none, in small letters."""
GOOD_FLAGS = frozenset({"", "ok", "okay", "pass", "passed", "good", "valid", "none", "false", "f", "no", "n", "-"})
"""Flags that mean nothing is wrong, in small letters; so does any number that is zero."""
BAD_FLAGS = frozenset(
    {
        "true",
        "t",
        "yes",
        "y",
        "x",
        "*",
        "na",
        "n/a",
        "bad",
        "fail",
        "failed",
        "failure",
        "error",
        "err",
        "empty",
        "edge",
    }
)
"""Flags that mark a bad well, in small letters; so does the number 1, and a remark with one of `_BAD_STEMS`."""
_BAD_STEMS = (
    "aggregat",
    "artefact",
    "artifact",
    "bubble",
    "clog",
    "contamin",
    "crack",
    "cytotox",
    "discard",
    "dispens",
    "dropped",
    "dust",
    "error",
    "evaporat",
    "exclu",
    "fail",
    "fiber",
    "fibre",
    "flag",
    "fluoresc",
    "insufficient",
    "interfer",
    "invalid",
    "knocked out",
    "leak",
    "low volume",
    "mask",
    "miss",
    "no signal",
    "not dispensed",
    "out of range",
    "outlier",
    "overflow",
    "ovrflw",
    "pipet",
    "precipit",
    "quench",
    "reject",
    "remove",
    "saturat",
    "spil",
    "suspect",
    "tip",
    "turbid",
    "unreliable",
    "void",
)
"""Beginnings of words of remarks that mark a bad well."""
# No two parts of a pattern may match the same letters in two ways: a long cell would take quadratic time.
_WITH_COMMA = re.compile(r"[+-]?[0-9.,' \u00a0\u202f]+(?:[eE][+-]?[0-9]+)?")
_OTHER_NOTATION = re.compile(
    r"[-+\u2212\u2010-\u2015]?[ \u00a0]?\d[\d.,'\u2019 \u00a0\u202f]*(?:(?:[%\u2030]|[^\W\d_])[^*()]*)?"
)
"""A number with a unit, a typographic minus, or something between thousands. Not one that is starred or in brackets:
instruments mark wells so."""
_DENIED = re.compile(r"(?<![a-z])(?:no|not|none|without|never|0)[ :_-]+$")
_N_SHOWN = 40
_UNREADABLE, _NOT_DISPENSED = "unreadable: ", "not dispensed: "


def shown(text: str) -> str:
    """A text as messages show it: quoted, and cut where it is long."""
    return repr(text) if len(text) <= _N_SHOWN else f"{text[:_N_SHOWN]!r} … ({len(text):,} characters)"


def parse_cell(text: str) -> Number | None:
    """The number of a cell; None where it says that there is none.

    Raises
    ------
    ValueError
        If it is something else; `UnreadableError` if that is a word, which an instrument writes in the place of a
        number, and not a number in another notation.
    """
    if text.lower() in NO_VALUE:
        return None
    if (cell := parse_number(text)) is not None:
        if math.isinf(cell.number):
            raise ValueError(f"{shown(text)} is too large")
        return cell
    plain = without_mark(text)
    if "," in plain and _WITH_COMMA.fullmatch(plain):
        raise ValueError(
            f"{shown(text)} has a decimal comma, or a thousands separator; export numbers with a decimal point and "
            "without thousands separators"
        )
    if _OTHER_NOTATION.fullmatch(plain):
        raise ValueError(
            f"{shown(text)} is no plain number; export numbers alone: without units, with nothing between thousands, "
            "and with '-' for minus"
        )
    raise UnreadableError(f"{shown(text)} is not a number")


class UnreadableError(ValueError):
    """A cell that an instrument left without a number: OVRFLW, #DIV/0!, ****."""


def flag_is_bad(flag: str, good: frozenset[str], bad: frozenset[str]) -> bool:
    """Whether a flag marks a bad well.

    Parameters
    ----------
    good, bad:
        Words, in small letters, that are so whatever else is known of them.

    Raises
    ------
    ValueError
        If the word is none of those that are known.
    """
    word = flag.lower().strip()
    if word in good:
        return False
    if word in bad:
        return True
    if is_number(word):
        if (number := float(word)) in (0.0, 1.0):
            return number == 1.0
    elif word in GOOD_FLAGS:
        return False
    elif word in BAD_FLAGS or _is_remark(word):
        return True
    raise ValueError(
        f"{shown(flag)} in the column of flags is not known to mark a good or a bad well; say so in "
        "readouts.good_flags or readouts.bad_flags, of a campaign under way by isd reconfigure"
    )


def _is_remark(word: str) -> bool:
    """Whether a remark has a word that begins as one of those of bad wells, and does not deny it ("no errors")."""
    found = (match for stem in _BAD_STEMS for match in re.finditer(rf"(?<![a-z]){re.escape(stem)}", word))
    return any(_DENIED.search(word, max(0, match.start() - _N_SHOWN), match.start()) is None for match in found)


def unreadable(reason: str) -> str:
    """What stands as the flag of a well whose value cannot be read."""
    return _UNREADABLE + reason


def not_dispensed(reason: str) -> str:
    """What stands as the flag of a well that a dispenser left out; no reading takes its place."""
    return f"{_UNREADABLE}{_NOT_DISPENSED}{reason}"


def was_not_dispensed(flag_or_reason: str | None) -> bool:
    """Whether a flag, or why a compound failed, was made by `not_dispensed`."""
    return flag_or_reason is not None and flag_or_reason.removeprefix(_UNREADABLE).startswith(_NOT_DISPENSED)


def is_unreadable(flag: str | None) -> bool:
    """Whether a flag was made by `unreadable`."""
    return flag is not None and flag.startswith(_UNREADABLE)


def bad_because(flag: str) -> str:
    """Why a well is bad, by its flag."""
    return flag.removeprefix(_UNREADABLE) if is_unreadable(flag) else f"flagged {flag!r}"
