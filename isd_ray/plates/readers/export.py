"""Exports of plate readers: which reads they hold, of which plates, and which read counts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from isd_ray.config import PlateFormat
from isd_ray.errors import InputFileError
from isd_ray.plates.cells import NO_VALUE
from isd_ray.plates.collect import Collector
from isd_ray.plates.readers.blocks import (
    BARCODE_KEY,
    BARCODE_PAIR,
    MAX_INDENT,
    N_PAIR,
    NO_BARCODES,
    PLATE_KEY,
    PLATE_PAIR,
    Block,
    Lines,
    grids_and_tables,
    header_place,
    is_value,
    lines_of,
    well_of,
)
from isd_ray.plates.wells import SHAPES, row_letters, well_index

HEAD_CHARS = 1 << 16
"""Of a file, enough to see whose it is."""
_N_LISTED = 8
_NO_PLATE_REMEDY = (
    "export the plate as a grid, or as a list below a line with the names of its columns, `Well` among them; a reader "
    "whose exports look otherwise needs a `blocks` that finds them (PlateReader.blocks)"
)


@dataclass(frozen=True, slots=True)
class PlateReader:
    """The exports of one make of plate readers.

    Attributes
    ----------
    name, title:
        What `readouts.shape` calls it, and its name for people.
    signs:
        One of them stands at the beginning of every file of it.
    blocks:
        Finds the reads in the lines of a file; default: all grids and tables.
    no_reads:
        Titles of blocks that are no reads, as layouts.
    plates_are_titles:
        What stands behind "Plate:" is a name that people give, not a barcode, unless there is such a plate.
    """

    name: str
    title: str
    signs: tuple[re.Pattern[str], ...]
    blocks: Callable[[Lines, PlateFormat], list[Block]] | None = None
    no_reads: re.Pattern[str] | None = None
    plates_are_titles: bool = False

    def recognises(self, text: str) -> bool:
        """Whether a file is one of its exports."""
        return any(sign.search(text, 0, HEAD_CHARS) for sign in self.signs)


def read_export(
    text: str, reader: PlateReader, collector: Collector, *, plate: str | None, read: str | None, where: str
) -> None:
    """Take in one read of each plate of an export.

    Parameters
    ----------
    plate:
        Barcode where the file has one plate and does not say it, or says a title.
    read:
        Which of several reads: its title, or a part of it that only one has.

    Raises
    ------
    InputFileError
        If there is none, or there are several and `read` does not say which.
    """
    lines = lines_of(text)
    find = reader.blocks or grids_and_tables
    all_blocks = [block for block in find(lines, collector.plate_format) if block.cells]
    blocks = [block for block in all_blocks if not (reader.no_reads and reader.no_reads.search(block.title))]
    if not blocks:
        other = next((n for n in SHAPES if n != collector.plate_format and find(lines, n)), None)
        raise InputFileError(
            f"no plate of {collector.plate_format} wells is in this export of {reader.title}"
            + (f", but one of {other}" if other else ""),
            where,
            "check plates.format" if other else _NO_PLATE_REMEDY,
        )
    _name_plates(blocks, reader, collector, plate)
    for block in _chosen(blocks, read, where):
        for line, well, cell in block.cells:
            is_well = well_index(well, collector.plate_format) is not None
            if is_well and cell.lower() in NO_VALUE and not collector.whole_plates:
                continue
            collector.add(line, cell, plate=block.plate, well=well)
    for line in _left_over(lines, all_blocks, collector.plate_format):
        collector.reject(line, f"it has values, but is of no whole plate or list of wells that {reader.title} writes")


def _left_over(lines: Lines, blocks: Sequence[Block], plate_format: PlateFormat) -> Iterator[int]:
    """Numbers of lines that no block has and that look as if one had lost them.

    They have values in as many columns as a plate, or in half as many behind the letter of a row; or, of a file whose
    blocks are lists, the name of a well and a value.
    """
    n_rows, n_columns = SHAPES[plate_format]
    letters = {row_letters(row) for row in range(n_rows)}
    taken = {line for block in blocks for line, _, _ in block.cells} | {block.line for block in blocks}
    has_lists = all(len({line for line, _, _ in block.cells}) == len(block.cells) for block in blocks)
    for number, fields in lines:
        if number in taken or any(header_place(fields, n) is not None for _, n in SHAPES.values()):
            continue
        n_values = sum(map(is_value, fields))
        is_row = n_values >= n_columns or (
            2 * n_values >= n_columns and any(cell.upper() in letters for cell in fields[: MAX_INDENT + 1])
        )
        is_well = has_lists and n_values and any(well_of(fields, (at,), plate_format) for at in range(len(fields)))
        if is_row or is_well:
            yield number


def _name_plates(blocks: Sequence[Block], reader: PlateReader, collector: Collector, plate: str | None) -> None:
    """Give each block its barcode: of its own lines, of those above it, or of the block before."""
    before = ""
    for block in blocks:
        found = block.plate or _barcode_in(block.before, collector.known_plates, reader)
        before = block.plate = collector.barcode(found or before, plate)


def _barcode_in(lines: Sequence[Sequence[str]], known: frozenset[str], reader: PlateReader) -> str:
    """The barcode in the lines above a plate: a word that is one, what is called one, or the name of the plate."""
    words = {word for fields in lines for cell in fields for word in (cell, *re.split(r"[\s:;,]+", cell))}
    if len(named := sorted(words & known)) == 1:
        return named[0]
    for pair, key in ((BARCODE_PAIR, BARCODE_KEY), (PLATE_PAIR, PLATE_KEY)):
        if key is PLATE_KEY and reader.plates_are_titles and known:
            break
        for at in reversed(range(len(lines))):
            below = lines[at + 1] if at + 1 < len(lines) else ()
            for value in _said_by(lines[at], below, pair, key):
                if value.casefold() not in NO_BARCODES and not re.search(r"\s", value):
                    return value
    return ""


def _said_by(fields: Sequence[str], below: Sequence[str], pair: re.Pattern[str], key: re.Pattern[str]) -> Iterator[str]:
    """What stands behind a key: in its cell, in the next one of a line of two, or below it in a table."""
    filled = [cell for cell in fields if cell]
    for at, cell in enumerate(fields):
        if (found := pair.fullmatch(cell)) is not None:
            yield found[1]
        elif key.fullmatch(cell) and len(filled) <= N_PAIR:
            yield filled[-1] if filled[-1] != cell else ""
        elif key.fullmatch(cell) and key is BARCODE_KEY and len(below) > at:
            yield below[at]


def _chosen(blocks: Sequence[Block], read: str | None, where: str) -> list[Block]:
    """The blocks of one read."""
    seen: Counter[tuple[str, str]] = Counter()
    for block in blocks:
        seen[block.plate, block.title] += 1
        if (n := seen[block.plate, block.title]) > 1:
            block.title = f"{block.title} #{n}".strip()
    titles = list(dict.fromkeys(block.title for block in blocks))
    listed = ", ".join(map(repr, titles[:_N_LISTED])) + (f" … ({len(titles)})" if len(titles) > _N_LISTED else "")
    if read is None:
        if max(Counter(block.plate for block in blocks).values()) > 1:
            raise InputFileError(
                f"there are several reads of a plate: {listed}", where, "say which one counts, as --read NAME"
            )
        return list(blocks)
    same = [title for title in titles if title.casefold() == read.strip().casefold()]
    alike = same or [title for title in titles if read.strip().casefold() in title.casefold()]
    if len(alike) != 1:
        what = f"{len(alike)} reads have {read!r} in their names" if alike else f"there is no read {read!r}"
        raise InputFileError(f"{what}; there are {listed}", where, "give the whole name of one of them")
    return [block for block in blocks if block.title == alike[0]]
