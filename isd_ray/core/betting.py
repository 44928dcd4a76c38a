"""Betting without replacement: an exact test for losses in [0, 1] that are not just right or wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BOLDEST_BET = 0.9
"""Largest part of the wealth that the worst loss, 1, may take; below 1 so that wealth never reaches 0."""
_PRIOR_UNITS = 30.0
"""How many units of audit the expected loss weighs against what the audit has shown so far."""
_GRID = 400
"""Steps of the totals that `betting_interval` tries."""
_SMALL, _SPREAD = 0.05, 0.05
"""Mean and variance of a loss that `betting_interval` expects before it has seen any."""
_POWER_Z = 0.5244
"""Normal quantile of 70 % power, as of exact audits."""
_FORECAST_ERROR = 0.25
"""Relative error of an expected mean, as a standard deviation: that of the triggers in their benchmark. Without it
audits of wide panels, whose rows lose nearly the same, are too small whenever the forecast is a little too good."""


@dataclass(frozen=True, slots=True)
class BettingTest:
    """Outcome of `betting_test`.

    Attributes
    ----------
    passed:
        The total loss is shown to be at most the allowance.
    wealth:
        Largest wealth on the way; 1 / wealth is a p-value of "the total loss is above the allowance".
    """

    passed: bool
    wealth: float


def betting_test(
    losses: NDArray[np.float64],
    population: int,
    allowance: float,
    delta: float,
    expected_mean: float,
    expected_variance: float,
    kept: NDArray[np.float64] | None = None,
) -> BettingTest:
    """Test whether a finite population keeps at most `allowance` of loss, from a uniform sample of its units.

    What is kept of the loss is that of the units that are not drawn, and of drawn ones the part that measuring has not
    put right. If more than the allowance is kept in the end, then before any unit i the units left have a loss above
    the allowance less what was kept before i: what is kept later is a part of it. Their mean loss is then above
    mu_i = (allowance - kept so far) / (units left). Wealth starts at 1 and is multiplied by
    1 + lambda_i (mu_i - loss_i) with a lambda_i >= 0 that only earlier units decide, so it is a non-negative
    supermartingale and exceeds 1 / delta with probability at most delta, ever (Ville 1939; Waudby-Smith and Ramdas
    2024, Estimating means of bounded random variables by betting, section 5). The population, the model and the
    distribution of losses are arbitrary.

    Parameters
    ----------
    losses:
        Shape (m,), in [0, 1], **in the uniformly random order of drawing** (not sorted by row).
    population:
        Units in the inference set, the drawn ones included.
    allowance:
        Largest loss kept that leaves the target accuracy.
    delta:
        Risk of passing falsely.
    expected_mean, expected_variance:
        Forecast of a unit's loss, made before the audit. They set the first bets, never the guarantee.
    kept:
        Shape (m,): the part of each loss that measuring has not put right, as where a well gave no readout. None if
        it puts nothing right, so that the test is of the total loss of the population.

    Raises
    ------
    ValueError
        If a loss is outside [0, 1] (NaN included), or more units are given than the population has.
    """
    if not ((losses >= 0.0) & (losses <= 1.0)).all() or len(losses) > population:
        raise ValueError(f"need losses in [0, 1] of at most {population} units; got {len(losses)}: {losses!r}")
    seen = np.arange(len(losses) + 1)
    before = np.concatenate([[0.0], np.cumsum(losses)])
    room = allowance - (before if kept is None else np.concatenate([[0.0], np.cumsum(kept)]))
    left = population - seen
    if room[-1] >= left[-1]:
        # The units left cannot use up what is left of the allowance, whatever they are.
        return BettingTest(True, math.inf)
    if room[-1] <= 0.0:
        return BettingTest(False, 0.0)
    # No mu is 0 or below, or 1 or above: either would have persisted to the end and been caught there.
    mu = room[:-1] / left[:-1]
    weight = _PRIOR_UNITS + seen[:-1]
    mean = (_PRIOR_UNITS * expected_mean + before[:-1]) / weight
    squares = np.concatenate([[0.0], np.cumsum(np.square(losses - mean))])[:-1]
    variance = (_PRIOR_UNITS * expected_variance + squares) / weight
    bets = _bets(mu, mean, variance)
    wealth = float(np.exp(np.cumsum(np.log1p(bets * (mu - losses))).max(initial=0.0)))
    return BettingTest(wealth >= 1.0 / delta, wealth)


def betting_size(
    population: int, expected_mean: float, expected_variance: float, allowance: float, delta: float, most: int
) -> int | None:
    """Smallest audit with about 70 % power for `betting_test`, by a normal approximation; None if above `most`.

    The expected mean is a forecast and has an error of its own. Planning only: a wrong forecast costs readouts, never
    validity.
    """
    units = np.arange(min(most, population))
    mu = allowance / (population - units)
    mean = np.full(len(units), expected_mean)
    bets = _bets(np.minimum(mu, 1.0), mean, np.full(len(units), expected_variance))
    gains = bets * (mu - mean) - np.square(bets) * (expected_variance + np.square(mu - mean)) / 2.0
    of_sample = np.cumsum(np.square(bets) * expected_variance)
    spread = np.sqrt(of_sample + np.square(_FORECAST_ERROR * expected_mean * np.cumsum(bets)))
    enough = (np.cumsum(gains) - _POWER_Z * spread >= math.log(1.0 / delta)) | (mu >= 1.0)
    return int(enough.argmax()) + 1 if enough.any() else None


def betting_interval(losses: NDArray[np.float64], population: int, delta: float) -> tuple[float, float]:
    """Two-sided confidence interval of the total loss of a population, delta / 2 on each side.

    On a grid of totals, each end is the outermost total that `betting_test` does not refute, rounded outwards: it is
    wrong only if the test refutes the grid point next to the true total, probability at most delta / 2. The first bets
    expect small losses.
    """
    grid = np.linspace(0.0, float(population), _GRID + 1)

    def largest(values: NDArray[np.float64], expected: float) -> float:
        passed = [betting_test(values, population, float(t), delta / 2, expected, _SPREAD).passed for t in grid]
        # Everything up to the whole population is possible, and that passes always.
        return float(grid[max((index + 1 for index, shown in enumerate(passed) if not shown), default=0)])

    return population - largest(1.0 - losses, 1.0 - _SMALL), largest(losses, _SMALL)


def _bets(mu: NDArray[np.float64], mean: NDArray[np.float64], variance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Approximately the bets of fastest expected growth of log wealth, kept where wealth stays positive."""
    edge = mu - mean
    with np.errstate(divide="ignore", invalid="ignore"):
        wanted = np.where(edge > 0.0, edge / (variance + np.square(edge)), 0.0)
        largest = np.where(mu < 1.0, _BOLDEST_BET / (1.0 - mu), math.inf)
    return np.minimum(wanted, largest)
