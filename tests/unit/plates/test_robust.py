"""Robust statistics against published and hand-made numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isd_ray.plates.robust import MAD_SCALE, mad, median_polish

# Deaths from sport parachuting by experience and year; Velleman and Hoaglin 1981, ABC of EDA, page 224, and R's
# ?medpolish.
DEATHS = np.array([[14, 15, 14], [7, 4, 7], [8, 2, 10], [15, 9, 10], [0, 2, 0]], float)
POLISHED = np.array([[0, 2, 0], [0, -2, 0], [0, -5, 2], [5, 0, 0], [0, 3, 0]], float)


def test_a_published_table_is_polished_to_its_published_residuals():
    assert median_polish(DEATHS).tolist() == POLISHED.tolist()


def test_the_mad_is_scaled_to_a_standard_deviation():
    assert mad(np.array([1.0, 1, 2, 2, 4, 6, 9])) == pytest.approx(MAD_SCALE * 1)
    normal = np.random.default_rng(0).normal(5, 3, 100_000)
    assert mad(normal) == pytest.approx(3, rel=0.02)
    assert np.isnan(mad(np.array([])))


def test_row_and_column_effects_vanish_and_an_outlier_stays():
    grid = 100 + 7 * np.arange(8.0)[:, None] - 3 * np.arange(12.0)
    grid[2, 5] += 40
    expected = np.zeros((8, 12))
    expected[2, 5] = 40
    np.testing.assert_allclose(median_polish(grid), expected, atol=1e-9)


def test_missing_wells_rows_and_columns_stay_missing_and_change_nothing():
    grid = 100 + 7 * np.arange(8.0)[:, None] - 3 * np.arange(12.0)
    grid[2, 5] += 40
    holes = grid.copy()
    holes[:, 0] = holes[7] = holes[3, 3] = np.nan
    polished = median_polish(holes)
    assert np.isnan(polished).tolist() == np.isnan(holes).tolist()
    assert polished[2, 5] == pytest.approx(40)
    assert np.isnan(median_polish(np.full((8, 12), np.nan))).all()


def test_the_table_given_is_left_as_it_is():
    grid = DEATHS.copy()
    median_polish(grid)
    assert grid.tolist() == DEATHS.tolist()


@given(st.integers(0, 1000))
def test_a_polish_has_converged(seed):
    """One more round lowers the sum of absolute residuals by less than 1 in 100,000."""
    rng = np.random.default_rng(seed)
    grid = rng.normal(size=(8, 12)) + 5 * rng.normal(size=(8, 1)) + 5 * rng.normal(size=12)
    once = median_polish(grid)
    again = once - np.median(once, axis=1, keepdims=True)
    again -= np.median(again, axis=0, keepdims=True)
    assert np.abs(again).sum() >= np.abs(once).sum() * (1 - 1e-5)
