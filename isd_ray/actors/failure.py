"""What to do when an actor is lost: a pure policy."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class FailureDecision(Enum):
    """The two ways to go on."""

    REPLACE = "replace"
    GIVE_UP = "give up"


@dataclass(frozen=True, slots=True)
class FailurePolicy:
    """A budget for lost actors. Errors raised by our own code are never retried: they would recur.

    Attributes
    ----------
    max_lost:
        Actors that may be replaced during one phase, those on preempted nodes not counted: that a spot node is taken
        back says nothing about the work.
    """

    max_lost: int

    def decide(self, n_lost: int) -> FailureDecision:
        """Judge the `n_lost`-th loss of a phase (counted from 1) that was no preemption."""
        return FailureDecision.REPLACE if n_lost <= self.max_lost else FailureDecision.GIVE_UP
