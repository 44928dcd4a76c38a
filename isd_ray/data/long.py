"""A panel's hybrid screen as a long table: one line for each compound and output."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from isd_ray.core.panels import unpack
from isd_ray.data.packed import from_arrow
from isd_ray.errors import InputFileError

LONG_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("id", pa.string()),
        ("output", pa.string()),
        ("source", pa.string()),
        ("label", pa.string()),
        ("round", pa.int32()),
        ("certificate_id", pa.string()),
    ]
)
"""Columns of a long table. `source` is measured, predicted, or missing: an entry of a measured compound without a
readout, which has no label. Of a panel with numbers `value` stands behind `label`: one of them is null."""
_VALUES_SCHEMA = LONG_SCHEMA.insert(LONG_SCHEMA.names.index("label") + 1, pa.field("value", pa.float64()))
_SOURCES = ("predicted", "missing", "measured")
_CELLS = 1 << 20
"""Lines held at a time."""


def tables_of(file: pq.ParquetFile, n_lines: int, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """The lines of a file in tables of at most so many: of a file without lines one table, which has its columns."""
    if not file.metadata.num_rows:
        yield file.read(columns)
    for batch in file.iter_batches(n_lines, columns=columns):
        yield pa.table(batch)


def long_tables(files: Sequence[Path]) -> Iterator[pa.Table]:
    """The lines of a panel's hybrid screen, compound by compound in the order of rows, in tables of bounded size.

    Compounds that could not be had have no lines.

    Raises
    ------
    InputFileError
        If it is no panel.
    """
    for path in files:
        file = pq.ParquetFile(path)
        metadata = file.schema_arrow.metadata or {}
        if b"outputs" not in metadata:
            raise InputFileError(
                "this hybrid screen has one label a compound: it is a long table already", str(path), "read it as it is"
            )
        outputs, classes = (json.loads(metadata[name]) for name in (b"outputs", b"classes"))
        numbers = json.loads(metadata.get(b"numbers", b"[]"))
        columns = ["row", "id", "source", "labels", "round", "certificate_id", *([] if numbers else ["measured"])]
        for lines in tables_of(file, max(1, _CELLS // len(outputs)), columns):
            lines = lines.filter(pc.is_valid(lines["labels"]))
            yield (
                _table_of_values(lines, outputs, classes, numbers) if numbers else _long_table(lines, outputs, classes)
            )


def _long_table(lines: pa.Table, outputs: list[str], classes: list[str]) -> pa.Table:
    n, k = lines.num_rows, len(outputs)
    compound = pa.array(np.repeat(np.arange(n, dtype=np.int32), k))
    ones, measured = (unpack(from_arrow(lines[name]), k).ravel() for name in ("labels", "measured"))
    of_measured = np.repeat(np.array([source == "measured" for source in lines["source"].to_pylist()], np.bool_), k)
    # In a predicted compound no bit of `measured` is set.
    source = measured + of_measured
    label = pa.array(ones.astype(np.int32), mask=source == _SOURCES.index("missing"))
    columns = {
        **{name: lines[name].take(compound) for name in ("row", "id", "round", "certificate_id")},
        "output": pa.array(outputs).take(pa.array(np.tile(np.arange(k, dtype=np.int32), n))),
        "source": pa.array(_SOURCES).take(pa.array(source.astype(np.int32))),
        "label": pa.array(classes).take(label),
    }
    return pa.table([columns[name] for name in LONG_SCHEMA.names], schema=LONG_SCHEMA)


def _table_of_values(lines: pa.Table, outputs: list[str], classes: list[str], numbers: list[str]) -> pa.Table:
    """The same of a panel with numbers."""
    n, k = lines.num_rows, len(outputs)
    compound = pa.array(np.repeat(np.arange(n, dtype=np.int32), k))
    of_output = np.tile(np.arange(k, dtype=np.int32), n)
    values = from_arrow(lines["labels"]).ravel()
    is_number = np.tile(np.isin(outputs, numbers), n)
    is_missing = np.isnan(values)
    place = np.where(is_missing | is_number, 0, np.nan_to_num(values)).astype(np.int32)
    columns = {
        **{name: lines[name].take(compound) for name in ("row", "id", "round", "certificate_id")},
        "output": pa.array(outputs).take(pa.array(of_output)),
        "source": pc.if_else(pa.array(is_missing), pa.scalar("missing"), lines["source"].take(compound)),
        "label": pa.array(classes).take(pa.array(place, mask=is_missing | is_number)),
        "value": pa.array(values, mask=is_missing | ~is_number),
    }
    return pa.table([columns[name] for name in _VALUES_SCHEMA.names], schema=_VALUES_SCHEMA)
