"""The one answer that suits labels best: of values and panels by what counts as a loss (`Goal.best_answer`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from isd_ray.core import panels
from isd_ray.messages import LabelArray

Answer: TypeAlias = int | float | NDArray[np.uint8] | NDArray[np.float64]
"""Class index, value, or the packed bits of a panel's outputs, uint8 (ceil(K / 8),), or their values, float64 (K,)."""
_ROWS = 1 << 16
"""Rows of a panel that are unpacked at once."""


def middle_of_window(
    ordered: NDArray[np.float64], tolerance: float, weights: NDArray[np.float64] | None = None
) -> float:
    """Middle of the labels in the window of width twice the tolerance that holds most of them, or of their weights.

    The best window may begin at a label: moved right until it does, it loses none.
    """
    last = np.searchsorted(ordered, ordered + 2 * tolerance, side="right") - 1
    total = np.arange(len(ordered) + 1) if weights is None else np.concatenate([[0.0], np.cumsum(weights)])
    first = int((total[last + 1] - total[:-1]).argmax())
    return float(ordered[first] + ordered[last[first]]) / 2


def least_distance(ordered: NDArray[np.float64], clip: float, weights: NDArray[np.float64] | None = None) -> float:
    """Value of least mean distance, distances cut at `clip`, labels by their weights: one of the labels.

    Between labels, and where a label's distance reaches the cut, the total is linear or bends down, so that it is
    smallest at a label.
    """
    shifted = ordered - ordered[0]
    weights = np.ones(len(ordered)) if weights is None else weights
    weight, total = (np.concatenate([[0.0], np.cumsum(part)]) for part in (weights, weights * shifted))
    place = np.arange(len(ordered))
    low = np.searchsorted(ordered, ordered - clip, side="left")
    high = np.searchsorted(ordered, ordered + clip, side="right")
    below = shifted * (weight[place] - weight[low]) - (total[place] - total[low])
    above = (total[high] - total[place]) - shifted * (weight[high] - weight[place])
    beyond = clip * (weight[-1] - (weight[high] - weight[low]))
    return float(ordered[(below + above + beyond).argmin()])


def least_squares(ordered: NDArray[np.float64], clip: float, weights: NDArray[np.float64] | None = None) -> float:
    """Value of least mean squared distance, distances cut at `clip`: the mean of the labels that it is near to.

    Which labels those are changes only where a label's distance reaches the cut. For each such set, the sum of squares
    about its mean and the cut for the others is at least the total at that mean, and at the best value equal to it.
    """
    shifted = ordered - ordered[0]
    weights = np.ones(len(ordered)) if weights is None else weights
    edges = np.unique(np.concatenate([shifted - clip, shifted + clip]))
    middles = (edges[1:] + edges[:-1]) / 2
    low = np.searchsorted(shifted, middles - clip, side="left")
    high = np.searchsorted(shifted, middles + clip, side="right")
    low, high = low[high > low], high[high > low]
    parts = (weights, weights * shifted, weights * np.square(shifted))
    weight, sums, squares = (np.concatenate([[0.0], np.cumsum(part)]) for part in parts)
    n, first = weight[high] - weight[low], sums[high] - sums[low]
    total = squares[high] - squares[low] - np.square(first) / n + clip**2 * (weight[-1] - n)
    best = int(total.argmin())
    return float(ordered[0] + first[best] / n[best])


def commoner_bits(labels: LabelArray, n_outputs: int, n_expected: int | None) -> NDArray[np.uint8]:
    """The commoner answer of each output: a row's loss is a sum over its outputs, so each has its best on its own.

    Entries weigh what they weigh in the loss of their compounds.
    """
    balance = np.zeros(n_outputs)
    for first in range(0, len(labels), _ROWS):
        entries = panels.unpack_labels(labels[first : first + _ROWS], n_outputs).astype(np.float64)
        there = entries != panels.MISSING
        weight = np.full(len(entries), 1.0) if n_expected else 1.0 / np.maximum(there.sum(axis=1), 1)
        balance += (weight[:, None] * there * (2 * entries - 1)).sum(axis=0)
    return np.packbits(balance > 0)


def likeliest_values(
    labels: NDArray[np.float64], tolerances: panels.Tolerances, n_expected: int | None
) -> NDArray[np.float64]:
    """The answer of each output of a panel with numbers that is right for most entries, float64 (K,)."""
    return _values(labels, tolerances, n_expected, middle_of_window)


def least_distances(
    labels: NDArray[np.float64], tolerances: panels.Tolerances, n_expected: int | None, clip: float
) -> NDArray[np.float64]:
    """The values of least mean distance of a panel of numbers, float64 (K,); `clip` in tolerances."""
    return _values(labels, tolerances, n_expected, lambda ordered, width, by: least_distance(ordered, clip * width, by))


def least_squares_of_outputs(
    labels: NDArray[np.float64], tolerances: panels.Tolerances, n_expected: int | None, clip: float
) -> NDArray[np.float64]:
    """The values of least mean squared distance of a panel of numbers, float64 (K,); `clip` in tolerances."""
    return _values(labels, tolerances, n_expected, lambda ordered, width, by: least_squares(ordered, clip * width, by))


def _values(
    labels: NDArray[np.float64],
    tolerances: panels.Tolerances,
    n_expected: int | None,
    best: Callable[[NDArray[np.float64], float, NDArray[np.float64]], float],
) -> NDArray[np.float64]:
    """The best answer of each output, float64 (K,): a row's loss is a sum over its outputs.

    Entries weigh as of `commoner_bits`; of a class the answer is 0 or 1. An output without a readout is answered 0.

    Parameters
    ----------
    best:
        Of readouts, ascending, for a tolerance and their weights.
    """
    known = ~np.isnan(labels)
    weight = known * (np.ones((len(labels), 1)) if n_expected else 1.0 / np.maximum(known.sum(axis=1), 1)[:, None])
    found = np.zeros(labels.shape[1])
    for place, tolerance in enumerate(tolerances):
        there = known[:, place]
        values, weights = labels[there, place], weight[there, place]
        if tolerance is None:
            found[place] = float((weights * (2 * values - 1)).sum() > 0)
        elif len(values):
            order = np.argsort(values, kind="stable")
            found[place] = best(values[order], tolerance, weights[order])
    return found
