"""Known labels of a simulation: placed on library rows and turned into classes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from isd_ray.config import Task
from isd_ray.data.label_rule import (
    MISSING_CLASS,
    LabelRule,
    class_indices,
    classes_of,
    needs_numbers,
    refuse_bounds,
    rule_beforehand,
    settled,
    sides_of,
)
from isd_ray.data.label_table import N_SHOWN, LabelTable, as_numbers, read_labels
from isd_ray.data.layout import REJECTS_FILE
from isd_ray.data.library import Library
from isd_ray.errors import LabelError
from isd_ray.messages import LabelArray

__all__ = [
    "LabelRule",
    "LabelTable",
    "Labels",
    "as_readouts",
    "classes_of",
    "labels_for",
    "read_labels",
    "rule_beforehand",
]


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels of the n rows of a library.

    Attributes
    ----------
    values:
        float64, shape (n,): raw numbers; NaN where classes are words, of bounds beside a cut, and for panels, whose
        numbers are not kept.
    labels:
        Shape (n,): class index (int64; -1 where missing is allowed), or for a regression the number (float64; NaN).
        For a panel packed bits (`isd_ray.core.panels`).
    rule:
        How `labels` came from `values`.
    n_unused:
        Labels whose id is not in the library (rejected or merged compounds, other parts of a split).
    n_contradicting:
        Merged duplicates of another class than the compound that stands for them; 0 of regressions and panels.
    censored:
        Bounds as they came, by row.
    """

    values: NDArray[np.float64]
    labels: LabelArray
    rule: LabelRule
    n_unused: int
    n_contradicting: int = 0
    censored: Mapping[int, str] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes by index; empty for a regression."""
        return self.rule.classes

    @property
    def cut(self) -> float | None:
        """Class 1 is above it; None without a transform."""
        return self.rule.cut


def as_readouts(labels: LabelArray) -> LabelArray:
    """Labels as an oracle gives them and errors are counted by: float64 (n,), NaN where none is, or packed bits."""
    if labels.ndim > 1:
        return labels
    is_class = np.issubdtype(labels.dtype, np.integer)
    return np.where(labels == MISSING_CLASS, np.nan, labels) if is_class else labels.astype(np.float64)


def labels_for(
    table: LabelTable,
    library: Library,
    task: Task,
    *,
    allow_missing: bool = False,
    rule: LabelRule | None = None,
) -> Labels:
    """Labels of the rows of a library.

    Parameters
    ----------
    table:
        From `read_labels`.
    allow_missing:
        Accept rows without a label (class -1, NaN) instead of raising.
    rule:
        Classes and cut settled before: give ``labels_of_target.rule`` for validation and test sets. None settles them
        here, so `library` must then be the target set.

    Raises
    ------
    LabelError
        If no id matches; a row has no label; labels are not classes (not whole numbers, more than 1,000, not among the
        configured ones) or there is only one class in the whole column; a transform or a regression meets words, or a
        bound that decides nothing and is not to count as a number.
    """
    if needs_numbers(table, task, rule):
        table = as_numbers(table)
    at = match(table, library)
    if not allow_missing:
        _refuse_missing(table, library, at)
    labels = place_labels(table, at, task, rule)
    if task == "regression":
        return labels
    return replace(labels, n_contradicting=_n_contradicting(table, library, labels.rule))


def place_labels(table: LabelTable, at: NDArray[np.int64], task: Task, rule: LabelRule | None) -> Labels:
    """Labels of the rows that `match` has placed; rows without a label have none. Raises as `labels_for`."""
    if needs_numbers(table, task, rule):
        table = as_numbers(table)
    at = np.where(_is_missing(table)[at], -1, at)
    if rule is None:
        rule = settled(table, at, task)
    present = np.flatnonzero(at >= 0)
    values = np.full(len(at), np.nan)
    values[present] = table.numbers()[at[present]]
    n_unused = len(table) - len(present)
    is_bound = np.zeros(len(table) + 1, np.bool_)
    is_bound[list(table.censored)] = True
    bounded = present[is_bound[at[present]]]
    censored = {int(row): table.censored[int(at[row])] for row in bounded}
    if task == "regression":
        refuse_bounds(table, at[bounded], "a regression needs numbers")
        return Labels(values, values.copy(), rule, n_unused, censored=censored)
    labels = np.full(len(at), MISSING_CLASS, dtype=np.int64)
    if rule.cut is not None:
        labels[present] = sides_of(table, rule.cut)[at[present]]
        is_open = labels[bounded] == MISSING_CLASS
        refuse_bounds(table, at[bounded[is_open]], f"the cut at {rule.cut:g} does not decide their class")
        values[bounded] = np.nan
    else:
        indices = class_indices(table, rule.classes)[at[present]]
        unknown = at[present][indices < 0]
        if len(unknown):
            raise LabelError(
                f"{len(unknown)} labels in column {table.column!r} are none of the classes "
                f"{', '.join(map(repr, rule.classes))}: " + table.examples(unknown),
                table.file,
                "add them to labels.classes, or correct them",
            )
        labels[present] = indices
    return Labels(values, labels, rule, n_unused, censored=censored)


def match(table: LabelTable, library: Library) -> NDArray[np.int64]:
    """Index in the table of each library row, -1 where its id is not there: int64, shape (n,).

    Raises
    ------
    LabelError
        If no id matches.
    """
    ids = library.arrow_column("id")
    found = pc.index_in(ids.cast(table.ids.type), value_set=table.ids)
    at: NDArray[np.int64] = found.fill_null(-1).to_numpy().astype(np.int64)
    if (at < 0).all():
        of_file = ", ".join(map(repr, table.ids[:3].to_pylist())) or "none"
        of_library = ", ".join(map(repr, ids[:3].to_pylist()))
        raise LabelError(
            f"no label belongs to a compound of the library: ids there are {of_library} …, here {of_file} …",
            table.file,
            "set labels.id_column to the column with the library's ids (without id_column they are record numbers)",
        )
    return at


def _is_missing(table: LabelTable) -> NDArray[np.bool_]:
    """Which lines of the table hold no label, and last, for index -1, that there is no line: bool (m + 1,)."""
    return np.append(table.values.is_null().to_numpy(zero_copy_only=False), True)


def _n_contradicting(table: LabelTable, library: Library, rule: LabelRule) -> int:
    """Merged duplicates of another class than the compound that stands for them, of those whose class is known."""
    file = library.path / REJECTS_FILE
    if not file.is_file():  # a part of a split, or a library elsewhere
        return 0
    merged = pq.read_table(file, columns=["id", "row"], filters=pc.field("row").is_valid())
    classes = class_indices(table, rule.classes) if rule.cut is None else sides_of(table, rule.cut)
    classes = np.where(_is_missing(table), MISSING_CLASS, np.append(classes, MISSING_CLASS))

    def class_of(ids: pa.Array | pa.ChunkedArray) -> NDArray[np.int64]:
        return classes[pc.index_in(ids, value_set=table.ids).fill_null(-1).to_numpy()]

    own, kept = class_of(merged["id"]), class_of(pa.array(library.ids(merged["row"].to_numpy()), pa.string()))
    return int(((own >= 0) & (kept >= 0) & (own != kept)).sum())


def _refuse_missing(table: LabelTable, library: Library, at: NDArray[np.int64]) -> None:
    rows = np.flatnonzero(at < 0)
    if len(rows):
        shown = ", ".join(map(repr, library.ids(rows[:N_SHOWN])))
        raise LabelError(
            f"{len(rows)} compounds of the library have no label: ids {shown}",
            table.file,
            "add their labels, or leave them out of the library",
        )
    rows = np.flatnonzero(_is_missing(table)[at])
    if len(rows):
        name = json.dumps(table.column, ensure_ascii=False)
        raise LabelError(
            f"{len(rows)} labels in column {table.column!r} are empty or NaN: {table.examples(at[rows])}",
            table.file,
            f"leave these compounds out of the library by library.columns = [{name}] and library.required = [{name}], "
            "or choose a column that is complete"
            if table.config.source is None  # then the sources of the library have the column
            else "leave these compounds out of the library, or choose a column that is complete",
        )
