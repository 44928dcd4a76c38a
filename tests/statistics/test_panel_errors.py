"""The mean error over all outputs of a panel: what counts, by hand, and the best value of each output, by trial.

False stops are counted by the suite for claims (`tests/unit/test_claim_conformance.py`), over all small screens.
"""

from __future__ import annotations

import numpy as np
import pytest

from isd_ray.core.constant import constant_answer
from isd_ray.core.goals import PanelAbsoluteError, PanelSquaredError, ScreenCounts

WIDTHS = (1.0, 0.5, 4.0)
MAE, MSE = (kind(0.5, None, 2.0, tolerances=WIDTHS) for kind in (PanelAbsoluteError, PanelSquaredError))
NAN = np.nan
LABELS = np.array([[0.0, 0.0, 0.0], [1.0, NAN, 2.0], [NAN, NAN, NAN], [NAN, 5.0, NAN]])
SAID = np.array([[0.5, 0.5, 4.0], [0.0, 9.0, 2.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])


def test_errors_are_in_tolerances_and_a_compound_counts_by_its_measured_outputs():
    """In tolerances: 0.5, 1, 1 of the first compound; 1, 0 of the second; beyond the limit of 2 of the last."""
    assert MAE.losses(SAID, LABELS) == pytest.approx([2.5 / 3 / 2, 0.25, 1.0, 1.0])
    assert MSE.losses(SAID, LABELS) == pytest.approx([(0.25 + 1 + 1) / 3 / 4, 1 / 2 / 4, 1.0, 1.0])
    assert MAE.correct(SAID, LABELS).tolist() == [1.0, 1.0, 0.0, 0.0]
    assert MAE.kept(LABELS).tolist() == [0.0, 0.0, 1.0, 0.0]
    in_laboratory = PanelAbsoluteError(0.5, 3, 2.0, tolerances=WIDTHS)
    assert in_laboratory.losses(SAID, LABELS) == pytest.approx([2.5 / 6, (0.5 + 1) / 3, 1.0, 1.0])
    assert in_laboratory.kept(LABELS) == pytest.approx([0.0, 1 / 3, 1.0, 2 / 3])
    assert MAE.losses(np.full(4, NAN), LABELS).tolist() == [1.0] * 4, "where no model has predicted"


def test_another_unit_of_an_output_and_of_its_tolerance_changes_nothing():
    scale = np.array([1.0, 1000.0, 1e-3])
    other = PanelSquaredError(0.5, None, 2.0, tolerances=tuple(WIDTHS * scale))
    assert other.losses(SAID * scale, LABELS * scale) == pytest.approx(MSE.losses(SAID, LABELS))


@pytest.mark.parametrize(("goal", "unit"), [(MAE, 2.0), (MSE, 4.0)])
def test_the_claim_is_of_the_mean_over_all_compounds_measured_ones_without_an_error(goal, unit):
    counts = ScreenCounts(10, 0, 6, (4,))
    assert goal.allowances(counts, ()) == (10 * 0.5 / unit,)
    assert goal.value(counts, (2.5,)) == pytest.approx(2.5 / 10 * unit)
    assert goal.is_met(counts, (10 * 0.5 / unit,))
    assert not goal.is_met(counts, (10 * 0.5 / unit + 0.01,))
    assert "over all outputs" in goal.words
    assert "tolerances is at most 0.5 (errors above 2 counted as 2)" in goal.words


@pytest.mark.parametrize("n_expected", [None, 3])
@pytest.mark.parametrize("kind", [PanelAbsoluteError, PanelSquaredError])
def test_no_value_of_an_output_errs_less_than_the_best_one(kind, n_expected):
    rng = np.random.default_rng(0)
    labels = rng.normal(0.0, np.array([1.5, 1.0, 3.0]), (40, 3)).round(1)
    labels[rng.random(labels.shape) < 0.3] = NAN
    labels = labels[~np.isnan(labels).all(axis=1)]
    goal = kind(0.1, n_expected, 1.5, tolerances=WIDTHS)

    def total(answer) -> float:
        return float(goal.losses(np.broadcast_to(answer, labels.shape), labels).sum())

    best = goal.best_answer(labels, 3)
    for place in range(3):
        others = np.tile(best, (401, 1))
        others[:, place] = np.linspace(-6, 6, 401)
        assert total(best) <= min(map(total, others)) + 1e-9
    if n_expected is None:
        constant = constant_answer(goal, labels, 3, len(labels), 0.05)
        assert constant.low == constant.high == pytest.approx(total(best) / len(labels) * goal.unit)
