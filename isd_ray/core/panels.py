"""Many outputs of one compound: packed bits where all are binary, a number for each where some are numbers.

Packed, a prediction of K outputs is a row of ceil(K / 8) bytes, an eighth of a byte for each. A label is two of them,
which output is 1 and which was measured: of shape (n, 2, ceil(K / 8)), so that rows of it can be taken, joined and
counted like labels of other tasks.

With numbers among the outputs, labels and predictions are float64 (n, K): values, 0 and 1 for classes, and NaN for what
was not measured (`are_values`). A prediction is right if it is within the tolerance of its output, which of a class
lies between 0 and 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from isd_ray.messages import LabelArray

Tolerances = Sequence[float | None]
"""By output the error of a number that counts as none, None of a class; empty where all outputs are classes."""

MISSING = -1
"""Entry of a label matrix that was not measured."""
RIGHT, WRONG, LOST = 0, 1, 2
"""Outcomes of predicted entries, beside `MISSING`. A lost entry should have had a readout, and its well gave none."""
CLASS_TOLERANCE = 0.5
"""Between class indices 0 and 1."""
_ONES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1, dtype=np.uint8)
"""Ones in each byte."""


def n_bytes(n_outputs: int) -> int:
    """Bytes that one bit for each output takes."""
    return (n_outputs + 7) // 8


def pack_labels(matrix: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Labels of n compounds, int (n, K) of 0, 1 and `MISSING`, as uint8 (n, 2, ceil(K / 8))."""
    return np.stack([np.packbits(matrix == 1, axis=1), np.packbits(matrix != MISSING, axis=1)], axis=1)


def unpack_labels(labels: NDArray[np.uint8], n_outputs: int) -> NDArray[np.int8]:
    """What `pack_labels` packed, int8 (n, K)."""
    ones, measured = (unpack(labels[:, part], n_outputs) for part in (0, 1))
    return np.where(measured, ones, np.int8(MISSING)).astype(np.int8)


def unpack(bits: LabelArray, n_outputs: int) -> NDArray[np.uint8]:
    """Predictions, or one half of labels, as uint8 (n, K) of 0 and 1."""
    return np.unpackbits(bits, axis=-1, count=n_outputs)


def are_values(labels: LabelArray) -> bool:
    """Whether labels or predictions are of a panel with numbers, float64 (n, K)."""
    return labels.ndim == 2 and labels.dtype.kind == "f"


def there(labels: LabelArray, n_outputs: int) -> NDArray[np.bool_]:
    """Which entries of a panel are measured, bool (n, K)."""
    return ~np.isnan(labels) if are_values(labels) else unpack(labels[:, 1], n_outputs).astype(np.bool_)


def predictions_of(prediction: LabelArray, n_outputs: int) -> LabelArray:
    """Predictions of a panel entry by entry, (n, K)."""
    return prediction if are_values(prediction) else unpack(prediction, n_outputs)


def entries_of(labels: LabelArray, n_outputs: int) -> NDArray[np.float64]:
    """Labels of a panel entry by entry, float64 (n, K) with NaN for what was not measured."""
    if are_values(labels):
        return labels
    found = unpack_labels(labels, n_outputs).astype(np.float64)
    found[found == MISSING] = np.nan
    return found


def as_prediction(labels: LabelArray) -> LabelArray:
    """Labels of a panel as a model would have predicted them; 0 where nothing was measured."""
    return np.nan_to_num(labels) if are_values(labels) else labels[:, 0]


def is_measured(labels: LabelArray) -> NDArray[np.bool_]:
    """Which compounds have a readout of any output, bool (n,)."""
    return count_measured_of_rows(labels) > 0


def count_measured_of_rows(labels: LabelArray) -> NDArray[np.int64]:
    """How many outputs of each compound have a readout, int64 (n,)."""
    if are_values(labels):
        return (~np.isnan(labels)).sum(axis=1, dtype=np.int64)
    return count_bits(labels[:, 1])


def has_readout(labels: LabelArray) -> NDArray[np.bool_]:
    """Which rows have a label of any task, bool (n,)."""
    return ~np.isnan(labels) if labels.ndim == 1 else is_measured(labels)


