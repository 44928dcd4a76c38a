"""Labels as a loss takes them, and the scaling that brings regression outputs back to label units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from isd_ray.config import Task
from isd_ray.core.panels import n_bytes
from isd_ray.errors import LabelError
from isd_ray.models.resmlp import NetworkWeights

TARGET_MEAN = "target.mean"
TARGET_SD = "target.sd"


def checked_labels(
    n_rows: int, labels: NDArray[np.generic], task: Task, n_outputs: int, numbers: Sequence[bool] = ()
) -> NDArray[np.generic]:
    """Copy labels to int64 (class indices) or float64 (numbers), shape (n,), or of a panel packed bits, or numbers.

    Parameters
    ----------
    numbers:
        Which outputs of a panel are numbers; empty where none is.

    Raises
    ------
    LabelError
        If there are none, not one for each row, NaN or infinite numbers, class indices beyond the outputs, or a panel
        of another number of outputs.
    """
    if len(labels) == 0 or len(labels) != n_rows:
        raise LabelError(
            f"{len(labels)} labels for {n_rows} rows of features",
            "fit",
            "give one label for each row, at least 1",
        )
    if task == "regression":
        values = np.array(labels, dtype=np.float64)
        if not np.isfinite(values).all():
            raise LabelError(
                f"{int((~np.isfinite(values)).sum())} of {len(values)} labels are NaN or infinite",
                "fit",
                "leave rows without a usable readout out of the observation set",
            )
        return values
    if numbers:
        if labels.dtype != np.float64 or labels.shape[1:] != (n_outputs,) or np.isinf(labels).any():
            raise LabelError(
                f"labels of shape {labels.shape} and type {labels.dtype} are not those of {n_outputs} outputs, float64 "
                "without infinite ones",
                "fit",
                "give a column for each output, NaN where it was not measured",
            )
        return np.array(labels)
    if task == "panel":
        if labels.dtype != np.uint8 or labels.shape[1:] != (2, n_bytes(n_outputs)):
            raise LabelError(
                f"labels of shape {labels.shape} and type {labels.dtype} are not those of {n_outputs} outputs",
                "fit",
                "pack them with isd_ray.core.panels.pack_labels",
            )
        return np.array(labels)
    classes = np.array(labels, dtype=np.int64)
    if classes.min() < 0 or classes.max() >= n_outputs:
        raise LabelError(
            f"class indices from {classes.min()} to {classes.max()}, the model has {n_outputs} outputs",
            "fit",
            "map labels to 0 … n_outputs - 1; labels.classes lists the classes in order",
        )
    return classes


def target_scaling(labels: NDArray[np.generic], numbers: Sequence[bool] = ()) -> NetworkWeights:
    """Mean and standard deviation of the training targets by their names among the weights; float32, shape (1,).

    Of a panel with numbers of each output, shape (K,): 0 and 1 of classes, and of what was never measured.
    """
    values = cast("NDArray[np.float64]", labels)
    if not numbers:
        numbers, values = (True,), values[:, None]
    pairs = zip(numbers, values.T, strict=True)
    found = [_mean_and_sd(column[~np.isnan(column)] if is_number else column[:0]) for is_number, column in pairs]
    mean, sd = np.array(found, np.float32).T.copy()
    return {TARGET_MEAN: mean, TARGET_SD: sd}


def _mean_and_sd(values: NDArray[np.float64]) -> tuple[float, float]:
    """0 and 1 of none. What is constant has nothing to scale; 1 keeps the round trip to its unit exact.

    The mean of equal values is rounded, and their standard deviation then is not 0 but as small as the rounding.
    """
    if not len(values) or values.min() == values.max():
        return (float(values[0]) if len(values) else 0.0), 1.0
    return float(values.mean()), float(values.std()) or 1.0


def standardised(labels: NDArray[np.generic], scaling: NetworkWeights) -> NDArray[np.float32]:
    """Targets in standard deviations from the mean; subtracted in float64, so large offsets cost no digits."""
    values = cast("NDArray[np.float64]", labels)
    mean, sd = (scaling[name] if values.ndim > 1 else scaling[name][0] for name in (TARGET_MEAN, TARGET_SD))
    return ((values - mean) / sd).astype(np.float32)
