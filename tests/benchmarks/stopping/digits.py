"""A small real world: scikit-learn's digits, fitted anew in every round of every run."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

N_IMAGES, N_CLASSES = 1797, 10
BRIGHTEST = 16.0
"""Largest value of a pixel."""


class Digits:
    """1,797 images of 8 x 8 pixels, ridge regression on random ReLU features; runs differ by features and draws.

    Parameters
    ----------
    ridge:
        Penalty on squared weights.
    temperature:
        Scores are multiplied by it before a softmax makes confidences of them.
    """

    def __init__(self, rng, n_features=300, ridge=1.0, temperature=8.0):
        images, self.labels = load()
        self.n, self.ridge, self.temperature = len(images), ridge, temperature
        weights = rng.standard_normal((images.shape[1], n_features)) / math.sqrt(images.shape[1])
        self.features = np.maximum(2.0 * images @ weights + 0.3 * rng.standard_normal(n_features), 0.0)
        self.onehot = np.eye(N_CLASSES)[self.labels]
        self.scores = np.zeros((self.n, N_CLASSES))

    def refit(self, observed):
        x, y = self.features[observed], self.onehot[observed]
        gram = x.T @ x + self.ridge * np.eye(x.shape[1])
        self.scores = self.features @ np.linalg.solve(gram, x.T @ y)

    def losses(self, rows):
        return (self.scores[rows].argmax(axis=1) != self.labels[rows]).astype(np.float64)

    def uncertainty(self, rows):
        shares = np.exp(self.temperature * (self.scores[rows] - self.scores[rows].max(axis=1, keepdims=True)))
        return 1.0 - shares.max(axis=1) / shares.sum(axis=1)


@cache
def load():
    """Images (1797, 64) in [0, 1] and their labels (1797,); scikit-learn carries them, so nothing is fetched."""
    # Its import takes longer than most scenarios' runs.
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return images / BRIGHTEST, labels.astype(np.int64)
