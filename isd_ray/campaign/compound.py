"""The history of a compound: what a campaign did with it and heard of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from isd_ray.campaign.look_rounds import unjudged
from isd_ray.campaign.manifest import numbers_of
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.undone import UNDO, undone_events
from isd_ray.core.panels import unpack
from isd_ray.data.addition import rejects_file
from isd_ray.data.library import Library
from isd_ray.data.packed import named_entries
from isd_ray.errors import LabelError

_OF_BATCH = ["role", "prediction", "uncertainty", "plate", "well"]
_HIDDEN = ("role", "prediction", "uncertainty")
"""Of a batch whose readouts are not all in: who knows them can tell which readout would spoil an audit."""
_OF_HYBRID = ("source", "label", "labels", "measured", "value", "confidence", "uncertainty", "certificate_id")


def history_of(store: CampaignStore, library: Library, compound: str) -> list[dict[str, Any]]:
    """All that happened to a compound, oldest first: chosen, predicted, placed, told, failed, amended, delivered.

    Classes are named, also those of the outputs of a panel. Why it was chosen, and what was predicted of it, is said
    once the round is decided.

    Raises
    ------
    LabelError
        If the library has no such compound.
    """
    row = int(library.rows_of([compound])[0])
    if row < 0:
        what, remedy = _rejected(library, compound)
        raise LabelError(what, store.address, remedy)
    found: list[dict[str, Any]] = []
    rounds = {files.round: files for files in store.rounds()}
    secret = unjudged(list(rounds.values()))
    undone, heard = undone_events(store), set[int]()
    for event in store.events():
        base = {name: event.get(name) for name in ("sequence", "time", "who", "kind", "round", "reason")}
        base["undone_by"] = undone.get(event["sequence"])
        if event["kind"] == UNDO and not heard.isdisjoint(event["undone"]):
            found.append({**base, "undone": event["undone"]})
        elif event["kind"] == "release":
            files = rounds[event["round"]]
            shown = [name for name in _OF_BATCH if files.round not in secret or name not in _HIDDEN]
            found += [{**base, **line} for line in _lines(files.read_batch().select(["row", *shown]), row)]
        elif event["kind"] == "deliver":
            found.append({**base, **_delivered(store, row)})
        elif event.get("readouts_sha256") is not None:
            lines = _lines(store.read_readouts(event["readouts_sha256"]), row)
            decision = {"decision": event["decision"]} if event["kind"] == "decision" else {}
            found += [{**base, **decision, **line} for line in lines]
            heard |= {event["sequence"]} if lines else set()
    return [_readable(line, store.manifest) for line in found]


def _rejected(library: Library, compound: str) -> tuple[str, str]:
    """Why a compound is not in the library, and what to do."""
    for file in filter(Path.is_file, (library.path / rejects_file(version.number) for version in library.versions)):
        for line in pq.read_table(file, filters=pc.field("id") == compound).to_pylist():
            if line["row"] is None:
                return f"{compound!r} was left out of the library: {line['reason']}", "mend it in the source"
            [kept] = library.ids(np.array([line["row"]]))
            return f"{compound!r} is one compound with {kept!r}, which stands for both", f"ask for {kept!r}"
    return f"the library has no compound {compound!r}", "check the id"


def _lines(table: pa.Table, row: int) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = table.filter(pc.equal(table["row"], row)).drop(["row"]).to_pylist()
    return lines


def _delivered(store: CampaignStore, row: int) -> dict[str, Any]:
    """The line of the hybrid screen; nothing while its files are being written."""
    store.bring_hybrid()
    for file in sorted(store.hybrid_dir.glob("part-*.parquet")):
        for line in pq.read_table(file, filters=pc.field("row") == row).to_pylist():
            shown = {name: line[name] for name in _OF_HYBRID if name in line}
            if line["source"] == "predicted" and "labels" in shown:  # of a panel: nothing of it was measured
                shown["prediction"] = shown.pop("labels")
                shown.pop("measured", None)
            return shown
    return {}


def _with_values(
    line: Mapping[str, Any], outputs: Sequence[str], classes: Sequence[str], numbers: Sequence[str]
) -> dict[str, Any]:
    """A line of a panel with numbers whose lists are there by output."""
    found = dict(line)
    for name, by_name in (("labels", "readouts"), ("prediction", "prediction")):
        if (values := found.pop(name, None)) is not None:
            found[by_name] = named_entries(np.array(values, np.float64), outputs, classes, numbers)
    return found


def _readable(line: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A line without what is unknown, with classes by name and the entries of a panel by output."""
    outputs, classes = manifest["outputs"], manifest["classes"]
    if numbers := numbers_of(manifest):
        line = _with_values(line, outputs, classes, numbers)
    known = {name: value for name, value in line.items() if value is not None}
    packed = {name: known.pop(name) for name in list(known) if isinstance(known[name], bytes)}
    bits = {name: unpack(np.frombuffer(content, np.uint8), len(outputs)).tolist() for name, content in packed.items()}
    if "labels" in bits:
        cells = zip(outputs, bits["labels"], bits["measured"], strict=True)
        known["readouts"] = {name: classes[label] for name, label, measured in cells if measured}
    if "prediction" in bits:
        known["prediction"] = {name: classes[label] for name, label in zip(outputs, bits["prediction"], strict=True)}
    if "entries" in bits:
        known["outputs"] = [name for name, is_named in zip(outputs, bits["entries"], strict=True) if is_named]
    if classes and not outputs:
        coded = {name for name in ("label", "prediction") if isinstance(known.get(name), float)}
        known |= {name: classes[int(known[name])] for name in coded}
    return known
