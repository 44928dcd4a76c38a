"""Live progress in a terminal: a bar where there is a terminal, plain lines where there is none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.progress import BarColumn, SpinnerColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Column
from rich.text import Text

from isd_ray.campaign.watcher import Watcher
from isd_ray.config import CampaignConfig
from isd_ray.data.ingest.progress import BuildProgress
from isd_ray.messages import Progress
from isd_ray.printable import printable
from isd_ray.report.numbers import duration
from isd_ray.report.steps import ShownGoal, StepsByName, goal_of
from isd_ray.report.words import summary_table

BUILD_LINE_SECONDS = 60
"""Without a terminal, seconds from one line about a library build to the next."""
_LIBRARY = "library"
_NAME_LETTERS = (15, 24)
"""Least and most letters of a name beside its bar."""


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

    def begins(self, name: str, config: CampaignConfig) -> None:
        """The campaign `name` is shown against the goal of this configuration."""
        self._steps.begins(name, goal_of(config))

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

    def _task(self, name: str) -> Task:
        return next(task for task in self._bar.tasks if task.id == self._tasks[name])


def build_words(progress: BuildProgress) -> str:
    """Rejects, and until the end rate and the time left where it is known."""
    words = f"{progress.n_rejected:,} rejected"
    if progress.share >= 1.0:
        return words
    words += f", {progress.rate:,.0f} records/s"
    left = progress.seconds_left
    return words if left is None else f"{words}, about {duration(left)} left"
