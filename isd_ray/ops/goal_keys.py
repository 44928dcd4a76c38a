"""The keys of task, labels and goal that suit a label, read as the package reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isd_ray.config import CampaignConfig
from isd_ray.config_file import parse_config
from isd_ray.core.panels import pack_labels
from isd_ray.data.label_rule import BINARY_CLASSES
from isd_ray.data.label_table import LabelTable, as_numbers, label_sources, read_label_columns
from isd_ray.data.labels import LabelRule, classes_of, place_labels
from isd_ray.data.look.choice import LabelChoice
from isd_ray.data.look.roles import Candidate
from isd_ray.errors import InputFileError
from isd_ray.ops.beforehand import constant_of
from isd_ray.ops.goal_choice import (
    GAMMA,
    HALF,
    LOOSE_GAMMA,
    RECALL,
    Choice,
    goal_beforehand,
    goal_of_classes,
    goal_of_panel,
    goal_of_values,
    hit_cut,
    hit_of,
    one_digit,
    potency_cut,
)
from isd_ray.storage.addresses import working_folder

_HALVED = 6
"""Times that a tolerance is halved at most: values of which most are equal have no other."""


@dataclass(frozen=True, slots=True)
class ProposedKey:
    """A key of the campaign file.

    Attributes
    ----------
    path:
        Its sections and name.
    why:
        The reason for its value, in words.
    """

    path: tuple[str, ...]
    value: Any
    why: str


def config_of(keys: Sequence[ProposedKey]) -> CampaignConfig:
    """The campaign of some keys. Raises as `isd_ray.config_file.parse_config`."""
    data: dict[str, Any] = {}
    for key in keys:
        table = data
        for section in key.path[:-1]:
            table = table.setdefault(section, {})
        table[key.path[-1]] = key.value
    return parse_config(data)


def proposed(name: str, value: Any, why: str) -> ProposedKey:
    """A key by its name with sections, as ``stopping.gamma``."""
    return ProposedKey(tuple(name.split(".")), value, why)


Found = tuple[tuple[str, ...], int, list[ProposedKey]]
"""What is not known of the goal, how many compounds have a label, and the keys of task, labels and goal."""


def goal_keys(keys: Sequence[ProposedKey], choice: LabelChoice, *, hits: bool) -> Found:
    """Task, labels and goal.

    Parameters
    ----------
    keys:
        Of the library.
    hits:
        Numbers are cut into hits and others.

    Raises
    ------
    InputFileError
        If compounds of a panel have no readout at all, or there are no numbers to cut.
    LabelError
        If labels cannot be read as the package reads them.
    """
    if hits and (len(choice.chosen) != 1 or choice.chosen[0].classes):
        found = ", ".join(one.words for one in choice.chosen) or "nothing is measured"
        what = f"hits are cut out of one column of numbers, and this is none: {found}"
        raise InputFileError(what, "--hits", "leave it out, or name such a column by --label")
    if not choice.chosen:
        made = goal_beforehand()
        start = [
            proposed("labels.column", "readout", "what the laboratory's files will call it"),
            proposed("labels.classes", ["inactive", "active"], "what it will write there"),
        ]
        return made.unknown, 0, [*start, *_keys(made)]
    if len(choice.chosen) > 1 and not all(one.classes for one in choice.chosen):
        return _of_both_kinds(keys, choice)
    if len(choice.chosen) > 1:
        return _of_panel(keys, choice)
    one = choice.chosen[0]
    if one.classes:
        return _of_classes(keys, one)
    table = as_numbers(_table([*keys, _column(one)], "regression"))
    if one.is_concentration or one.column.n_bounds:
        cut = potency_cut(one, *(end[~np.isnan(end)] for end in table.ends()))
        return _of_cut(keys, one, table, cut)
    numbers = table.numbers()
    numbers = numbers[~np.isnan(numbers)]
    cut = hit_cut(one, numbers)
    return _of_cut(keys, one, table, cut) if hits else _of_values(keys, one, numbers, cut)


def _of_classes(keys: Sequence[ProposedKey], one: Candidate) -> Found:
    column = _column(one)
    table, config = _table([*keys, column], "classification"), config_of([*keys, column, *_BATCH])
    classes = classes_of(table, "classification")
    counts = _class_counts(table, config, LabelRule("classification", classes, None))
    made = goal_of_classes(one, counts, *hit_of(one))
    named = proposed("labels.classes", list(classes), "its values, which a laboratory's files write as well")
    return made.unknown, sum(counts.values()), [column, named, *_keys(made)]


def _of_cut(keys: Sequence[ProposedKey], one: Candidate, table: LabelTable, cut: Choice) -> Found:
    found = [_column(one), *_keys(cut)]
    config = config_of([*keys, *found, *_BATCH])
    threshold = config.labels.threshold
    assert threshold is not None, "there is a cut"
    low, high = table.ends()
    n_undecided = int(((low <= threshold) & (high > threshold)).sum())
    if n_undecided:
        why = f"the cut leaves {n_undecided:,} bounds in doubt: their numbers count as if they were exact"
        found.append(proposed("labels.censored", "bound", why))
    table = replace(table, config=config.labels.model_copy(update={"censored": "bound"}))
    rule = LabelRule("classification", config.labels.classes or BINARY_CLASSES, threshold)
    counts = _class_counts(table, config, rule)
    hit = "active" if config.labels.classes else BINARY_CLASSES[1]
    made = goal_of_classes(one, counts, hit, f"the side of the cut that is called {hit!r}")
    return (*cut.unknown, *made.unknown), sum(counts.values()), [*found, *_keys(made)]


def _of_values(keys: Sequence[ProposedKey], one: Candidate, numbers: NDArray[np.float64], cut: Choice) -> Found:
    column = _column(one)
    why = f"{one.column.name!r} holds numbers from {one.column.low:g} to {one.column.high:g}"
    task = proposed("task", "regression", why)
    made = _learnable([*keys, task, column], goal_of_values(one, numbers), numbers)
    threshold, why_cut = cut.values["labels.threshold"]
    hits = f"whether values are wanted, or hits: for those --hits (hits=True) takes the cut {threshold:g}, {why_cut}"
    return (*made.unknown, hits), len(numbers), [task, column, *_keys(made)]


def _of_panel(keys: Sequence[ProposedKey], choice: LabelChoice) -> Found:
    names = [one.column.name for one in choice.chosen]
    start = [
        proposed("task", "panel", f"{len(names)} columns of 0 and 1 are outputs of one panel"),
        proposed("labels.columns", names, "its outputs"),
    ]
    config = config_of([*keys, *start, *_BATCH])
    sources = label_sources(config.labels, config.library, working_folder())
    tables = read_label_columns(config.labels, names, config.library, sources)
    entries = np.stack([place_labels(table, np.arange(len(table)), "panel", None).labels for table in tables], axis=1)
    _refuse_empty(int((entries < 0).all(axis=1).sum()), choice)
    rule = LabelRule("panel", BINARY_CLASSES, None, tuple(names), (None,) * len(names))
    _, constant = constant_of(config, rule, pack_labels(entries.astype(np.int8)))
    assert constant is not None, "there are entries"
    return (), len(entries), [*start, *_keys(goal_of_panel(constant.high, len(names)))]


def _refuse_empty(n_empty: int, choice: LabelChoice) -> None:
    if n_empty:
        first, fullest = choice.chosen[0].column.name, max(choice.chosen, key=lambda one: one.column.n_filled)
        raise InputFileError(
            f"{n_empty:,} compounds have no readout in any of the {len(choice.chosen)} outputs {first!r} …",
            "--label",
            f"leave them out of the file, or take one output: --label {fullest.column.name}",
        )


def _of_both_kinds(keys: Sequence[ProposedKey], choice: LabelChoice) -> Found:
    """Of outputs that the user names, some of which are numbers: a claim about each."""
    names, unknown = [one.column.name for one in choice.chosen], list[str]()
    tolerances: dict[str, float] = {}
    recalls: dict[str, str] = {}
    reasons, levels, known = list[str](), dict[str, float](), list[NDArray[np.bool_]]()
    for one in choice.chosen:
        column = _column(one)
        if one.classes:
            table = _table([*keys, column], "classification")
            known.append(table.values.is_valid().to_numpy(zero_copy_only=False))
            made = _goal_of_output(keys, one, table)
            levels[one.column.name] = GAMMA
            if (quantity := made.values["stopping.quantity"])[0] == "recall":
                recalls[one.column.name], levels[one.column.name] = quantity[1], RECALL
                unknown += made.unknown
            continue
        numbers = as_numbers(_table([*keys, column], "regression")).numbers()
        known.append(~np.isnan(numbers))
        numbers = numbers[~np.isnan(numbers)]
        alone = [*keys, proposed("task", "regression", ""), column]
        made = _learnable(alone, goal_of_values(one, numbers), numbers)
        tolerances[one.column.name], why = made.values["stopping.tolerance"]
        levels[one.column.name] = LOOSE_GAMMA
        reasons.append(f"{one.column.name}: {why}")
        unknown += [words.replace("stopping.tolerance", "stopping.tolerances") for words in made.unknown]
    _refuse_empty(int((~np.stack(known)).all(axis=0).sum()), choice)
    found = [
        proposed("task", "panel", f"{len(names)} columns are outputs of one panel"),
        proposed("labels.columns", names, "its outputs"),
        proposed("labels.numbers", list(tolerances), "these hold numbers, the others 0 and 1"),
        proposed("stopping.quantity", "accuracy", "the share of right entries of each output"),
        proposed("stopping.tolerances", tolerances, "; ".join(reasons)),
        proposed("stopping.panel.gamma", levels, "accuracy of each output to exceed, of numbers within the tolerance"),
    ]
    if recalls:
        why = "; ".join(f"{name}: {why}" for name, why in recalls.items())
        found.append(proposed("stopping.panel.quantity", dict.fromkeys(recalls, "recall"), why))
    return tuple(unknown), len(known[0]), found


def _goal_of_output(keys: Sequence[ProposedKey], one: Candidate, table: LabelTable) -> Choice:
    """The goal of an output of classes as if it were the only label: of rare hits it is their recall."""
    config, rule = config_of([*keys, _column(one), *_BATCH]), LabelRule("classification", BINARY_CLASSES, None)
    return goal_of_classes(one, _class_counts(table, config, rule), BINARY_CLASSES[1], "")


def _column(one: Candidate) -> ProposedKey:
    how = "the label that was named" if one.is_named else "the likeliest label"
    return proposed("labels.column", one.column.name, f"{how}: {one.words}")


def _keys(choice: Choice) -> list[ProposedKey]:
    return [proposed(name, value, why) for name, (value, why) in choice.values.items()]


_BATCH = (proposed("acquisition.batch_size", 1, "a campaign has one"),)


def _table(keys: Sequence[ProposedKey], task: str) -> LabelTable:
    """The labels as the package reads them for this configuration."""
    config = config_of([*keys, proposed("task", task, ""), proposed("stopping.rule", "none", ""), *_BATCH])
    sources = label_sources(config.labels, config.library, working_folder())
    assert config.labels.column is not None, "a panel is read otherwise"
    return read_label_columns(config.labels, (config.labels.column,), config.library, sources)[0]


def _class_counts(table: LabelTable, config: CampaignConfig, rule: LabelRule) -> dict[str, int]:
    labels = place_labels(table, np.arange(len(table)), config.task, rule).labels
    counts = np.bincount(labels[labels >= 0].astype(np.int64), minlength=len(rule.classes))
    return dict(zip(rule.classes, counts.tolist(), strict=True))


def _learnable(keys: Sequence[ProposedKey], choice: Choice, numbers: NDArray[np.float64]) -> Choice:
    """The tolerance halved until one value for every compound is right in at most half; said with the reason."""
    config = config_of([*keys, *_keys(choice), *_BATCH])
    first, why = choice.values["stopping.tolerance"]
    for halved in range(_HALVED + 1):
        tolerance = one_digit(first / 2**halved)
        reached = _near_one_value(config, tolerance, numbers)
        if reached <= HALF:
            break
    said = f"{why}; one value for every compound is so near to {reached:.1%} of them"
    return Choice({**choice.values, "stopping.tolerance": (tolerance, said)}, choice.unknown)


def _near_one_value(config: CampaignConfig, tolerance: float, numbers: NDArray[np.float64]) -> float:
    """The greatest share of the numbers that are within the tolerance of one value."""
    stopping = config.stopping.model_copy(update={"tolerance": tolerance})
    rule = LabelRule("regression", (), None)
    _, constant = constant_of(config.model_copy(update={"stopping": stopping}), rule, numbers)
    assert constant is not None, "there are values"
    return constant.high
