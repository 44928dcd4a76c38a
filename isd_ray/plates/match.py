"""Readings find their wells: what was measured is looked up in the plate maps on record."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from isd_ray.errors import LabelError
from isd_ray.plates.collect import rejects_table
from isd_ray.plates.layout import EMPTY, SAMPLE

_N_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Matched:
    """Readings with what their wells hold.

    Attributes
    ----------
    readings:
        The columns of `ReadoutFile.readings`, and row (int64) and content (string: sample or a kind of control). `id`,
        `plate` and `well` are those of the plate map; plate and well stay null where an id alone was given and its
        compound is in several wells.
    rejects:
        line (int64), reason (string). Wells that were left empty are one line for each plate, that of the first: a
        reader reads every well of a plate.
    """

    readings: pa.Table
    rejects: pa.Table


def match_readings(readings: pa.Table, plate_map: pa.Table, where: str) -> Matched:
    """Look up each reading by plate and well, or by its id.

    Parameters
    ----------
    readings:
        Of `read_readouts`.
    plate_map:
        All plates on record, with the schema `isd_ray.plates.assign.PLATE_MAP`.
    where:
        The file, for messages.

    Raises
    ------
    LabelError
        If no reading belongs to a plate or compound on record.
    """
    plates, wells = plate_map["plate"].to_pylist(), plate_map["well"].to_pylist()
    ids, contents = plate_map["id"].to_pylist(), plate_map["content"].to_pylist()
    by_place = {place: index for index, place in enumerate(zip(plates, wells, strict=True))}
    by_id = defaultdict(list)
    for index, compound in enumerate(ids):
        if compound is not None:
            by_id[compound].append(index)
    known_plates = set(plates)
    rejects: list[tuple[int, str]] = []
    empty: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    kept: list[int] = []
    at: list[int] = []
    has_place: list[bool] = []
    columns = (readings[name].to_pylist() for name in ("line", "plate", "well", "id"))
    for number, (line, plate, well, compound) in enumerate(zip(*columns, strict=True)):
        places = by_id.get(compound, []) if plate is None else [by_place.get((plate, well), -1)]
        index = places[0] if places else -1
        if index < 0:
            unknown = f"plate {plate!r} has no well {well}" if plate in known_plates else f"unknown plate {plate!r}"
            rejects.append((line, f"unknown id {compound!r}" if plate is None else unknown))
        elif contents[index] == EMPTY:
            empty[plate].append((line, well))
        elif contents[index] == SAMPLE and compound not in (None, ids[index]):
            rejects.append((line, f"well {well} of plate {plate!r} holds {ids[index]!r}, not {compound!r}"))
        else:
            kept.append(number)
            at.append(index)
            has_place.append(len(places) == 1)
    rejects += [(read[0][0], _left_empty(plate, [well for _, well in read])) for plate, read in empty.items()]
    if not kept:
        reasons = "; ".join(dict.fromkeys(reason for _, reason in rejects[:_N_SHOWN]))
        raise LabelError(
            f"none of {readings.num_rows} readings belongs to a plate or compound on record: {reasons}",
            where,
            f"plates on record are {_first(sorted(known_plates)) or 'none'}; check barcodes and ids",
        )
    table = readings.take(pa.array(kept, pa.int64()))
    found = plate_map.take(pa.array(at, pa.int64()))
    no_place = ~np.array(has_place)
    for name in ("plate", "well"):
        values = pa.array(found[name].to_pylist(), pa.string(), mask=no_place)
        table = table.set_column(table.column_names.index(name), name, values)
    table = table.set_column(table.column_names.index("id"), "id", found["id"])
    table = table.append_column("row", found["row"]).append_column("content", found["content"])
    return Matched(table, rejects_table(rejects))


def _left_empty(plate: str, wells: Sequence[str]) -> str:
    if len(wells) == 1:
        return f"well {wells[0]} of plate {plate!r} was left empty"
    return f"{len(wells)} wells of plate {plate!r} were left empty: {_first(wells)}"


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:_N_SHOWN]) + (" …" if len(names) > _N_SHOWN else "")
