"""Some rows of a block of a library, for a part of that library."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isd_ray.core.features import Dense
from isd_ray.data.blocks.description import BlockDescription
from isd_ray.data.blocks.spool import Spool
from isd_ray.data.library import Library


class TakenRows:
    """Makes a block of the stored values of another one's rows; a `BlockMaker`.

    Parameters
    ----------
    parent, block:
        Whose rows; all else of the block stays as it is.
    rows:
        int64, shape (n,): the rows, for each of the library that they are put into.
    """

    def __init__(self, parent: Library, block: BlockDescription, rows: NDArray[np.int64]) -> None:
        self.name = block.name
        self.source = block.source
        self.columns = tuple(column.name for column in block.columns)
        self.definition = block.definition
        self.takes_logs = False  # the stored values are standardised already
        self.rdkit = block.rdkit
        self._parent = parent
        self._found = block.found
        self._rows = rows

    def fill(self, spool: Spool, library: Library) -> None:
        """Copy the missing parts."""
        for part in spool.missing:
            start, _ = spool.rows[part]
            for block in library.part_blocks(part):
                first, stop = library.block_rows_range(block)
                taken = self._parent.features_of(self._rows[first:stop], [self.name])[self.name]
                assert isinstance(taken, Dense)
                spool.write(part, first - start, taken.values.astype(np.float32))
            spool.complete(part)

    def found(self) -> dict[str, Any]:
        """What is known of the whole block."""
        return self._found
