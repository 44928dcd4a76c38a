"""Columns of any table as a block: joined by compound ids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isd_ray.data.blocks.broken import BrokenRecords
from isd_ray.data.blocks.description import BlockSource
from isd_ray.data.blocks.numbers import described, matching, number_column, read_numbers
from isd_ray.data.blocks.spool import Spool
from isd_ray.data.ingest.plan import PlannedSource, record_ids, require_ids
from isd_ray.data.ingest.sources import open_source, resolve_source
from isd_ray.data.library import Library
from isd_ray.errors import InputFileError

N_UNMATCHED, UNMATCHED = "n_unmatched", "unmatched"
"""Among what was found: ids that are no compounds of the library, how many and the first few."""
_SHOWN = 5


class TableColumns:
    """Makes a block of columns of a file; a `BlockMaker`.

    Parameters
    ----------
    name:
        Of the block.
    file:
        A path or URI, as `resolve_source`.
    columns:
        Columns of numbers or vectors, with wildcards.
    id_column:
        Column of compound ids; default: the one that the library was built with.

    Raises
    ------
    InputFileError
        If the file cannot be read or lacks a column, a column holds no numbers, every record is broken, an id stands
        there twice, or none is in the library.
    """

    source: ClassVar[BlockSource] = "table"
    takes_logs: ClassVar[bool] = True
    rdkit: ClassVar[str] = ""

    def __init__(
        self, library: Library, name: str, file: str, columns: Sequence[str], base_dir: Path, id_column: str | None
    ) -> None:
        self.name = name
        ids = id_column or library.metadata["options"].get("id_column")
        if ids is None:
            raise InputFileError(
                "which column holds the ids of the compounds? The library has none of its own",
                file,
                "name it with --id-column; ids of the library are record numbers, from 1",
            )
        self._source = open_source(resolve_source(file, base_dir, "--table"), columns=(ids,))
        self._source.require(ids, "--id-column")
        require_ids(self._source, ids, "--id-column")
        names = matching(columns, self._source, "--columns", (ids,))
        self._columns = [number_column(self._source, column) for column in names]
        self.columns = tuple(column for one in self._columns for column in one.names)
        self.definition = {"columns": list(columns), "id_column": ids, "sources": described([self._source.file])}
        self._planned = PlannedSource(self._source, (ids,), None, ids, "")
        self._id_column = ids
        self._broken = BrokenRecords()
        self._rows, self._found = self._match(library)

    def fill(self, spool: Spool, library: Library) -> None:
        """Read the table once more, and put its values where their compounds are (raises InputFileError)."""
        self._broken = BrokenRecords()  # a value may be what cannot be read
        for records in self._source.read([self._id_column, *(column.name for column in self._columns)]):
            self._broken.note(records, self._source.file)
            rows = self._rows[records.first - 1 : records.first - 1 + len(records)]
            which = np.flatnonzero(rows >= 0)
            if len(which):
                ids = record_ids(records.table, self._planned, records.first, len(records))
                names = ids.take(pa.array(which)).to_pylist()
                values = [read_numbers(column, records, which, names, self._source.file) for column in self._columns]
                spool.scatter(rows[which], np.hstack(values))
        for part in spool.missing:
            spool.complete(part)

    def found(self) -> dict[str, Any]:
        """How many ids are no compounds of the library, and how many records cannot be read."""
        return {**self._found, **self._broken.found()}

    def _match(self, library: Library) -> tuple[NDArray[np.int64], dict[str, Any]]:
        """The row of each record, -1 where there is none."""
        ids, lines = [], []
        for records in self._source.read([self._id_column]):
            ids.append(record_ids(records.table, self._planned, records.first, len(records)))
            lines.append(records.lines)
            self._broken.note(records, self._source.file)
        self._broken.refuse_all(str(self._source.file))
        if not ids:
            raise InputFileError("there are no records", str(self._source.file), "name a table with values")
        names = pa.chunked_array(ids)
        rows, at = library.rows_of(names), np.concatenate(lines)
        order = np.argsort(rows, kind="stable")
        again = np.flatnonzero((np.diff(rows[order]) == 0) & (rows[order][1:] >= 0))
        if len(again):
            first, second = int(order[again[0]]), int(order[again[0] + 1])
            raise InputFileError(
                f"id {names[first].as_py()!r} stands in line {at[first]} and in line {at[second]}",
                str(self._source.file),
                "leave one line for each compound",
            )
        unmatched = np.flatnonzero((rows < 0) & names.is_valid().to_numpy())
        shown = [names[int(index)].as_py() for index in unmatched[:_SHOWN]]
        if not (rows >= 0).any():
            raise no_match(shown, str(self._source.file), self._id_column)
        return rows, {N_UNMATCHED: len(unmatched), UNMATCHED: shown} if shown else {}


def no_match(shown: Sequence[str], file: str, column: str) -> InputFileError:
    """Not one compound of a file is in the library."""
    return InputFileError(
        f"no compound is in the library; the first are {', '.join(map(repr, shown)) or 'empty'}",
        file,
        f"name the column with the ids or structures of the library; {column!r} was taken",
    )
