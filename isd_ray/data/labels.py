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

from isd_ray.config import LabelsConfig, Task
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

MAX_CLASSES = 1000
"""More distinct labels than this are taken for a regression by mistake."""
BINARY_CLASSES = ("0", "1")
"""Classes of a cut: at most the cut, above it."""
MISSING_CLASS = -1
"""Class index of a row without a label, where that is allowed."""


@dataclass(frozen=True, slots=True)
class LabelRule:
    """How raw labels become classes: settled on the target set, then applied unchanged to held-out sets.

    Attributes
    ----------
    classes:
        Names of the classes by index; empty for a regression.
    cut:
        Class 1 is above it; None without a transform, and of a panel.
    outputs, cuts:
        Names of a panel's outputs, and the cut of each; empty for other tasks.
    """

    task: Task
    classes: tuple[str, ...]
    cut: float | None
    outputs: tuple[str, ...] = ()
    cuts: tuple[float | None, ...] = ()

    def of_output(self, place: int) -> LabelRule:
        """The rule of one output of a panel."""
        return LabelRule(self.task, self.classes, self.cuts[place])


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
    """Labels as an oracle gives them and errors are counted by: float64 (n,), or packed bits as they are."""
    return labels.astype(np.float64) if labels.ndim == 1 else labels


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
    if _needs_numbers(table, task, rule):
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
    if _needs_numbers(table, task, rule):
        table = as_numbers(table)
    at = np.where(_is_missing(table)[at], -1, at)
    if rule is None:
        rule = _settle(table, at, task)
    present = np.flatnonzero(at >= 0)
    values = np.full(len(at), np.nan)
    values[present] = table.numbers()[at[present]]
    n_unused = len(table) - len(present)
    is_bound = np.zeros(len(table) + 1, np.bool_)
    is_bound[list(table.censored)] = True
    bounded = present[is_bound[at[present]]]
    censored = {int(row): table.censored[int(at[row])] for row in bounded}
    if task == "regression":
        _refuse_bounds(table, at[bounded], "a regression needs numbers")
        return Labels(values, values.copy(), rule, n_unused, censored=censored)
    labels = np.full(len(at), MISSING_CLASS, dtype=np.int64)
    if rule.cut is not None:
        labels[present] = _sides(table, rule.cut)[at[present]]
        is_open = labels[bounded] == MISSING_CLASS
        _refuse_bounds(table, at[bounded[is_open]], f"the cut at {rule.cut:g} does not decide their class")
        values[bounded] = np.nan
    else:
        indices = _class_indices(table, rule.classes)[at[present]]
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


def _needs_numbers(table: LabelTable, task: Task, rule: LabelRule | None) -> bool:
    is_cut = table.config.transform != "none" if rule is None else rule.cut is not None
    return task == "regression" or is_cut


def _sides(table: LabelTable, cut: float) -> NDArray[np.int64]:
    """Class of each label by a cut, 1 above it; `MISSING_CLASS` without a label, and where a bound leaves it open."""
    low, high = table.ends()
    sides = np.select([low > cut, high <= cut], [1, 0], MISSING_CLASS).astype(np.int64)
    if table.config.censored == "bound":
        is_open = (sides == MISSING_CLASS) & ~np.isnan(low)
        sides[is_open] = table.numbers()[is_open] > cut
    return sides


def _refuse_bounds(table: LabelTable, indices: NDArray[np.int64], why: str) -> None:
    """Refuse labels that are bounds and decide nothing, unless the configuration takes their numbers."""
    if len(indices) and table.config.censored == "refuse":
        raise LabelError(
            f"{len(indices)} labels in column {table.column!r} are bounds, and {why}: {table.examples(indices)}",
            table.file,
            "leave these compounds out, or set labels.censored = 'bound' to count the number as if it were exact",
        )


def rule_beforehand(config: LabelsConfig, task: Task, *, by_plates: bool) -> LabelRule:
    """Classes and cut of labels that are still to be measured.

    Parameters
    ----------
    by_plates:
        Hits are called plate by plate: there is no cut of compounds.

    Raises
    ------
    LabelError
        If they would follow from the labels: a median, or classes without names.
    """
    if task == "regression":
        return LabelRule(task, (), None)
    if task == "panel":
        return _panel_rule_beforehand(config)
    if config.transform == "threshold":
        return LabelRule(task, config.classes or BINARY_CLASSES, config.threshold)
    if by_plates and config.transform == "none" and len(config.classes) in (0, 2):
        return LabelRule(task, config.classes or BINARY_CLASSES, None)
    if config.transform == "median" or len(config.classes) < 2:
        raise LabelError(
            "nothing is measured yet, so the classes cannot follow from the labels",
            "labels",
            'name the classes, as classes = ["inactive", "active"], or set transform = "threshold" and the threshold',
        )
    return LabelRule(task, config.classes, None)


def is_pattern(name: str) -> bool:
    """Whether a name of `labels.columns` depends on the columns of a file: a wildcard, or one to leave out."""
    return bool(set(name) & set("*?[!"))


