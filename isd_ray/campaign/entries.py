"""Readouts of a panel: single entries of compounds, told some now and others later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from isd_ray.campaign.laboratory import Ledger, entry_mask, joined
from isd_ray.campaign.readings import Labelled, columns_of, label_group
from isd_ray.campaign.telling import Place, Placed, Refusal
from isd_ray.core.panels import MISSING, n_bytes, pack_labels, unpack_labels
from isd_ray.data.labels import LabelRule
from isd_ray.data.packed import label_columns, labels_from, to_arrow
from isd_ray.messages import Rows

ENTRY_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("output", pa.int32()),
        ("label", pa.float64()),
        ("plate", pa.string()),
        ("well", pa.string()),
    ]
)
"""Entries as they come from a file; `output` is the place of the panel's output, `label` 0 or 1."""


def label_entries(
    readings: pa.Table, rows: Rows, ids: Sequence[str], rule: LabelRule, *, takes_bounds: bool = False
) -> Labelled:
    """As `isd_ray.campaign.readings.label_readings` for each output of a compound; readouts as `ENTRY_SCHEMA`."""
    columns = {**columns_of(readings), "output": readings["output"].to_pylist()}
    place_of = {name: place for place, name in enumerate(rule.outputs)}
    outputs = np.array([place_of[name] for name in columns["output"]], np.int64)
    key = rows * len(rule.outputs) + outputs
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.diff(key[order], prepend=-1))
    found: list[dict[str, int | float | str | None]] = []
    lines, named, lost, refused = [], [], {}, []
    for group in np.split(order, starts[1:]) if len(order) else []:
        row, output, line = int(rows[group[0]]), int(outputs[group[0]]), int(columns["line"][group[0]])
        what = f"{rule.outputs[output]!r} of {ids[group[0]]!r}"
        cells = label_group(columns, group.tolist(), what, rule.of_output(output), takes_bounds=takes_bounds)
        if isinstance(cells, Refusal):
            refused.append(cells)
        elif isinstance(cells, str):
            lost[row, output] = cells
        else:
            found.append({"row": row, "output": output, **{name: cells[name] for name in ENTRY_SCHEMA.names[2:]}})
            lines.append(line)
            named.append(ids[group[0]])
    table = pa.Table.from_pylist(found, schema=ENTRY_SCHEMA)
    return Labelled(table, np.array(lines, np.int64), tuple(named), {}, tuple(refused), lost)


def place_entries(
    labelled: Labelled, ledger: Ledger, place: Place, outputs: Sequence[str], *, external: bool
) -> Placed:
    """As `isd_ray.campaign.telling.place_readouts` for each entry.

    An entry counts if its compound is in the open round and it has none yet, or if nothing at all is on record of a
    compound that was asked for earlier, or is external: what a model has learnt from is not added to.
    """
    rows = labelled.readouts["row"].to_numpy()
    at, labels = labelled.readouts["output"].to_numpy(), labelled.readouts["label"].to_numpy()
    known = unpack_labels(labels_from(ledger.take(rows)), len(outputs))[np.arange(len(rows)), at]
    was_told = known != MISSING
    has_any = np.array([row in ledger.told for row in rows.tolist()], np.bool_)
    is_open, is_asked = np.isin(rows, place.open_rows), np.isin(rows, place.released_rows)
    new = ~was_told & (is_open | (~has_any & (is_asked | external)))
    n_unchanged, refused = 0, []
    lost = {} if place.open_round is None else ledger.lost.get(place.open_round, {})
    masks = [entry_mask(output, len(outputs)) for output in range(len(outputs))]
    stays = np.array(
        [
            row in place.audit_rows and bool(lost.get(row, 0) & masks[output])
            for row, output in zip(rows.tolist(), at.tolist(), strict=True)
        ],
        np.bool_,
    )
    for index in np.flatnonzero(new & stays).tolist():
        reason = "it failed in this audit before: a later readout changes nothing, unless it is asked for again"
        what = f"{outputs[at[index]]!r} of {labelled.ids[index]!r}"
        refused.append(Refusal(int(labelled.lines[index]), f"{what}: {reason}"))
    new &= ~stays
    for index in np.flatnonzero(~new & ~stays).tolist():
        if was_told[index] and known[index] == labels[index]:
            n_unchanged += 1
            continue
        compound, output = labelled.ids[index], outputs[at[index]]
        if was_told[index]:
            reason = (
                f"{compound!r} has another readout of {output!r} already; only an amendment, with a reason, corrects it"
            )
        elif has_any[index]:
            reason = f"{compound!r} was taken in without {output!r}; only an amendment, with a reason, adds it"
        else:
            reason = f"{compound!r} was never asked for; if it was measured outside the plan, tell it as external"
        refused.append(Refusal(int(labelled.lines[index]), reason))
    told = entries_table(labelled.readouts.filter(pa.array(new)), len(outputs))
    return Placed(told, int(new.sum()), n_unchanged, tuple(refused))


def entries_table(entries: pa.Table, n_outputs: int) -> pa.Table:
    """Entries of `ENTRY_SCHEMA` put together by row: row, labels, measured, plate and well."""
    rows, of_row = np.unique(entries["row"].to_numpy(), return_inverse=True)
    matrix = np.full((len(rows), n_outputs), MISSING, np.int8)
    matrix[of_row, entries["output"].to_numpy()] = entries["label"].to_numpy()
    places = np.split(np.argsort(of_row, kind="stable"), np.cumsum(np.bincount(of_row))[:-1]) if len(rows) else []
    wells = {name: joined(entries[name].to_pylist(), places) for name in ("plate", "well")}
    return pa.table({"row": pa.array(rows), **label_columns(pack_labels(matrix)), **wells})


def lost_entries(lost: Mapping[tuple[int, int], str], ledger: Ledger, place: Place) -> dict[str, dict[int, int]]:
    """Entries of the open round that newly have no readout: by reason, the mask of each row (`entry_mask`)."""
    if place.open_round is None:
        return {}
    failed, is_open = ledger.lost.get(place.open_round, {}), set(place.open_rows.tolist())
    found: dict[str, dict[int, int]] = {}
    for (row, output), why in lost.items():
        mask = entry_mask(output, ledger.n_outputs)
        if row in is_open and not mask & (ledger.told_entries.get(row, 0) | failed.get(row, 0)):
            masks = found.setdefault(why, {})
            masks[row] = masks.get(row, 0) | mask
    return found


def masks_table(masks: Mapping[int, int], n_outputs: int) -> pa.Table:
    """Rows with the entries that a mask names, for the record of what failed."""
    rows, width = sorted(masks), n_bytes(n_outputs)
    bits = np.frombuffer(b"".join(masks[row].to_bytes(width, "big") for row in rows), np.uint8)
    return pa.table({"row": pa.array(rows, pa.int64()), "entries": to_arrow(bits.reshape(len(rows), width))})


def n_entries(masks: Iterable[int]) -> int:
    """How many entries masks name."""
    return sum(mask.bit_count() for mask in masks)
