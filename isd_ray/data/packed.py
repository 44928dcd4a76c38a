"""Labels and predictions as Arrow columns: numbers as they are, those of panels as lists or packed bits."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isd_ray.core.panels import are_values, entries_of
from isd_ray.messages import LabelArray


def to_arrow(values: LabelArray) -> pa.Array:
    """Numbers of shape (n,) with NaN as null; those of a panel (n, K) as n lists, or packed bits as n binary values."""
    if values.ndim == 1:
        return pa.array(values, from_pandas=True)
    if are_values(values):
        return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel(), from_pandas=True), values.shape[1])
    data = np.ascontiguousarray(values, np.uint8)
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(values.shape[1]), len(values), [None, pa.py_buffer(data)])


def from_arrow(column: pa.ChunkedArray) -> LabelArray:
    """What `to_arrow` made a column of; null is NaN."""
    if pa.types.is_fixed_size_list(column.type):
        lists = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        # Of a line that is null as a whole all are.
        cells = lists.fill_null([None] * column.type.list_size) if lists.null_count else lists
        values = cells.flatten().to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
        found: LabelArray = values.reshape(len(column), column.type.list_size)
        return found
    if not pa.types.is_fixed_size_binary(column.type):
        numbers: LabelArray = column.to_numpy()
        return numbers
    width = column.type.byte_width
    pieces = [np.empty((0, width), np.uint8)]
    for chunk in column.chunks:
        content = np.frombuffer(chunk.buffers()[1] or b"", np.uint8)
        pieces.append(content[chunk.offset * width : (chunk.offset + len(chunk)) * width].reshape(-1, width))
    return np.concatenate(pieces)


def label_columns(labels: LabelArray) -> dict[str, pa.Array]:
    """The column `label`; of a panel `labels` and `measured`, a bit for each output, the first in the highest bit.

    Of a panel with numbers `labels` is a list, null for what was not measured, and nothing else.
    """
    if labels.ndim == 1:
        return {"label": to_arrow(labels)}
    if are_values(labels):
        return {"labels": to_arrow(labels)}
    return {"labels": to_arrow(labels[:, 0]), "measured": to_arrow(labels[:, 1])}


def labels_from(table: pa.Table) -> LabelArray:
    """The labels that `label_columns` made columns of."""
    if "label" in table.column_names:
        return from_arrow(table["label"])
    if "measured" not in table.column_names:
        return from_arrow(table["labels"])
    return np.stack([from_arrow(table["labels"]), from_arrow(table["measured"])], axis=1)


def bits_of(packed: NDArray[np.uint8], first: int, stop: int) -> NDArray[np.bool_]:
    """A run of a mask that `numpy.packbits` packed, bool (stop - first,)."""
    bits = np.unpackbits(packed[first // 8 : (stop + 7) // 8])[first % 8 :]
    return bits[: stop - first].astype(np.bool_)


def named_entries(
    label: LabelArray, outputs: Sequence[str], classes: Sequence[str], numbers: Sequence[str] = ()
) -> dict[str, str | float]:
    """What was measured of one compound of a panel, by output: names of classes, and numbers."""
    entries = zip(outputs, entries_of(np.asarray(label)[None], len(outputs))[0].tolist(), strict=True)
    return {name: value if name in numbers else classes[int(value)] for name, value in entries if not math.isnan(value)}
