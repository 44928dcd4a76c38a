"""Columns of a library's own source as a block: joined by the records that became rows, in one pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from isd_ray.config import LibraryConfig
from isd_ray.data.blocks.description import BlockSource
from isd_ray.data.blocks.numbers import described, matching, number_column, read_numbers
from isd_ray.data.blocks.spool import Spool
from isd_ray.data.ingest.plan import open_sources
from isd_ray.data.ingest.records import Records, Source
from isd_ray.data.layout import RECORD, REJECTS_FILE
from isd_ray.data.library import Library
from isd_ray.errors import InputFileError, LibraryError

COLUMNS_BLOCK = "columns"
_KEY = "library.dense_columns"
_REJECTS_AT_A_TIME = 1 << 16


class SourceColumns:
    """Makes the block of `library.dense_columns`; a `BlockMaker`.

    Raises
    ------
    InputFileError
        If a source cannot be read, or lacks a column; or a column holds no numbers.
    """

    name: ClassVar[str] = COLUMNS_BLOCK
    source: ClassVar[BlockSource] = "columns"
    takes_logs: ClassVar[bool] = True
    rdkit: ClassVar[str] = ""

    def __init__(self, config: LibraryConfig, base_dir: Path) -> None:
        self._sources = open_sources(config, base_dir)
        self.definition = columns_definition(config)
        first = self._sources[0]
        without = (config.id_column, first.structure_column(config.smiles_column))
        names = matching(config.dense_columns, first, _KEY, without)
        self._columns = [number_column(first, name) for name in names]
        for source in self._sources[1:]:
            for column in self._columns:
                source.require(column.name, _KEY)
                if (other := number_column(source, column.name)) != column:
                    raise InputFileError(
                        f"column {column.name!r} holds {other.width} numbers a record, in {first.file} {column.width}",
                        str(source.file),
                        f"leave it out of {_KEY}, or build from files of the same columns",
                    )
        self.columns = tuple(name for column in self._columns for name in column.names)

    def fill(self, spool: Spool, library: Library) -> None:
        """Read the sources once more, and write what belongs to rows of the missing parts.

        Raises
        ------
        LibraryError
            If the library was not built from these sources as they are.
        InputFileError
            If a value is no number or infinite.
        """
        files = [source.file for source in self._sources]
        if described(files) != library.metadata["sources"]:
            raise _other_sources(library)
        missing, done = set(spool.missing), 0
        for source, records, kept, row in _rows(self._sources, [column.name for column in self._columns], library):
            if len(kept):
                rows = np.arange(row, row + len(kept))
                ids = library.ids(rows).tolist()
                spool.scatter(
                    rows,
                    np.hstack([read_numbers(column, records, kept, ids, source.file) for column in self._columns]),
                )
            while done < len(spool.rows) and spool.rows[done][1] <= row + len(kept):
                if done in missing:
                    spool.complete(done)
                done += 1
        if done < len(spool.rows):
            raise _other_sources(library)

    def found(self) -> dict[str, Any]:
        """Nothing beside the values."""
        return {}


def columns_definition(config: LibraryConfig) -> dict[str, Any]:
    """What makes two blocks of columns the same; their files are those of the library."""
    return {"columns": list(config.dense_columns)}


def _rows(
    sources: Sequence[Source], columns: Sequence[str], library: Library
) -> Iterator[tuple[Source, Records, NDArray[np.int64], int]]:
    """All records with the indices of those that became rows, and the first of these rows.

    A record is either the next row or the next reject. That the library's own record numbers agree is checked.
    """
    rejects = _Rejects(library.path / REJECTS_FILE)
    row = 0
    for source in sources:
        for records in source.read(columns):
            is_kept = np.ones(len(records), dtype=bool)
            is_kept[rejects.among(source.file.name, records.first, len(records)) - records.first] = False
            kept = np.flatnonzero(is_kept)
            stop = row + len(kept)
            if stop > library.n_rows or not np.array_equal(
                library.column(RECORD, np.arange(row, stop)), records.first + kept
            ):
                raise _other_sources(library)
            yield source, records, kept, row
            row = stop


class _Rejects:
    """The records that did not become rows, in the order of the build."""

    def __init__(self, path: Path) -> None:
        self._batches = pq.ParquetFile(path).iter_batches(_REJECTS_AT_A_TIME, columns=["file", "record"])
        self._names: NDArray[np.object_] = np.empty(0, object)
        self._records: NDArray[np.int64] = np.empty(0, np.int64)

    def among(self, name: str, first: int, n: int) -> NDArray[np.int64]:
        """Take out those of `n` records of a file from record `first` on; int64 (m,)."""
        found = [np.empty(0, np.int64)]
        while True:
            if not len(self._records) and not self._load():
                break
            is_here = (self._names == name) & (self._records >= first) & (self._records < first + n)
            n_here = len(is_here) if is_here.all() else int(np.argmin(is_here))
            found.append(self._records[:n_here])
            self._names, self._records = self._names[n_here:], self._records[n_here:]
            if len(self._records):
                break
        return np.concatenate(found)

    def _load(self) -> bool:
        batch = next(self._batches, None)
        if batch is None:
            return False
        self._names = batch["file"].to_numpy(zero_copy_only=False)
        self._records = batch["record"].to_numpy(zero_copy_only=False)
        return True


def _other_sources(library: Library) -> LibraryError:
    return LibraryError(
        "its rows are not those of the sources as they are now",
        str(library.path),
        "name the files that it was built from; of a part of a split: add the columns to the whole, and split again",
    )
