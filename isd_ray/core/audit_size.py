"""How large an audit has to be, and what a certificate would cost: planning, by the errors that a forecast expects."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from isd_ray.core.bounds import hypergeometric_pvalue
from isd_ray.core.trigger import Forecast

_LARGEST_POPULATION = 10**11
_SIZE_STEP = 1.03
"""Audit sizes are tried on a grid of 3 % steps."""
_POWER = 0.7
"""Power of a look: one that fails costs an audit, whose rows are learnt from, and little else."""
_POWER_Z = NormalDist().inv_cdf(_POWER)
_RESERVE_POWER_Z = 1.2816
"""Normal quantile of 90 % power: a reserve cannot be made larger."""


@dataclass(frozen=True, slots=True)
class Needed:
    """The cheapest way to a certificate that a forecast sees, for the model at hand.

    Attributes
    ----------
    errors, allowed:
        Wrong predictions expected, and how many may be left.
    finish, audit:
        Most uncertain rows to measure (for a recall, all predicted hits besides), and rows of a random audit of the
        others, that certify with about 70 % power.
    """

    errors: float
    allowed: float
    finish: int
    audit: int


def audit_size(
    n_inference: int, errors: float, allowed: int, delta: float, most: int | None = None, z: float = _POWER_Z
) -> int | None:
    """Smallest audit (a grid of 3 % steps) that certifies with about 70 % probability if `errors` are expected.

    With e70 errors, the 70 % quantile of the hypergeometric by its normal approximation, "more than `allowed` are left
    after the e70 found are put right" must be refuted. Almost independent of the population.

    Returns
    -------
    int or None
        None if no audit of at most `most` rows (default: the whole set) would do.
    """
    most = n_inference if most is None else min(most, n_inference)
    m = _sizes()
    m = np.append(m[m < most], np.int64(most))[: max(0, most)]
    likely = likely_errors(n_inference, errors, m, z)
    passed = hypergeometric_pvalue(likely, np.array(n_inference), allowed + 1 + likely, m) <= delta
    return int(m[passed.argmax()]) if passed.any() else None


@cache
def _sizes() -> NDArray[np.int64]:
    """The grid of audit sizes, up to any population."""
    sizes = [1]
    while sizes[-1] < _LARGEST_POPULATION:
        sizes.append(max(sizes[-1] + 1, math.ceil(sizes[-1] * _SIZE_STEP)))
    return np.array(sizes, np.int64)


@cache
def power_z(together: int) -> float:
    """Normal quantile of the power of each of some audits that have to pass together: the look then has its power."""
    return NormalDist().inv_cdf(_POWER ** (1.0 / together))


def reserve_size(n_target: int, allowed: int, delta: float) -> int:
    """Size of a reserve that certifies at a look of risk delta a model with half the allowed errors, at 90 % power.

    Raises
    ------
    ValueError
        If no reserve does.
    """
    size = audit_size(n_target, allowed / 2.0, allowed, delta, z=_RESERVE_POWER_Z)
    if size is None:
        raise ValueError(f"no reserve can certify {allowed=} errors of {n_target=} rows")
    return size


def likely_errors(
    n_inference: int, errors: float, sampled: NDArray[np.int64], z: float = _POWER_Z
) -> NDArray[np.int64]:
    """The 70 % quantile (of `z`) of the errors among the rows of audits of some sizes, of `errors` in all."""
    rate = min(1.0, errors / n_inference)
    spread = np.sqrt(sampled * rate * (1.0 - rate) * (n_inference - sampled) / max(1, n_inference - 1))
    return np.floor(np.minimum(sampled, sampled * rate + z * spread + 0.5)).astype(np.int64)


def needed_to_certify(forecast: Forecast, n_inference: int, allowed: int, delta: float) -> Needed | None:
    """What one look at risk `delta` would cost from here, by the forecast; None if it does not say.

    The smallest sum of a finish, the a most uncertain rows, and an audit with about 70 % power of the others, whose
    errors found are put right.
    """
    if forecast.edges is None or forecast.beyond is None:
        return None
    best: Needed | None = None
    for cut, errors in zip(np.ceil(forecast.edges).astype(int).tolist(), forecast.beyond.tolist(), strict=True):
        n_left = n_inference - cut
        if errors > allowed or n_left < 0:
            continue
        audit = 0 if n_left <= allowed else audit_size(n_left, errors, allowed, delta)
        if audit is not None and (best is None or cut + audit < best.finish + best.audit):
            best = Needed(forecast.errors, allowed, cut, audit)
    return best
