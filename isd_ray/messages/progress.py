"""What the loop tells those who watch it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class StepTaken:
    """A step of the loop: which, in which round, how long it took, and how many inference rows were scored in it."""

    name: str
    round: int
    seconds: float
    n_scored: int


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a campaign stands after one step of the loop: what live displays, logs and metrics show.

    `state` and `round` are those of the step that comes next. `n_affordable` is how many compounds may still be
    acquired before the budget ends the screen. `waiting` is whether readouts are missing, so that nothing can go on.
    `system_bound`, `calibration_alarm` and `system_value` (the claimed quantity, known in a simulation only) speak of
    the last finished round: its model, and the observation set with its batch. `constant` is what the goal is held
    against, in a few words.
    """

    state: str
    round: int
    n_target: int
    n_observed: int
    n_inference: int
    n_affordable: int
    done: bool
    taken: StepTaken
    system_bound: float | None = None
    system_value: float | None = None
    constant: str | None = None
    decision: str = ""
    calibration_alarm: bool = False
    waiting: bool = False
    warnings: tuple[str, ...] = field(default=())
