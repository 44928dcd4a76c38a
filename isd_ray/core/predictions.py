"""From the members' outputs to one prediction and one uncertainty for each row."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isd_ray.config import Task


def mean_probabilities(outputs: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean class probabilities over the members: (M, n, K) to (n, K)."""
    return outputs.mean(axis=0, dtype=np.float64)


def doubt(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """One minus the largest probability, as the sum of the others: (..., K) to (...).

    The sum keeps full relative precision where 1 - max would round every confident row to the same few values.
    """
    best = probabilities.argmax(axis=-1)
    others = np.array(probabilities, dtype=np.float64)
    np.put_along_axis(others, best[..., None], 0.0, axis=-1)
    return others.sum(axis=-1)


def predict(outputs: NDArray[np.float32], task: Task) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Prediction and uncertainty of the committee.

    Parameters
    ----------
    outputs:
        Class probabilities (M, n, K), or values (M, n) in the unit of the label.
    task:
        Which of the two.

    Returns
    -------
    tuple
        Class index or mean value, float64 (n,); and float32 (n,): one minus the mean probability of that class, or the
        standard deviation over the members (0 for a single member), in the unit of the label.
    """
    if task == "classification":
        probabilities = mean_probabilities(outputs)
        return probabilities.argmax(axis=-1).astype(np.float64), doubt(probabilities).astype(np.float32)
    values = outputs.astype(np.float64)
    return values.mean(axis=0), values.std(axis=0).astype(np.float32)
