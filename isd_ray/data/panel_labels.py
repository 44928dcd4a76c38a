"""Known labels of a panel: many columns, each with entries missing, packed into bits as they are read."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isd_ray.config import LabelsConfig, LibraryConfig
from isd_ray.core.panels import is_measured, n_bytes, pack_labels
from isd_ray.data.ingest.sources import Source
from isd_ray.data.label_table import N_SHOWN, label_sources, read_label_columns
from isd_ray.data.labels import BINARY_CLASSES, LabelRule, Labels, match, place_labels
from isd_ray.data.library import Library
from isd_ray.errors import LabelError

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
    present = sources[0].column_names
    own = {library_config.smiles_column, library_config.id_column, config.id_column}
    chosen: list[str] = []
    left_out: set[str] = set()
    for pattern in config.columns:
        text = pattern.removeprefix(LEFT_OUT)
        found = [text] if text in present else [n for n in present if fnmatchcase(n, text) and n not in own]
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
    """Labels of the rows of a library, by a quarter of a byte for each output.

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
    packed = np.zeros((library.n_rows, 2, n_bytes(len(outputs))), np.uint8)
    cuts: list[float | None] = []
    classes = config.classes or BINARY_CLASSES
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
    return Labels(values, packed, LabelRule("panel", classes, None, outputs, tuple(cuts)), n_unused)


def _refuse_empty(packed: NDArray[np.uint8], library: Library, n_outputs: int, file: str) -> None:
    rows = np.flatnonzero(~is_measured(packed))
    if len(rows):
        shown = ", ".join(map(repr, library.ids(rows[:N_SHOWN])))
        raise LabelError(
            f"{len(rows)} compounds of the library have no readout of any of the {n_outputs} outputs: ids {shown}",
            file,
            "leave them out of the library (library.required rejects records without a value in a column)",
        )
