"""Live progress and status in a terminal: bars and a table where there is one, plain lines where there is none."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any

from rich.console import Console, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.progress import Task as BarTask
from rich.table import Column, Table
from rich.text import Text

from isd_ray.campaign.status import Status
from isd_ray.campaign.watcher import Watcher
from isd_ray.config import StoppingConfig, Task
from isd_ray.data.ingest.progress import BuildProgress
from isd_ray.messages import Progress
from isd_ray.printable import printable
from isd_ray.report.numbers import duration
from isd_ray.report.steps import ShownGoal, StepsByName, goal_of
from isd_ray.report.tables import two_columns
from isd_ray.report.words import status_line, status_lines, summary_table

BUILD_LINE_SECONDS = 60
"""Without a terminal, seconds from one line about a library build to the next."""
_LIBRARY = "library"
_NAME_LETTERS = (15, 24)
"""Least and most letters of a name beside its bar."""
STATUS_EVERY_S = 3.0
"""From one look at the status to the next."""


class _Bars(Bar):
    """Bars, each with its words below it: beside it they would not fit into 80 columns. Finished ones have none."""

    def get_renderables(self) -> Iterable[RenderableType]:
        """A row for each campaign, and its words while there are any."""
        for task in self.tasks:
            yield self.make_tasks_table([task])
            if task.fields["status"]:
                yield Padding(Text(task.fields["status"]), (0, 0, 0, 2))


class LiveProgress(Watcher):
    """Shows progress while it is open as a context manager.

    Parameters
    ----------
    console:
        Where to write; results go to standard output, so progress belongs on standard error.
    asked:
        What progress is shown against.

    Attributes
    ----------
    has_shown_result:
        Whether a summary was shown, before something else was run.
    """

    def __init__(self, console: Console, asked: ShownGoal) -> None:
        self._console = console
        self.has_shown_result = False
        self._steps = StepsByName(asked)
        self._tasks: dict[str, TaskID] = {}
        self._last_line = ("", -1)
        self._n_lines = 0
        least, most = _NAME_LETTERS
        self._bar = _Bars(
            SpinnerColumn(),
            TextColumn(
                "{task.description}",
                style="bold",
                markup=False,
                table_column=Column(min_width=least, max_width=most, no_wrap=True, overflow="ellipsis"),
            ),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[counts]}"),
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
        if kind is None and _LIBRARY in self._tasks:
            self._finish(_LIBRARY)
        self._bar.stop()

    def message(self, text: str) -> None:
        """One line, between the updates."""
        self._console.print(printable(text), markup=False, highlight=False, soft_wrap=True)

    def begins(self, name: str, stopping: StoppingConfig, task: Task) -> None:
        """The campaign `name` is shown against this goal."""
        self._steps.begins(name, goal_of(stopping, task))

    def building(self, progress: BuildProgress) -> None:
        """The library grows."""
        status = build_words(progress)
        if self._console.is_terminal:
            self._show(_LIBRARY, progress.n_read, progress.n_total, status)
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
        step = self._steps.words_of(name, progress)
        if step.note:
            self.message(step.note)
        if self._console.is_terminal:
            if _LIBRARY in self._tasks:
                self._finish(_LIBRARY)
            self._show(name, step.n_acquired, step.n_target, "; ".join((step.phase, *step.numbers)))
            if progress.done:
                self._finish(name)
        elif (name, progress.round) != self._last_line or progress.done:
            self._last_line = (name, progress.round)
            end = "; done" if progress.done else ""
            self.message(f"{name}: round {progress.round}, {step.counts}; {', '.join(step.numbers)}{end}")

    def result(self, summary: Mapping[str, Any]) -> None:
        """The results of a screen, before something else is run."""
        self._console.print(summary_table(summary))
        self.has_shown_result = True

    def _show(self, name: str, completed: int, total: int, status: str) -> None:
        counts = f"{completed:,} of {total:,}"
        if name not in self._tasks:
            self._tasks[name] = self._bar.add_task(printable(name), total=total, status=status, counts=counts)
        task = self._task(name)
        if task.finished and not task.fields["status"]:  # another run of the same name
            self._bar.reset(task.id, total=total)
        self._bar.update(task.id, completed=completed, total=total, status=status, counts=counts)

    def _finish(self, name: str) -> None:
        """A full bar without words: what it counts has ended, though not all compounds are measured."""
        task = self._task(name)
        self._bar.update(task.id, completed=task.total, status="")

    def _task(self, name: str) -> BarTask:
        return next(task for task in self._bar.tasks if task.id == self._tasks[name])


def build_words(progress: BuildProgress) -> str:
    """What became of records that are no rows, and until the end rate and the time left where it is known."""
    words = f"{progress.n_merged:,} merged, {progress.n_refused:,} refused"
    if progress.share >= 1.0:
        return words
    words += f", {progress.rate:,.0f} records/s"
    left = progress.seconds_left
    return words if left is None else f"{words}, about {duration(left)} left"


def status_table(status: Status) -> Table:
    """The status as a table."""
    return two_columns(f"Campaign {status.campaign_id}", status_lines(status))


def follow(
    look: Callable[[], Status],
    console: Console,
    every_s: float = STATUS_EVERY_S,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Show the status again and again, until the screen has ended or Ctrl-C.

    In a terminal one table is kept up to date; elsewhere a line is printed when something has changed.
    """
    with suppress(KeyboardInterrupt):
        if not console.is_terminal:
            _print_changes(look, console, every_s, sleep)
            return
        status = look()
        with Live(status_table(status), console=console, auto_refresh=False) as live:
            while status.state != "ended":
                sleep(every_s)
                status = look()
                live.update(status_table(status), refresh=True)


def _print_changes(
    look: Callable[[], Status], console: Console, every_s: float, sleep: Callable[[float], None]
) -> None:
    said = None
    while True:
        status = look()
        if (line := status_line(status)) != said:
            said = line
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        if status.state == "ended":
            return
        sleep(every_s)
