"""Readouts entry by entry, in one table: of a panel an entry is a row and an output, of a single label output 0.

What a file says is a `isd_ray.plates.collect.ReadoutFile`; what becomes of it is an `Outcome`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from isd_ray.campaign.oracle import READOUT_SCHEMA, WELL_SCHEMA
from isd_ray.core.panels import MISSING, pack_labels
from isd_ray.data.packed import label_columns, to_arrow
from isd_ray.messages import Rows

NEW, KNOWN, REFUSED, LOST, WAITING = "new", "known", "refused", "lost", "waiting"
"""Fates of entries: what is taken in, is on record already, cannot be used, gave no readout, or needs other wells."""
CONTROLS = "controls"
NOT_WHOLE = "on plates that are not whole"
NO_SAMPLE = "of empty wells, or unknown"
"""What readings are of that are of no compound, or count for nothing; others are `REFUSED`."""
ON_RECORD = 0
"""Line of a reading that an earlier file has brought."""

ENTRIES = pa.schema(
    [
        ("row", pa.int64()),
        ("output", pa.int32()),
        ("label", pa.float64()),
        ("value", pa.float64()),
        *WELL_SCHEMA,
        ("line", pa.int64()),
        ("id", pa.string()),
        ("fate", pa.string()),
        ("reason", pa.string()),
    ],
    metadata={},  # kept with readouts, as in `READOUT_SCHEMA`
)
"""Each entry once, ascending by row and output. `label` is null where the readings gave none, which `reason` explains;
of a panel `value`, `n_replicates` and `qc` are not kept. `line` is the first in the file, `fate` null until the entry
is placed in the campaign."""
SAMPLES = pa.schema(
    [
        ("row", pa.int64()),
        ("output", pa.int32()),
        ("line", pa.int64()),
        ("is_bad", pa.bool_()),
        ("plate", pa.string()),
        ("well", pa.string()),
    ]
)
"""Each reading of a compound, in the order of the file: the entry that it is of, and whether it has a value."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of a file of readouts.

    Attributes
    ----------
    entries:
        Of the schema `ENTRIES`.
    samples:
        Of the schema `SAMPLES`.
    refused:
        Lines that belong to no entry, `isd_ray.plates.collect.REJECTS`.
    lost_wells:
        Every well that was read and has no value that can be used, of the same schema.
    others:
        How many readings of the file are of no compound, or count for nothing, by what they are.
    is_new:
        Whether there are readings that are not on record and may have to wait for those of other wells.
    n_revived:
        How many of the new entries had failed in the open round before.
    hits, quality:
        Of hit calling: what it freezes, and the quality of the plates (`isd_ray.plates.hits.HitCalls`).
    account:
        How many readings and refused lines of the file had which fate, once all are placed.
    """

    entries: pa.Table
    samples: pa.Table
    refused: pa.Table
    lost_wells: pa.Table
    others: Mapping[str, int] = field(default_factory=dict)
    is_new: bool = False
    n_revived: int = 0
    hits: Mapping[str, Any] | None = None
    quality: pa.Table | None = None
    account: Mapping[str, int] = field(default_factory=dict)

    def fated(self, fate: str) -> pa.Table:
        """Entries with a fate."""
        return self.entries.filter(pc.equal(self.entries["fate"], fate))

    def with_fates(self, fates: NDArray[np.object_], reasons: Mapping[int, str], **changes: Any) -> Outcome:
        """With the fate of every entry, object (n,), and reasons of some, by their places."""
        why = self.entries["reason"].to_pylist() if reasons else []
        for place, reason in reasons.items():
            why[place] = reason
        entries = set_column(self.entries, "fate", pa.array(fates, pa.string()))
        if reasons:
            entries = set_column(entries, "reason", pa.array(why, pa.string()))
        return replace(self, entries=entries, **changes)


def set_column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    """A table with other values in one of its columns."""
    return table.set_column(table.column_names.index(name), table.schema.field(name), values)


def named(compound: str, output: str | None) -> str:
    """An entry, for messages; `output` None of a single label."""
    return repr(compound) if output is None else f"{output!r} of {compound!r}"


def of_file(lines: pa.Table) -> pa.Table:
    """Lines of a table that the file has brought itself, not an earlier one."""
    return lines.filter(pc.not_equal(lines["line"], ON_RECORD))


def places_of(names: pa.ChunkedArray, outputs: Sequence[str]) -> NDArray[np.int32]:
    """Places of outputs by their names, int32 (n,); 0 of single labels."""
    if not outputs:
        return np.zeros(len(names), np.int32)
    places: NDArray[np.int32] = pc.index_in(names, value_set=pa.array(outputs, pa.string())).to_numpy()
    return places


def lost_entries(
    rows: Rows, outputs: Sequence[int], reasons: str | Sequence[str], **columns: pa.ChunkedArray | pa.Array
) -> pa.Table:
    """Some outputs of some rows, both ascending, as `ENTRIES` that gave no readout; `reasons` and `columns` by row."""
    n = len(rows) * len(outputs)
    of_row = pa.array(np.repeat(np.arange(len(rows)), len(outputs)))
    why = pa.array([reasons] * len(rows) if isinstance(reasons, str) else reasons, pa.string())
    known = {
        **{name: column.take(of_row) for name, column in {"row": pa.array(rows), "reason": why, **columns}.items()},
        "output": pa.array(np.tile(outputs, len(rows)), pa.int32()),
        "fate": pa.array([LOST] * n, pa.string()),
    }
    return pa.table([known.get(each.name, pa.nulls(n, each.type)) for each in ENTRIES], schema=ENTRIES)


def readouts_table(entries: pa.Table, n_outputs: int, *, has_numbers: bool = False) -> pa.Table:
    """Entries as the store keeps readouts, `READOUT_SCHEMA`; of a panel row, labels as `label_columns`, plate, well."""
    if not n_outputs:
        return entries.select(READOUT_SCHEMA.names).combine_chunks()
    rows, of_row = np.unique(entries["row"].to_numpy(), return_inverse=True)
    matrix = np.full((len(rows), n_outputs), np.nan)
    matrix[of_row, entries["output"].to_numpy()] = entries["label"].to_numpy()
    wells = {name: joined(entries[name], of_row, len(rows), distinct=True) for name in ("plate", "well")}
    labels = matrix if has_numbers else pack_labels(np.nan_to_num(matrix, nan=MISSING).astype(np.int8))
    return pa.table({"row": pa.array(rows), **label_columns(labels), **wells})


def lost_table(entries: pa.Table, n_outputs: int) -> pa.Table:
    """Entries as the store keeps what failed: rows; of a panel with a bit for each output."""
    rows, of_row = np.unique(entries["row"].to_numpy(), return_inverse=True)
    if not n_outputs:
        return pa.table({"row": pa.array(rows, pa.int64())})
    matrix = np.zeros((len(rows), n_outputs), np.uint8)
    matrix[of_row, entries["output"].to_numpy()] = 1
    return pa.table({"row": pa.array(rows, pa.int64()), "entries": to_arrow(np.packbits(matrix, axis=1))})


def joined(
    cells: pa.ChunkedArray | pa.Array, group: NDArray[np.int64], n_groups: int, *, distinct: bool = False
) -> pa.Array:
    """The texts of each group between semicolons, in their order, `distinct` ones once; null where it has none.

    Parameters
    ----------
    cells:
        Strings, (n,), some null.
    group:
        int64 (n,), ascending, below `n_groups`.
    """
    codes = pc.dictionary_encode(cells)
    codes = codes.combine_chunks() if isinstance(codes, pa.ChunkedArray) else codes
    at = codes.indices.to_numpy(zero_copy_only=False)
    kept = np.flatnonzero(codes.is_valid().to_numpy(zero_copy_only=False))
    if distinct and len(kept):
        key = group[kept] * len(codes.dictionary) + at[kept].astype(np.int64)
        kept = kept[np.sort(np.unique(key, return_index=True)[1])]
    counts = np.bincount(group[kept], minlength=n_groups)
    texts = codes.dictionary.take(pa.array(at[kept].astype(np.int64)))
    if (counts <= 1).all():  # the usual case needs no joining
        places = np.cumsum(counts) - 1
        return texts.take(pa.array(places, mask=counts == 0))
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))
    words = pc.binary_join(pa.ListArray.from_arrays(offsets, texts), ";")
    return pc.if_else(pa.array(counts == 0), pa.scalar(None, pa.string()), words)
