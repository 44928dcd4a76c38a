"""Plates as they lie on the table: one block of numbers for each plate."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from isd_ray.plates.cells import NO_VALUE
from isd_ray.plates.collect import Collector
from isd_ray.plates.text import plain_delimiter, records
from isd_ray.plates.wells import SHAPES, names_of, row_letters

_BARCODE_LINE = re.compile(r"^(?:plate barcode|plate id|plate|barcode)\s*[:=]?", re.IGNORECASE)
_BARCODE = re.compile(r"(?=[^0-9]*[0-9])[^\s(),;]+")
"""A word with a digit."""
_CORNERS = frozenset({"", "<>"})
"""What stands above the row letters where it is not a barcode."""
_N_REMARK = 2
"""Most cells of a remark of the instrument, as a date or a temperature."""


@dataclass(slots=True)
class _Block:
    """One plate while it is read.

    Attributes
    ----------
    rows:
        Line, row letters (empty where rows have none) and cells.
    """

    barcode: str = ""
    has_header: bool = False
    rows: list[tuple[int, str, list[str]]] = field(default_factory=list)

    def waits_for_row(self, n_rows: int) -> bool:
        """Whether a line with one filled cell can only be a row: one without letters, of a block that has begun."""
        if self.rows:
            return not any(letters for _, letters, _ in self.rows) and len(self.rows) < n_rows
        return bool(self.barcode or self.has_header)


def read_matrix(text: str, collector: Collector, plate: str | None) -> None:
    """Take in every cell of every block.

    A block has a line for each row of the plate, with or without the row's letters; above it there may be a line of
    column numbers, and above that a line with the barcode (alone, or behind the word "plate" or "barcode"); the barcode
    may also stand in the corner, before the column numbers. Each block but the first begins with one of these lines.
    Empty cells are no readings.

    Parameters
    ----------
    plate:
        Barcode of the first block, where the file does not say one.
    """
    n_rows, n_columns = SHAPES[collector.plate_format]
    numbers = [str(column) for column in range(1, n_columns + 1)]
    letters = frozenset(row_letters(row) for row in range(n_rows))
    blocks = [_Block()]
    for line, fields in records(text, plain_delimiter(text), collector.rejects):
        header = next((at for at in (0, 1) if _trimmed(fields[at:]) == numbers), None)
        has_letter = fields[0].upper() in letters and (len(fields) > n_columns or not collector.classes)
        block = blocks[-1]
        if not any(fields) and not ((block.rows or block.has_header) and block.waits_for_row(n_rows)):
            continue  # between blocks; within one it is an empty row
        barcode = _barcode(fields, collector.known_plates)
        if len(fields) > 1 and (has_letter or block.waits_for_row(n_rows)):
            barcode = ""  # a row of which only the first well is filled
        if (header is not None or barcode) and block.rows:
            block = _Block()
            blocks.append(block)
        if header is not None:
            block.has_header = True
            if header == 1 and fields[0] not in _CORNERS:
                block.barcode = fields[0]
        elif barcode:
            block.barcode = barcode
        elif len(_trimmed(fields)) <= _N_REMARK and not has_letter and not block.waits_for_row(n_rows):
            collector.reject(line, "neither a barcode nor a row of a plate")
        else:
            # Rows that are too many stay in their block and spoil it: one line too much above would shift all others.
            block.rows.append((line, fields[0].upper(), fields[1:]) if has_letter else (line, "", fields))
    for number, block in enumerate(blocks):
        _take_in(block, collector, (plate or "") if number == 0 else "")


def _trimmed(fields: Sequence[str]) -> list[str]:
    """Fields without empty ones at the end."""
    end = len(fields)
    while end and not fields[end - 1]:
        end -= 1
    return list(fields[:end])


def _barcode(fields: Sequence[str], known: frozenset[str]) -> str:
    """The barcode that a line gives: its only word, or the one behind "plate" or "barcode".

    Empty if it gives none, as "Date: 2025-03-01", or a title of several words or without a digit, unless there is such
    a plate.
    """
    match _trimmed(fields):
        case [only] if only in known:
            return only
        case [only] if ":" in only:
            return _BARCODE_LINE.sub("", only).strip() if _BARCODE_LINE.match(only) else ""
        case [only]:
            return only if _BARCODE.fullmatch(only) else ""
        case [word, barcode] if _BARCODE_LINE.fullmatch(word):
            return barcode
    return ""


def _take_in(block: _Block, collector: Collector, plate: str) -> None:
    n_rows, n_columns = SHAPES[collector.plate_format]
    labelled = any(label for _, label, _ in block.rows)
    problem = ""
    if plate and block.barcode and collector.barcode(block.barcode, plate) != plate:
        problem = f"the file says plate {block.barcode!r}, the call says {plate!r}"
    elif not (block.barcode or plate):
        problem = "no barcode above the block; give the plate"
    elif not labelled and len(block.rows) != n_rows:
        problem = (
            f"a block of {len(block.rows)} rows without letters instead of {n_rows} ({collector.plate_format} wells)"
        )
    names = names_of(collector.plate_format)
    for number, (line, label, cells) in enumerate(block.rows):
        if labelled and not label:
            collector.reject(line, "no row letter, where other rows of the plate have one")
        elif len(cells) < n_columns or any(cells[n_columns:]):
            collector.reject(line, f"{len(_trimmed(cells))} columns instead of {n_columns}; see plates.format")
        elif problem:
            collector.reject(line, problem)
        else:
            row = _row_of(label) if labelled else number
            for column, cell in enumerate(cells[:n_columns]):
                if cell.lower() not in NO_VALUE or collector.whole_plates:
                    name = names[row * n_columns + column]
                    collector.add(line, cell, plate=plate or block.barcode, well=name)


def _row_of(label: str) -> int:
    """0-based row of letters: the inverse of `row_letters`."""
    *first, last = (ord(letter) - ord("A") for letter in label)
    return 26 * (first[0] + 1) + last if first else last
