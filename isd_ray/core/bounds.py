"""Bounds and exact tests: the paper's, samples without replacement from a finite population, accuracy on the truth."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from isd_ray.core.betting import BettingTest, betting_test

__all__ = [
    "BettingTest",
    "accuracy_on_truth",
    "allowed_errors",
    "bernoulli_kl",
    "betting_test",
    "hypergeometric_pvalue",
    "kl_lower_bound",
    "largest_plausible",
    "plausible_range",
]

_BISECTIONS = 200
_ROUND_UP = 1e-9
"""More than the relative error of `hypergeometric_pvalue`."""
_TERMS = 32
"""Terms of a tail that are summed at once."""
_NEGLIGIBLE = 1e-17
"""A tail's next term of this size relative to the sum ends it: the rest falls at least geometrically."""
_STIRLING = np.array(
    [0.0] + [math.lgamma(n + 1.0) - (n + 0.5) * math.log(n) + n - 0.5 * math.log(2 * math.pi) for n in range(1, 16)]
)
"""log(n!) minus Stirling's formula for n < 16, where its series is not exact yet."""

_Counts: TypeAlias = NDArray[np.integer]
_Floats: TypeAlias = NDArray[np.float64]


def bernoulli_kl(p: float, q: float) -> float:
    """Relative entropy KL(Bernoulli(p), Bernoulli(q)) in nats; infinite where q excludes what p allows."""

    def term(a: float, b: float) -> float:
        if a == 0.0:
            return 0.0
        return math.inf if b == 0.0 else a * math.log(a / b)

    return term(p, q) + term(1.0 - p, 1.0 - q)


def kl_lower_bound(mean: float, n: int, delta: float) -> float:
    """Lower confidence bound on a Bernoulli mean: the least a with KL(mean, a) <= ln(1/delta) / n (paper, Eq. 5).

    The Chernoff bound of Lattimore and Szepesvari, Bandit Algorithms (2020), Corollary 10.4: for n independent draws
    P(mu < bound) <= delta. In a hybrid screen the draws are the hardest rows of a round, so the guarantee rests on the
    paper's Lemma 1 (weak calibration); `isd_ray` calls the rule built on it a heuristic.

    Parameters
    ----------
    mean:
        Observed mean, in [0, 1].
    n:
        Number of independent units; 0 gives the trivial bound 0.
    delta:
        Risk, in (0, 1).

    Returns
    -------
    float
        In [0, mean], the lower end of the bisection, so never above the exact solution: delta**(1/n) at mean 1, 0 at 0.

    Raises
    ------
    ValueError
        If an argument is out of its range.
    """
    if not (0.0 <= mean <= 1.0 and n >= 0 and 0.0 < delta < 1.0):
        raise ValueError(f"need 0 <= mean <= 1, n >= 0, 0 < delta < 1; got {mean=}, {n=}, {delta=}")
    if n == 0 or mean == 0.0:
        return 0.0
    budget = math.log(1.0 / delta) / n
    low, high = 0.0, mean
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        if bernoulli_kl(mean, middle) > budget:
            low = middle
        else:
            high = middle
    return low


def allowed_errors(n_target: int, gamma: float) -> int:
    """The most errors c that leave the accuracy of n_target rows above gamma: ceil((1 - gamma) * n_target) - 1.

    Exact: gamma is read as the decimal it is written as, so that 10,000 rows at 0.95 allow 499 errors and not 500.

    Raises
    ------
    ValueError
        If not even 0 errors satisfy gamma (gamma >= 1, or no rows), or gamma is negative.
    """
    allowed = math.ceil((1 - Fraction(str(gamma))) * n_target) - 1
    if allowed < 0 or gamma < 0.0:
        raise ValueError(f"no number of errors leaves an accuracy above gamma; got {n_target=}, {gamma=}")
    return allowed


@overload
def hypergeometric_pvalue(errors: int, population: int, bad: int, sampled: int) -> float: ...


@overload
def hypergeometric_pvalue(errors: _Counts, population: _Counts, bad: _Counts, sampled: _Counts) -> _Floats: ...


def hypergeometric_pvalue(
    errors: int | _Counts, population: int | _Counts, bad: int | _Counts, sampled: int | _Counts
) -> float | _Floats:
    """P(at most `errors` bad rows among `sampled` drawn without replacement from `population` holding `bad`).

    The exact test of "at least `bad` rows are bad": for any fixed population with K >= bad of them and a uniformly
    drawn sample, P(pvalue <= delta) <= delta, because the value falls as `bad` grows. Nothing else is assumed.

    One term by the saddle-point expansion of Loader (2000, Fast and Accurate Computation of Binomial Probabilities),
    in which no large logarithms cancel, then the ratios of neighbouring terms; above the mean the other tail is summed.
    Relative error below 1e-9 up to populations of 10**9, without tables; the value returned is rounded up by that much.

    Parameters
    ----------
    errors, population, bad, sampled:
        Non-negative integers, or integer arrays that broadcast. bad > population gives 0 (it cannot be), then
        bad <= errors gives 1, then sampled = 0 gives 1.

    Returns
    -------
    float or ndarray
        A float for integers, else float64 of the broadcast shape.

    Raises
    ------
    ValueError
        If a count is negative or more rows are sampled than there are.
    """
    arrays = np.broadcast_arrays(*(np.asarray(count, np.int64) for count in (errors, population, bad, sampled)))
    e, n, k, m = (array.ravel() for array in arrays)
    if any((array < 0).any() for array in (e, n, k, m)) or (m > n).any():
        raise ValueError(
            f"need counts >= 0 and sampled <= population; got {errors=}, {population=}, {bad=}, {sampled=}"
        )
    result = np.where(k > n, 0.0, 1.0)
    open_ = (k <= n) & (k > e) & (m > e)
    if open_.any():
        result[open_] = _hypergeometric_cdf(*(array[open_].astype(np.float64) for array in (e, n, k, m)))
    return float(result[0]) if arrays[0].ndim == 0 else result.reshape(arrays[0].shape)


