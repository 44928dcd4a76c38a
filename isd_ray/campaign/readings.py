"""From readings of wells to readouts of compounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isd_ray.campaign.oracle import READOUT_SCHEMA
from isd_ray.campaign.telling import Refusal
from isd_ray.core.censored import interval, mark_of
from isd_ray.data.labels import LabelRule
from isd_ray.messages import Rows
from isd_ray.plates.cells import bad_because, shown
from isd_ray.plates.quality import censored_of


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
    wells:
        Plate and well of every sample that was read, with a good reading or a bad one.
    is_new:
        Whether there are readings that are not on record and may have to wait for those of other wells.
    n_waiting:
        Compounds that wait for readings of their other wells.
    lost_wells:
        Every well that was read and has no value that can be used, by line.
    samples:
        Row, place of the output (0 but for panels), line and whether it is bad, of each reading of a compound.
    others:
        How many readings of the file are of something else, by what that is.
    hits, quality:
        Of hit calling: what it freezes, and the quality of the plates (`isd_ray.plates.hits.HitCalls`).
    """

    readouts: pa.Table
    lines: Rows
    ids: tuple[str, ...]
    lost: dict[int, str]
    refused: tuple[Refusal, ...]
    lost_entries: dict[tuple[int, int], str] = field(default_factory=dict)
    wells: frozenset[tuple[str, str]] = frozenset()
    is_new: bool = False
    n_waiting: int = 0
    lost_wells: tuple[Refusal, ...] = ()
    samples: tuple[tuple[int, int, int, bool], ...] = ()
    others: Mapping[str, int] = field(default_factory=dict)
    hits: Mapping[str, Any] | None = None
    quality: pa.Table | None = None

    def only(self, kept: NDArray[np.bool_], lost: Mapping[int, str]) -> Labelled:
        """With the readouts that are kept, bool (n,), and with other compounds lost."""
        names = tuple(name for name, is_kept in zip(self.ids, kept.tolist(), strict=True) if is_kept)
        readouts = self.readouts.filter(pa.array(kept, pa.bool_()))
        return replace(self, readouts=readouts, lines=self.lines[kept], ids=names, lost=dict(lost))


def label_readings(
    readings: pa.Table,
    rows: Rows,
    ids: Sequence[str],
    rule: LabelRule,
    *,
    by_majority: bool = False,
    takes_bounds: bool = False,
) -> Labelled:
    """Label compounds by the median of their good readings, or by the class that all, or most, of them name.

    Parameters
    ----------
    readings:
        `readings` of `isd_ray.plates.collect.ReadoutFile`.
    rows, ids:
        Row, int64 (n,), and compound of each reading.
    rule:
        Classes, and the cut between them.
    by_majority:
        Of class names, one that more than half of the readings give is enough.
    takes_bounds:
        Of bounds that decide no class the number counts.
    """
    columns = columns_of(readings)
    order = np.argsort(rows, kind="stable")
    starts = np.flatnonzero(np.diff(rows[order], prepend=-1))
    found: list[dict[str, int | float | str | None]] = []
    lines, names, lost, refused = [], [], {}, []
    for group in np.split(order, starts[1:]) if len(order) else []:
        row, line = int(rows[group[0]]), int(columns["line"][group[0]])
        cells = label_group(
            columns, group.tolist(), repr(ids[group[0]]), rule, by_majority=by_majority, takes_bounds=takes_bounds
        )
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
    read = {place for place in zip(columns["plate"], columns["well"], strict=True) if place[0] is not None}
    return Labelled(table, np.array(lines, np.int64), tuple(names), lost, tuple(refused), wells=frozenset(read))


def columns_of(readings: pa.Table) -> dict[str, list[Any]]:
    """What `label_group` looks at, of all readings."""
    columns = {name: readings[name].to_pylist() for name in ("line", "plate", "well", "value", "flag")}
    return {**columns, "censored": censored_of(readings)}


def label_group(
    columns: Mapping[str, Sequence[Any]],
    group: Sequence[int],
    what: str,
    rule: LabelRule,
    *,
    by_majority: bool = False,
    takes_bounds: bool = False,
) -> dict[str, int | float | str | None] | Refusal | str:
    """Label, value and wells by some readings of one thing; why it is lost, or why they cannot be used.

    Parameters
    ----------
    columns:
        Of `columns_of`.
    group:
        Which of them.
    what:
        Of what they are, for messages.
    by_majority, takes_bounds:
        As in `label_readings`.
    """
    good = [index for index in group if columns["flag"][index] is None]
    if not good:
        return bad_because(columns["flag"][group[0]])
    values = [columns["value"][index] for index in good]
    bounds = list(dict.fromkeys(text for index in good if (text := columns["censored"][index]) is not None))
    value: float | None
    if isinstance(values[0], str):
        [(name, n_votes)] = Counter(values).most_common(1)
        if n_votes < len(values) and not (by_majority and 2 * n_votes > len(values)):
            listed = ", ".join(f"line {columns['line'][index]}: {columns['value'][index]}" for index in good)
            return Refusal(int(columns["line"][group[0]]), f"readings of {what} contradict each other ({listed})")
        value, label = None, float(rule.classes.index(name))
    elif bounds and (decided := _decided(columns, good, rule.cut)) is not None:
        value, label = None, decided
    elif bounds and not takes_bounds:
        reason = f"{', '.join(map(shown, bounds))} is no number" + (
            ", and a regression needs one; readouts.censored = 'bound' takes the bound for it"
            if rule.cut is None
            else f", and the cut at {rule.cut:g} does not decide its class; readouts.censored = 'bound' takes the bound"
        )
        is_placed = all(columns["well"][index] is not None for index in good) and rule.cut is not None
        return reason if is_placed else Refusal(int(columns["line"][good[0]]), f"{what}: {reason}")
    else:
        value = float(np.median(values))
        label = value if rule.cut is None else float(value > rule.cut)
    wells = [columns[name] for name in ("plate", "well")]
    plate, well = (";".join(cells[index] for index in good if cells[index]) or None for cells in wells)
    qc = ";".join(bounds) or None
    return {"label": label, "value": value, "plate": plate, "well": well, "n_replicates": len(good), "qc": qc}


def _decided(columns: Mapping[str, Sequence[Any]], good: Sequence[int], cut: float | None) -> float | None:
    """The class of readings of which some are bounds, if their median is in it wherever between the bounds they are."""
    if cut is None:
        return None
    ends = [interval(columns["value"][index], mark_of(columns["censored"][index])) for index in good]
    with np.errstate(invalid="ignore"):  # the mean of minus and plus infinity: not decided
        low, high = (float(np.median(side)) for side in zip(*ends, strict=True))
    return 1.0 if low > cut else 0.0 if high <= cut else None
