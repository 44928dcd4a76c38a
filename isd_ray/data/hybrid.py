"""The hybrid screen: one line for each compound of the library, measured or predicted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from isd_ray.core.panels import n_bytes, overlay
from isd_ray.data.layout import ID, SMILES
from isd_ray.data.library import Library
from isd_ray.data.packed import bits_of, from_arrow, label_columns, to_arrow
from isd_ray.data.predictions import read_predictions, replace_table
from isd_ray.messages import ROLES, HybridRequest, ScoredRows

HYBRID_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("id", pa.string()),
        ("smiles", pa.string()),
        ("source", pa.string()),
        ("label", pa.string()),
        ("value", pa.float64()),
        ("confidence", pa.float32()),
        ("uncertainty", pa.float32()),
        ("round", pa.int32()),
        ("role", pa.string()),
        ("plate", pa.string()),
        ("well", pa.string()),
        ("n_replicates", pa.int32()),
        ("qc", pa.string()),
        ("committee_hash", pa.string()),
        ("campaign_id", pa.string()),
        ("certificate_id", pa.string()),
    ]
)
"""Columns of the hybrid screen.

`source` is measured, predicted, or of rows that cannot be had excluded or, when a well was tried, abandoned. `label` is
the class; null for a regression. `value` is the raw readout of a measured compound, or a regression's prediction.
`confidence` is the probability of the predicted class, `uncertainty` one minus it or the committee's standard
deviation; both are null for measured compounds. `round` and `role` say when and why a compound was measured, `plate` to
`qc` where and how well, `committee_hash` which model predicted it.

A panel (`panel_schema`) has `labels` and `measured` in the place of `label` and `value`: a bit for each output, in the
order of the metadata key `outputs`, the first in the highest bit of the first byte. A set bit of `labels` is the second
class; `measured` says which entries are readouts. An entry of a measured compound that has none was neither measured
nor predicted: its bit in `labels` means nothing, and no claim is made of it.

Where the library has grown meanwhile the metadata key `library_hash` says which version of it this is the screen of.

A panel with numbers, which the metadata key `numbers` names, has a list of all outputs in `labels`: values, and class
indices of the others. `source` says whether they are readouts; a null of a measured compound is an entry that
was neither measured nor predicted.
"""
_LABEL_PLACE = HYBRID_SCHEMA.names.index("label")


def panel_schema(outputs: Sequence[str], classes: Sequence[str], numbers: Sequence[str] = ()) -> pa.Schema:
    """Schema of a panel's hybrid screen; names of outputs and classes are JSON lists in its metadata."""
    bits = pa.binary(n_bytes(len(outputs)))
    fields = [field for field in HYBRID_SCHEMA if field.name not in ("label", "value")]
    names = {"outputs": list(outputs), "classes": list(classes), **({"numbers": list(numbers)} if numbers else {})}
    labels = [pa.field("labels", bits), pa.field("measured", bits)]
    if numbers:
        labels = [pa.field("labels", pa.list_(pa.float64(), len(outputs)))]
    fields[_LABEL_PLACE:_LABEL_PLACE] = labels
    return pa.schema(fields, {name: json.dumps(listed) for name, listed in names.items()})


def _schema(request: HybridRequest) -> pa.Schema:
    schema = HYBRID_SCHEMA
    if request.outputs:
        schema = panel_schema(request.outputs, request.classes, request.numbers)
    if not request.library_hash:
        return schema
    return schema.with_metadata({**(schema.metadata or {}), b"library_hash": request.library_hash.encode()})


def write_hybrid_part(library: Library, part: int, request: HybridRequest, frozen: Path, out: Path) -> None:
    """Write the lines of one library part to `out`: every row of it once, as measured, predicted or not to be had.

    Predictions are those of the file `frozen`; those of rows that were measured after the freeze are left out.

    Raises
    ------
    ValueError
        If rows are missing or doubled: the sets do not partition the target set.
    """
    first, stop = library.part_rows_range(part)
    low, high = np.searchsorted(request.rows, (first, stop)).tolist()
    predictions = read_predictions(frozen)
    left = bits_of(request.inference, first, stop)
    predictions = predictions.take(left[predictions.rows - first])
    absent = slice(*np.searchsorted(request.absent, (first, stop)).tolist())
    parts = [_measured(request, low, high), _predicted(request, predictions), _absent(request, absent)]
    lines = pa.concat_tables(parts).sort_by("row")
    rows = np.arange(first, stop)
    if not np.array_equal(lines["row"].to_numpy(), rows):
        raise ValueError(
            f"measured, predicted and excluded rows do not make up the rows {first} to {stop - 1} of part {part}"
        )
    columns = {name: lines[name] for name in lines.column_names}
    for name in (ID, SMILES):
        columns[name] = pa.concat_arrays(library.arrow_column(name, library.part_blocks(part)).chunks)
    columns["campaign_id"] = _repeated(request.campaign_id, len(rows))
    columns["certificate_id"] = _repeated(request.certificate_id or None, len(rows))
    schema = _schema(request)
    table = pa.table([columns[name] for name in schema.names], schema=schema)
    out.parent.mkdir(parents=True, exist_ok=True)
    replace_table(table, out)


