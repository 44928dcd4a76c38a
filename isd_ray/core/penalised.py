"""Small regressions with normal priors on their coefficients, which stay finite whatever the data."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]
Prior = tuple[_Floats, _Floats]
"""Means and standard deviations of coefficients."""
_NEWTON_STEPS = 25


def sigmoid(x: _Floats) -> _Floats:
    """1 / (1 + exp(-x)), without overflow."""
    return 1.0 / (1.0 + np.exp(-np.clip(x, -700.0, 700.0)))


def logistic_fit(design: _Floats, loss: _Floats, weights: _Floats, prior: Prior) -> _Floats:
    """Coefficients of the weighted logistic regression with normal priors (means, standard deviations), by Newton.

    Parameters
    ----------
    design:
        float64 (n, k), the first column ones.
    loss, weights:
        float64 (n,); losses in [0, 1].
    """
    means, precision = prior[0], 1.0 / np.square(prior[1])
    rate = (weights @ loss + 0.5) / (weights.sum() + 1.0)
    coefficients = means.copy()
    coefficients[0] = math.log(rate / (1.0 - rate))
    for _ in range(_NEWTON_STEPS):
        p = sigmoid(design @ coefficients)
        gradient = design.T @ (weights * (loss - p)) - precision * (coefficients - means)
        curvature = (design * (weights * p * (1.0 - p))[:, None]).T @ design + np.diag(precision)
        step = np.clip(np.linalg.solve(curvature, gradient), -2.0, 2.0)
        coefficients = coefficients + step
        if np.abs(step).max() < 1e-6:
            break
    return coefficients


def poisson_level(ages: _Floats, observed: _Floats, expected: _Floats, prior: Prior) -> float:
    """exp(level) of the penalised fit observed ~ Poisson(expected * exp(level - slope * age)): the level at age 0.

    All are float64 (n,), `prior` of level and slope.
    """
    means, precision = prior[0], 1.0 / np.square(prior[1])
    design = np.stack([np.ones_like(ages), -ages], axis=1)
    coefficients = means.copy()
    for _ in range(_NEWTON_STEPS):
        rate = expected * np.exp(np.clip(design @ coefficients, -30.0, 30.0))
        gradient = design.T @ (observed - rate) - precision * (coefficients - means)
        curvature = (design * rate[:, None]).T @ design + np.diag(precision)
        step = np.clip(np.linalg.solve(curvature, gradient), -1.0, 1.0)
        coefficients = coefficients + step
        if np.abs(step).max() < 1e-6:
            break
    return math.exp(coefficients[0])
