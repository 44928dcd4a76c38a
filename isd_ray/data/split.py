"""Dividing a library into target set, validation and test: each a library of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isd_ray.config import SplitConfig
from isd_ray.core.features import Dense
from isd_ray.data.blocks.add import add_block
from isd_ray.data.blocks.description import BlockDescription
from isd_ray.data.blocks.spool import Spool
from isd_ray.data.ingest.records import closest
from isd_ray.data.layout import REJECTS_FILE, ROW
from isd_ray.data.library import Library
from isd_ray.data.writer import LibraryWriter, RejectsWriter, staging, write_metadata
from isd_ray.errors import LibraryError
from isd_ray.storage.output_files import refuse_file_as_folder

PART_NAMES = ("target", "validation", "test")
_SHOWN = 5


def split_library(library: Library, config: SplitConfig, out: Path) -> dict[str, Library]:
    """Write ``out/target``, ``out/validation`` and ``out/test``; a held-out part without rows is left out.

    Rows keep the library's order and are numbered from 0 again; ids, records and kept columns stay as they are,
    and so do the values of all blocks, standardised as those of the whole.

    Parameters
    ----------
    library:
        Must hold `config.column`, if that is set (`build_library` sees to it).
    config:
        By the values of a column (several values of one part as a list), or random with a seed.
    out:
        A directory that is absent or empty; it appears when all parts are complete.

    Returns
    -------
    dict
        Name of each part that has rows, and its library.

    Raises
    ------
    LibraryError
        If `out` is taken, the column is not in the library, a value of it belongs to no part or to two, or the target
        set is empty.
    OutputFileError
        If a file lies in the way of `out`, or it is a URI.
    """
    out = Path(out)
    refuse_file_as_folder(out)
    rows = _rows_by_column(library, config) if config.column is not None else _rows_by_chance(library, config)
    if not len(rows["target"]):
        detail = f"no row has {config.column} = {config.target!r}" if config.column is not None else "its share is 0"
        raise LibraryError(f"the target set is empty: {detail}", str(library.path), "change [library.split]")
    parts = [name for name in PART_NAMES if len(rows[name])]
    with staging(out) as folder:
        for name in parts:
            _write_part(library, rows[name], name, config, folder / name)
    return {name: Library.open(out / name) for name in parts}


def blocks_of(library: Library) -> dict[str, str]:
    """Hashes of the blocks beside the main features, by name; what a split notes of its parent."""
    return {block.name: block.hash for block in library.added_blocks}


def _rows_by_chance(library: Library, config: SplitConfig) -> dict[str, NDArray[np.int64]]:
    n = library.n_rows
    shuffled = np.random.Generator(np.random.PCG64(config.seed)).permutation(n)
    n_validation, n_test = (round(share * n) for share in config.fractions[1:])
    n_target = n - n_validation - n_test
    return {
        "target": np.sort(shuffled[:n_target]),
        "validation": np.sort(shuffled[n_target : n_target + n_validation]),
        "test": np.sort(shuffled[n_target + n_validation :]),
    }


def _rows_by_column(library: Library, config: SplitConfig) -> dict[str, NDArray[np.int64]]:
    assert config.column is not None
    if config.column not in library.column_names:
        raise LibraryError(
            f"split.column = {config.column!r} is no column of the library; it has {', '.join(library.column_names)}",
            str(library.path),
            closest(config.column, library.column_names) or "build the library again with this [library.split]",
        )
    encoded = library.arrow_column(config.column).combine_chunks().dictionary_encode(null_encoding="encode")
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    distinct = [_key(value) for value in encoded.dictionary.to_pylist()]
    codes = encoded.indices.to_numpy()
    asked = {name: _keys(getattr(config, name)) for name in PART_NAMES}
    for value in distinct:
        homes = [name for name in PART_NAMES if value in asked[name]]
        if len(homes) > 1:
            raise LibraryError(
                f"rows with {config.column} = {value!r} belong to both {homes[0]} and {homes[1]}",
                "library.split",
                "give each part values of its own",
            )
    known = set().union(*asked.values())
    strays = [(value, int((codes == code).sum())) for code, value in enumerate(distinct) if value not in known]
    if strays:
        shown = ", ".join(f"{value!r} ({count} rows)" for value, count in strays[:_SHOWN])
        raise LibraryError(
            f"{len(strays)} values of column {config.column!r} belong to no part: {shown}",
            str(library.path),
            "name them as target, validation or test in [library.split] (a list names several), or drop the rows",
        )
    return {
        name: np.flatnonzero(np.isin(codes, [code for code, value in enumerate(distinct) if value in asked[name]]))
        for name in PART_NAMES
    }


def _keys(values: Any) -> set[Any]:
    return {_key(value) for value in (values if isinstance(values, list | tuple) else [values])}


def _key(value: Any) -> Any:
    """One form for 0, 0.0, "0" and "0.0", so that the file's types need not be those of the configuration."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return value
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _write_part(library: Library, rows: NDArray[np.int64], name: str, config: SplitConfig, folder: Path) -> None:
    part_blocks = library.metadata["options"]["part_blocks"]
    writer = LibraryWriter(folder, library.block_rows, part_blocks)
    RejectsWriter(folder / REJECTS_FILE).close()
    for block in range(library.n_blocks):
        first, stop = library.block_rows_range(block)
        local = rows[slice(*np.searchsorted(rows, (first, stop)).tolist())] - first
        if len(local):
            table = pa.Table.from_batches([library.block_table(block).take(pa.array(local))])
            writer.append(table.drop_columns([ROW]))
    parts = writer.close()
    n = len(rows)
    kept = {key: library.metadata[key] for key in ("features", "width", "block_rows")}
    copied = {key: library.metadata[key] for key in ("sources", "columns", "options", "rdkit")}
    counts = {"read": n, "kept": n, "duplicates": 0, "rejected": {}}
    parent = {"hash": library.hash, "n_rows": library.n_rows, "part": name, "split": config.model_dump(mode="json")}
    if blocks := blocks_of(library):
        parent["blocks"] = blocks
    write_metadata(folder, {"n_rows": n, **kept, "parts": parts, "counts": counts, **copied, "parent": parent})
    part = Library.open(folder)
    for added in library.added_blocks:
        part = add_block(part, TakenRows(library, added, rows), added)


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
