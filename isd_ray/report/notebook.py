"""Live progress in a notebook: one piece of HTML below the cell that runs, updated in place."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from isd_ray.campaign.watcher import Watcher
from isd_ray.card import bar, card, pairs, paragraphs
from isd_ray.config import StoppingConfig, Task
from isd_ray.data.ingest.progress import BuildProgress
from isd_ray.messages import Progress
from isd_ray.report.progress import build_words
from isd_ray.report.steps import ShownGoal, StepsByName, goal_of
from isd_ray.report.words import summary_lines

N_MESSAGES = 6
"""Lines of text that are kept in sight."""
BUILD_EVERY_S = 0.5
"""From one update about a library build to the next."""


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook: no terminal of IPython, no plain script."""
    ipython = sys.modules.get("IPython")  # a kernel has imported it; nobody else needs it
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    return getattr(shell, "kernel", None) is not None


def default_watcher(stopping: StoppingConfig, task: Task) -> Watcher:
    """Who is told about progress when nobody was named: in a notebook the reader, elsewhere nobody."""
    return NotebookProgress(goal_of(stopping, task)) if in_notebook() else Watcher()


@dataclass(frozen=True, slots=True)
class Row:
    """A campaign, or a library that is built."""

    name: str
    done: int
    total: int
    counts: str
    words: str


@dataclass(frozen=True, slots=True)
class Shown:
    """What stands below the cell; a frontend without HTML gets its plain lines."""

    rows: Sequence[Row]
    messages: Sequence[str]
    summary: Sequence[tuple[str, str]] = ()

    def __repr__(self) -> str:
        lines = [f"{row.name}: {'; '.join(filter(None, (row.counts, row.words)))}" for row in self.rows]
        return "\n".join([*(f"{what}: {answer}" for what, answer in self.summary), *self.messages, *lines])

    def _repr_html_(self) -> str:
        parts = [
            f'<div style="margin:.3em 0"><strong>{escape(row.name)}</strong> {bar(row.done, row.total, row.counts)}'
            f"{'<br>' if row.words else ''}{escape(row.words)}</div>"
            for row in self.rows
        ]
        found = [pairs(self.summary)] if self.summary else []
        return card("", *found, *parts, paragraphs(self.messages))


class CellDisplay:
    """One thing below the cell that runs: what is shown takes the place of what was shown before."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, shown: Any) -> None:
        """Show it, by its `_repr_html_`."""
        from IPython.display import display

        if self._handle is None:
            self._handle = display(shown, display_id=True)
        else:
            self._handle.update(shown)


class NotebookProgress(Watcher):
    """Shows progress below the cell that runs.

    Parameters
    ----------
    asked:
        What progress is shown against.
    """

    def __init__(self, asked: ShownGoal) -> None:
        self._steps = StepsByName(asked)
        self._rows: dict[str, Row] = {}
        self._summary: Sequence[tuple[str, str]] = ()
        self._messages: deque[str] = deque(maxlen=N_MESSAGES)
        self._cell: int | None = None
        self._display = CellDisplay()
        self._next_build = 0.0

    def message(self, text: str) -> None:
        """A line of text."""
        self._turn_to_cell()
        self._messages.append(text)
        self._show()

    def begins(self, name: str, stopping: StoppingConfig, task: Task) -> None:
        """The campaign `name` is shown against this goal."""
        self._steps.begins(name, goal_of(stopping, task))

    def building(self, progress: BuildProgress) -> None:
        """The library grows."""
        now = time.monotonic()
        if now < self._next_build and progress.share < 1.0:
            return
        self._next_build = now + BUILD_EVERY_S
        self._turn_to_cell()
        counts = f"{progress.n_read:,} of {progress.n_total:,} records read"
        self._rows["library"] = Row("library", progress.n_read, progress.n_total, counts, build_words(progress))
        self._show()

    def step(self, name: str, progress: Progress) -> None:
        """The campaign `name` did a step."""
        self._turn_to_cell()
        self._messages.extend(f"warning: {warning}" for warning in progress.warnings)
        step = self._steps.words_of(name, progress)
        if step.note:
            self._messages.append(step.note)
        if progress.done:  # a full bar without words: the screen has ended, though not all compounds are measured
            self._rows[name] = Row(name, step.n_target, step.n_target, f"{step.counts}; done", "")
        else:
            words = "; ".join((step.phase, *step.numbers))
            self._rows[name] = Row(name, step.n_acquired, step.n_target, step.counts, words)
        self._show()

    def result(self, summary: Mapping[str, Any]) -> None:
        """The results of a screen, before something else is run."""
        self._summary = summary_lines(summary)
        self._show()

    def _turn_to_cell(self) -> None:
        """Begin anew below another cell: what stands below an earlier one is what happened there."""
        from IPython import get_ipython

        if (cell := get_ipython().execution_count) != self._cell:
            self._cell, self._display = cell, CellDisplay()
            self._rows.clear()
            self._messages.clear()
            self._summary = ()

    def _show(self) -> None:
        self._display.show(Shown(tuple(self._rows.values()), tuple(self._messages), self._summary))
