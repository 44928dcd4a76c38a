"""Running a prepared campaign, on Ray or in this process."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import nullcontext
from typing import TypeAlias

from isd_ray.campaign.backend import Backend
from isd_ray.campaign.setup import CampaignSetup, open_loop
from isd_ray.campaign.versions import target_of
from isd_ray.campaign.workers import LocalWorkers
from isd_ray.messages import Progress
from isd_ray.ops.connect import ray_session
from isd_ray.ops.observe import observed

Steps: TypeAlias = Generator[Progress, None, None]
Run: TypeAlias = Callable[[CampaignSetup], Steps]
"""Runs a campaign, step by step, to its end or until readouts are missing."""


def run(setup: CampaignSetup, say: Callable[[str], None] | None = None) -> Steps:
    """Run a campaign on the configured backend, step by step, to its end or until readouts are missing.

    Parameters
    ----------
    say:
        Told what is waited for on Ray, before the first step; default: it is logged.
    """
    if setup.config.compute.backend == "ray":
        from isd_ray.ops.coordinator import run_on_ray

        yield from observed(setup.config, run_on_ray(setup, say), on_ray=True)
    else:
        steps = _advance(setup, Backend(setup.spec, setup.truth, LocalWorkers(setup.spec)))
        yield from observed(setup.config, steps, on_ray=False)


def run_cold(setup: CampaignSetup) -> Steps:
    """`run` from nothing: reads the library through, starts or reaches Ray, and leaves nothing behind."""
    _verify_library(setup)
    compute = setup.config.compute
    with ray_session(compute) if compute.backend == "ray" else nullcontext():
        yield from run(setup)


class WarmRun:
    """`run` on the connected Ray that keeps the actors, with what they hold of the library, for the next time.

    What is kept only saves time: the loop is opened from the store each time. The library is read through when the
    actors start, not each time. They are ended with the screen, and after an error: what broke is not used again.
    """

    def __init__(self) -> None:
        self._backend: Backend | None = None
        self._version: str | None = None

    def __call__(self, setup: CampaignSetup) -> Steps:
        """See `Run`."""
        yield from observed(setup.config, self._steps(setup), on_ray=True)

    def _steps(self, setup: CampaignSetup) -> Steps:
        is_waiting = False
        try:
            if self._backend is None or self._version != setup.spec.version:
                _verify_library(setup)
            for progress in _advance(setup, self.started(setup)):
                yield progress
                is_waiting = progress.waiting
        finally:
            if not is_waiting:
                self.close()

    def started(self, setup: CampaignSetup) -> Backend:
        """The backend, whose actors are started unless they are kept."""
        if self._backend is not None and self._version != setup.spec.version:
            self.close()  # the actors hold the library as it was before it grew
        if self._backend is None:
            from isd_ray.actors.workers import RayWorkers

            self._version = setup.spec.version
            self._backend = Backend(setup.spec, setup.truth, RayWorkers(setup.spec, str(setup.out)))
        return self._backend

    def close(self) -> None:
        """End the actors."""
        if self._backend is not None:
            self._backend.close()
        self._backend = None


def _verify_library(setup: CampaignSetup) -> None:
    target_of(setup.spec).verify()


def _advance(setup: CampaignSetup, backend: Backend) -> Steps:
    loop = open_loop(setup, backend)
    done = False
    while not done:
        progress = loop.advance()
        done = progress.done or progress.waiting
        yield progress
