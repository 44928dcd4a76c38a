"""Refused lines of files of readouts, on record: by compound and well, with the reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from isd_ray.campaign.events import Event
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.telling import Note, Refusal
from isd_ray.plates.collect import ReadoutFile

REFUSE = "refuse"
"""Kind of the event of a file that brought nothing new, and lines that were refused."""
_HASH = "refused_sha256"
_SCHEMA = pa.schema(
    {"line": pa.int64(), "id": pa.string(), "plate": pa.string(), "well": pa.string(), "reason": pa.string()}
)
_PLACE = ("id", "plate", "well")


def refused_table(refused: Sequence[Refusal], content: ReadoutFile, plate_maps: Sequence[pa.Table]) -> pa.Table:
    """Refused lines with what they are about, as far as the file and the plates say it.

    Parameters
    ----------
    refused:
        The lines.
    content:
        The file. A line of a plate matrix holds many readings.
    plate_maps:
        Plates that went out (`isd_ray.plates.assign.PLATE_MAP`).

    Returns
    -------
    pyarrow.Table
        line (int64), id, plate, well (string; null where unknown) and reason (string), in the given order.
    """
    compounds, places = dict[tuple[str, str], str](), defaultdict[str, list[tuple[str, str]]](list)
    for plate_map in plate_maps:
        for name, plate, well in zip(*(plate_map[each].to_pylist() for each in _PLACE), strict=True):
            if name is not None:
                compounds[plate, well] = name
                places[name].append((plate, well))
    on_line: dict[int, list[dict[str, Any]]] = defaultdict(list)
    rejected = [{"line": line, **dict.fromkeys(_PLACE), **said} for line, said in content.named.items()]
    for reading in [*content.readings.select(["line", *_PLACE]).to_pylist(), *rejected]:
        reading["id"] = reading["id"] or compounds.get((reading["plate"], reading["well"]))
        if reading["plate"] is None and len(wells := places.get(reading["id"], [])) == 1:
            [(reading["plate"], reading["well"])] = wells
        on_line[reading["line"]].append(reading)
    lines = [
        {"line": each.line, "reason": each.reason, **_about(each.reason, on_line.get(each.line, []))}
        for each in refused
    ]
    return pa.Table.from_pylist(lines, _SCHEMA)


def _about(reason: str, readings: Sequence[Mapping[str, str | None]]) -> dict[str, str | None]:
    """The one compound and well that a refusal is about; nothing where the line has several and none is named."""
    found = readings
    if len(readings) > 1:
        found = [reading for reading in readings if _is_named(reading, reason)]
    if len(found) > 1 and len({reading["id"] for reading in found}) == 1:
        return {"id": found[0]["id"], "plate": None, "well": None}
    return {name: found[0][name] for name in _PLACE} if len(found) == 1 else {}


def _is_named(reading: Mapping[str, str | None], reason: str) -> bool:
    """Whether a refusal speaks of the compound, or of the well, of a reading."""
    by_id = reading["id"] is not None and repr(reading["id"]) in reason
    return by_id or f"well {reading['well']} of plate {reading['plate']!r}" in reason


def with_refused(notes: Sequence[Note], table: pa.Table, source: Mapping[str, str], store: CampaignStore) -> list[Note]:
    """Notes of a file with its refused lines: beside what else it brought, or once on their own."""
    tables = {_HASH: table}
    if notes:
        first = notes[0]
        details = {**first.details, "n_refused": len(table)}
        return [Note(first.kind, details, {**tables, **first.tables}), *notes[1:]]
    before = [event for event in refused_events(store) if event["file_sha256"] == source["file_sha256"]]
    if any(refused_lines(store, event).equals(table) for event in before):
        return []
    return [Note(REFUSE, {**source, "n_refused": len(table)}, tables)]


def refused_events(store: CampaignStore) -> list[Event]:
    """The events of files with refused lines, oldest first."""
    return [event for event in store.events() if _HASH in event]


def refused_lines(store: CampaignStore, event: Event) -> pa.Table:
    """The refused lines of an event (`refused_table`)."""
    return store.read_readouts(event[_HASH])
