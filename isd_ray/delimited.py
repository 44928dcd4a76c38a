"""Text tables by how they begin: whether a file is text at all, and what separates its fields."""

from __future__ import annotations

import csv
import io

from isd_ray.errors import InputFileError

HEAD_BYTES = 4096
"""Of a file, enough to see whether it is text."""
DELIMITERS = (",", "\t", ";")
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
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


def header_delimiter(head: str, usual: str) -> str:
    """What separates the fields of the first record: the usual delimiter, unless another one alone separates any."""
    if len(_first_record(head, usual)) > 1:
        return usual
    found = [mark for mark in DELIMITERS if mark != usual and len(_first_record(head, mark)) > 1]
    return found[0] if len(found) == 1 else usual


def delimiter_with(text: str, column: str) -> str:
    """The delimiter with which the first record has `column`; else the one that it has most of."""
    header = next((line for line in text.splitlines() if line.strip()), "")
    for delimiter in DELIMITERS:
        if column in [name.strip() for name in _first_record(header, delimiter)]:
            return delimiter
    return max(DELIMITERS, key=header.count)


def _first_record(text: str, delimiter: str) -> list[str]:
    return next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])
