"""Which observed rows a member trains on and which only decide when it stops."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isd_ray.config import Task, ValidationConfig

Places = NDArray[np.int64]
"""Of rows among the observed ones, from 0."""


def n_validation_rows(n_rows: int, validation: ValidationConfig) -> int:
    """Rows to hold out of `n_rows` observed ones; 0 below ``fixed_epochs_below``.

    ``fraction`` of them, rounded, but at least ``min_rows`` and never more than half.
    """
    if n_rows < validation.fixed_epochs_below:
        return 0
    return min(max(round(validation.fraction * n_rows), validation.min_rows), n_rows // 2)


def split_rows(
    labels: NDArray[np.generic], task: Task, validation: ValidationConfig, rng: np.random.Generator
) -> tuple[Places, Places]:
    """Draw the validation rows, stratified by class for a classification, else at random.

    Each class gives in proportion to its size (largest remainders), and the last row of a class stays in training:
    a class that is never seen can never be predicted.

    Parameters
    ----------
    labels:
        Of n rows; shape (n,) class indices for a classification.

    Returns
    -------
    tuple
        Training rows and validation rows, both ascending int64, disjoint, together 0 … n - 1.
    """
    n_rows = len(labels)
    n_held_out = n_validation_rows(n_rows, validation)
    if n_held_out == 0:
        return np.arange(n_rows), np.zeros(0, dtype=np.int64)
    if task != "classification":
        held_out = rng.permutation(n_rows)[:n_held_out]
    else:
        _, classes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
        quotas = _proportional(sizes, n_held_out)
        shuffled = rng.permutation(n_rows)
        held_out = np.concatenate([shuffled[classes[shuffled] == index][:quota] for index, quota in enumerate(quotas)])
    mask = np.zeros(n_rows, dtype=bool)
    mask[held_out] = True
    return np.flatnonzero(~mask), np.flatnonzero(mask)


def _proportional(sizes: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """Share `total` among classes in proportion to `sizes`, leaving at least one of each class out."""
    exact = sizes * (total / sizes.sum())
    quotas = np.floor(exact).astype(np.int64)
    for index in np.argsort(quotas - exact, kind="stable")[: total - quotas.sum()]:
        quotas[index] += 1
    return np.minimum(quotas, sizes - 1)