def _hypergeometric_cdf(e: _Floats, n: _Floats, k: _Floats, m: _Floats) -> _Floats:
    """P(X <= e) for e < min(k, m), rounded up."""
    above = e * n > k * m
    # X counts the sampled bad rows; k - X counts the others, so P(X > e) is a lower tail too, of n - m rows.
    tail = _lower_tail(np.where(above, k - e - 1, e), n, k, np.where(above, n - m, m))
    return np.minimum(1.0, np.where(above, 1.0 - tail, tail) * (1.0 + _ROUND_UP))


def _lower_tail(e: _Floats, n: _Floats, k: _Floats, m: _Floats) -> _Floats:
    """P(X <= e) for an e not above the mean: the term at e times the sum of the falling ratios below it."""
    total, term, done = np.ones_like(e), np.ones_like(e), 0
    while term.any():
        j = e[:, None] - np.arange(done, done + _TERMS)
        ratios = j * (n - k - m)[:, None] + j * j
        ratios /= (k[:, None] - j + 1.0) * (m[:, None] - j + 1.0)
        # At the least value X can take the ratio is 0; below it, where signs have no meaning, the terms stay 0.
        terms = term[:, None] * np.cumprod(np.maximum(ratios, 0.0), axis=1)
        total += terms.sum(axis=1)
        term = np.where(terms[:, -1] > _NEGLIGIBLE * total, terms[:, -1], 0.0)
        done += _TERMS
    # Of values that X cannot take the logarithms may overflow.
    possible = e >= np.maximum(0.0, m - n + k)
    tail = np.zeros_like(e)
    tail[possible] = np.exp(_log_hypergeometric(*(counts[possible] for counts in (e, n, k, m)))) * total[possible]
    return tail


def _log_hypergeometric(x: _Floats, n: _Floats, k: _Floats, m: _Floats) -> _Floats:
    """Logarithm of P(X = x) as three binomial terms with success probability m / n (Loader 2000, section 4)."""
    p, q = m / n, (n - m) / n
    return _log_binomial(x, k, p, q) + _log_binomial(m - x, n - k, p, q) - _log_binomial(m, n, p, q)


def _log_binomial(x: _Floats, n: _Floats, p: _Floats, q: _Floats) -> _Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        log_p = np.where(p < 0.5, np.log(p), np.log1p(-q))
        log_q = np.where(q < 0.5, np.log(q), np.log1p(-p))
        inner = _stirling_error(n) - _stirling_error(x) - _stirling_error(n - x)
        inner -= _deviance(x, n * p) + _deviance(n - x, n * q)
        inner -= 0.5 * (math.log(2.0 * math.pi) + np.log(x) + np.log1p(-x / n))
        ends = np.where(n == 0, 0.0, np.where(x == 0, n * log_q, n * log_p))
    return np.where((x > 0) & (x < n), inner, ends)


def _stirling_error(n: _Floats) -> _Floats:
    """What log(n!) is above Stirling's formula."""
    square = n * n
    with np.errstate(divide="ignore", invalid="ignore"):
        series = (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - 1 / 1188 / square) / square) / square) / square) / n
    return np.where(n < len(_STIRLING), _STIRLING[np.clip(n, 0, len(_STIRLING) - 1).astype(np.int64)], series)


def _deviance(x: _Floats, mean: _Floats) -> _Floats:
    """The deviance x log(x / mean) + mean - x; by its series where x and mean are close, as the parts would cancel."""
    v = (x - mean) / (x + mean)
    term, near = 2.0 * x * v, (x - mean) * v
    for j in range(1, 10):
        term = term * v * v
        near = near + term / (2 * j + 1)
    return np.where(np.abs(v) < 0.1, near, x * np.log(x / mean) + mean - x)


def largest_plausible(errors: int, population: int, sampled: int, delta: float) -> int:
    """Upper confidence bound U on the bad rows of a population: the largest K with pvalue(errors; K) > delta.

    P(U < K) <= delta for any fixed population and a uniform sample without replacement.
    """
    low, high = errors, population - sampled + errors
    # Invariant: `low` is plausible (K <= errors has pvalue 1), every value above `high` is not.
    while low < high:
        middle = (low + high + 1) // 2
        if hypergeometric_pvalue(errors, population, middle, sampled) > delta:
            low = middle
        else:
            high = middle - 1
    return low


def plausible_range(errors: int, population: int, sampled: int, delta: float) -> tuple[int, int]:
    """Two-sided confidence interval of the bad rows of a population, delta / 2 on each side (Clopper and Pearson)."""
    most = largest_plausible(errors, population, sampled, delta / 2)
    least = population - largest_plausible(sampled - errors, population, sampled, delta / 2)
    return least, most


def accuracy_on_truth(agreement: float, repeatability: float) -> float:
    """Lower bound on the expected accuracy against the truth, from agreement with the readouts that would be measured.

    A delivered label that is wrong either disagrees with its readout or sits on a wrong readout, so the accuracy is at
    least agreement - w, w the mean probability of a wrong readout. A compound whose readout is wrong with probability
    w_i, at most one half, has replicates that disagree with probability 2 w_i (1 - w_i) >= w_i (of several classes, the
    right one the likeliest: 1 - sum of squares >= w_i). So w is at most the mean share of replicates that disagree,
    1 - repeatability, however unequal the w_i are: errors sit near the cut. Nothing is assumed of the model.
    """
    return max(0.0, agreement - (1.0 - repeatability))
