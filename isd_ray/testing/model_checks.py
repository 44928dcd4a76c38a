"""What tests of models look at: weights, answers, losses."""

from __future__ import annotations

import pickletools
import random
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from isd_ray.core.features import Dense, FeatureBlocks
from isd_ray.models.base import Problem, Weights
from isd_ray.testing.problems import KINDS, NUMBERS, VALUES, Rows, arrays_of, learnable, read_only

SUMS_TO_1 = 1e-5
"""Most by which probabilities of a row may miss 1."""
_LEAST = 1e-6
"""Smallest probability in a log loss."""


def draw_from_global_generators() -> None:
    """Move the generators that all of a process share."""
    random.random()
    np.random.random()  # noqa: NPY002 - that a fit does not read it is the claim


def refuse_pickle(*_: object, **__: object) -> None:
    """In the place of `pickle.load`: to call it is the failure."""
    raise AssertionError("a member is opened by unpickling something, which may run any code: store arrays")


def assert_same_weights(found: Mapping[str, NDArray[Any]], expected: Mapping[str, NDArray[Any]], what: str) -> None:
    """The same arrays, bit for bit."""
    assert_arrays(expected)
    assert sorted(found) == sorted(expected), f"{what}: the arrays are {sorted(found)}, they were {sorted(expected)}"
    for name, array in expected.items():
        other = np.asarray(found[name])
        kind, wanted = (other.dtype, other.shape), (array.dtype, array.shape)
        assert kind == wanted, f"{what}: the array {name!r} is {kind}, it was {wanted}"
        same = np.ascontiguousarray(other).tobytes() == np.ascontiguousarray(array).tobytes()
        assert same, f"{what}: the array {name!r} differs"


def assert_arrays(weights: Weights) -> None:
    """A member is plain arrays by name, none of them a pickle."""
    for name, array in weights.items():
        assert isinstance(name, str), f"{name!r} is no name of an array"
        assert isinstance(array, np.ndarray), f"the weight {name!r} is a {type(array).__name__}, no numpy array"
        assert array.dtype.kind in "biuf", f"the array {name!r} is of {array.dtype}, which the store does not know"
        assert not _is_pickle(array), f"the array {name!r} is a pickle: opening it may run any code"


def _is_pickle(array: NDArray[Any]) -> bool:
    data = np.ascontiguousarray(array).tobytes()
    if array.dtype.itemsize != 1 or not data:
        return False
    if b".pkl" in data[:4096]:  # an archive of torch.save
        return True
    if data[:1] != b"\x80":  # protocol 2 and later
        return False
    try:
        return sum(1 for _ in pickletools.genops(data)) > 1
    except ValueError:
        return False


def assert_valid(outputs: NDArray[Any], problem: Problem, n_members: int, n_rows: int) -> None:
    """Answers have the shape, the type and the range of their task."""
    shape = (n_members, n_rows) if problem.task == "regression" else (n_members, n_rows, problem.n_outputs)
    assert isinstance(outputs, np.ndarray), f"answers are a {type(outputs).__name__}, no numpy array"
    assert outputs.shape == shape, f"answers have shape {outputs.shape} in the place of {shape}"
    assert outputs.dtype == np.float32, f"answers are {outputs.dtype}, no float32"
    assert np.isfinite(outputs).all(), f"{int((~np.isfinite(outputs)).sum())} of {outputs.size} answers are not finite"
    if problem.task == "regression":
        return
    if problem.numbers:
        outputs = outputs[:, :, [not is_number for is_number in problem.numbers]]
    lowest, highest = float(outputs.min()), float(outputs.max())
    assert 0.0 <= lowest <= highest <= 1.0, f"probabilities from {lowest} to {highest}"
    if problem.task == "classification":
        off = float(np.abs(outputs.sum(axis=-1, dtype=np.float64) - 1.0).max())
        assert off < SUMS_TO_1, f"probabilities of a row sum to 1 but for {off:.2g}"


def losses_of(
    kind: str, found: NDArray[np.float32], labels: NDArray[Any], observed: NDArray[Any]
) -> tuple[float, float]:
    """Loss of answers, and of the best constant that the observed labels give: log loss, or squared error.

    Of a panel with numbers the mean of both, squared errors of each number in parts of those of the constant.
    """
    if KINDS[kind][0] == "regression":
        return float(((found - labels) ** 2).mean()), float(((observed.mean() - labels) ** 2).mean())
    if KINDS[kind][0] == "classification":
        shares = np.bincount(observed, minlength=KINDS[kind][1]) / len(observed)
        both = np.take_along_axis(found, labels[:, None], axis=1)[:, 0], shares[labels]
    else:
        entries, seen = learnable(kind, labels), learnable(kind, observed)
        shares = (seen == 1).sum(axis=0) / np.maximum(1, (seen >= 0).sum(axis=0))
        both = (
            np.where(entries == 1, found, 1 - found)[entries >= 0],
            np.where(entries == 1, shares, 1 - shares)[entries >= 0],
        )
    loss, constant = (-np.log(np.clip(part.astype(np.float64), _LEAST, 1.0)).mean() for part in both)
    parts = [(float(loss), float(constant))]
    for place in NUMBERS.get(kind, ()):
        there = ~np.isnan(labels[:, place])
        if there.any():
            squared = ((found[there, place] - labels[there, place]) ** 2).mean()
            parts.append((float(squared / ((np.nanmean(observed[:, place]) - labels[there, place]) ** 2).mean()), 1.0))
    return float(np.mean([part[0] for part in parts])), float(np.mean([part[1] for part in parts]))


def without_values(features: FeatureBlocks) -> Dense:
    """The block of values with none of them there."""
    return Dense(np.full_like(np.asarray(cast(Dense, features[VALUES]).values), np.nan))


def joined(first: Rows, second: Rows) -> Rows:
    """Rows behind rows."""
    from isd_ray.core.features import concatenate

    features = read_only(concatenate([first.features, second.features]))
    return Rows(features, np.concatenate([first.labels, second.labels]))


def copies_of(*parts: FeatureBlocks) -> list[NDArray[Any]]:
    """All arrays of some blocks as they are now."""
    return [np.array(array) for part in parts for block in part.blocks.values() for array in arrays_of(block)]
