"""The steps of a campaign in words, for all that shows them as they come: a terminal, plain lines, a notebook."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from isd_ray.campaign.states import LoopState
from isd_ray.config import StoppingConfig, Task
from isd_ray.messages import Progress
from isd_ray.report.numbers import duration, rounded

PHASES = {
    "fit": "fitting the committee",
    "score": "scoring the inference set",
    "finish": "choosing the finish of a passed look",
    "release": "freezing the batch",
    "measure": "measuring the batch",
    "decide": "bounding the accuracy",
    "deliver": "writing the hybrid screen",
    "done": "done",
}
"""What each state of the loop means to a reader: the step that comes next."""
PACE_ROUNDS = 3
"""Rounds from which the pace is taken: later ones fit more compounds and take longer."""
SHORT_S = 5.0
"""A phase that took less last time is not worth a word on how long it takes."""
UNLESS = "if nothing stops it before"
"""What the time left depends on: the budget ends the screen if the rule does not; later rounds may be slower."""
_UNITS = (("s", 1.0), ("min", 60.0), ("h", 3600.0), ("day", 86400.0))
_SURE_TO_END = (LoopState.FINISH.value, LoopState.DELIVER.value, LoopState.DONE.value)
"""States in which the screen acquires no more than it has to: the budget says nothing of the time left."""


@dataclass(frozen=True, slots=True)
class ShownGoal:
    """What progress is shown against.

    Attributes
    ----------
    level:
        Of the goal; None when no rule is in force.
    is_error:
        Whether the goal is met below it, and a bound is the most that there may be.
    note:
        What a bound is, in words for who sees the first one.
    """

    level: float | None = None
    is_error: bool = False
    note: str = ""

    def words_of(self, bound: float) -> str:
        """The goal beside a bound: whether it is met by it."""
        is_met = self.level is not None and (bound < self.level if self.is_error else bound > self.level)
        return f"goal {self.level:g}{' met by it' if is_met else ''}"


def goal_of(stopping: StoppingConfig, task: Task) -> ShownGoal:
    """What the progress of a campaign is shown against."""
    about = f"at confidence {1 - stopping.delta:.4g} for that round"
    note = (
        f"bound: what the random compounds of one batch alone show, {about}"
        if stopping.in_force.is_audited
        else "bound: that of the paper (Eq. 6), a heuristic"
    )
    note += "; the stop rests on it" if stopping.in_force.is_heuristic else "; no stop rests on it"
    level = stopping.level if stopping.in_force.judges else None
    return ShownGoal(level, stopping.goal_class(task).is_error, f"{note} (isd explain bound)")


@dataclass(frozen=True, slots=True)
class Step:
    """Where a campaign stands, in words.

    Attributes
    ----------
    counts:
        How many compounds are measured.
    phase:
        Round and phase that come next.
    numbers:
        Bound, rate, time left: of each what is known, and nothing of the others.
    note:
        What is to be said once, with the first bound; else empty.
    """

    n_acquired: int
    n_target: int
    counts: str
    phase: str
    numbers: tuple[str, ...]
    note: str = ""


class Steps:
    """Words for the steps of one campaign; remembers how fast they came.

    Parameters
    ----------
    asked:
        What is shown beside a bound.
    clock:
        Seconds that never go back.
    """

    def __init__(self, asked: ShownGoal, clock: Callable[[], float] = time.monotonic) -> None:
        self._asked, self._clock = asked, clock
        self._round: int | None = None
        self._ended: deque[tuple[float, int]] = deque(maxlen=PACE_ROUNDS + 1)
        self._took: dict[str, float] = {}

    def words_of(self, progress: Progress) -> Step:
        """The words of the newest step."""
        now = self._clock()
        if self._round is not None and progress.round < self._round:  # another run of the same name
            self._ended.clear()
            self._took.clear()
        elif self._round is not None and progress.round > self._round:
            self._ended.append((now, progress.n_observed))
        self._round = progress.round
        self._took[progress.taken.name] = progress.taken.seconds
        phase = PHASES[progress.state]
        if (took := self._took.get(progress.state, 0.0)) >= SHORT_S and not progress.waiting:
            phase += f" ({duration(took)} last time)"
        if progress.waiting:
            phase = "waiting for readouts"
        return Step(
            n_acquired=progress.n_observed,
            n_target=progress.n_target,
            counts=f"measured {progress.n_observed:,} of {progress.n_target:,}",
            phase=f"round {progress.round}: {phase}",
            numbers=(*self._accuracy(progress), *self._pace(progress, now)),
        )

    def _accuracy(self, progress: Progress) -> list[str]:
        parts = []
        if (bound := progress.system_bound) is not None:
            against = [] if self._asked.level is None else [self._asked.words_of(bound)]
            if against and progress.constant is not None:
                against.append(progress.constant)
            parts.append(f"bound {rounded(bound)}" + (f" ({', '.join(against)})" if against else ""))
        if progress.system_value is not None:
            parts.append(f"truly {rounded(progress.system_value)}")
        return parts or ["no bound yet"]

    def _pace(self, progress: Progress, now: float) -> list[str]:
        """Rate and time left, by the clock and over whole rounds, so that measuring counts as well.

        The rule may stop the screen at any round, so only the budget bounds the time, at the pace of the last rounds.
        """
        if len(self._ended) < 2 or progress.waiting or progress.state in _SURE_TO_END:
            return []
        (began, first), (ended, last) = self._ended[0], self._ended[-1]
        if ended <= began or last <= first:
            return []
        per_second = (last - first) / (ended - began)
        unit, seconds = next((u for u in _UNITS if per_second * u[1] >= 10.0), _UNITS[-1])
        parts = [f"{per_second * seconds:,.0f} compounds/{unit}"]
        if (left := progress.n_affordable / per_second - (now - ended)) > 0:
            parts.append(f"about {duration(left)} left at this pace, {UNLESS}")
        return parts


class StepsByName:
    """The steps of campaigns that one reader follows: what a bound is, is said with the first of all."""

    def __init__(self, asked: ShownGoal) -> None:
        self._note = asked.note
        self._steps: defaultdict[str, Steps] = defaultdict(lambda: Steps(asked))

    def begins(self, name: str, asked: ShownGoal) -> None:
        """The campaign `name` begins, or begins anew, and is shown against this."""
        self._steps[name] = Steps(asked)

    def words_of(self, name: str, progress: Progress) -> Step:
        """The words of the newest step of the campaign `name`."""
        step = self._steps[name].words_of(progress)
        if progress.system_bound is not None and self._note:
            step, self._note = replace(step, note=self._note), ""
        return step
