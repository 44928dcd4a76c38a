"""The states of the campaign loop, and of who runs it."""

from __future__ import annotations

from enum import Enum


class LoopState(Enum):
    """One step of Algorithm 1 of the paper, or of a finish; each is left by one call of `CampaignLoop.advance`."""

    FIT = "fit"
    SCORE = "score"
    FINISH = "finish"
    PORTION = "portion"
    RELEASE = "release"
    MEASURE = "measure"
    DECIDE = "decide"
    DELIVER = "deliver"
    DONE = "done"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing follows."""
        return self is LoopState.DONE


class RunState(Enum):
    """How a campaign fares in the process that works at it."""

    RUNNING = "running"
    WAITING = "waiting"
    """For readouts."""
    ENDED = "ended"
    STOPPED = "stopped"
    """By its caller, before its end."""
    FAILED = "failed"
