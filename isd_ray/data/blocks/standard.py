"""Standardisation of dense blocks, without labels: signed logarithm, then mean 0 and standard deviation 1, clipped.

The same two steps serve the build and compounds that come later: what is stored of a compound is what `standardise`
gives for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CLIP = 4.0
"""Standard deviations beyond which a value tells no more: descriptors have long tails even as logarithms."""


def signed_log(raw: NDArray[np.floating]) -> NDArray[np.float32]:
    """sign(x) log(1 + |x|) of raw values, in single precision; missing ones (NaN) stay."""
    exact = np.asarray(raw, np.float64)
    logged: NDArray[np.float32] = np.copysign(np.log1p(np.abs(exact)), exact).astype(np.float32)
    return logged


def scaled(logged: NDArray[np.float32], mean: NDArray[np.float64], sd: NDArray[np.float64]) -> NDArray[np.float16]:
    """Signed logarithms (n, width) by their statistics (width,), clipped."""
    result: NDArray[np.float16] = np.clip((logged - mean) / sd, -CLIP, CLIP).astype(np.float16)
    return result


def standardise(raw: NDArray[np.floating], mean: NDArray[np.float64], sd: NDArray[np.float64]) -> NDArray[np.float16]:
    """What a block stores of raw values.

    Parameters
    ----------
    raw:
        float32 or float64, shape (n, width); NaN where a value is missing, nowhere infinite.
    mean, sd:
        float64, shape (width,): of `BlockColumn`.
    """
    return scaled(signed_log(raw), mean, sd)


@dataclass(frozen=True, slots=True)
class Moments:
    """Count, mean, sum of squared deviations, least and greatest of the present values of each column, shape (width,).

    Those of parts are merged in the order of the parts, so that sums do not depend on who computed which.
    """

    n: NDArray[np.int64]
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @classmethod
    def of(cls, logged: NDArray[np.float32]) -> Moments:
        """Of some rows (n, width)."""
        values = logged.astype(np.float64)
        present = ~np.isnan(values)
        n = present.sum(axis=0)
        mean = np.where(present, values, 0.0).sum(axis=0) / np.maximum(n, 1)
        squares = np.where(present, values - mean, 0.0) ** 2
        low = np.where(present, values, np.inf).min(axis=0, initial=np.inf)
        high = np.where(present, values, -np.inf).max(axis=0, initial=-np.inf)
        return cls(n, mean, squares.sum(axis=0), low, high)

    @classmethod
    def merged(cls, parts: Iterable[Moments]) -> Moments:
        """Of the rows of all parts, of which there is at least one (Chan, Golub & LeVeque 1979)."""
        first, *others = parts
        for other in others:
            n = first.n + other.n
            share = other.n / np.maximum(n, 1)
            shift = other.mean - first.mean
            first = cls(
                n,
                first.mean + shift * share,
                first.squares + other.squares + shift**2 * first.n * share,
                np.minimum(first.low, other.low),
                np.maximum(first.high, other.high),
            )
        return first

    @property
    def sd(self) -> NDArray[np.float64]:
        """Standard deviation; 1 of a column that is constant, or missing throughout."""
        varies = self.high > self.low
        return np.where(varies, np.sqrt(self.squares / np.maximum(self.n, 1)), 1.0)

    def to_json(self) -> dict[str, list[Any]]:
        """As plain values."""
        return {name: getattr(self, name).tolist() for name in self.__slots__}

    @classmethod
    def from_json(cls, data: dict[str, list[Any]]) -> Moments:
        """From `to_json`."""
        return cls(np.array(data["n"], np.int64), *(np.array(data[name], np.float64) for name in cls.__slots__[1:]))
