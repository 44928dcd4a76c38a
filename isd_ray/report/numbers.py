"""Numbers as people read them."""

from __future__ import annotations

_DAY_S = 86400.0
_UNITS = (
    ("weeks", 7 * _DAY_S, 14 * _DAY_S),
    ("days", _DAY_S, _DAY_S),
    ("h", 3600.0, 3600.0),
    ("min", 60.0, 60.0),
)
"""Of a time: unit, its seconds, and the time from which it is used."""


def duration(seconds: float) -> str:
    """A time in the unit that suits it."""
    for unit, long, least in _UNITS:
        if seconds >= least:
            return f"{seconds / long:,.1f} {unit}"
    return f"{seconds:.1f} s"


def size(n_bytes: float) -> str:
    """Memory or disk in the unit that suits it."""
    if n_bytes >= 2**30:
        return f"{n_bytes / 2**30:,.1f} GiB"
    for unit, least in (("MiB", 2**20), ("KiB", 2**10)):
        if n_bytes >= least:
            return f"{n_bytes / least:,.0f} {unit}"
    return f"{n_bytes:,.0f} B"


def counted(n: int, noun: str) -> str:
    """A number of things: 1 compound, 2,000 compounds."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def rounded(value: float) -> str:
    """A share, or an error however small: three decimals, and below 0.1 three digits that count."""
    return f"{value:.3f}" if abs(value) >= 0.1 or value == 0 else f"{value:.3g}"