def without_readout(labels: LabelArray, is_lost: NDArray[np.bool_]) -> LabelArray:
    """The labels of any task, none where `is_lost`, bool (n,)."""
    if labels.ndim == 1:
        return np.where(is_lost, np.nan, labels)
    if are_values(labels):
        return np.where(is_lost[:, None], np.nan, labels)
    return np.where(is_lost[:, None, None], np.uint8(0), labels)


def losses(
    prediction: LabelArray, labels: LabelArray, n_expected: int | None = None, tolerances: Tolerances = ()
) -> NDArray[np.float64]:
    """Share of each compound's measured outputs that are predicted wrong, float64 (n,); 1 where none is measured.

    Entries that were not measured have no error and no weight; where `n_expected` outputs of each compound should have
    been, they count as wrong. A compound whose every well failed counts as wrong.
    """
    n_measured = count_measured_of_rows(labels)
    if are_values(labels):
        n_wrong = are_off(prediction, labels, tolerances).sum(axis=1, dtype=np.int64)
    else:
        n_wrong = count_bits((prediction ^ labels[:, 0]) & labels[:, 1])
    if n_expected is not None:
        return (n_wrong + n_expected - n_measured) / n_expected
    return np.where(n_measured, n_wrong / np.maximum(n_measured, 1), 1.0)


def are_off(prediction: NDArray[np.float64], labels: NDArray[np.float64], tolerances: Tolerances) -> NDArray[np.bool_]:
    """Which measured entries of a panel with numbers are predicted wrong, bool (n, K)."""
    off: NDArray[np.bool_] = np.abs(prediction - labels) > widths_of(tolerances)  # never of NaN
    return off


def widths_of(tolerances: Tolerances) -> NDArray[np.float64]:
    """Tolerances of all outputs, float64 (K,): of classes half the way from one to the other."""
    return np.array([CLASS_TOLERANCE if tolerance is None else tolerance for tolerance in tolerances])


def count_ones(labels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Measured outputs of each compound that are 1, int64 (n,)."""
    return count_bits(labels[:, 0] & labels[:, 1])


def are_classes(tolerances: Tolerances) -> NDArray[np.bool_]:
    """Which outputs of a panel with numbers are classes, bool (K,)."""
    return np.array([tolerance is None for tolerance in tolerances], np.bool_)


def lost(labels: LabelArray, n_expected: int | None) -> NDArray[np.float64]:
    """The part of `losses` that is of entries without a readout, float64 (n,)."""
    n_measured = count_measured_of_rows(labels)
    if n_expected is not None:
        return (n_expected - n_measured) / n_expected
    return (n_measured == 0).astype(np.float64)


def outcomes(
    prediction: LabelArray, labels: LabelArray, n_outputs: int, tolerances: Tolerances = ()
) -> NDArray[np.int8]:
    """What became of each predicted entry, int8 (n, K): `RIGHT`, `WRONG`, or `MISSING`."""
    if are_values(labels):
        found = np.where(are_off(prediction, labels, tolerances), WRONG, RIGHT)
        return np.where(np.isnan(labels), MISSING, found).astype(np.int8)
    wrong, measured = (unpack(bits, n_outputs) for bits in (prediction ^ labels[:, 0], labels[:, 1]))
    return np.where(measured, wrong, np.int8(MISSING)).astype(np.int8)


def count_measured(labels: LabelArray, n_outputs: int) -> NDArray[np.int64]:
    """How many compounds have a readout of each output, int64 (K,)."""
    return there(labels, n_outputs).sum(axis=0, dtype=np.int64)


def overlay(labels: LabelArray, newer: LabelArray) -> LabelArray:
    """Labels, uint8 (…, 2, ceil(K / 8)) or float64 (…, K), with the measured entries of `newer` in their place."""
    if labels.dtype.kind == "f":
        return np.where(np.isnan(newer), labels, newer)
    ones, measured = newer[..., 0, :] & newer[..., 1, :], newer[..., 1, :]
    return np.stack([labels[..., 0, :] & ~measured | ones, labels[..., 1, :] | measured], axis=-2)


def count_bits(bits: LabelArray) -> NDArray[np.int64]:
    """How many bits of each row are 1, uint8 (n, w) to int64 (n,)."""
    return _ONES[bits].sum(axis=1, dtype=np.int64)
