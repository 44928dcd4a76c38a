"""Delimited text as a stream of records: linear in its length, and one broken record costs its own lines only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, TypeAlias

from isd_ray.config.limits import MAX_CELL_BYTES, MAX_RECORD_BYTES

Row: TypeAlias = "tuple[int, list[bytes] | None, str]"
"""First line of a record, its fields or None, and why there are none."""

BLANK = "blank line"
UNCLOSED = "a quote that is not closed"
_QUOTE = b'"'


class _MalformedError(Exception):
    """A closing quote that nothing ends behind."""


def table_rows(stream: BinaryIO, delimiter: bytes, n_fields: int, line: int, block_bytes: int) -> Iterator[list[Row]]:
    r"""The records of a table, some at a time.

    A quoted field may go on over several lines. Since a quote that is never closed would swallow the records behind
    it, the field ends as broken where a line behind it looks like a record: by itself it has the number of fields.

    Parameters
    ----------
    stream:
        Behind the header; its lines end in ``\n``, ``\r\n`` or ``\r``.
    n_fields:
        Of the header. Empty fields behind them (a delimiter at the end of lines) are nothing.
    line:
        Number of the first line.
    block_bytes:
        Bytes read at a time.
    """
    lines: list[bytes] = []
    rest, after_return, too_long = b"", False, False
    while True:
        chunk = stream.read(block_bytes)
        is_last = not chunk
        if after_return and chunk.startswith(b"\n"):
            chunk = chunk[1:]
            if not chunk:
                after_return = False
                continue
        after_return = chunk.endswith(b"\r")
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *new, rest = (rest + chunk).split(b"\n")
        if too_long and new:
            new[0], too_long = b"x" * (MAX_RECORD_BYTES + 1), False
        if len(rest) > MAX_RECORD_BYTES:
            rest, too_long = b"", True
        lines += new
        if is_last and (rest or too_long):
            lines.append(b"x" * (MAX_RECORD_BYTES + 1) if too_long else rest)
        rows, n_done = _rows(lines, delimiter, n_fields, line, is_last)
        if rows:
            yield rows
        lines = lines[n_done:]
        line += n_done
        if is_last:
            return


def _rows(lines: list[bytes], delimiter: bytes, n_fields: int, line: int, is_last: bool) -> tuple[list[Row], int]:
    """The records of some lines, and how many lines they take: what may go on in lines to come is left."""
    rows: list[Row] = []
    place = 0
    while place < len(lines):
        text = lines[place]
        height = 1
        fields: list[bytes] | None
        if len(text) > MAX_CELL_BYTES and len(text) > MAX_RECORD_BYTES:
            fields, reason = None, f"the line is longer than {MAX_RECORD_BYTES >> 20} MiB"
        elif _QUOTE not in text:
            fields, reason = text.split(delimiter), ""
        else:
            fields, reason, height = _quoted(lines, place, delimiter, n_fields, is_last)
            if not height:
                break
        rows.append(_checked(line + place, fields, reason, n_fields, len(text)))
        place += height
    return rows, place


def _checked(line: int, fields: list[bytes] | None, reason: str, n_fields: int, length: int) -> Row:
    if fields is None:
        return line, None, reason
    if not any(fields) or (len(fields) == 1 and not fields[0].strip()):
        return line, None, BLANK
    if len(fields) > n_fields and not any(fields[n_fields:]):
        del fields[n_fields:]
    if len(fields) != n_fields:
        return line, None, f"wrong number of fields: {len(fields)} instead of {n_fields}"
    if length > MAX_CELL_BYTES and max(map(len, fields)) > MAX_CELL_BYTES:
        return line, None, f"a field is longer than {MAX_CELL_BYTES >> 20} MiB"
    return line, fields, ""


def _quoted(
    lines: list[bytes], start: int, delimiter: bytes, n_fields: int, is_last: bool
) -> tuple[list[bytes] | None, str, int]:
    """Fields of the record that begins in a line with a quote, or a reason, and its lines; 0 where more are needed."""
    text = lines[start]
    if text.startswith(_QUOTE) and text.endswith(_QUOTE):  # as tools write that quote every field
        every = text[1:-1].split(_QUOTE + delimiter + _QUOTE)
        if len(every) == n_fields and _QUOTE not in b"".join(every):
            return every, "", 1
    fields: list[bytes] = []
    n_bytes = 0
    is_open: list[bytes] | None = None
    for place in range(start, len(lines)):
        text = lines[place]
        n_bytes += len(text)
        if place > start and (
            n_bytes > MAX_CELL_BYTES or _ends_record(lines, start, text, fields, delimiter, n_fields)
        ):
            return None, UNCLOSED, 1
        try:
            is_open = _scan(text, delimiter, fields, is_open)
        except _MalformedError:
            return None, UNCLOSED if place > start else "text behind a closing quote", 1
        if is_open is None:
            return fields, "", place - start + 1
    return (None, UNCLOSED, 1) if is_last or n_bytes > MAX_CELL_BYTES else (None, "", 0)


def _ends_record(
    lines: list[bytes], start: int, text: bytes, fields: list[bytes], delimiter: bytes, n_fields: int
) -> bool:
    """Whether a line within an open quote looks like a record of its own, so that the quote was never meant to open."""
    alone: list[bytes] = []
    try:
        if _scan(text, delimiter, alone, None) is not None or len(alone) != n_fields:
            return False
    except _MalformedError:
        return False
    # The last line of a field of several lines in the first column has that number too: `lines",b,c`.
    closes_first = not fields and alone[0].endswith(_QUOTE) and not text.startswith(_QUOTE)
    return not closes_first or n_fields == 1 or len(lines[start].split(delimiter)) == n_fields


def _scan(text: bytes, delimiter: bytes, fields: list[bytes], is_open: list[bytes] | None) -> list[bytes] | None:
    """Add the fields of one line; the lines so far of a field that is open at its end, None where none is."""
    place = 0
    while True:
        if is_open is not None or text.startswith(_QUOTE, place):
            start = place if is_open is not None else place + 1
            close = _closing(text, start, delimiter)
            is_open = is_open or []
            is_open.append(text[start:close] if close >= 0 else text[start:])
            if close < 0:
                return is_open
            fields.append(b"\n".join(is_open).replace(b'""', _QUOTE))
            is_open, place = None, close + 1
        else:
            end = text.find(delimiter, place)
            fields.append(text[place:] if end < 0 else text[place:end])
            place = len(text) if end < 0 else end
            if end < 0:
                return None
        if place >= len(text):
            return None
        place += 1


def _closing(text: bytes, start: int, delimiter: bytes) -> int:
    """Where the quote stands that closes an open one, -1 for nowhere in this line.

    Raises
    ------
    _MalformedError
        If something else than a delimiter or the end of the line follows it.
    """
    place = text.find(_QUOTE, start)
    while place >= 0:
        behind = text[place + 1 : place + 2]
        if behind != _QUOTE:
            if behind not in (b"", delimiter):
                raise _MalformedError
            return place
        place = text.find(_QUOTE, place + 2)
    return -1
