"""From readings of wells to readouts of compounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from isd_ray.campaign.oracle import READOUT_SCHEMA
from isd_ray.campaign.telling import Refusal
from isd_ray.data.labels import LabelRule
from isd_ray.messages import Rows


@dataclass(frozen=True, slots=True)
class Labelled:
    """Readouts of compounds, and wells that gave none.

    Attributes
    ----------
    readouts:
        `READOUT_SCHEMA`, ascending by row, each row once.
    lines, ids:
        First line in the file, int64 (n,), and compound of each.
    lost:
        Why compounds have no readout although their wells were read, by row.
    refused:
        Lines that cannot be used.
    lost_entries:
        Of a panel, `lost` by row and place of the output.
    """

    readouts: pa.Table
    lines: Rows
    ids: tuple[str, ...]
    lost: dict[int, str]
    refused: tuple[Refusal, ...]
    lost_entries: dict[tuple[int, int], str] = field(default_factory=dict)


def label_readings(readings: pa.Table, rows: Rows, ids: Sequence[str], rule: LabelRule) -> Labelled:
    """Label compounds by the median of their good readings, or by the class that all of them name.

    Parameters
    ----------
    readings:
        `readings` of `isd_ray.plates.collect.ReadoutFile`.
    rows, ids:
        Row, int64 (n,), and compound of each reading.
    rule:
        Classes, and the cut between them.
    """
    columns = {name: readings[name].to_pylist() for name in ("line", "plate", "well", "value", "flag")}
    order = np.argsort(rows, kind="stable")
    starts = np.flatnonzero(np.diff(rows[order], prepend=-1))
    found: list[dict[str, int | float | str | None]] = []
    lines, names, lost, refused = [], [], {}, []
    for group in np.split(order, starts[1:]) if len(order) else []:
        row, line = int(rows[group[0]]), int(columns["line"][group[0]])
        cells = label_group(columns, group.tolist(), repr(ids[group[0]]), rule)
        if isinstance(cells, Refusal):
            refused.append(cells)
            continue
        if isinstance(cells, str):
            lost[row] = cells
            continue
        found.append({"row": row, **cells})
        lines.append(line)
        names.append(ids[group[0]])
    table = pa.Table.from_pylist(found, schema=READOUT_SCHEMA)
    return Labelled(table, np.array(lines, np.int64), tuple(names), lost, tuple(refused))


def label_group(
    columns: Mapping[str, Sequence[Any]], group: Sequence[int], what: str, rule: LabelRule
) -> dict[str, int | float | str | None] | Refusal | str:
    """Label, value and wells by some readings of one thing; why it is lost, or why they cannot be used.

    Parameters
    ----------
    columns:
        line, plate, well, value and flag of all readings.
    group:
        Which of them.
    what:
        Of what they are, for messages.
    """
    good = [index for index in group if columns["flag"][index] is None]
    if not good:
        return f"flagged {columns['flag'][group[0]]!r} by the reader"
    values = [columns["value"][index] for index in good]
    if isinstance(values[0], str):
        if len(set(values)) > 1:
            shown = ", ".join(f"line {columns['line'][index]}: {columns['value'][index]}" for index in good)
            return Refusal(int(columns["line"][group[0]]), f"readings of {what} contradict each other ({shown})")
        value, label = None, float(rule.classes.index(values[0]))
    else:
        value = float(np.median(values))
        label = value if rule.cut is None else float(value > rule.cut)
    wells = [columns[name] for name in ("plate", "well")]
    plate, well = (";".join(cells[index] for index in good if cells[index]) or None for cells in wells)
    return {"label": label, "value": value, "plate": plate, "well": well, "n_replicates": len(good)}