def _panel_rule_beforehand(config: LabelsConfig) -> LabelRule:
    if config.transform == "median":
        raise LabelError(
            "nothing is measured yet, so there is no median", "labels.transform", 'set "threshold", or "none"'
        )
    if unclear := [name for name in config.columns if is_pattern(name)]:
        raise LabelError(
            f"{unclear[0]!r} is a pattern, and there is no file yet whose columns it could match",
            "labels.columns",
            "name every output, as readouts will",
        )
    classes = config.classes or BINARY_CLASSES
    return LabelRule("panel", classes, None, config.columns, (config.threshold,) * len(config.columns))


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
    classes = _class_indices(table, rule.classes) if rule.cut is None else _sides(table, rule.cut)
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


def classes_of(table: LabelTable, task: Task) -> tuple[str, ...]:
    """Names of the classes by all lines of a table, before any library. Raises as `labels_for` of its classes."""
    table = as_numbers(table) if _needs_numbers(table, task, None) else table
    return _settle(table, np.arange(len(table)), task).classes


def _settle(table: LabelTable, at: NDArray[np.int64], task: Task) -> LabelRule:
    """Cut and classes, from every labelled row, or for the cut from the target rows if so configured."""
    config = table.config
    if task == "regression" or config.transform != "none":
        infinite = np.flatnonzero(np.isinf(table.numbers()))
        if len(infinite):
            raise LabelError(f"infinite labels: {table.examples(infinite)}", table.file, "correct or remove them")
    if task == "regression":
        return LabelRule(task, (), None)
    if config.transform == "none":
        classes = _classes(table)
        return LabelRule(task, classes if task == "classification" else config.classes or BINARY_CLASSES, None)
    numbers = table.numbers()
    if config.transform == "median":
        cut = _median(table, at[at >= 0] if config.median_rows == "target" else np.arange(len(table)))
    else:
        assert config.threshold is not None  # LabelsConfig: it goes with the transform
        cut = config.threshold
    sides = _sides(table, cut)[~np.isnan(numbers)]
    numbers = numbers[~np.isnan(numbers)]
    if sides[0] != MISSING_CLASS and (sides == sides[0]).all():
        raise LabelError(
            f"every label is {'above' if sides[0] else 'at most'} the cut {cut}: there is only one class",
            table.file,
            f"labels run from {numbers.min()} to {numbers.max()}; choose a threshold between",
        )
    return LabelRule(task, config.classes or BINARY_CLASSES, cut)


def _median(table: LabelTable, indices: NDArray[np.int64]) -> float:
    """The median of some labels; with bounds among them, if it is the same wherever between them the labels lie."""
    if not table.censored or table.config.censored == "bound":
        return float(np.nanmedian(table.numbers()[indices]))
    with np.errstate(invalid="ignore"):  # the mean of minus and plus infinity
        low, high = (float(np.nanmedian(side[indices])) for side in table.ends())
    if low != high:
        bounds = indices[np.isin(indices, list(table.censored))]
        _refuse_bounds(table, bounds, f"the median may be anything from {low:g} to {high:g}")
    return low


def _refuse_alike(names: list[str], table: LabelTable) -> None:
    """Refuse classes that differ by case or blanks only: nobody means two."""
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(" ".join(name.split()).casefold(), []).append(name)
    for group in alike.values():
        if len(group) > 1:
            raise LabelError(
                f"classes of column {table.column!r} differ by case or blanks only: {', '.join(map(repr, group))}",
                table.file,
                f"write {group[0]!r} throughout; if they are meant, name them all in labels.classes",
            )


def _classes(table: LabelTable) -> tuple[str, ...]:
    config = table.config
    distinct = table.values.drop_null().unique()
    if table.is_numeric:
        numbers = np.sort(distinct.to_numpy())
        if (numbers != np.floor(numbers)).any() or np.isinf(numbers).any():
            values = table.numbers()
            fractional = np.flatnonzero((values != np.floor(values)) & ~np.isnan(values))
            raise LabelError(
                f"labels in column {table.column!r} are not class numbers: {table.examples(fractional)}",
                table.file,
                'set labels.transform = "median" or "threshold" to make two classes, or task = "regression"',
            )
        names = [str(int(number)) for number in numbers[: MAX_CLASSES + 1]]
    else:
        names = sorted(distinct.to_pylist())
        if not config.classes and len(names) <= MAX_CLASSES:
            _refuse_alike(names, table)
    if len(names) > MAX_CLASSES:
        raise LabelError(
            f"column {table.column!r} has {len(distinct)} distinct labels, more than {MAX_CLASSES} classes",
            table.file,
            'choose the label column, set labels.transform = "median", or task = "regression"',
        )
    if len(names) < 2:
        raise LabelError(
            f"every label in column {table.column!r} is {names[0]!r}: there is only one class",
            table.file,
            "there is nothing to predict; choose another column",
        )
    return config.classes or tuple(names)


def _class_indices(table: LabelTable, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """Class index of every label, -1 for none of them: int64, shape (m,)."""
    if not table.is_numeric:
        found = pc.index_in(table.values, value_set=pa.array(classes, table.values.type), skip_nulls=True)
        return found.fill_null(-1).to_numpy().astype(np.int64)
    numbers = pa.array([_number(name) for name in classes], pa.float64())
    found = pc.index_in(table.values, value_set=numbers, skip_nulls=True)
    return found.fill_null(-1).to_numpy().astype(np.int64)


def _number(name: str) -> float | None:
    try:
        return float(name)
    except ValueError:
        return None
