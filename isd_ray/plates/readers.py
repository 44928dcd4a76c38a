"""Readouts from files: tidy tables, cellHTS2 style, and plates as they lie on the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from isd_ray.config import PlateFormat, ReadoutsConfig
from isd_ray.config.limits import MAX_READOUTS_BYTES, MAX_READOUTS_ROWS
from isd_ray.delimited import header_delimiter
from isd_ray.errors import InputFileError
from isd_ray.plates.collect import GOOD_FLAGS, NO_VALUE, Collector, ReadoutFile
from isd_ray.plates.matrix import read_matrix
from isd_ray.plates.text import column_place, plain_delimiter, read_text, records

BATCH_ID = "id"
"""Column of compound ids in the list of a batch, which may come back whatever the library calls them. Not beside plates
and wells, where it may be anything, as a running number."""
_COLUMNS = ("id", "plate", "well", "value", "flag", "replicate", "timestamp", "assay")
_CELLHTS2 = ("plate", "well", "value", "flag")
_N_NEEDED = 3
"""The first columns of a cellHTS2 file are needed, the flag is not."""


def read_readouts(
    path: str | Path,
    config: ReadoutsConfig,
    plate_format: PlateFormat,
    *,
    plate: str | None = None,
    classes: Sequence[str] = (),
    outputs: Sequence[str] = (),
    output: str | None = None,
) -> ReadoutFile:
    """Read a file of readouts.

    Bad lines are set aside with a reason and never spoil good ones. Of several lines of one well (and replicate) equal
    ones count once, of lines with different times the latest; contradictions are set aside, all of them.

    Parameters
    ----------
    path:
        ``.parquet``, or text of any other ending: commas, tabs or semicolons; UTF-8 or UTF-16.
    plate_format:
        Wells of a plate; names outside it are refused.
    plate:
        Barcode for a matrix file that does not say its own.
    classes:
        Names of the classes where values are such; empty for numbers.
    outputs:
        Names of a panel's outputs. A tidy file has a column of assays, or a column for each output or some of them, in
        which a blank is nothing told.
    output:
        The output that a file speaks of which has neither.

    Raises
    ------
    InputFileError
        If the file is missing or empty, lacks a column, or holds nothing that can be used.
    """
    path = Path(path)
    if plate is not None and config.shape != "matrix":
        raise InputFileError(
            f"plate={plate!r} is given, but files of shape {config.shape!r} say the plate of each line",
            str(path),
            "leave it out, or set readouts.shape = 'matrix'",
        )
    # Tables written by R or pandas say NA where there is no flag; in cellHTS2 the flag NA takes a well out.
    good_flags = GOOD_FLAGS | NO_VALUE if config.shape == "tidy" else GOOD_FLAGS
    collector = Collector(plate_format, classes, good_flags, outputs, output)
    if config.shape == "matrix":
        read_matrix(read_text(path), collector, plate)
    elif config.shape == "cellhts2":
        _read_cellhts2(path, collector)
    else:
        _read_tidy(path, config, collector)
    return collector.finish(str(path))


def _read_tidy(path: Path, config: ReadoutsConfig, collector: Collector) -> None:
    rows = _parquet_rows(path) if path.suffix == ".parquet" else _text_rows(path, config, collector)
    _, names = next(rows)
    wide = {} if config.assay in names else {name: names.index(name) for name in collector.outputs if name in names}
    places = _places(names, config, str(path), needs_value=not wide)
    for line, fields in rows:
        if not any(fields):
            continue  # spreadsheets fill tables up with lines of delimiters
        if any(fields[len(names) :]):
            collector.reject(line, f"{len(fields)} fields instead of {len(names)}; a decimal comma, perhaps")
        elif len(fields) < len(names):
            collector.reject(line, f"{len(fields)} fields instead of {len(names)}")
        else:
            cells = {column: fields[place] for column, place in places.items()}
            _add(line, cells, {name: fields[place] for name, place in wide.items()}, collector)


def _add(line: int, cells: dict[str, str], entries: dict[str, str], collector: Collector) -> None:
    """Take in a line: one reading, or one for each output that it has a value of, or all if it is flagged."""
    if not entries:
        return collector.add(line, **cells)
    cells.pop("value", None)
    is_good = cells.get("flag", "").lower() in collector.good_flags
    told = {name: text for name, text in entries.items() if text.lower() not in NO_VALUE or not is_good}
    if not told:
        return collector.reject(line, "no value")
    for name, text in told.items():
        collector.add(line, text, assay=name, **cells)
    return None


def _text_rows(path: Path, config: ReadoutsConfig, collector: Collector) -> Iterator[tuple[int, list[str]]]:
    text = read_text(path)
    return records(text, header_delimiter(text, (config.value, *collector.outputs)), collector.rejects)


def _parquet_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The header as line 0, and the records from 1."""
    try:
        with pq.ParquetFile(path) as file:
            metadata = file.metadata
            n_bytes = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
            if n_bytes > MAX_READOUTS_BYTES or metadata.num_rows > MAX_READOUTS_ROWS:
                raise InputFileError(
                    f"{metadata.num_rows:,} rows, {n_bytes:,} bytes decompressed: too many for a file of readouts, "
                    "which is read as a whole",
                    str(path),
                    "leave out columns that are not needed, or tell it in several files",
                )
            table = file.read()
    except (OSError, pa.ArrowException) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputFileError(
            f"cannot be read as Parquet: {reason}", str(path), "check the path and the file"
        ) from error
    yield 0, table.column_names
    columns = [[_as_text(value) for value in column.to_pylist()] for column in table.columns]
    for line, fields in enumerate(zip(*columns, strict=True), start=1):
        yield line, list(fields)


def _as_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # a class or barcode 3 that a table with gaps turned into 3.0
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value).strip()


def _places(names: Sequence[str], config: ReadoutsConfig, where: str, *, needs_value: bool) -> dict[str, int]:
    """Place of each column that is there; complains about those that must be."""
    places = {}
    for column in _COLUMNS:
        name = getattr(config, column)
        place = column_place(names, name, where)
        if place is not None:
            places[column] = place
        elif (column == "value" and needs_value) or (
            column not in ("id", "value") and name != ReadoutsConfig.model_fields[column].default
        ):
            raise InputFileError(
                f"there is no column {name!r}; there are {', '.join(map(repr, names))}",
                where,
                f"name the column in readouts.{column}",
            )
    has_places = {"plate", "well"} <= set(places)
    if "id" not in places and not has_places and (place := column_place(names, BATCH_ID, where)) is not None:
        places["id"] = place
    if "id" not in places and not has_places:
        raise InputFileError(
            f"neither ids nor plates and wells; the columns are {', '.join(map(repr, names))}",
            where,
            "name the columns in readouts.id, or in readouts.plate and readouts.well",
        )
    return places


def _read_cellhts2(path: Path, collector: Collector) -> None:
    """Columns plate, well, value, and perhaps flag; a first line that begins with the word Plate is a header.

    The flag NA marks a bad well, as in the screen log of cellHTS2 (Boutros, Brás and Huber 2006,
    doi:10.1186/gb-2006-7-7-r66).
    """
    text = read_text(path)
    for number, (line, fields) in enumerate(records(text, plain_delimiter(text), collector.rejects)):
        if not any(fields) or (number == 0 and fields[0].lower() == "plate"):
            continue
        if len(fields) < _N_NEEDED or any(fields[len(_CELLHTS2) :]):
            collector.reject(line, f"{len(fields)} fields instead of plate, well, value and perhaps flag")
        else:
            collector.add(line, **dict(zip(_CELLHTS2, fields, strict=False)))
