"""Delimited text of plate readers, record by record, with true line numbers."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from isd_ray.config.limits import MAX_READOUTS_BYTES
from isd_ray.delimited import HEAD_BYTES, UTF16_MARKS, refuse_binary
from isd_ray.errors import InputFileError


def read_text(path: Path) -> str:
    """The text of a file: UTF-8, with or without a byte order mark, or UTF-16 with one.

    Bytes that are no UTF-8 become U+FFFD, so that they spoil their own line only.

    Raises
    ------
    InputFileError
        If the file cannot be read, is empty, or is no text.
    """
    try:
        if (size := path.stat().st_size) > MAX_READOUTS_BYTES:
            raise InputFileError(
                f"{size:,} bytes are too many for a file of readouts, which is read as a whole",
                str(path),
                f"tell it in files of at most {MAX_READOUTS_BYTES >> 20} MiB",
            )
        data = path.read_bytes()
        refuse_binary(data[:HEAD_BYTES], str(path))
        text = data.decode("utf-16" if data.startswith(UTF16_MARKS) else "utf-8-sig", errors="replace")
    except OSError as error:
        raise InputFileError(f"cannot be read: {error.strerror}", str(path), "check the path") from error
    if not text.strip():
        raise InputFileError("the file is empty", str(path), "export the readouts again")
    return text


def records(text: str, delimiter: str, broken: list[tuple[int, str]]) -> Iterator[tuple[int, list[str]]]:
    """First line (from 1) and trimmed fields, at least one, of every record but wholly empty lines.

    A quote that is never closed costs its own line only: reading goes on with the next one.

    Parameters
    ----------
    broken:
        Gets the line and the reason of each record that cannot be split into fields.
    """
    lines = list(io.StringIO(text, newline=""))
    start = 0
    while start < len(lines):
        reader = csv.reader(lines[start:] if start else lines, delimiter=delimiter, strict=True)
        done = 0
        try:
            for fields in reader:
                first, done = start + done + 1, reader.line_num
                if fields:
                    yield first, [field.strip() for field in fields]
            return
        except csv.Error as error:
            broken.append((start + done + 1, f"not delimited text: {error}"))
            start += done + 1


def plain_delimiter(text: str) -> str:
    """The delimiter of text without a header: a tab or semicolon anywhere outranks commas, which may be decimal."""
    return next((delimiter for delimiter in ("\t", ";") if delimiter in text), ",")


def column_place(names: Sequence[str], column: str, where: str) -> int | None:
    """Place of a column, None where there is no such.

    Raises
    ------
    InputFileError
        If there are several.
    """
    if names.count(column) > 1:
        raise InputFileError(f"{names.count(column)} columns are called {column!r}", where, "rename all but one")
    return names.index(column) if column in names else None
