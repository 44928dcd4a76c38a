"""The bound actor: evidence in, decision out."""

from __future__ import annotations

from isd_ray.core.stopping import Judge


class BoundActor(Judge):
    """The stopping rule in a process of its own."""

    def ready(self) -> None:
        """Nothing to prepare."""