def amend_hybrid_part(
    file: Path, amended: Mapping[int, tuple[Any, float | None]], classes: tuple[str, ...], withdrawn: bool
) -> bool:
    """Correct measured lines of one file, marked ``amended`` in `qc`; take a withdrawn certificate's id off all lines.

    Parameters
    ----------
    amended:
        Label and value by row, of a panel its corrected entries; rows of other files are left out.

    Returns
    -------
    bool
        Whether anything was to be done.
    """
    table = pq.read_table(file)
    rows, is_measured = table["row"].to_numpy(), is_source(table, "measured")
    places = np.flatnonzero(np.isin(rows, np.fromiter(amended, np.int64, len(amended))) & is_measured)
    if len(places):
        given = [amended[row] for row in rows[places].tolist()]
        cells: dict[str, Any] = {"qc": ["amended"] * len(places)}
        if "labels" in table.column_names and "measured" not in table.column_names:
            table = _with_values(table, places, np.stack([label for label, _ in given]))
        elif "labels" in table.column_names:
            before = np.stack([from_arrow(table[name].take(places)) for name in ("labels", "measured")], axis=1)
            after = overlay(before, np.stack([label for label, _ in given]))
            cells |= {name: to_arrow(after[:, half]) for half, name in enumerate(("labels", "measured"))}
        else:
            labels = _class_names(np.array([label for label, _ in given], np.float64), classes)
            cells |= {"label": labels, "value": [value for _, value in given]}
        for name, new in cells.items():
            table = _with_cells(table, name, places, new)
    if withdrawn:
        table = _with_column(table, "certificate_id", pa.nulls(table.num_rows, pa.string()))
    changed = bool(len(places)) or withdrawn
    if changed:
        replace_table(table, file)
    return changed


def is_source(lines: pa.Table, source: str) -> NDArray[np.bool_]:
    """Which lines of a hybrid screen are of a source, bool (n,)."""
    mask: NDArray[np.bool_] = pc.equal(lines["source"], source).fill_null(False).to_numpy()
    return mask


def _with_cells(table: pa.Table, name: str, places: NDArray[np.int64], cells: Any) -> pa.Table:
    """A table with other values of a column at ascending places."""
    mask = np.zeros(table.num_rows, np.bool_)
    mask[places] = True
    new = pa.array(cells, table.schema.field(name).type)
    return _with_column(table, name, pc.replace_with_mask(table[name].combine_chunks(), mask, new))


def _with_values(table: pa.Table, places: NDArray[np.int64], entries: NDArray[Any]) -> pa.Table:
    """The lines of a panel with numbers, with corrected entries at some places; Arrow masks no lists."""
    labels = from_arrow(table["labels"]).copy()
    labels[places] = overlay(labels[places], entries)
    return _with_column(table, "labels", to_arrow(labels))


def _with_column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), table.schema.field(name), values)


def _measured(request: HybridRequest, low: int, high: int) -> pa.Table:
    n = high - low
    labels = request.labels[low:high]
    if request.outputs:
        readouts = label_columns(labels)
    else:
        values = pa.array(request.values[low:high], from_pandas=True)
        readouts = {"label": _class_names(labels, request.classes), "value": values}
    return _lines(
        _schema(request),
        row=request.rows[low:high],
        source=_repeated("measured", n),
        **readouts,
        round=request.rounds[low:high],
        role=pa.array(ROLES).take(pa.array(request.roles[low:high])),
        **{name: request.wells[name].slice(low, n).combine_chunks() for name in request.wells.column_names},
    )


def _absent(request: HybridRequest, places: slice) -> pa.Table:
    sources = pc.if_else(pa.array(request.abandoned[places]), "abandoned", "excluded")
    return _lines(_schema(request), row=request.absent[places], source=sources)


def _predicted(request: HybridRequest, predictions: ScoredRows) -> pa.Table:
    n = len(predictions.rows)
    kind: dict[str, Any] = {"confidence": pa.array(1 - predictions.uncertainty, from_pandas=True)}
    if request.outputs:
        kind["labels"] = to_arrow(predictions.prediction)
        if not request.numbers:
            kind["measured"] = to_arrow(np.zeros_like(predictions.prediction))
    elif request.classes:
        kind["label"] = _class_names(predictions.prediction, request.classes)
    else:
        kind = {"value": predictions.prediction}
    return _lines(
        _schema(request),
        row=predictions.rows,
        source=_repeated("predicted", n),
        uncertainty=pa.array(predictions.uncertainty, from_pandas=True),
        committee_hash=_repeated(request.committee_hash or None, n),
        **kind,
    )


def _lines(schema: pa.Schema, **columns: Any) -> pa.Table:
    """Lines with the given columns; the others are null."""
    n = len(columns["row"])
    arrays = [
        pa.array(columns[field.name], field.type) if field.name in columns else pa.nulls(n, field.type)
        for field in schema
    ]
    return pa.table(arrays, schema=schema)


def _class_names(labels: NDArray[np.float64], classes: tuple[str, ...]) -> pa.Array:
    if not classes:
        return _repeated(None, len(labels))
    return pa.array(classes, pa.string()).take(pa.array(labels.astype(np.int64)))


def _repeated(text: str | None, n: int) -> pa.Array:
    return pa.repeat(pa.scalar(text, pa.string()), n)
