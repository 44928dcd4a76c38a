"""How the verbs of an attached campaign reach its coordinator; `over_ray` and `over_http` are the two ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from isd_ray.messages import Progress
from isd_ray.ops.calls import VerbCall

Heard: TypeAlias = Callable[[Progress], None]


class Transport(Protocol):
    """Calls of one campaign's coordinator: errors of ours come back as they were raised, a call that is lost again."""

    def ready(self) -> Mapping[str, Any]:
        """What `isd_ray.ops.coordinator.Coordinator.ready` says; the coordinator is started if there is none.

        Raises
        ------
        IsdError
            If it cannot be reached.
        """

    def change(self, call: VerbCall, heard: Heard | None = None) -> Any:
        """Do a verb that may change the campaign; `heard` is told of its steps meanwhile."""

    def look(self, call: VerbCall) -> Any:
        """Do a verb that only reads."""

    def write(self, call: VerbCall, name: str, file: Path) -> Any:
        """Do a verb that writes a file of that name, and bring its content into a file here; what the verb returned."""

    def stop(self) -> bool:
        """End the coordinator, its trainers and scorers; whether there was one."""
