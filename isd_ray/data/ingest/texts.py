"""Text of source files: opened, decompressed, decoded, and what is wrong with it said."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from isd_ray.config.limits import ALWAYS_EXPANDED_BYTES, MAX_EXPANSION
from isd_ray.data.ingest.files import SourceFile
from isd_ray.data.ingest.records import Records
from isd_ray.delimited import HEAD_BYTES, UTF8_MARK, UTF16_MARKS, refuse_binary
from isd_ray.errors import InputFileError

READ_ROWS = 4096
"""Records of one chunk of the formats read by rows; bounds memory also for wide feature columns."""
BUFFER_BYTES = 1 << 20


class _Bounded(io.RawIOBase):
    """A decompressed file, ended by an error where it grows beyond measure."""

    def __init__(self, source: Any, size: int, label: str) -> None:
        super().__init__()
        self._source, self._label, self._n_read = source, label, 0
        self._most = max(ALWAYS_EXPANDED_BYTES, MAX_EXPANSION * size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._source.read(len(buffer))
        self._n_read += len(data)
        if self._n_read > self._most:
            raise InputFileError(
                f"decompresses to more than {self._most >> 20:,} MiB, {MAX_EXPANSION} times its size",
                self._label,
                "check where it comes from; if it is right, decompress it and name the plain file",
            )
        buffer[: len(data)] = data
        return len(data)


class _Whole(io.RawIOBase):
    """A file up to where it ended when it was opened: one that grows meanwhile would have no end."""

    def __init__(self, raw: pa.NativeFile, size: int) -> None:
        super().__init__()
        self._raw, self._left = raw, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._raw.read(min(len(buffer), self._left))
        self._left -= len(data)
        buffer[: len(data)] = data
        return len(data)


_DECOMPRESSORS: dict[bytes, Callable[[pa.NativeFile], Any]] = {
    b"\x1f\x8b": lambda raw: gzip.GzipFile(fileobj=io.BufferedReader(raw, BUFFER_BYTES), mode="rb"),
    b"BZh": lambda raw: bz2.BZ2File(io.BufferedReader(raw, BUFFER_BYTES)),
    b"\xfd7zXZ\x00": lambda raw: lzma.LZMAFile(io.BufferedReader(raw, BUFFER_BYTES)),  # noqa: SIM115
    b"\x28\xb5\x2f\xfd": lambda raw: pa.CompressedInputStream(raw, "zstd"),
}
"""By how a file begins, whatever its name."""
_MAGIC_BYTES = 6


@contextmanager
def opened(file: SourceFile) -> Iterator[tuple[BinaryIO, Callable[[], float]]]:
    """The bytes of a text behind a byte order mark, decompressed; and a function that tells the share read so far.

    Raises
    ------
    InputFileError
        If it is no text, or UTF-16.
    """
    with file.open() as raw:
        size = max(1, raw.size())
        magic = raw.read(_MAGIC_BYTES)
        raw.seek(0)
        make = next((make for begin, make in _DECOMPRESSORS.items() if magic.startswith(begin)), None)
        unpacked = _Whole(raw, size) if make is None else _Bounded(make(raw), size, str(file))
        stream = io.BufferedReader(unpacked, BUFFER_BYTES)
        head = stream.peek(HEAD_BYTES)[:HEAD_BYTES]
        refuse_binary(head, str(file))
        if head.startswith(UTF16_MARKS):
            raise InputFileError("it is UTF-16 text", str(file), "save it as UTF-8")
        if head.startswith(UTF8_MARK):
            stream.read(len(UTF8_MARK))
        yield cast(BinaryIO, stream), lambda: min(1.0, raw.tell() / size)


@contextmanager
def readable(file: SourceFile, remedy: str) -> Iterator[None]:
    """Turn the errors of readers and decompressors into InputFileError."""
    try:
        yield
    except (pa.ArrowException, OSError, EOFError, zlib.error, lzma.LZMAError, csv.Error, ValueError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise InputFileError(f"cannot be read: {reason[0]}", str(file), remedy) from error


def decoded(values: pa.Array) -> tuple[pa.Array, list[int]]:
    """Bytes as strings, and the indices that are not UTF-8 (null there)."""
    try:
        return pc.cast(values, pa.string()), []
    except pa.ArrowInvalid:
        texts = [None if value is None else _text_or_none(value) for value in values.to_pylist()]
        lost = [
            i
            for i, (text, was_null) in enumerate(zip(texts, values.is_null().to_pylist(), strict=True))
            if text is None and not was_null
        ]
        return pa.array(texts, pa.string()), lost


def _text_or_none(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def text_records(
    values: dict[str, list[str | None]],
    columns: Sequence[str],
    first: int,
    lines: list[int],
    share: float,
    problems: dict[int, str],
) -> Records:
    """Records of collected texts, by column."""
    table = pa.table({name: pa.array(values[name], pa.string()) for name in columns})
    return Records(table, first, np.array(lines, dtype=np.int64), share, problems)
