"""From the members' outputs to one prediction and one uncertainty for each row."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from isd_ray.config import Task
from isd_ray.core.panels import Tolerances, are_classes, n_bytes, widths_of
from isd_ray.messages import LabelArray

HALF = 0.5
"""Probability above which a class is predicted."""
_CELLS = 1 << 20
"""Probabilities of a panel that are held in double precision at a time."""


def mean_over_members(outputs: NDArray[np.floating], weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Mean over the members, each with its weight: (M, n, …) to (n, …).

    Parameters
    ----------
    weights:
        float64 (M,), summing to 1; None where all count the same.
    """
    if weights is None:
        return outputs.mean(axis=0, dtype=np.float64)
    # Member by member, so that a row's answer is the same in every block.
    total = np.zeros(outputs.shape[1:])
    for member, weight in zip(outputs, weights, strict=True):
        total += weight * member
    return total


def variances(outputs: NDArray[np.float32], weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Variance of the members' values (M, n, …), each with its weight; float64 (n, …).

    Where one of several members has all the weight it would be 0 of every row, and no row more doubtful than another:
    then the mean squared difference of all members, each counted the same, from that one.
    """
    values = outputs.astype(np.float64)
    if weights is None:
        return values.var(axis=0)
    squares = (values - mean_over_members(values, weights)) ** 2
    return mean_over_members(squares, None if np.count_nonzero(weights) == 1 else weights)


def doubt(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """One minus the largest probability, as the sum of the others: (..., K) to (...).

    The sum keeps full relative precision where 1 - max would round every confident row to the same few values.
    """
    if (
        probabilities.shape[-1] == 2
    ):  # the usual case, and every output of a panel: the same bits in a tenth of the time
        return np.minimum(probabilities[..., 0], probabilities[..., 1]).astype(np.float64)
    best = probabilities.argmax(axis=-1)
    others = np.array(probabilities, dtype=np.float64)
    np.put_along_axis(others, best[..., None], 0.0, axis=-1)
    return others.sum(axis=-1)


def spreads(
    outputs: NDArray[np.float32], tolerances: Tolerances, weights: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Variances over the members of each output of a panel with numbers, in squared tolerances; float64 (n, K).

    So numbers of any unit, and of any spread, are weighed by what the screen counts as right. Of classes they are those
    of the probability.
    """
    return variances(outputs, weights) / np.square(widths_of(tolerances))


def doubt_of_outputs(
    outputs: NDArray[np.float32], tolerances: Tolerances, weights: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """How likely each output of a panel with numbers is predicted wrong, float64 (n, K) in [0, 1].

    Of classes one minus the probability of the predicted one. Of a number v / (v + 1), where v is the variance of the
    members in squared tolerances: Cantelli's bound of the probability that a value lies more than the tolerance above
    its mean. It assumes no distribution, and stays apart where members hardly differ, as a normal tail would not. So
    both kinds are on one scale, and their mean is about the share of outputs that are wrong.
    """
    v = spreads(outputs, tolerances, weights)
    ones = np.clip(mean_over_members(outputs, weights), 0.0, 1.0)  # of classes, which alone are taken from it
    return np.where(are_classes(tolerances), np.minimum(ones, 1.0 - ones), v / (v + 1.0))


def row_pieces(outputs: NDArray[np.float32]) -> Iterator[slice]:
    """Runs of rows of a panel's outputs (M, n, K), small enough to be copied in double precision."""
    members, n_rows, n_outputs = outputs.shape
    step = max(1, _CELLS // max(1, members * n_outputs))
    for start in range(0, n_rows, step):
        yield slice(start, start + step)


def predict(
    outputs: NDArray[np.float32],
    task: Task,
    weights: NDArray[np.float64] | None = None,
    tolerances: Tolerances = (),
) -> tuple[LabelArray, NDArray[np.float32]]:
    """Prediction and uncertainty of the committee.

    Parameters
    ----------
    outputs:
        Class probabilities (M, n, K); of a panel probabilities that an output is 1 (M, n, K); or values (M, n) in the
        unit of the label.
    task:
        Which of these.
    weights:
        float64 (M,), summing to 1: how much each member counts; None where all count the same.
    tolerances:
        Of a panel with numbers, by output.

    Returns
    -------
    tuple
        Class index or mean value, float64 (n,), or the packed bits of a panel, uint8 (n, ceil(K / 8)), or with numbers
        its values, float64 (n, K); and float32 (n,): one minus the mean probability of that class, of a panel the mean
        over its outputs (`doubt_of_outputs`), or the standard deviation over the members (0 for a single member), in
        the unit of the label.
    """
    if tolerances:
        means = mean_over_members(outputs, weights)
        doubts = doubt_of_outputs(outputs, tolerances, weights)
        return np.where(are_classes(tolerances), means > HALF, means), doubts.mean(axis=1).astype(np.float32)
    if task == "panel":
        return _predict_panel(outputs, weights)
    if task == "classification":
        probabilities = mean_over_members(outputs, weights)
        return probabilities.argmax(axis=-1).astype(np.float64), doubt(probabilities).astype(np.float32)
    return mean_over_members(outputs, weights), np.sqrt(variances(outputs, weights)).astype(np.float32)


def _predict_panel(
    outputs: NDArray[np.float32], weights: NDArray[np.float64] | None
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    n_rows, n_outputs = outputs.shape[1:]
    bits = np.empty((n_rows, n_bytes(n_outputs)), np.uint8)
    uncertainty = np.empty(n_rows, np.float32)
    for piece in row_pieces(outputs):
        ones = mean_over_members(outputs[:, piece], weights)
        bits[piece] = np.packbits(ones > HALF, axis=1)
        uncertainty[piece] = np.minimum(ones, 1.0 - ones).mean(axis=1)
    return bits, uncertainty
