"""The fixed grid of scoring: blocks of rows, which begin anew with each part."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Grid:
    """Blocks of `block_rows`; the last one of a part may be shorter.

    As long as a library has not grown only its last block is: what is added later begins a new part, so that the
    blocks that were there stay what they were.

    Parameters
    ----------
    parts:
        Of the library's description; `first_row` of each counts.

    Attributes
    ----------
    blocks_before:
        Of each part: how many blocks lie before it.
    """

    def __init__(self, parts: Sequence[Mapping[str, Any]], n_rows: int, block_rows: int) -> None:
        self._firsts: list[int] = [part["first_row"] for part in parts]
        self._stops: list[int] = [*self._firsts[1:], n_rows]
        self._block_rows = block_rows
        sizes = (stop - first for first, stop in zip(self._firsts, self._stops, strict=True))
        *self.blocks_before, self.n_blocks = accumulate((-(-size // block_rows) for size in sizes), initial=0)

    def rows_range(self, block: int) -> tuple[int, int]:
        """First row of a block, and the row after its last (raises IndexError)."""
        if not 0 <= block < self.n_blocks:
            raise IndexError(f"block {block} of {self.n_blocks}")
        part = self.part_of(block)
        first = self._firsts[part] + (block - self.blocks_before[part]) * self._block_rows
        return first, min(first + self._block_rows, self._stops[part])

    def part_of(self, block: int) -> int:
        """The part in which a block lies."""
        return bisect_right(self.blocks_before, block) - 1

    def blocks_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The block in which each row lies, int64 (n,)."""
        firsts, before = np.array(self._firsts), np.array(self.blocks_before)
        parts = np.searchsorted(firsts, rows, side="right") - 1
        blocks: NDArray[np.int64] = before[parts] + (rows - firsts[parts]) // self._block_rows
        return blocks
