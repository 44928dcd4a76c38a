"""System accuracy and errors, against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from isd_ray.core import metrics
from isd_ray.core.goals import WithinTolerance
from isd_ray.core.predictions import predict
from isd_ray.messages import Evaluation

REGRESSION = WithinTolerance(0.9)


def test_system_accuracy_counts_measured_rows_as_right():
    assert metrics.system_accuracy(30, Evaluation(n=70, correct=(20.0, 15.0))) == 0.65
    assert metrics.system_accuracy(10, Evaluation()) == 1.0


def test_a_regression_is_right_within_its_tolerance_and_never_without_one():
    predictions, labels = np.array([1.0, 2.0, 3.0]), np.array([1.5, 2.0, 4.0])
    assert WithinTolerance(0.9, 0.5).correct(predictions, labels).tolist() == [True, True, False]
    assert not REGRESSION.correct(predictions, labels).any()


def test_errors_do_not_depend_on_the_order_of_blocks():
    rng = np.random.default_rng(1)
    blocks = [metrics.evaluate(rng.normal(size=50), rng.normal(size=50) * 1e6, REGRESSION) for _ in range(20)]
    merged = metrics.merge_evaluations(blocks)
    backwards = metrics.merge_evaluations(reversed(blocks))
    assert metrics.mean_squared_error(merged) == metrics.mean_squared_error(backwards)
    assert metrics.mean_absolute_error(merged) == metrics.mean_absolute_error(backwards)


def test_mse_and_mae_are_means_over_all_rows():
    merged = metrics.merge_evaluations(
        [
            metrics.evaluate(np.array([1.0]), np.array([3.0]), REGRESSION),
            metrics.evaluate(np.array([0.0, 0.0]), np.array([1.0, -1.0]), REGRESSION),
        ]
    )
    assert metrics.mean_squared_error(merged) == pytest.approx(2.0)
    assert metrics.mean_absolute_error(merged) == pytest.approx(4 / 3)


def test_a_committee_predicts_the_class_of_the_mean_and_its_doubt():
    outputs = np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.5, 0.5], [0.7, 0.3]]], np.float32)
    prediction, uncertainty = predict(outputs, "classification")
    assert prediction.tolist() == [0.0, 1.0]
    np.testing.assert_allclose(uncertainty, [0.3, 0.45], rtol=1e-6)


def test_a_committee_predicts_the_mean_value_and_its_spread():
    prediction, uncertainty = predict(np.array([[1.0, 5.0], [3.0, 5.0]], np.float32), "regression")
    assert prediction.tolist() == [2.0, 5.0]
    assert uncertainty.tolist() == [1.0, 0.0]
