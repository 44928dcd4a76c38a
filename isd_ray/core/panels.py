"""Many binary outputs of one compound, as packed bits: an eighth of a byte for each prediction, a quarter for a label.

A prediction of K outputs is a row of ceil(K / 8) bytes. A label is two of them, which output is 1 and which was
measured: of shape (n, 2, ceil(K / 8)), so that rows of it can be taken, joined and counted like labels of other tasks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isd_ray.messages import LabelArray

MISSING = -1
"""Entry of a label matrix that was not measured."""
RIGHT, WRONG, LOST = 0, 1, 2
"""Outcomes of predicted entries, beside `MISSING`. A lost entry should have had a readout, and its well gave none."""
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


def unpack(bits: NDArray[np.uint8], n_outputs: int) -> NDArray[np.uint8]:
    """Predictions, or one half of labels, as uint8 (n, K) of 0 and 1."""
    return np.unpackbits(bits, axis=-1, count=n_outputs)


def is_measured(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which compounds have a readout of any output, bool (n,)."""
    return count_bits(labels[:, 1]) > 0


def has_readout(labels: LabelArray) -> NDArray[np.bool_]:
    """Which rows have a label of any task, bool (n,)."""
    return ~np.isnan(labels) if labels.ndim == 1 else is_measured(labels)


def without_readout(labels: LabelArray, is_lost: NDArray[np.bool_]) -> LabelArray:
    """The labels of any task, none where `is_lost`, bool (n,)."""
    if labels.ndim == 1:
        return np.where(is_lost, np.nan, labels)
    return np.where(is_lost[:, None, None], np.uint8(0), labels)


def losses(
    prediction: NDArray[np.uint8], labels: NDArray[np.uint8], n_expected: int | None = None
) -> NDArray[np.float64]:
    """Share of each compound's measured outputs that are predicted wrong, float64 (n,); 1 where none is measured.

    Entries that were not measured have no error and no weight; where `n_expected` outputs of each compound should have
    been, they count as wrong. A compound whose every well failed counts as wrong.
    """
    ones, measured = labels[:, 0], labels[:, 1]
    n_wrong, n_measured = count_bits((prediction ^ ones) & measured), count_bits(measured)
    if n_expected is not None:
        return (n_wrong + n_expected - n_measured) / n_expected
    return np.where(n_measured, n_wrong / np.maximum(n_measured, 1), 1.0)


def count_ones(labels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Measured outputs of each compound that are 1, int64 (n,)."""
    return count_bits(labels[:, 0] & labels[:, 1])


def lost(labels: NDArray[np.uint8], n_expected: int | None) -> NDArray[np.float64]:
    """The part of `losses` that is of entries without a readout, float64 (n,)."""
    n_measured = count_bits(labels[:, 1])
    if n_expected is not None:
        return (n_expected - n_measured) / n_expected
    return (n_measured == 0).astype(np.float64)


def outcomes(prediction: NDArray[np.uint8], labels: NDArray[np.uint8], n_outputs: int) -> NDArray[np.int8]:
    """What became of each predicted entry, int8 (n, K): `RIGHT`, `WRONG`, or `MISSING`."""
    wrong, measured = (unpack(bits, n_outputs) for bits in (prediction ^ labels[:, 0], labels[:, 1]))
    return np.where(measured, wrong, np.int8(MISSING)).astype(np.int8)


def count_measured(labels: NDArray[np.uint8], n_outputs: int) -> NDArray[np.int64]:
    """How many compounds have a readout of each output, int64 (K,)."""
    return unpack(labels[:, 1], n_outputs).sum(axis=0, dtype=np.int64)


def overlay(labels: NDArray[np.uint8], newer: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Labels, uint8 (…, 2, ceil(K / 8)), with the entries of `newer` that are measured in the place of their own."""
    ones, measured = newer[..., 0, :] & newer[..., 1, :], newer[..., 1, :]
    return np.stack([labels[..., 0, :] & ~measured | ones, labels[..., 1, :] | measured], axis=-2)


def count_bits(bits: NDArray[np.uint8]) -> NDArray[np.int64]:
    """How many bits of each row are 1, uint8 (n, w) to int64 (n,)."""
    return _ONES[bits].sum(axis=1, dtype=np.int64)
