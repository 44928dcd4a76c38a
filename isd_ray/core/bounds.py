"""Confidence bounds."""

from __future__ import annotations

import math

_BISECTIONS = 200


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
