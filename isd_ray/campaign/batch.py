"""The frozen batch and its readouts as tables, and back."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from isd_ray.campaign.oracle import Readouts
from isd_ray.campaign.selection import Selection
from isd_ray.data.library import Library
from isd_ray.data.packed import from_arrow, label_columns, labels_from, to_arrow
from isd_ray.messages import ROLES, Rows, ScoredRows

_SCORED = ("row", "score", "second_score", "prediction", "uncertainty")


def batch_table(selection: Selection, library: Library) -> pa.Table:
    """What is released: rows with id, structure, role and what the model says of them (null before there is one)."""
    scored = selection.scored
    nothing = pa.nulls(len(scored.rows), pa.string())
    return pa.table(
        {
            "row": scored.rows,
            "id": pa.array(library.ids(scored.rows), pa.string()),
            "smiles": pa.array(library.smiles(scored.rows), pa.string()),
            "role": pa.array([ROLES[role] for role in selection.roles], pa.string()),
            "score": scored.primary,
            "second_score": scored.secondary,
            "prediction": to_arrow(scored.prediction),
            "uncertainty": pa.array(scored.uncertainty, from_pandas=True),
            "rank": pa.array(selection.ranks, from_pandas=True),
            "plate": nothing,
            "well": nothing,
        }
    )


def selection_of(table: pa.Table) -> Selection:
    """The selection that `batch_table` wrote."""
    roles = np.array([ROLES.index(role) for role in table["role"].to_pylist()], np.int8)
    return Selection(ScoredRows(*(from_arrow(table[name]) for name in _SCORED)), roles, table["rank"].to_numpy())


def readouts_table(rows: Rows, readouts: Readouts) -> pa.Table:
    """Readouts as they are kept: row, label and value, or of a panel row, labels and measured."""
    values = {"value": pa.array(readouts.values, from_pandas=True)} if readouts.labels.ndim == 1 else {}
    return pa.table({"row": rows, **label_columns(readouts.labels), **values})


def readouts_of(table: pa.Table) -> Readouts:
    """The readouts that `readouts_table` wrote."""
    labels = labels_from(table)
    return Readouts(labels, table["value"].to_numpy() if labels.ndim == 1 else np.full(len(labels), np.nan))
