"""Plates and their quality."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from isd_ray.campaign.judged_plates import judged_plates
from isd_ray.campaign.undone import undone_events
from isd_ray.plates.layout import SAMPLE
from isd_ray.plates.quality import PASSED
from isd_ray.report.blocks import Block, ReportSection, Table, Text
from isd_ray.report.figures import bars
from isd_ray.report.plate_quality import STATISTICS
from isd_ray.report.record import Record


def plates(record: Record) -> ReportSection | None:
    """Every plate that went out: what lay on it, what came back, and whether it was good enough."""
    maps = {files.round: plate_map for files in record.files if (plate_map := files.read_plates()) is not None}
    if not maps:
        return None
    places: dict[str, int] = {}
    samples: Counter[str] = Counter()
    for number, plate_map in maps.items():
        places.update(dict.fromkeys(plate_map["plate"].to_pylist(), number))
        samples.update(plate_map.filter(pc.equal(plate_map["content"], SAMPLE))["plate"].to_pylist())
    readouts, quality = _readouts(record), judged_plates(record.store)
    lost = _lost(record, maps)
    columns: dict[str, list[Any]] = {
        "plate": list(places),
        "round": list(places.values()),
        "compounds": [samples[plate] for plate in places],
        "readouts": [readouts[plate] for plate in places],
        "no readout": [lost[plate].total() for plate in places],
    }
    if record.config.hits is None:
        words = "No hits are called from the plates' controls in this campaign, so no plate is judged."
        return ReportSection("Plates and their quality", "plates", (Text(words), Table.of("Plates", columns)))
    judged = [quality.get(plate) for plate in places]
    columns |= {heading: [getattr(line, name, None) for line in judged] for name, heading in STATISTICS.items()}
    # Earlier versions kept of a file without any readout its judgement as the reason of the loss alone.
    columns["verdict"] = [
        line.verdict if line is not None else "no labels" if lost[plate] else None
        for plate, line in zip(places, judged, strict=True)
    ]
    columns["reason"] = [
        "; ".join(lost[plate]) or None if line is None else None if line.verdict == PASSED else line.reason
        for plate, line in zip(places, judged, strict=True)
    ]
    blocks: list[Block] = [
        Text(
            "Z′ and SSMD say how far the positive and negative controls of a plate lie apart against their spread: a "
            "Z′ of 1 is perfect, above 0.5 excellent, below 0 the two overlap. CV is the spread of a control in "
            "percent of its mean. A plate that fails gives no labels, and its compounds are offered again."
        ),
        Table.of("Plates", columns, words=("verdict", "reason")),
    ]
    shown = {line.plate: line.z_prime for line in judged if line is not None and line.z_prime is not None}
    limit = record.config.hits.min_z_prime
    if shown:
        blocks.append(
            bars(
                "plate-quality",
                list(shown),
                {"Z′ of the plate": list(shown.values())},
                x="plate",
                y="Z′ (no unit, 1 is perfect)",
                alt="Z′ of each plate, from its controls",
                caption="Plates below the limit give no labels. Values below −1 are cut off; the table has them.",
                limits=(-1.0, 1.0),
                level=None if limit is None else (limit, f"limit {limit:g}"),
            )
        )
    return ReportSection("Plates and their quality", "plates", tuple(blocks))


def _lost(record: Record, maps: Mapping[int, pa.Table]) -> dict[str, Counter[str]]:
    """By plate: why its compounds have no readout, and how many."""
    lost: dict[str, Counter[str]] = defaultdict(Counter)
    undone = undone_events(record.store)
    for event in record.events:
        if event["kind"] == "fail" and event["sequence"] not in undone and event["round"] in maps:
            rows = record.store.read_readouts(event["readouts_sha256"])["row"]
            plate_map = maps[event["round"]]
            for plate in plate_map.filter(pc.is_in(plate_map["row"], rows.combine_chunks()))["plate"].to_pylist():
                lost[plate][event["reason"]] += 1
    return lost


def _readouts(record: Record) -> Counter[str]:
    """Readouts taken in by plate."""
    readouts: Counter[str] = Counter()
    undone = undone_events(record.store)
    for event in record.events:
        if event["kind"] != "tell" or event["sequence"] in undone:
            continue
        told = record.store.read_readouts(event["readouts_sha256"])
        for plate in told["plate"].drop_null().to_pylist() if "plate" in told.column_names else ():
            readouts.update(set(plate.split(";")))
    return readouts
