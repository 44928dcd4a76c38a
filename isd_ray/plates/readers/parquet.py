"""Readouts from Parquet: what it takes to decode them is known, and bounded, before and while that is done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from isd_ray.config.limits import MAX_READOUTS_BYTES, MAX_READOUTS_ROWS
from isd_ray.delimited import refuse_special
from isd_ray.errors import InputFileError

_FREE_CELLS = 4_000_000
_CELLS_A_BYTE = 20
"""Cells that any file may have, and those for each of its bytes: a panel of bits has some eight, a bomb thousands."""
_EXACT = float(1 << 53)
_ROWS_AT_ONCE = 1 << 14
_ROWS_OF_UNKNOWN_SIZE = 64
"""Rows decoded at a time where texts may be stored as what they differ by, so that their size is not known before."""


def parquet_rows(path: Path, wanted: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """The header as line 0, and the records from 1: of the columns that are wanted, or of all if there is none of them.

    Texts that repeat are decoded once, so that memory stays below what the file is allowed to hold.

    Raises
    ------
    InputFileError
        If the file cannot be read, or is too large.
    """
    try:
        refuse_special(path)
        with pq.ParquetFile(path) as file:
            metadata, schema = file.metadata, file.schema_arrow
            n_bytes = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
            folded = {name.strip().casefold() for name in wanted}
            names = [name for name in schema.names if name.strip().casefold() in folded] or list(schema.names)
            n_cells = metadata.num_rows * len(names)
            allowed = max(_FREE_CELLS, _CELLS_A_BYTE * path.stat().st_size)
            if n_bytes > MAX_READOUTS_BYTES or metadata.num_rows > MAX_READOUTS_ROWS or n_cells > allowed:
                raise _too_large(path, f"{metadata.num_rows:,} rows, {n_bytes:,} bytes decompressed")
            yield 0, [str(name) for name in schema.names] if names == list(schema.names) else names
            line = 0
            for batch in _batches(path, file, names):
                columns = [_texts(column, path, name) for name, column in zip(names, batch.columns, strict=True)]
                for fields in zip(*columns, strict=True):
                    line += 1
                    yield line, list(fields)
    except (OSError, ValueError, OverflowError, MemoryError, pa.ArrowException) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputFileError(
            f"cannot be read as Parquet: {reason}", repr(str(path))[1:-1], "check the path and the file"
        ) from error


def _batches(path: Path, file: pq.ParquetFile, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    texts = [name for name in names if _is_text(file.schema_arrow.field(name).type)]
    is_delta = any("DELTA" in encoding for encoding in _encodings(file, names))
    with pq.ParquetFile(path, read_dictionary=[] if is_delta else texts) as file:
        n_decoded = 0
        for batch in file.iter_batches(_ROWS_OF_UNKNOWN_SIZE if is_delta else _ROWS_AT_ONCE, columns=list(names)):
            n_decoded += sum(_decoded_bytes(column) for column in batch.columns)
            if n_decoded > MAX_READOUTS_BYTES:
                raise _too_large(path, f"more than {MAX_READOUTS_BYTES:,} bytes when it is decoded")
            yield batch


def _encodings(file: pq.ParquetFile, names: Sequence[str]) -> set[str]:
    """How the values of some columns are stored."""
    places = [at for at in range(len(file.schema)) if file.schema.column(at).path.split(".", 1)[0] in names]
    found: set[str] = set()
    for group in range(file.num_row_groups):
        # A row is read before the columns are looked at: where what is said of them is damaged, reading raises an
        # error, while asking for it ends the process.
        next(file.iter_batches(1, row_groups=[group], columns=list(names), use_threads=False), None)
        about = file.metadata.row_group(group)
        found.update(*(about.column(at).encodings for at in places if at < about.num_columns))
    return found


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind))


def _decoded_bytes(column: pa.Array) -> int:
    """What a column takes once each of its texts stands for itself."""
    if pa.types.is_dictionary(column.type) and _is_text(column.type.value_type):
        lengths = pc.binary_length(column.dictionary).take(column.indices)
        return int(pc.sum(lengths).as_py() or 0) + 8 * len(column)
    return int(column.nbytes)


def _too_large(path: Path, what: str) -> InputFileError:
    return InputFileError(
        f"{what}: too many for a file of readouts, which is read as a whole",
        str(path),
        "leave out columns that are not needed, or tell it in several files",
    )


def _texts(column: pa.Array, path: Path, name: str) -> list[str]:
    try:
        return [as_text(value) for value in column.to_pylist()]
    except (OverflowError, ValueError) as error:
        # Times that Python has no dates for; bytes that are no text.
        try:
            return [as_text(value) for value in column.cast(pa.string()).to_pylist()]
        except (pa.ArrowException, OverflowError, ValueError):
            raise InputFileError(
                f"column {name!r} has values that cannot be read ({error})", str(path), "leave it out, or write texts"
            ) from error


def as_text(value: object) -> str:
    """A value as a table of text has it; blank for none."""
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return str(int(value))  # a class or barcode 3 that a table with gaps turned into 3.0
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace").strip()
    return str(value).strip()
