"""Known labels of a panel: many columns, each with entries missing, packed into bits as they are read if all may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isd_ray.config import LabelsConfig, LibraryConfig
from isd_ray.config.patterns import named
from isd_ray.core.panels import is_measured, n_bytes, pack_labels, unpack
from isd_ray.data.ingest.plan import PlannedSource, record_ids
from isd_ray.data.ingest.sources import Source
from isd_ray.data.label_rule import MISSING_CLASS, panel_rule
from isd_ray.data.label_table import N_SHOWN, LabelTable, label_sources, read_label_columns
from isd_ray.data.labels import LabelRule, Labels, match, place_labels
from isd_ray.data.library import Library
from isd_ray.data.panel_file import packed_outputs, read_packed
from isd_ray.errors import LabelError
from isd_ray.messages import LabelArray

LEFT_OUT = "!"
"""What precedes a pattern of columns to leave out."""
_COLUMNS_AT_ONCE = 16
"""Columns that are held as numbers at a time; a multiple of 8, so that they make whole bytes."""


def panel_columns(config: LabelsConfig, library_config: LibraryConfig, sources: Sequence[Source]) -> tuple[str, ...]:
    """Names of a panel's outputs: the columns that `labels.columns` asks for, in its order, then in that of the file.

    Wildcards never mean the columns of structures and ids.

    Raises
    ------
    LabelError
        If a pattern matches no column, or all are left out.
    """
    packed = packed_outputs(sources[0])
    present = sources[0].column_names if packed is None else list(packed[0])
    own = {library_config.smiles_column, library_config.id_column, config.id_column}
    chosen: list[str] = []
    left_out: set[str] = set()
    for pattern in config.columns:
        text = pattern.removeprefix(LEFT_OUT)
        found = [n for n in named(text, present) if n == text or n not in own]
        if not found:
            raise LabelError(
                f"no column is called or matches {text!r}; there are {', '.join(map(repr, present[:N_SHOWN]))} …",
                f"labels.columns, {sources[0].file}",
                "correct the pattern",
            )
        if pattern.startswith(LEFT_OUT):
            left_out.update(found)
        else:
            chosen += found
    outputs = tuple(name for name in dict.fromkeys(chosen) if name not in left_out)
    if not outputs:
        raise LabelError(
            f"{list(config.columns)} leaves no column", f"labels.columns, {sources[0].file}", "name the outputs"
        )
    return outputs


def read_panel(
    config: LabelsConfig,
    library_config: LibraryConfig,
    base_dir: Path,
    library: Library,
    rule: LabelRule | None = None,
) -> Labels:
    """Labels of the rows of a library, by a quarter of a byte for each output; with numbers among them by 8 bytes.

    Parameters
    ----------
    config, library_config, base_dir:
        As of `isd_ray.data.label_table.read_label_columns`.
    rule:
        Outputs, classes and cuts settled before: give ``labels_of_target.rule`` for validation and test sets.

    Raises
    ------
    LabelError
        As `isd_ray.data.labels.labels_for` for each output; if a row has no entry in any output.
    """
    sources = label_sources(config, library_config, base_dir)
    outputs = panel_columns(config, library_config, sources) if rule is None else rule.outputs
    settled = panel_rule(config, outputs, (None,) * len(outputs)) if rule is None else rule
    if settled.numbers:
        return _read_values(config, library_config, sources, library, settled, settles=rule is None)
    if packed_outputs(sources[0]) is not None:
        return _read_packed(config, library_config, sources[0], library, outputs, settles=rule is None)
    packed = np.zeros((library.n_rows, 2, n_bytes(len(outputs))), np.uint8)
    cuts: list[float | None] = []
    n_unused, file = 0, ""
    for first in range(0, len(outputs), _COLUMNS_AT_ONCE):
        names = outputs[first : first + _COLUMNS_AT_ONCE]
        matrix = np.empty((library.n_rows, len(names)), np.int8)
        at: NDArray[np.int64] | None = None
        tables = read_label_columns(config, names, library_config, sources)
        for place, table in enumerate(tables):
            # Columns of one pass share their ids, unless an id is repeated.
            if at is None or table.ids is not tables[place - 1].ids:
                at = match(table, library)
            own = None if rule is None else rule.of_output(first + place)
            labels = place_labels(table, at, "panel", own)
            cuts.append(labels.cut)
            matrix[:, place] = labels.labels
            n_unused, file = len(table) - int((at >= 0).sum()), table.file
        bytes_of = slice(first // 8, n_bytes(first + len(names)))
        packed[:, :, bytes_of] = pack_labels(matrix)
    _refuse_empty(packed, library, len(outputs), file)
    values = np.full(library.n_rows, np.nan)
    return Labels(values, packed, panel_rule(config, outputs, cuts), n_unused)


def _read_values(
    config: LabelsConfig,
    library_config: LibraryConfig,
    sources: Sequence[Source],
    library: Library,
    rule: LabelRule,
    *,
    settles: bool,
) -> Labels:
    """Labels of a panel with numbers, float64 (n, K)."""
    if packed_outputs(sources[0]) is not None:
        raise LabelError(
            "packed labels are classes, and labels.numbers asks for numbers", str(sources[0].file), "remove it"
        )
    matrix = np.full((library.n_rows, len(rule.outputs)), np.nan)
    cuts: list[float | None] = []
    at: NDArray[np.int64] = np.empty(0, np.int64)
    n_unused, file, ids = 0, "", None
    for place, table in enumerate(read_label_columns(config, rule.outputs, library_config, sources)):
        # Columns of a file share their ids, unless an id is repeated.
        at = match(table, library) if table.ids is not ids else at
        is_number, ids = rule.numbers[place], table.ids
        own = rule.of_output(place) if is_number or not settles else None
        found = place_labels(table, at, "regression" if is_number else "panel", own)
        cuts.append(found.cut)
        labels = found.labels.astype(np.float64)
        matrix[:, place] = labels if is_number else np.where(labels == MISSING_CLASS, np.nan, labels)
        if is_number and settles:
            _refuse_constant(table, labels)
        n_unused, file = len(table) - int((at >= 0).sum()), table.file
    _refuse_empty(matrix, library, len(rule.outputs), file)
    rule = replace(rule, cuts=tuple(cuts))
    return Labels(np.full(library.n_rows, np.nan), matrix, rule, n_unused)


def _refuse_constant(table: LabelTable, labels: NDArray[np.float64]) -> None:
    """Refuse a number that is infinite, or the same for every compound."""
    known = labels[~np.isnan(labels)]
    if np.isinf(known).any():
        raise LabelError(f"column {table.column!r} has infinite labels", table.file, "correct or remove them")
    if not len(known) or known.min() == known.max():
        what = f"every label in column {table.column!r} is {known[0]:g}" if len(known) else "it has no label"
        raise LabelError(
            f"{what}: there is nothing to predict of {table.column!r}",
            table.file,
            f'leave it out, as "!{table.column}" in labels.columns',
        )


def _read_packed(
    config: LabelsConfig,
    library_config: LibraryConfig,
    source: Source,
    library: Library,
    outputs: tuple[str, ...],
    *,
    settles: bool,
) -> Labels:
    """Labels of a file of packed bits, its outputs and classes as they stand in it."""
    present, classes = packed_outputs(source) or ((), ())
    file = str(source.file)
    place_of = {name: place for place, name in enumerate(present)}
    lost = [name for name in outputs if name not in place_of]
    if lost or config.transform != "none" or config.classes not in ((), classes):
        raise LabelError(
            f"packed labels have no outputs {', '.join(map(repr, lost[:N_SHOWN]))}"
            if lost
            else f"packed labels are the classes {', '.join(map(repr, classes))} and take no others, nor a cut",
            file,
            "give the file that the outputs are of" if lost else "remove labels.transform and labels.classes",
        )
    ids = _ids_of(config, library_config, source)
    at = match(LabelTable(config, "labels", ids, pa.nulls(len(ids)), np.arange(1, len(ids) + 1), file), library)
    row_of = np.full(len(ids), -1)
    row_of[at[at >= 0]] = np.flatnonzero(at >= 0)
    packed = np.zeros((library.n_rows, 2, n_bytes(len(outputs))), np.uint8)
    seen = np.zeros((2, n_bytes(len(outputs))), np.uint8)
    places = np.array([place_of[name] for name in outputs], np.int64)
    for first, labels in read_packed(source, places):
        rows = row_of[first : first + len(labels)]
        packed[rows[rows >= 0]] = labels[rows >= 0]
        ones, measured = labels[:, 0], labels[:, 1]
        seen |= [np.bitwise_or.reduce(part & measured, axis=0) for part in (ones, ~ones)]
    _refuse_empty(packed, library, len(outputs), file)
    single = np.flatnonzero(~unpack(seen[:1] & seen[1:], len(outputs))[0].astype(np.bool_))
    if len(single) and settles:
        raise LabelError(
            f"{len(single)} of {len(outputs)} outputs have only one class or no entry: "
            + ", ".join(repr(outputs[place]) for place in single[:N_SHOWN]),
            file,
            f'there is nothing to predict; leave them out, as "!{outputs[single[0]]}" in labels.columns',
        )
    rule = LabelRule("panel", classes, None, outputs, (None,) * len(outputs))
    return Labels(np.full(library.n_rows, np.nan), packed, rule, int((row_of < 0).sum()))


def _ids_of(config: LabelsConfig, library_config: LibraryConfig, source: Source) -> pa.Array:
    """Compound ids of a file of packed labels, each there once."""
    id_column = config.id_column or library_config.id_column
    if id_column is not None:
        source.require(id_column, "labels.id_column")
    planned = PlannedSource(source, (id_column,) if id_column else (), None, id_column, "")
    read = source.read(planned.columns)
    ids = pa.concat_arrays([record_ids(records.table, planned, records.first, len(records)) for records in read])
    if len(ids.unique()) < len(ids) or ids.null_count:
        raise LabelError(
            f"{len(ids) - len(ids.drop_null().unique())} of {len(ids)} lines have no id of their own",
            str(source.file),
            "keep one line of packed labels for each compound",
        )
    return ids


def _refuse_empty(packed: LabelArray, library: Library, n_outputs: int, file: str) -> None:
    rows = np.flatnonzero(~is_measured(packed))
    if len(rows):
        shown = ", ".join(map(repr, library.ids(rows[:N_SHOWN])))
        raise LabelError(
            f"{len(rows)} compounds of the library have no readout of any of the {n_outputs} outputs: ids {shown}",
            file,
            "leave them out of the library (library.required rejects records without a value in a column)",
        )
