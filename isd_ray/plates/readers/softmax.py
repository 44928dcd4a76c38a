"""Molecular Devices SoftMax Pro: blocks of rows without letters, wavelengths side by side, times below each other."""

from __future__ import annotations

import re
from collections.abc import Iterator

from isd_ray.config import PlateFormat
from isd_ray.plates.readers.blocks import Block, Lines, grids_and_tables, header_place
from isd_ray.plates.readers.export import PlateReader
from isd_ray.plates.wells import SHAPES, names_of

_PLATE = "Plate:"
_END = "~End"
_SHIFTED = "a row with a field too few"
"""What stands for the wells of a row whose values may be those of their neighbours."""


def blocks(lines: Lines, plate_format: PlateFormat) -> list[Block]:
    """The reads of all plate sections; of a file without one, all grids and tables."""
    return list(_sections(lines, plate_format)) or grids_and_tables(lines, plate_format)


def _sections(lines: Lines, plate_format: PlateFormat) -> Iterator[Block]:
    n_rows, n_columns = SHAPES[plate_format]
    names = names_of(plate_format)
    section: list[str] = []
    columns: list[int] = []
    row, width, time = 0, 0, ""
    found: list[Block] = []
    for number, fields in lines:
        if not fields:
            continue
        if fields[0] in (_PLATE, _END) or fields[0].startswith("##"):
            section, columns, row = (list(fields) if fields[0] == _PLATE else []), [], 0
            continue
        if not section:
            continue
        if (at := header_place(fields, n_columns)) is not None:
            columns, width = [], len(fields)
            while at is not None:
                columns.append(at)
                at = header_place(fields, n_columns, at + n_columns)
            row = 0
            continue
        if not columns or not any(fields[columns[0] :]):
            continue
        if row == 0:
            time = fields[0]
            wavelengths = _wavelengths(section)
            found = []
            for n in range(len(columns)):
                name = wavelengths[n] if len(wavelengths) == len(columns) else str(n + 1) if len(columns) > 1 else ""
                title = " ".join(filter(None, (name, f"at {time}" if time else "")))
                found.append(Block(number, title, [section[:2]]))
        for block, begin in zip(found, columns, strict=True):
            cells = [*fields[begin : begin + n_columns], *[""] * n_columns][:n_columns]
            is_shifted = len(fields) < width and not cells[-1]
            block.cells += [
                (number, _SHIFTED if is_shifted else names[row * n_columns + n], text) for n, text in enumerate(cells)
            ]
        row += 1
        if row == n_rows:
            yield from found
            row = 0


def _wavelengths(section: list[str]) -> list[str]:
    """The wavelengths that the line of a plate section names, in one of its fields."""
    for cell in section[2:]:
        words = cell.split()
        if words and all(re.fullmatch(r"[1-9]\d{2}", word) for word in words):
            return words
    return []


READER = PlateReader(
    "softmax",
    "SoftMax Pro",
    signs=(re.compile(r"^\W*##BLOCKS\s*=", re.MULTILINE), re.compile(r"SoftMax ?Pro")),
    blocks=blocks,
    plates_are_titles=True,
)
