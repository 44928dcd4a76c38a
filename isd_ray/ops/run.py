"""Running a prepared campaign, on Ray or in this process."""

from __future__ import annotations

from collections.abc import Generator

from isd_ray.campaign.backend import LocalBackend
from isd_ray.campaign.setup import CampaignSetup, open_loop
from isd_ray.messages import Progress


def run(setup: CampaignSetup) -> Generator[Progress, None, None]:
    """Run a campaign on the configured backend, step by step, to its end or until readouts are missing."""
    if setup.config.compute.backend == "ray":
        from isd_ray.actors.coordinator import run_on_ray

        yield from run_on_ray(setup)
        return
    loop = open_loop(setup, LocalBackend(setup.spec, setup.truth))
    done = False
    while not done:
        progress = loop.advance()
        done = progress.done or progress.waiting
        yield progress
