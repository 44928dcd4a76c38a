"""Tidy tables of readouts: one line a reading, or one a compound with a column for each output of a panel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from isd_ray.config import ReadoutsConfig
from isd_ray.config.patterns import shown
from isd_ray.delimited import HEADER_CHARS, header_delimiter
from isd_ray.errors import InputFileError
from isd_ray.formulas import without_mark
from isd_ray.plates.cells import NO_VALUE
from isd_ray.plates.collect import Collector
from isd_ray.plates.readers.parquet import parquet_rows
from isd_ray.plates.text import column_place, records

BATCH_ID = "id"
"""Column of compound ids in the list of a batch, which may come back whatever the library calls them. Not beside plates
and wells, where it may be anything, as a running number."""
_MAX_REMARKS = 60
"""Lines above the header of a table that are looked through."""
_COLUMNS = ("id", "plate", "well", "value", "flag", "replicate", "timestamp", "assay")


def read_tidy(path: Path, text: str | None, config: ReadoutsConfig, collector: Collector, plate: str | None) -> None:
    """Take in every line of a table.

    Parameters
    ----------
    text:
        Of a delimited file; None for Parquet.
    plate:
        Barcode for tables that name none.

    Raises
    ------
    InputFileError
        If a column that is needed is not there.
    """
    where = str(path)
    if text is None:
        wanted = (*(getattr(config, column) for column in _COLUMNS), BATCH_ID, *collector.outputs)
        rows = parquet_rows(path, wanted)
    else:
        lines = records(text, header_delimiter(text, (config.value, *collector.outputs)), collector.rejects)
        rows = ((line, list(map(without_mark, fields))) for line, fields in lines)
    _, names = next(rows, (0, []))
    if text is not None and not _is_header(names, config, collector.outputs):
        # Remarks above a table; where no line of the first ones is its header, the first one is what is wrong.
        above = list(islice(rows, _MAX_REMARKS))
        at = next((at for at, (_, line) in enumerate(above) if _is_header(line, config, collector.outputs)), None)
        names, above = (names, above) if at is None else (above[at][1], above[at + 1 :])
        rows = chain(above, rows)
    if not any(names):
        reason = f": line {collector.rejects[0][0]}: {collector.rejects[0][1]}" if collector.rejects else ""
        raise InputFileError(
            f"there is no line with the names of the columns{reason}", where, "export it with a header"
        )
    wide = {} if config.assay in names else {name: names.index(name) for name in collector.outputs if name in names}
    places = _places(names, config, where, needs_value=not wide, plate=plate)
    _take_in(rows, len(names), places, wide, collector, plate)


def has_header(text: str, config: ReadoutsConfig, outputs: Sequence[str]) -> bool:
    """Whether a text begins with a header that has the columns which are asked for."""
    broken: list[tuple[int, str]] = []
    rows = records(text[:HEADER_CHARS], header_delimiter(text, (config.value, *outputs)), broken)
    return _is_header(next(rows, (0, []))[1], config, outputs)


def _is_header(fields: Sequence[str], config: ReadoutsConfig, outputs: Sequence[str]) -> bool:
    """Whether a line names a column of values and one of wells or ids."""
    names = {field.casefold() for field in fields}
    values, places = (config.value, *outputs), (config.well, config.id, BATCH_ID)
    return all(any(name.strip().casefold() in names for name in one) for one in (values, places))


def _take_in(
    rows: Iterator[tuple[int, list[str]]],
    n_names: int,
    places: dict[str, int],
    wide: dict[str, int],
    collector: Collector,
    plate: str | None,
) -> None:
    for line, fields in rows:
        if not any(fields):
            continue  # spreadsheets fill tables up with lines of delimiters
        if any(fields[n_names:]):
            collector.reject(line, f"{len(fields)} fields instead of {n_names}; a decimal comma, perhaps")
        elif len(fields) < n_names:
            collector.reject(line, f"{len(fields)} fields instead of {n_names}")
        else:
            cells = {column: fields[place] for column, place in places.items()}
            if plate is not None:
                cells["plate"] = collector.barcode(cells.get("plate", ""), plate)
            _add(line, cells, {name: fields[place] for name, place in wide.items()}, collector)


def _add(line: int, cells: dict[str, str], entries: dict[str, str], collector: Collector) -> None:
    """Take in a line: one reading, or one for each output that it has a value of, or all if it is flagged."""
    if not entries:
        return collector.add(line, **cells)
    cells.pop("value", None)
    try:
        is_good = not collector.is_bad(cells.get("flag", ""))
    except ValueError as error:
        return collector.reject(line, str(error))
    told = {name: text for name, text in entries.items() if text.lower() not in NO_VALUE or not is_good}
    if not told:
        return collector.reject(line, "no value")
    for name, text in told.items():
        collector.add(line, text, assay=name, **cells)
    return None


def _places(
    names: Sequence[str], config: ReadoutsConfig, where: str, *, needs_value: bool, plate: str | None
) -> dict[str, int]:
    """Place of each column that is there; complains about those that must be."""
    places = {}
    for column in _COLUMNS:
        name = getattr(config, column)
        place = column_place(names, name, where)
        if place is not None:
            places[column] = place
        elif (column == "value" and needs_value) or (
            column not in ("id", "value")
            and not (column == "plate" and plate is not None)
            and name != ReadoutsConfig.model_fields[column].default
        ):
            raise InputFileError(
                f"there is no column {name!r}; there are {shown(names)}",
                where,
                f"name the column in readouts.{column}{f', or by --{column}' if column in ('value', 'well') else ''}",
            )
    has_places = ("plate" in places or plate is not None) and "well" in places
    if "id" not in places and not has_places and (place := column_place(names, BATCH_ID, where)) is not None:
        places["id"] = place
    if "id" not in places and not has_places:
        raise InputFileError(
            f"neither ids nor plates and wells; the columns are {shown(names)}",
            where,
            "name the columns in readouts.id, or in readouts.plate and readouts.well",
        )
    return places
