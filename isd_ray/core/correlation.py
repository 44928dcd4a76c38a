"""Which input columns follow the readouts so closely that they may hold the answer."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

SUSPICIOUS = 0.5
"""Correlation above which a column is named."""
MIN_ROWS = 50
"""Rows with both a value and a readout below which nothing is said of a column."""
_FALSE_ALARM = 0.01
"""Probability that columns which have nothing to do with the readouts are named in a round."""
MAX_RANKED = 256
"""Columns up to which values are ranked; more are taken as they are, which costs less: they are clipped logarithms."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A column that follows the readouts.

    Attributes
    ----------
    column, answer:
        Their places.
    correlation:
        Between -1 and 1.
    n:
        Rows that have both.
    """

    column: int
    answer: int
    correlation: float
    n: int


def suspects(columns: NDArray[np.floating], answers: NDArray[np.floating]) -> list[Suspect]:
    """Columns that correlate above `SUSPICIOUS` with an answer, each with the one it follows most closely.

    Rank correlation with answers of numbers, point-biserial correlation of the ranks with those of yes and no.

    Parameters
    ----------
    columns, answers:
        (n, p) and (n, q); NaN where there is none.
    """
    x = np.asarray(columns, np.float64)
    if x.shape[1] <= MAX_RANKED:
        x = ranks(x)
    found, n = correlations(x, ranks(answers))
    certain = NormalDist().inv_cdf(1.0 - _FALSE_ALARM / 2.0 / max(1, found.size))
    z = np.arctanh(np.minimum(np.abs(found), 1.0 - 1e-12)) * np.sqrt(np.maximum(n - 3.0, 0.0))
    is_named = (np.abs(found) > SUSPICIOUS) & (n >= MIN_ROWS) & (z > certain)
    strength = np.where(is_named, np.abs(found), 0.0)
    closest = strength.argmax(axis=1) if strength.shape[1] else np.empty(0, np.int64)
    return [
        Suspect(column, answer, float(found[column, answer]), int(n[column, answer]))
        for column, answer in enumerate(closest.tolist())
        if is_named[column, answer]
    ]


def correlations(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pearson's correlation of each pair of columns over the rows that have both, and how many these are.

    Returns
    -------
    float64 (p, q) and (p, q)
        0 where one of the two is constant there.
    """
    there_x, there_y = (np.isfinite(values).astype(np.float64) for values in (x, y))
    centred = [np.where(np.isfinite(v), v - _mean(v), 0.0) for v in (x, y)]
    a, b = centred
    n = there_x.T @ there_y
    safe = np.maximum(n, 1.0)
    sum_a, sum_b = a.T @ there_y, there_x.T @ b
    var_a = (a**2).T @ there_y - sum_a**2 / safe
    var_b = there_x.T @ b**2 - sum_b**2 / safe
    both = a.T @ b - sum_a * sum_b / safe
    scale = np.sqrt(np.maximum(var_a, 0.0) * np.maximum(var_b, 0.0))
    varies = scale > 1e-9 * np.maximum((a**2).sum(axis=0)[:, None], 1.0)
    return np.where(varies, both / np.where(varies, scale, 1.0), 0.0), n


def ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mean ranks within each column, scaled to 0 … 1; NaN stays."""
    found = np.full(values.shape, np.nan)
    for column in range(values.shape[1]):
        there = np.flatnonzero(np.isfinite(values[:, column]))
        if len(there):
            _, inverse, counts = np.unique(values[there, column], return_inverse=True, return_counts=True)
            mean_rank = np.cumsum(counts) - (counts + 1) / 2.0
            found[there, column] = mean_rank[inverse.reshape(-1)] / len(there)
    return found


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    there = np.isfinite(values)
    total: NDArray[np.float64] = np.where(there, values, 0.0).sum(axis=0) / np.maximum(there.sum(axis=0), 1)
    return total


def evenly(n: int, at_most: int) -> NDArray[np.int64]:
    """At most so many places among n, evenly spaced."""
    return np.arange(n) if n <= at_most else np.linspace(0, n - 1, at_most).astype(np.int64)
