"""Budgets, and how they join with the stopping rule by `any_of` and `all_of`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from isd_ray.config import Condition, StoppingConfig

_ROUNDING = 1e-9
"""Share of a sum of money that may be the rounding of its addition."""
Bought: TypeAlias = Callable[[float], int]
"""How many compounds are acquired in all when the next one would cost more than is left of a sum."""


def bought(prices: NDArray[np.float64], spent: float = 0.0, n_acquired: int = 0) -> Bought:
    """What money buys beside what was acquired and spent already, in the order of `prices`, float64 (n,)."""
    totals = spent + np.cumsum(prices)
    return lambda money: n_acquired + int(np.searchsorted(totals, money * (1.0 + _ROUNDING), side="right"))


def no_prices(money: float) -> int:
    """For a screen without a condition on money, which asks for no price."""
    raise ValueError("the configuration requires a price for a cost")


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a screen is: compounds acquired, rounds done, and whether the stopping rule says stop."""

    n_acquired: int
    rounds: int
    rule: bool = False


def holds(condition: Condition, reached: Reached, n_target: int, paid: Bought) -> bool:
    """Whether a condition holds; money counts as spent when not one more compound can be paid."""
    parts = condition.any_of or condition.all_of
    if parts is not None:
        joined = any if condition.any_of else all
        return joined(holds(part, reached, n_target, paid) for part in parts)
    if condition.rule:
        return reached.rule
    if condition.rounds is not None:
        return reached.rounds >= condition.rounds
    return reached.n_acquired >= _compounds(condition, n_target, paid)


def affordable(config: StoppingConfig, n_acquired: int, rounds: int, n_target: int, paid: Bought = no_prices) -> int:
    """Most compounds that may still be acquired before the screen ends whatever the rule says."""
    condition = config.condition
    counted = [leaf for leaf in condition.leaves() if not leaf.rule and leaf.rounds is None]
    for limit in sorted({n_acquired, *(_compounds(leaf, n_target, paid) for leaf in counted)}):
        if limit >= n_acquired and holds(condition, Reached(limit, rounds), n_target, paid):
            return limit - n_acquired
    return n_target - n_acquired


def rule_counts(config: StoppingConfig, n_acquired: int, rounds: int, n_target: int, paid: Bought = no_prices) -> bool:
    """Whether a yes of the rule would end the screen now: only then is it asked, and only then an audit spent."""
    return holds(config.condition, Reached(n_acquired, rounds, rule=True), n_target, paid)


def limits_reached(condition: Condition, reached: Reached, n_target: int, paid: Bought) -> tuple[Condition, ...]:
    """The leaves by which a condition holds; none if it does not."""
    if not holds(condition, reached, n_target, paid):
        return ()
    parts = condition.any_of or condition.all_of
    if parts is None:
        return (condition,)
    return tuple(leaf for part in parts for leaf in limits_reached(part, reached, n_target, paid))


def words_of(leaf: Condition) -> str:
    """A limit as people say it."""
    if leaf.rounds is not None:
        return f"{leaf.rounds:,} round{'s' if leaf.rounds != 1 else ''}"
    if leaf.compounds is not None:
        return f"{leaf.compounds:,} compound{'s' if leaf.compounds != 1 else ''}"
    if leaf.fraction is not None:
        return f"{100 * leaf.fraction:.4g} % of the target set"
    return f"{leaf.cost:,.10g} in money"


def _compounds(leaf: Condition, n_target: int, paid: Bought) -> int:
    if leaf.compounds is not None:
        return leaf.compounds
    if leaf.fraction is not None:
        return int(leaf.fraction * n_target + 1e-9)
    assert leaf.cost is not None, "a leaf has one key"
    return paid(leaf.cost)
