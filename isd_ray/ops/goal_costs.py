"""What goals cost: ranges of wells and trips, and whether anything is saved, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from isd_ray.card import card, paragraphs, rows
from isd_ray.config.claims import claim_named

NOT_WORTH = 0.85
"""A goal that takes this share of the target set saves next to nothing."""
LEVELS = {"accuracy": (0.9, 0.95), "recall": (0.8, 0.9), "precision": (0.9,), "balanced_accuracy": (0.8, 0.9)}
"""Goals that are tried of each quantity, beside the configured one."""


def goal_name(quantity: str, level: float) -> str:
    """A goal in a few words."""
    return f"{next(iter(claim_named(quantity).goals.values())).noun} {level:g}"


@dataclass(frozen=True, slots=True)
class GoalCost:
    """What a goal would cost.

    Attributes
    ----------
    quantity, level:
        The claim.
    wells, trips:
        Least and greatest over what was tried, audits included; None where none of them ended.
    n_target:
        Compounds of the target set.
    n_tried, n_ended:
        Replays, or seeds, and those that ended with the goal met before everything was measured.
    constant:
        What one answer for every compound has of the quantity, if that is no less than the goal: then nothing else was
        tried of it.
    """

    quantity: str
    level: float
    wells: tuple[int, int] | None
    trips: tuple[int, int] | None
    n_target: int
    n_tried: int
    n_ended: int
    constant: float | None = None

    @property
    def name(self) -> str:
        """The claim in a few words."""
        return goal_name(self.quantity, self.level)

    @property
    def verdict(self) -> str:
        """Whether anything is saved."""
        if self.constant is not None:
            return f"worth nothing: one answer for every compound has {self.constant:.4g}, without any model"
        if self.wells is None:
            return "nothing is saved: all is measured"
        low, high = (n / self.n_target for n in self.wells)
        if low >= NOT_WORTH:
            return f"next to nothing is saved: {low:.0%} or more are measured"
        if self.n_ended < self.n_tried or high >= NOT_WORTH:
            return f"uncertain: from {1 - low:.0%} saved to nothing"
        ends = [f"{1 - share:.0%}" for share in (high, low)]
        return f"{' to '.join(dict.fromkeys(ends))} saved"


@dataclass(frozen=True, slots=True)
class Advice:
    """What was found.

    Attributes
    ----------
    goals:
        In the order in which they were tried.
    interval:
        What the ranges are, and are not, in a sentence.
    notes:
        What else is to be known.
    """

    goals: tuple[GoalCost, ...]
    interval: str
    notes: tuple[str, ...]

    def _repr_html_(self) -> str:
        table = rows(("goal", "wells", "trips", ""), advice_lines(self))
        return card("What each goal would cost", table, paragraphs([f"Ranges: {self.interval}.", *self.notes]))


def range_of(numbers: Sequence[int]) -> tuple[int, int] | None:
    """Least and greatest; None of none."""
    return (min(numbers), max(numbers)) if numbers else None


def advice_lines(advice: Advice) -> list[tuple[str, str, str, str]]:
    """A line for each goal: its name, wells, trips, and whether anything is saved."""
    return [cost_line(cost) for cost in advice.goals]


def cost_line(cost: GoalCost) -> tuple[str, str, str, str]:
    """Name, wells and trips of a goal, and whether anything is saved."""
    return cost.name, _words(cost.wells), _words(cost.trips), cost.verdict


def _words(ends: tuple[int, int] | None) -> str:
    if ends is None:
        return "all"
    return f"{ends[0]:,}" if ends[0] == ends[1] else f"{ends[0]:,} to {ends[1]:,}"
