"""Writing a target library: blocks into parts, rejects beside them, and all of it under its name only when complete."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from isd_ray.data.layout import METADATA_FILE, PARTS_DIRECTORY, ROW, SCHEMA_VERSION, content_hash
from isd_ray.errors import LibraryError
from isd_ray.storage.files import sha256_file

_REJECTS_BUFFER = 16_384
"""Rejects of one Parquet row group."""
REJECTS_SCHEMA = pa.schema(
    [
        ("file", pa.string()),
        ("line", pa.int64()),
        ("record", pa.int64()),
        ("id", pa.string()),
        ("smiles", pa.string()),
        ("reason", pa.string()),
        ("row", pa.int64()),
    ]
)
"""`record` is the 1-based number of the record, `line` the line where it begins, `row` the row it was merged into."""


def refuse_existing(out: Path) -> None:
    """Raise LibraryError unless `out` is absent or an empty directory."""
    if out.is_dir() and not any(out.iterdir()):
        return
    if out.exists():
        raise LibraryError("already exists", str(out), "choose another directory, or remove this one")


@contextmanager
def staging(out: Path) -> Iterator[Path]:
    """A temporary directory beside `out` that becomes `out` at the end, or vanishes when an error ends the block.

    Raises
    ------
    LibraryError
        If `out` exists with content, before or at the end; or if its parent cannot be written.
    """
    refuse_existing(out)
    folder = out.parent / f".{out.name}.building-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise LibraryError(f"cannot be created: {error}", str(out), "choose a directory that can be written") from error
    try:
        yield folder
        refuse_existing(out)
        if out.exists():
            out.rmdir()
        try:
            folder.rename(out)
        except OSError as error:
            raise LibraryError(f"cannot be put in place: {error}", str(out), "build it again") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class LibraryWriter:
    """Rows in, part files out: one record batch for each block, `part_blocks` blocks to a part.

    Parameters
    ----------
    parts:
        Complete parts that are there already; rows go on behind them.
    n_before:
        Rows of the library that these are written to be added to: the column `row` goes on behind them.
    """

    def __init__(
        self,
        folder: Path,
        block_rows: int,
        part_blocks: int,
        parts: Sequence[dict[str, Any]] = (),
        n_before: int = 0,
    ) -> None:
        self._folder = folder
        self._block_rows = block_rows
        self._part_blocks = part_blocks
        self._n_before = n_before
        self._buffer: list[pa.Table] = []
        self._n_buffered = 0
        self._n_blocks = part_blocks * len(parts)
        self._n_written = block_rows * self._n_blocks
        self._file: pa.RecordBatchFileWriter | None = None
        self._parts = list(parts)
        (folder / PARTS_DIRECTORY).mkdir(parents=True, exist_ok=True)

    @property
    def room(self) -> int:
        """Rows until the part is complete; the size of a part just behind one."""
        part_rows = self._block_rows * self._part_blocks
        return part_rows - (self._n_written + self._n_buffered) % part_rows

    @property
    def parts(self) -> Sequence[dict[str, Any]]:
        """The parts so far, the last perhaps incomplete: file, first_row, n_rows; of complete ones bytes, sha256."""
        return self._parts

    def append(self, rows: pa.Table) -> None:
        """Add rows: all columns but `row`, always of one schema."""
        self._buffer.append(rows)
        self._n_buffered += len(rows)
        while self._n_buffered >= self._block_rows:
            self._write_block()

    def close(self) -> list[dict[str, Any]]:
        """Write what is left, and describe the parts: file, first_row, n_rows, bytes, sha256; all are on disk."""
        if self._n_buffered:
            self._write_block()
        self._finish_part()
        return self._parts

    def _write_block(self) -> None:
        rows = pa.concat_tables(self._buffer)
        block = rows.slice(0, self._block_rows).combine_chunks()
        rest = rows.slice(self._block_rows)
        self._buffer, self._n_buffered = ([rest] if len(rest) else []), len(rest)
        first = self._n_before + self._n_written
        columns = {ROW: pa.array(np.arange(first, first + len(block)))}
        columns.update((name, _canonical(block[name].chunk(0))) for name in block.column_names)
        block = pa.record_batch(columns)
        if self._file is None:
            self._start_part(block.schema)
        assert self._file is not None  # set by _start_part
        self._file.write_batch(block)
        self._parts[-1]["n_rows"] += block.num_rows
        self._n_written += block.num_rows
        self._n_blocks += 1
        if self._n_blocks % self._part_blocks == 0:
            self._finish_part()

    def _start_part(self, schema: pa.Schema) -> None:
        name = f"{PARTS_DIRECTORY}/part-{len(self._parts):05d}.arrow"
        self._parts.append({"file": name, "first_row": self._n_written, "n_rows": 0})
        # Uncompressed, so that a memory map of the file is the arrays themselves.
        self._file = pa.ipc.new_file(self._folder / name, schema, options=pa.ipc.IpcWriteOptions(compression=None))

    def _finish_part(self) -> None:
        if self._file is None:
            return
        self._file.close()
        self._file = None
        path = self._folder / self._parts[-1]["file"]
        sync(path)
        self._parts[-1].update(bytes=path.stat().st_size, sha256=sha256_file(path))


class RejectsWriter:
    """A file of rejects: one line for every record that did not become a row."""

    def __init__(self, path: Path) -> None:
        self._file = pq.ParquetWriter(path, REJECTS_SCHEMA, compression="zstd")
        self._buffer: list[dict[str, Any]] = []

    def add(self, **reject: Any) -> None:
        """Add one reject, by the columns of `REJECTS_SCHEMA`."""
        self._buffer.append(reject)
        if len(self._buffer) >= _REJECTS_BUFFER:
            self._flush()

    def close(self) -> None:
        """Write what is left."""
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        if self._buffer:
            self._file.write_table(pa.Table.from_pylist(self._buffer, schema=REJECTS_SCHEMA))
        self._buffer = []


def join_rejects(files: Iterable[Path], path: Path) -> None:
    """Write one file of rejects from several, in order; its layout does not depend on where they were cut."""
    with pq.ParquetWriter(path, REJECTS_SCHEMA, compression="zstd") as sink:
        rest = REJECTS_SCHEMA.empty_table()
        for file in files:
            with pq.ParquetFile(file) as source:
                for batch in source.iter_batches(batch_size=_REJECTS_BUFFER):
                    rest = pa.concat_tables([rest, pa.Table.from_batches([batch])])
                    if len(rest) >= _REJECTS_BUFFER:
                        sink.write_table(rest.slice(0, _REJECTS_BUFFER).combine_chunks())
                        rest = rest.slice(_REJECTS_BUFFER)
        if len(rest):
            sink.write_table(rest.combine_chunks())


def write_metadata(folder: Path, metadata: dict[str, Any]) -> None:
    """Write library.json; adds the schema version and the content hash to `metadata`.

    `metadata` needs the keys features, n_rows, block_rows and parts.
    """
    part_hashes = [part["sha256"] for part in metadata["parts"]]
    identity = content_hash(metadata["features"], metadata["n_rows"], metadata["block_rows"], part_hashes)
    text = json.dumps({"schema_version": SCHEMA_VERSION, "hash": identity, **metadata}, indent=1, ensure_ascii=False)
    path = folder / METADATA_FILE
    path.write_text(text + "\n", encoding="utf-8")
    sync(path)


def _canonical(array: pa.Array) -> pa.Array:
    """The same values in the one layout that their content decides.

    Arrow may or may not keep a bitmap of no nulls, and anything at all beneath a null, depending on how an array came
    about. Files, and so the hash of a library, must not depend on how its rows were cut on the way.
    """
    if pa.types.is_string(array.type):
        return _canonical_text(array)
    if pa.types.is_list(array.type):
        offsets = array.offsets.to_numpy()
        return pa.ListArray.from_arrays(pa.array(offsets - offsets[0]), _canonical(array.flatten()))
    if pa.types.is_fixed_size_list(array.type):
        return pa.FixedSizeListArray.from_arrays(_canonical(array.flatten()), array.type.list_size)
    mask = array.is_null().to_numpy(zero_copy_only=False)
    filled = array.fill_null(0) if mask.any() else array
    return pa.array(filled.to_numpy(), array.type, mask=mask if mask.any() else None)


def _canonical_text(array: pa.StringArray) -> pa.StringArray:
    """Texts with offsets from 0, nothing beneath a null, and a bitmap only where there are nulls."""
    filled = array.fill_null("") if array.null_count else array
    _, offsets, text = filled.buffers()
    ends = np.frombuffer(offsets, np.int32)[filled.offset : filled.offset + len(filled) + 1]
    text = pa.py_buffer(b"") if text is None else text.slice(ends[0], ends[-1] - ends[0])
    is_valid = array.is_valid().buffers()[1] if array.null_count else None
    return pa.StringArray.from_buffers(len(array), pa.py_buffer(ends - ends[0]), text, is_valid)


def sync(path: Path) -> None:
    """Force a file to the disk."""
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())
