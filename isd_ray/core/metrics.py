"""Accuracy and error against known labels."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from isd_ray.config import Task
from isd_ray.messages import Evaluation


def is_correct(
    predictions: NDArray[np.float64], labels: NDArray[np.float64], task: Task, tolerance: float | None
) -> NDArray[np.bool_]:
    """Which predictions count as right, shape (n,): class equal, or within `tolerance` of the readout."""
    if task == "classification":
        return predictions == labels
    if tolerance is None:
        return np.zeros(len(labels), dtype=np.bool_)
    return np.abs(predictions - labels) <= tolerance


def evaluate(
    predictions: NDArray[np.float64], labels: NDArray[np.float64], task: Task, tolerance: float | None
) -> Evaluation:
    """Errors of one block."""
    n_correct = int(is_correct(predictions, labels, task, tolerance).sum())
    if task == "classification":
        return Evaluation(len(labels), n_correct)
    errors = predictions - labels
    return Evaluation(len(labels), n_correct, (float(np.square(errors).sum()),), (float(np.abs(errors).sum()),))


def merge_evaluations(parts: Iterable[Evaluation]) -> Evaluation:
    """Errors of several blocks together."""
    parts = tuple(parts)
    return Evaluation(
        sum(part.n for part in parts),
        sum(part.n_correct for part in parts),
        tuple(value for part in parts for value in part.squared),
        tuple(value for part in parts for value in part.absolute),
    )


def accuracy(evaluation: Evaluation) -> float:
    """Share predicted right; 1 for an empty set, which holds no error."""
    return evaluation.n_correct / evaluation.n if evaluation.n else 1.0


def mean_squared_error(evaluation: Evaluation) -> float:
    """MSE in the squared unit of the label; exact summation, so the order of blocks does not matter."""
    return math.fsum(evaluation.squared) / evaluation.n if evaluation.n else 0.0


def mean_absolute_error(evaluation: Evaluation) -> float:
    """MAE in the unit of the label."""
    return math.fsum(evaluation.absolute) / evaluation.n if evaluation.n else 0.0


def system_accuracy(n_observed: int, evaluation: Evaluation) -> float:
    """Accuracy of the hybrid screen (paper, Eq. 1): measured rows count as right, predicted ones as evaluated."""
    return (n_observed + evaluation.n_correct) / (n_observed + evaluation.n)
