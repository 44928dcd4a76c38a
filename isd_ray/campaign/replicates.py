"""Readings of several wells of a compound, which may come in several files: each counts once all of them are in."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from isd_ray.campaign.readings import Labelled
from isd_ray.campaign.telling import Refusal
from isd_ray.plates.cells import bad_because, was_not_dispensed
from isd_ray.plates.layout import EMPTY, SAMPLE

Well: TypeAlias = tuple[str, str]
_Key: TypeAlias = tuple[str, str, str | None]
_Reading: TypeAlias = dict[str, Any]
ON_RECORD = 0
"""Line of a reading that an earlier file has brought."""


@dataclass(frozen=True, slots=True)
class Merged:
    """A file's readings with those on record of the same plates.

    Attributes
    ----------
    readings:
        `readings` of `isd_ray.plates.collect.ReadoutFile`: the file's, then the others with the line `ON_RECORD`.
    refused:
        Lines of the file that contradict the record.
    new:
        Wells of which the file brings a reading that is not on record.
    """

    readings: pa.Table
    refused: tuple[Refusal, ...]
    new: frozenset[Well]


def readings_on_record(tables: Sequence[pa.Table], plate_map: pa.Table) -> dict[_Key, _Reading]:
    """The reading of each well of some plates, by plate, well and replicate.

    The first one counts, unless it was flagged and a later one is good.

    Parameters
    ----------
    tables:
        `readings` of the files that were told, oldest first.
    plate_map:
        The plates (`isd_ray.plates.assign.PLATE_MAP`).
    """
    columns = (plate_map[name].to_pylist() for name in ("plate", "well", "id", "content"))
    holds = {(plate, well): (name, content) for plate, well, name, content in zip(*columns, strict=True)}
    found: dict[_Key, _Reading] = {}
    for table in tables:
        for reading in table.to_pylist():
            name, content = holds.get((reading["plate"], reading["well"]), (None, EMPTY))
            # What was refused then does not stand in the way now.
            if content == EMPTY or (content == SAMPLE and reading["id"] not in (None, name)):
                continue
            if _replaces(reading, found.get(_key(reading))):
                found[_key(reading)] = reading
    return found


def merge_readings(readings: pa.Table, record: Mapping[_Key, _Reading]) -> Merged:
    """Put a file's readings beside those on record; what was read without a plate stays as it is."""
    kept: list[_Reading] = []
    refused: list[Refusal] = []
    new, seen = set[Well](), set[_Key]()
    for reading in readings.to_pylist():
        known = record.get(_key(reading)) if reading["plate"] is not None else None
        if reading["plate"] is not None and _replaces(reading, known):
            new.add((reading["plate"], reading["well"]))
        elif known is not None and _said(known) != _said(reading):
            well = f"well {reading['well']} of plate {reading['plate']!r}"
            reason = f"{well} has another reading already; only an amendment of its compound corrects it"
            if was_not_dispensed(known["flag"]):
                reason = f"{well}: {bad_because(known['flag'])}; what is read there is none of the compound"
            refused.append(Refusal(reading["line"], reason))
            continue
        kept.append(reading)
        seen.add(_key(reading))
    kept += [{**reading, "line": ON_RECORD} for key, reading in record.items() if key not in seen]
    return Merged(pa.Table.from_pylist(kept, readings.schema), tuple(refused), frozenset(new))


def _key(reading: _Reading) -> _Key:
    return reading["plate"], reading["well"], reading["replicate"]


def _said(reading: _Reading) -> tuple[Any, ...]:
    """What a reading says; older records do not know bounds."""
    return reading["value"], reading["flag"], reading.get("censored")


def _replaces(reading: _Reading, known: _Reading | None) -> bool:
    """Whether a reading counts in the place of what is known of its well."""
    if known is None or known["flag"] is None or was_not_dispensed(known["flag"]):
        return known is None
    return reading["flag"] is None


def of_file(labelled: Labelled) -> Labelled:
    """Without compounds of which the file itself has no reading."""
    return labelled.only(labelled.lines != ON_RECORD, labelled.lost)


def wait_for_wells(labelled: Labelled, wells: Mapping[int, Collection[Well]]) -> Labelled:
    """Hold compounds back of which some wells were not read yet, and count them.

    Parameters
    ----------
    labelled:
        Of all readings until now. Compounds without a well were read by id, which needs no others.
    wells:
        Of rows that wait for all of them.
    """
    rows = labelled.readouts["row"].to_pylist()
    by_id = {row for row, plate in zip(rows, labelled.readouts["plate"].to_pylist(), strict=True) if plate is None}
    waiting = {row for row, places in wells.items() if row not in by_id and not labelled.wells.issuperset(places)}
    lost = {row: why for row, why in labelled.lost.items() if row not in waiting}
    held = waiting.intersection(rows) | (labelled.lost.keys() - lost.keys())
    kept = np.array([row not in waiting for row in rows], np.bool_)
    return replace(labelled.only(kept, lost), n_waiting=len(held))


def note_lost_wells(labelled: Labelled, wells: Mapping[int, Collection[Well]]) -> Labelled:
    """Say in `qc` how many wells of a compound have no part in its readout; `wells` are all there are, by row.

    Places are put in order, as files come in any.
    """
    lines = labelled.readouts.to_pylist()
    for line in lines:
        if line["plate"] is None or line["row"] not in wells:
            continue
        n_wells = len(wells[line["row"]])
        places = sorted(zip(line["plate"].split(";"), line["well"].split(";"), strict=True))
        line["plate"], line["well"] = (";".join(cells) for cells in zip(*places, strict=True))
        n_used = len(set(places))
        if n_used < n_wells:
            words = f"{n_wells - n_used} of {n_wells} wells without a readout"
            line["qc"] = f"{line['qc']};{words}" if line["qc"] else words
    return replace(labelled, readouts=pa.Table.from_pylist(lines, labelled.readouts.schema))
