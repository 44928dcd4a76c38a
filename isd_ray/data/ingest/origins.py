"""Which record became a given row: read back from the parts, so that nothing has to be remembered for it."""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isd_ray.data.layout import RECORD
from isd_ray.data.writer import LibraryWriter


class Origins:
    """Source and record of every row written or about to be written.

    Parameters
    ----------
    starts:
        Of the `Tally` in force: the row that the first record of each source would be, as second item.
    """

    def __init__(self, folder: Path, writer: LibraryWriter, starts: list[tuple[int, int]], n_rows: int) -> None:
        self._folder = folder
        self._writer = writer
        self._starts = starts
        self._first = n_rows
        self._records: list[NDArray[np.int64]] = []

    def add(self, records: NDArray[np.int64]) -> None:
        """Remember the record numbers of the next rows, until `flushed` says that they are on disk."""
        self._records.append(records)

    def flushed(self, n_rows: int) -> None:
        """Forget the records of rows below `n_rows`: their parts are complete."""
        rest = np.concatenate([*self._records, np.zeros(0, np.int64)])[n_rows - self._first :]
        self._records, self._first = [rest], n_rows

    def of(self, row: int) -> tuple[int, int]:
        """Index of the source, and record number."""
        source = bisect_right([first for _, first in self._starts], row) - 1
        if row >= self._first:
            return source, int(np.concatenate(self._records)[row - self._first])
        part = next(part for part in reversed(self._writer.parts) if part["first_row"] <= row)
        with pa.memory_map(str(self._folder / part["file"])) as file:
            reader = pa.ipc.open_file(file)
            local = row - part["first_row"]
            block_rows = reader.get_batch(0).num_rows
            records = reader.get_batch(local // block_rows).column(RECORD)
            return source, records[local % block_rows].as_py()
