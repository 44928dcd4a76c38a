"""Trips to the laboratory: what a screen costs in time, as wells are what it costs in measurements.

A trip is a release that the laboratory has to measure: the first batch, each later batch, audit or finish, and wells
that are measured once more in a release of their own. A round in which nothing is asked for, as a look at a reserve or
the last one of a spent budget, is none; nor are readouts from outside the plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Any


def trips_made(rounds: Iterable[Mapping[str, Any]]) -> list[int]:
    """Trips after each round, by how many compounds it asked for (`n_batch`): of its record or of its release."""
    return list(accumulate(int(row["n_batch"] > 0) for row in rounds))


def trips_until(rounds: Iterable[Mapping[str, Any]], last: int) -> int:
    """Trips up to a round, it included; arguments as of `trips_made`, with the number of each `round`."""
    return n_trips(row for row in rounds if row["round"] <= last)


def n_trips(rounds: Iterable[Mapping[str, Any]]) -> int:
    """Trips of some rounds together; arguments as of `trips_made`."""
    return sum(row["n_batch"] > 0 for row in rounds)
