"""The trainer: fits committee members."""

from __future__ import annotations

from isd_ray.campaign.fitting import MemberTrainer
from isd_ray.messages import WorkerSpec
from isd_ray.models.device import configure_threads, resolve_placement


class Trainer(MemberTrainer):
    """A `MemberTrainer` in a process of its own. Without a GPU of its own it is pinned to the CPU.

    The work of starting is in `ready`, not in the constructor: Ray drops the type of what a constructor raises.
    """

    def __init__(self, spec: WorkerSpec) -> None:
        self._spec = spec

    def ready(self) -> None:
        """Open the libraries and take the device."""
        compute = self._spec.config.compute
        configure_threads(compute.threads)
        placement = resolve_placement("cuda" if compute.trainer_gpus else "cpu", compute.precision, compute.threads)
        super().__init__(self._spec, placement)
