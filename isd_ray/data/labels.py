"""Known labels of a simulation: placed on library rows and turned into classes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from isd_ray.config import LabelsConfig, Task
from isd_ray.data.ingest.columns import text_kind
from isd_ray.data.label_table import N_SHOWN, LabelTable, read_labels
from isd_ray.data.layout import REJECTS_FILE
from isd_ray.data.library import Library
from isd_ray.errors import LabelError
from isd_ray.messages import LabelArray

__all__ = ["LabelRule", "LabelTable", "Labels", "as_readouts", "labels_for", "read_labels", "rule_beforehand"]

MAX_CLASSES = 1000
"""More distinct labels than this are taken for a regression by mistake."""
BINARY_CLASSES = ("0", "1")
"""Classes of a cut: at most the cut, above it."""
MISSING_CLASS = -1
"""Class index of a row without a label, where that is allowed."""
_DECIMAL_COMMA = re.compile(r"[+-]?[\d.]*\d,\d+([eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?")
"""A comma that stands before each three digits: "10,000" is ten thousand."""
_BOUND = re.compile(r"[<>≤≥~]=?\s*[+-]?[\d.]+([eE][+-]?\d+)?.*")


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
        float64, shape (n,): raw numbers; NaN where classes are words, and for panels, whose numbers are not kept.
    labels:
        Shape (n,): class index (int64; -1 where missing is allowed), or for a regression the number (float64; NaN).
        For a panel packed bits (`isd_ray.core.panels`).
    rule:
        How `labels` came from `values`.
    n_unused:
        Labels whose id is not in the library (rejected or merged compounds, other parts of a split).
    n_contradicting:
        Merged duplicates of another class than the compound that stands for them; 0 of regressions and panels.
    """

    values: NDArray[np.float64]
    labels: LabelArray
    rule: LabelRule
    n_unused: int
    n_contradicting: int = 0

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
        configured ones) or there is only one class in the whole column; a transform or a regression meets words.
    """
    at = match(table, library)
    if not allow_missing:
        _refuse_missing(table, library, at)
    labels = place_labels(table, at, task, rule)
    if task == "regression":
        return labels
    return replace(labels, n_contradicting=_n_contradicting(table, library, labels.rule))


def place_labels(table: LabelTable, at: NDArray[np.int64], task: Task, rule: LabelRule | None) -> Labels:
    """Labels of the rows that `match` has placed; rows without a label have none. Raises as `labels_for`."""
    at = np.where(_is_missing(table)[at], -1, at)
    if rule is None:
        rule = _settle(table, at, task)
    present = np.flatnonzero(at >= 0)
    values = np.full(len(at), np.nan)
    values[present] = table.numbers()[at[present]]
    n_unused = len(table) - len(present)
    if task == "regression":
        return Labels(values, values.copy(), rule, n_unused)
    labels = np.full(len(at), MISSING_CLASS, dtype=np.int64)
    if rule.cut is not None:
        labels[present] = values[present] > rule.cut
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
    return Labels(values, labels, rule, n_unused)


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
    classes = _class_indices(table, rule.classes) if rule.cut is None else (table.numbers() > rule.cut).astype(np.int64)
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


def _settle(table: LabelTable, at: NDArray[np.int64], task: Task) -> LabelRule:
    """Cut and classes, from every labelled row, or for the cut from the target rows if so configured."""
    config = table.config
    if task == "regression" or config.transform != "none":
        if not table.is_numeric:
            words = enumerate(table.values)
            wrong = list(islice((i for i, word in words if text_kind(pa.array([word])) == "string"), N_SHOWN))
            raise LabelError(
                f"labels in column {table.column!r} are not numbers: {table.examples(wrong)}",
                table.file,
                _remedy_for_words(table.values.drop_null().to_pylist()),
            )
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
        rows = at[at >= 0] if config.median_rows == "target" else slice(None)
        cut = float(np.nanmedian(numbers[rows]))
    else:
        assert config.threshold is not None  # LabelsConfig: it goes with the transform
        cut = config.threshold
    numbers = numbers[~np.isnan(numbers)]
    if (numbers > cut).all() or not (numbers > cut).any():
        raise LabelError(
            f"every label is {'above' if numbers[0] > cut else 'at most'} the cut {cut}: there is only one class",
            table.file,
            f"labels run from {numbers.min()} to {numbers.max()}; choose a threshold between",
        )
    return LabelRule(task, config.classes or BINARY_CLASSES, cut)


def _remedy_for_words(words: list[str]) -> str:
    """What to do about labels that are no numbers, by how they are written."""
    commas = [word for word in words if _DECIMAL_COMMA.fullmatch(word) or _THOUSANDS.fullmatch(word)]
    if commas:
        decimal = next((word for word in commas if not _THOUSANDS.fullmatch(word)), None)
        if decimal is not None:
            return "export numbers with a decimal point instead of a comma, and with nothing between thousands"
        number = commas[0].replace(",", "")
        return f"export numbers without commas between thousands: {number} for {commas[0]!r}"
    bounded = next((word for word in words if _BOUND.fullmatch(word)), None)
    if bounded is not None:
        return (
            f"{bounded!r} is a bound and no number: write the class of such compounds in a column of its own, "
            "or leave them out of the library"
        )
    return "choose a numeric column; for classes named by words set task = 'classification', transform = 'none'"


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
