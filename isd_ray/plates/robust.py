"""Robust statistics of plates: the scaled MAD and the two-way median polish."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAD_SCALE = 1.482602218505602
"""1 / Φ⁻¹(3/4): times this the MAD of normal data is their standard deviation."""
_MAX_SWEEPS = 100
_TOLERANCE = 1e-6
"""Relative decrease of the sum of absolute residuals below which a polish has converged."""


def mad(values: NDArray[np.float64]) -> float:
    """Median of the absolute deviations from the median, times 1.4826; NaN of nothing."""
    if not len(values):
        return np.nan
    return MAD_SCALE * float(np.median(np.abs(values - np.median(values))))


def median_polish(grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """What remains of a table when overall, row and column medians are swept out in turns.

    Tukey 1977, Exploratory Data Analysis, chapter 11; rows first. No sweep can raise the sum of absolute residuals;
    the polish ends when a round lowers it by less than one part in a million.

    Parameters
    ----------
    grid:
        float64, shape (rows, columns); NaN where a value is missing.

    Returns
    -------
    float64, shape (rows, columns); NaN where `grid` has it.
    """
    residuals = grid.copy()
    present = ~np.isnan(grid)
    rows, columns = np.flatnonzero(present.any(axis=1)), np.flatnonzero(present.any(axis=0))
    if not len(rows):
        return residuals
    # Empty rows and columns have no median.
    inner = residuals[np.ix_(rows, columns)]
    before = np.nansum(np.abs(inner))
    for _ in range(_MAX_SWEEPS):
        inner -= np.nanmedian(inner, axis=1, keepdims=True)
        inner -= np.nanmedian(inner, axis=0, keepdims=True)
        after = np.nansum(np.abs(inner))
        if before - after <= _TOLERANCE * before:
            break
        before = after
    residuals[np.ix_(rows, columns)] = inner
    return residuals
