"""The hybrid screen: one line for each compound of the library, measured or predicted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from isd_ray.data.library import Library
from isd_ray.data.predictions import part_name, read_predictions, replace_table
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
"""


def write_hybrid_part(library: Library, part: int, request: HybridRequest) -> None:
    """Write the lines of one library part; every row of it is measured, predicted or cannot be had, and just one.

    Predictions are the frozen ones; those of rows that were measured after the freeze are left out.

    Raises
    ------
    ValueError
        If rows are missing or doubled: the sets do not partition the target set.
    """
    first, stop = library.part_rows_range(part)
    low, high = np.searchsorted(request.rows, (first, stop)).tolist()
    predictions = read_predictions(Path(request.predictions_dir), part)
    left = np.unpackbits(request.inference[first // 8 : (stop + 7) // 8], count=stop - first).astype(np.bool_)
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
    columns["id"] = pa.array(library.ids(rows), pa.string())
    columns["smiles"] = pa.array(library.smiles(rows), pa.string())
    columns["campaign_id"] = pa.array([request.campaign_id] * len(rows), pa.string())
    columns["certificate_id"] = pa.array([request.certificate_id or None] * len(rows), pa.string())
    table = pa.table([columns[name] for name in HYBRID_SCHEMA.names], schema=HYBRID_SCHEMA)
    folder = Path(request.hybrid_dir)
    folder.mkdir(parents=True, exist_ok=True)
    replace_table(table, folder / part_name(part))


def amend_hybrid_part(
    file: Path, amended: Mapping[int, tuple[float, float | None]], classes: tuple[str, ...], withdrawn: bool
) -> None:
    """Correct measured lines of one file, marked ``amended`` in `qc`; take a withdrawn certificate's id off all lines.

    Parameters
    ----------
    amended:
        Label and value by row; rows of other files are left out.
    """
    table = pq.read_table(file)
    places = np.flatnonzero(np.isin(table["row"].to_numpy(), list(amended)))
    if len(places):
        columns = {name: table[name].to_pylist() for name in ("label", "value", "qc")}
        for place in places.tolist():
            label, value = amended[table["row"][place].as_py()]
            [columns["label"][place]] = _class_names(np.array([label]), classes)
            columns["value"][place], columns["qc"][place] = value, "amended"
        for name, cells in columns.items():
            table = _with_column(table, name, pa.array(cells, HYBRID_SCHEMA.field(name).type))
    if withdrawn:
        table = _with_column(table, "certificate_id", pa.nulls(table.num_rows, pa.string()))
    if len(places) or withdrawn:
        replace_table(table, file)


def _with_column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), HYBRID_SCHEMA.field(name), values)


def _measured(request: HybridRequest, low: int, high: int) -> pa.Table:
    n = high - low
    return _lines(
        row=request.rows[low:high],
        source=["measured"] * n,
        label=_class_names(request.labels[low:high], request.classes),
        value=pa.array(request.values[low:high], from_pandas=True),
        round=request.rounds[low:high],
        role=[ROLES[role] for role in request.roles[low:high]],
        **{name: cells[low:high] for name, cells in request.wells.items()},
    )


def _absent(request: HybridRequest, places: slice) -> pa.Table:
    tried = request.abandoned[places].tolist()
    return _lines(row=request.absent[places], source=["abandoned" if was else "excluded" for was in tried])


def _predicted(request: HybridRequest, predictions: ScoredRows) -> pa.Table:
    n = len(predictions.rows)
    confidence = pa.array(1 - predictions.uncertainty, from_pandas=True)
    kind = {"confidence": confidence} if request.classes else {"value": predictions.prediction}
    return _lines(
        row=predictions.rows,
        source=["predicted"] * n,
        label=_class_names(predictions.prediction, request.classes),
        uncertainty=pa.array(predictions.uncertainty, from_pandas=True),
        committee_hash=[request.committee_hash or None] * n,
        **kind,
    )


def _lines(**columns: Any) -> pa.Table:
    """Lines with the given columns; the others are null."""
    n = len(columns["row"])
    arrays = [
        pa.array(columns[field.name], field.type) if field.name in columns else pa.nulls(n, field.type)
        for field in HYBRID_SCHEMA
    ]
    return pa.table(arrays, schema=HYBRID_SCHEMA)


def _class_names(labels: NDArray[np.float64], classes: tuple[str, ...]) -> list[str | None]:
    return [classes[int(label)] for label in labels] if classes else [None] * len(labels)
