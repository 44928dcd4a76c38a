"""The bound actor: evidence in, decision out."""

from __future__ import annotations

from isd_ray.core.stopping import Judge
from isd_ray.models.blas import one_blas_thread


class BoundActor(Judge):
    """The stopping rule in a process of its own."""

    def ready(self) -> None:
        """Hold its products to one thread, as the loop does in the process of a campaign without Ray: for good."""
        one_blas_thread.__enter__()
