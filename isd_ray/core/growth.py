"""Batches that grow from round to round (`acquisition.growth`): fewer trips to the laboratory, somewhat more wells."""

from __future__ import annotations

import math

LARGEST_SHARE = 0.25
"""A batch that has grown takes at most this share of what is left to measure, so that a look can still come between."""


def grown(first: int, growth: float, round_number: int, most: float = math.inf) -> int:
    """Size in a round, first * growth**round_number rounded half up, at most `most` and at least `first`.

    A function of the number of the round and of what is left alone: the same after a resume, and known beforehand.
    """
    if growth == 1.0 or most <= first:
        return first
    if round_number * math.log(growth) >= math.log(most / first):
        return int(most)
    return math.floor(first * growth**round_number + 0.5)


def batches_worth(n_batches: int, growth: float, enough: int) -> int:
    """How many batches as large as one of now the next so many are worth, each `growth` times the one before.

    Parameters
    ----------
    enough:
        More than this is not asked for.
    """
    return int(sum(growth**number for number in range(1, min(n_batches, enough) + 1)))
