"""Rows whose record held more than the compound: what a duplicate of theirs has to say."""

from __future__ import annotations

from array import array
from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

from isd_ray.chem.parents import STEPS, STRIPS


class Stripped:
    """The rows that standardisation made of something else, with the steps; few of them, so 5 bytes each.

    Parameters
    ----------
    known:
        Rows of an interrupted build and their steps, ascending.
    """

    def __init__(self, known: list[tuple[int, int]]) -> None:
        self._rows = array("Q", [row for row, _ in known])
        self._steps = bytearray(steps for _, steps in known)
        self._n_noted = len(known)

    def add(self, first_row: int, steps: NDArray[np.uint8]) -> None:
        """Add consecutive rows with what was done to each, uint8 (n,)."""
        stripped = np.flatnonzero(steps & STRIPS)
        self._rows.extend((first_row + stripped).tolist())
        self._steps.extend(steps[stripped].tobytes())

    def of(self, row: int) -> int:
        """The steps of a row."""
        place = bisect_left(self._rows, row)
        found = place < len(self._rows) and self._rows[place] == row
        return self._steps[place] if found else 0

    def news(self, n_rows: int) -> list[tuple[int, int]]:
        """Those below `n_rows` that were not given out before."""
        stop = bisect_left(self._rows, n_rows)
        news = list(zip(self._rows[self._n_noted : stop], self._steps[self._n_noted : stop], strict=True))
        self._n_noted = stop
        return news


def words(steps: int) -> str:
    """The steps that can make one compound of two, in words."""
    return ", ".join(word for bit, word in STEPS.items() if bit & steps & STRIPS)
