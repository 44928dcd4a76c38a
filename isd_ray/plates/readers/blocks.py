"""What a plate looks like in an export: grids, lists of wells, tables of kinetics, between remarks of any kind."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from isd_ray.config import PlateFormat
from isd_ray.core.censored import is_number, mark_of
from isd_ray.delimited import DELIMITERS
from isd_ray.plates.wells import SHAPES, names_of, row_letters, well_index

MIN_WELL_COLUMNS = 4
"""Names of wells in a line that make it the header of a table with a column for each well."""
MAX_INDENT = 3
"""Cells before the first column of a grid."""
_WELL = frozenset({"well", "wells", "well id", "well position", "well positions", "position", "pos", "wellposition"})
_ROW, _COLUMN = frozenset({"well row", "row"}), frozenset({"well col", "well column", "col", "column"})
_PLATE = frozenset({"plate", "plate barcode", "barcode", "plate id", "assay barcode", "plate name"})
_TIME = frozenset(
    {"time", "time [s]", "time (s)", "time [h]", "kinetic time", "cycle", "cycle nr.", "cycle nr", "kinetic"}
)
_WAVELENGTH = frozenset({"wavelength", "wavelength [nm]", "wl", "ex/em", "filter", "excitation", "emission"})
_META = frozenset(
    {
        "content",
        "group",
        "type",
        "sample",
        "sample id",
        "name",
        "id",
        "x",
        "y",
        "repeat",
        "replicate",
        "dilution",
        "concentration",
        "temperature",
        "temp",
        "temp. [°c]",
        "excluded",
        "excluded?",
        "flag",
        "flags",
        "layout",
        "read",
        "unit",
        "number",
        "well number",
        "plate number",
        "description",
        "std.dev.",
        "cv",
        "%cv",
    }
)
BARCODE_KEY = re.compile(r"(?:(?:assay |plate )?bar ?code|plate id|id1)\s*[:=]?", re.IGNORECASE)
BARCODE_PAIR = re.compile(r"(?:(?:assay |plate )?bar ?code|plate id|id1)\s*[:=]\s*(\S.*)", re.IGNORECASE)
PLATE_KEY = re.compile(r"plate\s*[:=]?", re.IGNORECASE)
PLATE_PAIR = re.compile(r"plate\s*[:=]\s*(\S.*)", re.IGNORECASE)
_SETTING = re.compile(r"(?:actual )?temp(?:erature)?\b|results\b|start time|date\b|time\b", re.IGNORECASE)
"""Lines above a grid that do not name its read."""
N_PAIR = 2
"""Filled cells of a line of a key and its value."""
NO_BARCODES = frozenset({"", "n/a", "none", "-", "unknown", "1"})


@dataclass(slots=True)
class Block:
    """One read of one plate, or of as much of it as a file has.

    Attributes
    ----------
    line:
        Where it begins.
    title:
        What the file calls the read; empty without a name.
    before:
        Fields of the lines above it, from the block before on.
    plate:
        Barcode that stands in its own lines; empty without one.
    cells:
        Line, well (`A01`) and text.
    """

    line: int
    title: str
    before: Sequence[Sequence[str]] = ()
    plate: str = ""
    cells: list[tuple[int, str, str]] = field(default_factory=list)


Lines = Sequence[tuple[int, list[str]]]
"""Number (from 1) and trimmed fields of each line; blank lines have none."""


def lines_of(text: str) -> Lines:
    """The lines of an export; each is split on its own, so that no quote reaches beyond it."""
    raw = text.splitlines()
    counts = {delimiter: Counter(line.count(delimiter) for line in raw[:2000]) for delimiter in ("\t", ";", ",")}
    # The delimiter of most cells: commas may be decimal ones, tabs and semicolons are not.
    delimiter = max(DELIMITERS, key=lambda one: (sum(n * k for k, n in counts[one].items()), one != ","))
    if any("\t" in line for line in raw) and delimiter == ",":
        n_tabs = sum(n * k for k, n in counts["\t"].items())
        delimiter = "\t" if 2 * n_tabs >= sum(n * k for k, n in counts[","].items()) else ","
    found = []
    for number, line in enumerate(raw, start=1):
        try:
            fields = [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]
        except csv.Error:
            fields = [cell.strip() for cell in line.split(delimiter)]
        found.append((number, fields if any(fields) else []))
    return found


def grids_and_tables(lines: Lines, plate_format: PlateFormat) -> list[Block]:
    """All grids of the format, and, of a file without one, all tables with wells in lines or columns."""
    return list(grids(lines, plate_format)) or [*tables(lines, plate_format), *wide_tables(lines, plate_format)]


def header_place(fields: Sequence[str], n_columns: int, begin: int = 0) -> int | None:
    """Where the numbers of all columns stand in a line; None where they do not."""
    for at in range(begin, begin + MAX_INDENT + 1):
        numbers = fields[at : at + n_columns]
        if len(numbers) == n_columns and all(cell.lstrip("0") == str(n) for n, cell in enumerate(numbers, start=1)):
            follows = fields[at + n_columns] if len(fields) > at + n_columns else ""
            return None if follows.lstrip("0") == str(n_columns + 1) else at
    return None


def grids(lines: Lines, plate_format: PlateFormat) -> Iterator[Block]:
    """Plates as they lie on the table: column numbers, then a line for each row, with its letter.

    A row may have several lines, one for each read, which is named behind the last column (Gen5).
    """
    n_rows, n_columns = SHAPES[plate_format]
    letters = {row_letters(row): row for row in range(n_rows)}
    names = names_of(plate_format)
    place = begin = 0
    while place < len(lines):
        number, header = lines[place]
        at = header_place(header, n_columns)
        if at is None:
            place += 1
            continue
        above = [fields for _, fields in lines[begin:place] if fields]
        title = grid_title(above, header[:at])
        of_read: dict[str, Block] = {}
        place += 1
        row = -1
        while place < len(lines):
            line, fields = lines[place]
            letter = fields[at - 1].upper() if at and len(fields) >= at else ""
            label = " ".join(filter(None, fields[at + n_columns :]))
            if letter in letters and letters[letter] > row:
                row = letters[letter]
            elif letter or not label or row < 0:
                break
            name = label or title
            block = of_read.setdefault(name, Block(number, f"{title} {label}".strip() if label else title, above))
            block.cells += [
                (line, names[row * n_columns + column], text)
                for column, text in enumerate([*fields[at : at + n_columns], *[""] * n_columns][:n_columns])
            ]
            place += 1
        yield from (block for block in of_read.values() if len(block.cells) == plate_format)
        begin = place


def grid_title(above: Sequence[Sequence[str]], corner: Sequence[str]) -> str:
    """The name of a grid: the closest line above it that is no setting; or what stands in its corner."""
    for fields in reversed(above):
        filled = [cell for cell in fields if cell]
        words = " ".join(filled)
        is_setting = any(key.match(words) for key in (BARCODE_PAIR, BARCODE_KEY, PLATE_PAIR, _SETTING))
        if filled and len(filled) <= N_PAIR and not is_setting and (len(filled) == 1 or ":" in filled[0]):
            return words
    return " ".join(cell for cell in corner if cell not in ("", "<>"))


def well_of(fields: Sequence[str], at: tuple[int, ...], plate_format: PlateFormat) -> str | None:
    """The well that a line names in the given places, one or row and column; None where it names none."""
    if len(fields) <= max(at):
        return None
    index = well_index("".join(fields[place] for place in at), plate_format)
    return None if index is None else names_of(plate_format)[index]


def _places_of_wells(header: Sequence[str]) -> tuple[int, ...] | None:
    folded = [cell.casefold() for cell in header]
    rows = [at for at, cell in enumerate(folded) if cell in _ROW]
    columns = [at for at, cell in enumerate(folded) if cell in _COLUMN]
    if len(rows) == len(columns) == 1:
        return rows[0], columns[0]
    wells = [at for at, cell in enumerate(folded) if cell in _WELL]
    return (wells[-1],) if wells else None  # Gen5 has "Well ID", a name, before "Well"


def tables(lines: Lines, plate_format: PlateFormat) -> Iterator[Block]:
    """Lists with a line for each well; each of their columns of numbers is a read."""
    place = begin = 0
    while place < len(lines):
        number, header = lines[place]
        at = _places_of_wells(header)
        first = place + 1
        while first < len(lines) and not lines[first][1]:
            first += 1
        if at is None or first >= len(lines) or well_of(lines[first][1], at, plate_format) is None:
            place += 1
            continue
        end = _end_of_table(lines, first, header, at, plate_format)
        above = [fields for _, fields in lines[begin:place] if fields]
        rows = [(line, fields) for line, fields in lines[first:end] if fields]
        yield from _reads_of_table(number, header, rows, at, above, plate_format)
        begin = place = end


def _end_of_table(
    lines: Lines, first: int, header: Sequence[str], at: tuple[int, ...], plate_format: PlateFormat
) -> int:
    """Where a list of wells ends: a blank or broken line in it, with a well below, does not end it."""
    end = place = first
    while place < len(lines):
        fields = lines[place][1]
        if well_of(fields, at, plate_format) is not None or (
            place == end and len(fields) >= len(_filled(header)) and any(map(is_value, fields))
        ):
            end = place + 1
        elif place > end or _places_of_wells(fields) is not None:
            break
        place += 1
    return end


def _filled(fields: Sequence[str]) -> Sequence[str]:
    """Fields without blank ones at the end."""
    n = max((at for at, cell in enumerate(fields, start=1) if cell), default=0)
    return fields[:n]


def _reads_of_table(
    number: int,
    header: Sequence[str],
    lines: Lines,
    at: tuple[int, ...],
    above: Sequence[Sequence[str]],
    plate_format: PlateFormat,
) -> Iterator[Block]:
    folded = [cell.casefold() for cell in header]
    plates = [place for place, cell in enumerate(folded) if cell in _PLATE]
    plate_at = next((place for place in reversed(plates) if "barcode" in folded[place]), plates[0] if plates else None)
    by = [place for place, cell in enumerate(folded) if cell in _TIME | _WAVELENGTH]
    others = {*at, *plates, *by, *(place for place, cell in enumerate(folded) if cell in _META or not cell)}
    for place, name in enumerate(header):
        cells = [fields[place] if len(fields) > place else "" for _, fields in lines]
        if place in others or 2 * sum(is_value(cell) for cell in cells) < len(cells):
            continue
        found: dict[tuple[str, str], Block] = {}
        for (line, fields), cell in zip(lines, cells, strict=True):
            qualifier = " ".join(f"{header[one]} {fields[one]}" for one in by if len(fields) > one and fields[one])
            plate = fields[plate_at] if plate_at is not None and len(fields) > plate_at else ""
            plate = "" if plate.casefold() in NO_BARCODES else plate
            block = found.setdefault((plate, qualifier), Block(number, f"{name} {qualifier}".strip(), above, plate))
            well = well_of(fields, at, plate_format) or "".join(fields[place] for place in at if len(fields) > place)
            block.cells.append((line, well, cell))
        yield from found.values()


def is_value(cell: str) -> bool:
    """Whether a cell is a number or a mark of the reader, as of a value beyond its range."""
    return is_number(cell) or mark_of(cell) is not None


def wide_tables(lines: Lines, plate_format: PlateFormat) -> Iterator[Block]:
    """Tables of kinetics: a column for each well and a line for each time, or the other way round."""
    place = begin = 0
    while place < len(lines):
        number, header = lines[place]
        wells = {at: name for at in range(len(header)) if (name := well_of(header, (at,), plate_format)) is not None}
        if len(wells) >= MIN_WELL_COLUMNS:
            above = [fields for _, fields in lines[begin:place] if fields]
            place += 1
            while place < len(lines) and lines[place][1] and _is_time(lines[place][1][0]):
                line, fields = lines[place]
                block = Block(line, f"{header[0]} {fields[0]}".strip(), above)
                block.cells = [(line, name, fields[at]) for at, name in wells.items() if len(fields) > at]
                yield block
                place += 1
            begin = place
        elif header and header[0].casefold() in _TIME:
            above = [fields for _, fields in lines[begin:place] if fields]
            times, first = header, place + 1
            while first < len(lines) and lines[first][1] and well_of(lines[first][1], (0,), plate_format) is None:
                first += 1
            end = first
            while end < len(lines) and lines[end][1] and well_of(lines[end][1], (0,), plate_format) is not None:
                end += 1
            for at in range(1, len(times)):
                block = Block(number, f"{times[0]} {times[at]}", above)
                block.cells = [
                    (line, well_of(fields, (0,), plate_format) or "", fields[at])
                    for line, fields in lines[first:end]
                    if len(fields) > at
                ]
                yield block
            place = begin = max(end, place + 1)
        else:
            place += 1


def _is_time(cell: str) -> bool:
    return is_number(cell) or re.fullmatch(r"\d+:\d{2}(?::\d{2})?(?:\.\d+)?", cell) is not None
