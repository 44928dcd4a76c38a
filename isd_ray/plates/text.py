"""Delimited text of plate readers, record by record, with true line numbers."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from isd_ray.config.limits import MAX_READOUTS_BYTES
from isd_ray.delimited import HEAD_BYTES, UTF16_MARKS, refuse_binary, refuse_special
from isd_ray.errors import InputFileError

_STRAY = "a quote is not closed, or closes one that was not opened"
MAX_RECORD_LINES = 50
"""Lines of a record with line breaks in its quotes: more, and a quote was never closed."""


def read_text(path: Path) -> str:
    """The text of a file: UTF-8, with or without a byte order mark, or UTF-16 with one.

    Bytes that are no UTF-8 become U+FFFD, so that they spoil their own line only.

    Raises
    ------
    InputFileError
        If the file cannot be read, is empty, or is no text.
    """
    try:
        refuse_special(path)
        if (size := path.stat().st_size) > MAX_READOUTS_BYTES:
            raise InputFileError(
                f"{size:,} bytes are too many for a file of readouts, which is read as a whole",
                str(path),
                f"tell it in files of at most {MAX_READOUTS_BYTES >> 20} MiB",
            )
        data = path.read_bytes()
        refuse_binary(data[:HEAD_BYTES], str(path))
        text = data.decode("utf-16" if data.startswith(UTF16_MARKS) else "utf-8-sig", errors="replace")
    except (OSError, ValueError) as error:  # of a path with a NUL
        reason = getattr(error, "strerror", None) or error
        raise InputFileError(f"cannot be read: {reason}", repr(str(path))[1:-1], "check the path") from error
    if not text.strip():
        raise InputFileError("the file is empty", str(path), "export the readouts again")
    return text


def records(text: str, delimiter: str, broken: list[tuple[int, str]]) -> Iterator[tuple[int, list[str]]]:
    """First line (from 1) and trimmed fields, at least one, of every record but wholly empty lines.

    A quote that is never closed costs its own line only: reading goes on with the next one. So does one that is closed
    by a quote of another record.

    Parameters
    ----------
    broken:
        Gets the line and the reason of each record that cannot be split into fields.
    """
    lines = list(io.StringIO(text, newline=""))
    source = _Lines(lines)
    start = width = 0
    while start < len(lines):
        source.begin(start)
        reader = csv.reader(source, delimiter=delimiter, strict=True)
        try:
            for fields in reader:
                first, end = start, source.end_record()
                if end > first + 1 and _is_stray(lines[first:end], delimiter, width):
                    raise csv.Error(_STRAY)
                start = end
                if fields:
                    width = width or len(fields)
                    yield first + 1, [field.strip() for field in fields]
            return
        except csv.Error as error:
            broken.append((start + 1, f"not delimited text: {error}"))
            start += 1


def _is_stray(lines: Sequence[str], delimiter: str, width: int) -> bool:
    """Whether quotes that run over several lines swallow records, and are none: a line in them has all their fields.

    A remark of several lines, each with as many delimiters, is refused for it; nothing is lost in silence.
    """
    if width <= 1:
        return False
    inner = [line for line in lines[1:-1] if '"' not in line]
    return any(line.count(delimiter) >= width - 1 for line in (*inner, lines[-1].split('"', 1)[0]))


class _Lines:
    """Lines of a text for one record after the other; a record of too many ends as if the text did."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self._next = self._last = 0

    def begin(self, start: int) -> None:
        """Go on with the line at this place."""
        self._next, self._last = start, start + MAX_RECORD_LINES

    def end_record(self) -> int:
        """Begin another record with the next line; its place."""
        self._last = self._next + MAX_RECORD_LINES
        return self._next

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if self._next >= min(self._last, len(self._lines)):
            raise StopIteration
        self._next += 1
        return self._lines[self._next - 1]


def plain_delimiter(text: str) -> str:
    """The delimiter of text without a header: a tab or semicolon anywhere outranks commas, which may be decimal."""
    return next((delimiter for delimiter in ("\t", ";") if delimiter in text), ",")


def column_place(names: Sequence[str], column: str, where: str) -> int | None:
    """Place of a column, in another case or with blanks around it if that is the only such one; None without one.

    Raises
    ------
    InputFileError
        If there are several.
    """
    if names.count(column) > 1:
        raise InputFileError(f"{names.count(column)} columns are called {column!r}", where, "rename all but one")
    if column in names:
        return names.index(column)
    alike = [place for place, name in enumerate(names) if name.strip().casefold() == column.strip().casefold()]
    if len(alike) > 1:
        raise InputFileError(
            f"{len(alike)} columns are called {column!r} in one case or another", where, "rename all but one"
        )
    return alike[0] if alike else None
