"""How labels become classes: the cut, the names of the classes, and what of them is known beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from isd_ray.config import LabelsConfig, Task
from isd_ray.data.label_table import LabelTable, as_numbers
from isd_ray.errors import LabelError

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
    numbers:
        Which of these outputs are numbers; empty where none is.
    """

    task: Task
    classes: tuple[str, ...]
    cut: float | None
    outputs: tuple[str, ...] = ()
    cuts: tuple[float | None, ...] = ()
    numbers: tuple[bool, ...] = ()

    @property
    def names_of_numbers(self) -> tuple[str, ...]:
        """Outputs that are numbers."""
        return tuple(name for name, is_number in zip(self.outputs, self.numbers, strict=False) if is_number)

    def of_output(self, place: int) -> LabelRule:
        """The rule of one output of a panel."""
        if self.numbers and self.numbers[place]:
            return LabelRule("regression", (), None)
        return LabelRule(self.task, self.classes, self.cuts[place])


def needs_numbers(table: LabelTable, task: Task, rule: LabelRule | None) -> bool:
    """Whether labels are read as numbers: of a regression, and where a cut decides."""
    is_cut = table.config.transform != "none" if rule is None else rule.cut is not None
    return task == "regression" or is_cut


def sides_of(table: LabelTable, cut: float) -> NDArray[np.int64]:
    """Class of each label by a cut, 1 above it; `MISSING_CLASS` without a label, and where a bound leaves it open."""
    low, high = table.ends()
    sides = np.select([low > cut, high <= cut], [1, 0], MISSING_CLASS).astype(np.int64)
    if table.config.censored == "bound":
        is_open = (sides == MISSING_CLASS) & ~np.isnan(low)
        sides[is_open] = table.numbers()[is_open] > cut
    return sides


def refuse_bounds(table: LabelTable, indices: NDArray[np.int64], why: str) -> None:
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
    return panel_rule(config, config.columns, (config.threshold,) * len(config.columns))


def panel_rule(config: LabelsConfig, outputs: tuple[str, ...], cuts: Sequence[float | None]) -> LabelRule:
    """The rule of a panel: without classes where all outputs are numbers, and no cut of those that are.

    Raises
    ------
    LabelError
        If `labels.numbers` names no output.
    """
    try:
        numbers = config.are_numbers(outputs)
    except ValueError as error:
        raise LabelError(str(error), "labels.numbers", "name outputs as labels.columns has them") from error
    classes = () if numbers and all(numbers) else config.classes or BINARY_CLASSES
    kept = tuple(None if numbers and numbers[place] else cut for place, cut in enumerate(cuts))
    return LabelRule("panel", classes, None, outputs, kept, numbers)


def classes_of(table: LabelTable, task: Task) -> tuple[str, ...]:
    """Names of the classes by all lines of a table, before any library. Raises as `labels_for` of its classes."""
    table = as_numbers(table) if needs_numbers(table, task, None) else table
    return settled(table, np.arange(len(table)), task).classes


def settled(table: LabelTable, at: NDArray[np.int64], task: Task) -> LabelRule:
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
    sides = sides_of(table, cut)[~np.isnan(numbers)]
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
        refuse_bounds(table, bounds, f"the median may be anything from {low:g} to {high:g}")
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


def class_indices(table: LabelTable, classes: tuple[str, ...]) -> NDArray[np.int64]:
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
