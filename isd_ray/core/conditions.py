"""Budgets, and how they join with the stopping rule by `any_of` and `all_of`."""

from __future__ import annotations

from dataclasses import dataclass

from isd_ray.config import Condition, StoppingConfig


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a screen is: compounds acquired, rounds done, and whether the stopping rule says stop."""

    n_acquired: int
    rounds: int
    rule: bool = False


def holds(condition: Condition, reached: Reached, n_target: int, price: float | None) -> bool:
    """Whether a condition holds; money counts as spent when not one more compound can be paid."""
    parts = condition.any_of or condition.all_of
    if parts is not None:
        joined = any if condition.any_of else all
        return joined(holds(part, reached, n_target, price) for part in parts)
    if condition.rule:
        return reached.rule
    if condition.rounds is not None:
        return reached.rounds >= condition.rounds
    return reached.n_acquired >= _compounds(condition, n_target, price)


def affordable(config: StoppingConfig, n_acquired: int, rounds: int, n_target: int) -> int:
    """Most compounds that may still be acquired before the screen ends whatever the rule says."""
    condition, price = config.condition, config.cost_per_compound
    counted = [leaf for leaf in condition.leaves() if not leaf.rule and leaf.rounds is None]
    for limit in sorted({n_acquired, *(_compounds(leaf, n_target, price) for leaf in counted)}):
        if limit >= n_acquired and holds(condition, Reached(limit, rounds), n_target, price):
            return limit - n_acquired
    return n_target - n_acquired


def rule_counts(config: StoppingConfig, n_acquired: int, rounds: int, n_target: int) -> bool:
    """Whether a yes of the rule would end the screen now: only then is it asked, and only then an audit spent."""
    return holds(config.condition, Reached(n_acquired, rounds, rule=True), n_target, config.cost_per_compound)


def _compounds(leaf: Condition, n_target: int, price: float | None) -> int:
    if leaf.compounds is not None:
        return leaf.compounds
    if leaf.fraction is not None:
        return int(leaf.fraction * n_target + 1e-9)
    assert leaf.cost is not None, "a leaf has one key"
    assert price is not None, "the configuration requires a price for a cost"
    return int(leaf.cost / price + 1e-9)
