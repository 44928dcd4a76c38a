"""Live progress in a terminal: a bar where there is a terminal, plain lines where there is none."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from isd_ray.campaign.watcher import Watcher
from isd_ray.data.ingest.progress import BuildProgress
from isd_ray.messages import Progress

BUILD_LINE_SECONDS = 60
"""Without a terminal, seconds from one line about a library build to the next."""
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


class LiveProgress(Watcher):
    """Shows progress while it is open as a context manager.

    Parameters
    ----------
    console:
        Where to write; results go to standard output, so progress belongs on standard error.
    gamma:
        Accuracy asked for; None when no rule is in force.
    """

    def __init__(self, console: Console, gamma: float | None) -> None:
        self._console = console
        self._gamma = gamma
        self._tasks: dict[str, TaskID] = {}
        self._last_line = ("", -1)
        self._n_lines = 0
        self._bar = Bar(
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[status]}"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> LiveProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def message(self, text: str) -> None:
        """One line, between the updates."""
        self._console.print(escape(text), highlight=False, soft_wrap=True)

    def building(self, progress: BuildProgress) -> None:
        """The library grows."""
        left = progress.seconds_left
        status = f"{progress.n_rejected:,} rejected, {progress.rate:,.0f} records/s"
        if left is not None:
            status += f", {_duration(left)} left"
        if self._console.is_terminal:
            self._show("library", progress.n_read, progress.n_total, status)
            return
        if progress.n_read_before and not self._n_lines:
            self.message(f"library: continues behind record {progress.n_read_before:,}")
        if progress.seconds >= self._n_lines * BUILD_LINE_SECONDS:
            self._n_lines = int(progress.seconds // BUILD_LINE_SECONDS) + 1
            self.message(f"library: {progress.n_read:,} of {progress.n_total:,} records read, {status}")

    def step(self, name: str, progress: Progress) -> None:
        """The campaign `name` did a step."""
        for warning in progress.warnings:
            self.message(f"warning: {warning}")
        numbers = self._numbers(progress)
        if self._console.is_terminal:
            status = f"round {progress.round}: {PHASES[progress.state]}; {numbers}"
            self._show(name, progress.n_observed, progress.n_target, status)
        elif (name, progress.round) != self._last_line or progress.done:
            self._last_line = (name, progress.round)
            end = "; done" if progress.done else ""
            counts = f"acquired {progress.n_observed:,} of {progress.n_target:,}"
            self.message(f"{name}: round {progress.round}, {counts}; {numbers}{end}")

    def _show(self, name: str, completed: int, total: int | None, status: str) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._bar.add_task(name, total=total, status=status)
        self._bar.update(self._tasks[name], completed=completed, total=total, status=status)

    def _numbers(self, progress: Progress) -> str:
        parts = []
        if progress.system_bound is not None:
            goal = f" (goal {self._gamma:g})" if self._gamma is not None else ""
            parts.append(f"bound {progress.system_bound:.3f}{goal}")
        if progress.system_value is not None:
            parts.append(f"truly {progress.system_value:.3f}")
        return ", ".join(parts) or "no bound yet"


def _duration(seconds: float) -> str:
    """Seconds as h:mm:ss or m:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
