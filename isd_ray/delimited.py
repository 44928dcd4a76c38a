"""Text tables by how they begin: whether a file is text at all, and what separates its fields."""

from __future__ import annotations

import csv
import io
import stat
from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from isd_ray.errors import InputFileError
from isd_ray.formulas import without_mark

HEAD_BYTES = 4096
"""Of a file, enough to see whether it is text."""
HEADER_CHARS = 1 << 20
"""Of a text, enough to hold its header."""
DELIMITERS = (",", "\t", ";")
UTF8_MARK = b"\xef\xbb\xbf"
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_LINES_BEFORE_HEADER = 50
"""Titles and remarks above the header of a table."""
_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
"""How Excel's files begin, those with the ending .xlsx (archives of XML) and the old ones with .xls."""


def refuse_binary(head: bytes, where: str) -> None:
    """Refuse a file whose first bytes are none of a text.

    Raises
    ------
    InputFileError
        If it is Excel's or has NUL bytes without being UTF-16.
    """
    if head.startswith(_OLE):
        raise InputFileError("this is an Excel file", where, "save it as CSV")
    if head.startswith(_ZIP):
        raise InputFileError("this is an Excel file, or another zip archive", where, "save it as CSV, or unpack it")
    if b"\0" in head and not head.startswith(UTF16_MARKS):
        raise InputFileError(
            "this is a binary file, not text", where, "save it as CSV in UTF-8; of Parquet the name ends in .parquet"
        )


def refuse_special(path: Path) -> None:
    """Refuse a device, a pipe or a socket, which may never end or never begin; a missing file passes.

    Raises
    ------
    OSError
        If what lies there cannot be looked at.
    InputFileError
        If it is one of these, or a folder.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise InputFileError("is a folder", str(path), "name a file in it")
    if not stat.S_ISREG(mode):
        raise InputFileError("is a device or pipe, not a file", str(path), "write it to a file first, and give that")


def header_delimiter(text: str, columns: Collection[str], usual: str = ",") -> str:
    """What separates the fields of a table, by its header.

    The delimiter with which it has most of `columns`, those that are asked for, in whatever case; of several the one
    with which it has most fields, and of several such the usual one.
    """
    wanted = {name.strip().casefold() for name in columns}
    text = text[:HEADER_CHARS]

    def fit(delimiter: str) -> tuple[int, int]:
        names = [name.strip().casefold() for name in _header(text, delimiter)]
        return len(wanted.intersection(names)), len(names)

    return max((usual, *DELIMITERS), key=fit)


def _header(text: str, delimiter: str) -> list[str]:
    """The first record that is not blank; none where quotes that this delimiter does not fit swallow the text."""
    try:
        return next(filter(any, csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)), [])
    except csv.Error:
        return []


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a table.

    Attributes
    ----------
    names:
        Of the columns, without blanks around them.
    n_lines:
        Lines up to its end, those above it included.
    """

    names: list[str]
    n_lines: int
    delimiter: str


def header_of(text: str, columns: Collection[str], usual: str = ",") -> Header:
    """The header at the beginning of a table, and what separates its fields.

    It is the first record that is not blank; or, below titles and remarks, the first that has all of `columns` and more
    fields than each record above it.
    """
    wanted = {name.strip() for name in columns}
    folded = {name.casefold() for name in wanted}
    found = [_header_by(text, wanted, delimiter) for delimiter in dict.fromkeys((usual, *DELIMITERS))]
    return max(found, key=lambda h: (len(folded.intersection(name.casefold() for name in h.names)), len(h.names)))


def _header_by(text: str, wanted: set[str], delimiter: str) -> Header:
    first, most = Header([], 0, delimiter), 0
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for fields in islice(rows, _LINES_BEFORE_HEADER):
            names = [without_mark(name.strip()) for name in fields]
            n_filled = sum(map(bool, names))
            if n_filled and not first.names:
                first = Header(names, rows.line_num, delimiter)
            if wanted and n_filled > most and wanted.issubset(names):
                return Header(names, rows.line_num, delimiter)
            most = max(most, n_filled)
    except csv.Error:  # quotes that this delimiter does not fit swallow the text
        pass
    return first
