"""Who is told about progress."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from isd_ray.config import StoppingConfig, Task
from isd_ray.data.ingest.progress import BuildProgress
from isd_ray.messages import Progress


class Watcher:
    """Told what happens while a campaign is prepared and runs; this one ignores it."""

    def message(self, text: str) -> None:
        """A line of text."""

    def begins(self, name: str, stopping: StoppingConfig, task: Task) -> None:
        """The steps of the campaign `name` are of this goal from now on, where several are run."""

    def building(self, progress: BuildProgress) -> None:
        """The library grows."""

    def step(self, name: str, progress: Progress) -> None:
        """The campaign `name` did a step."""

    def result(self, summary: Mapping[str, Any]) -> None:
        """A screen has ended, with this summary, and something is run beside it yet."""


class Named(Watcher):
    """Passes on what happens in one of several screens, its steps by a name of its own."""

    def __init__(self, watcher: Watcher, name: str) -> None:
        self._watcher, self._name = watcher, name

    def message(self, text: str) -> None:
        """A line of text."""
        self._watcher.message(f"{self._name}: {text}")

    def begins(self, name: str, stopping: StoppingConfig, task: Task) -> None:
        """The screen begins."""
        self._watcher.begins(self._name, stopping, task)

    def building(self, progress: BuildProgress) -> None:
        """The library grows."""
        self._watcher.building(progress)

    def step(self, name: str, progress: Progress) -> None:
        """A step of the screen."""
        self._watcher.step(self._name, progress)
