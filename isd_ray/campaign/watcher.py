"""Who is told about progress."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from isd_ray.data.ingest.progress import BuildProgress
from isd_ray.messages import Progress


class Watcher:
    """Told what happens while a campaign is prepared and runs; this one ignores it."""

    def message(self, text: str) -> None:
        """A line of text."""

    def building(self, progress: BuildProgress) -> None:
        """The library grows."""

    def step(self, name: str, progress: Progress) -> None:
        """The campaign `name` did a step."""

    def result(self, summary: Mapping[str, Any]) -> None:
        """A screen has ended, with this summary, and something is run beside it yet."""
