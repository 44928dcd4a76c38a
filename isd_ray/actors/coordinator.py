"""The coordinator: owns the observation set, the inference set and the rounds, and is the only writer of rounds."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace

import ray

from isd_ray.actors.group import ActorGroup
from isd_ray.actors.logs import configure
from isd_ray.actors.options import scorer_options, stable_options, trainer_options
from isd_ray.actors.room import give_back, words_of
from isd_ray.actors.workers import RayWorkers
from isd_ray.campaign.backend import Backend
from isd_ray.campaign.setup import CampaignSetup, open_loop
from isd_ray.messages import Progress


class Coordinator:
    """Runs the campaign's loop over workers on Ray. Holds nothing that the store does not hold.

    The work of starting is in `ready`, not in the constructor: Ray drops the type of what a constructor raises.
    """

    def __init__(self, setup: CampaignSetup) -> None:
        self._setup = setup

    def ready(self) -> None:
        """Start the other actors and read the store."""
        setup = self._setup
        configure(setup.config.logging)
        self._backend = Backend(setup.spec, setup.truth, RayWorkers(setup.spec, str(setup.out)))
        self._loop = open_loop(setup, self._backend)

    def advance(self) -> Progress:
        """One step of the loop."""
        return self._loop.advance()

    def close(self) -> None:
        """End the other actors."""
        self._backend.close()


def run_on_ray(setup: CampaignSetup, say: Callable[[str], None] | None = None) -> Generator[Progress, None, None]:
    """Run a campaign on the connected Ray, step by step, to its end or until readouts are missing.

    A coordinator that dies is replaced; the new one continues from the store, with the same result.

    Parameters
    ----------
    say:
        Told what is waited for while actors find no room, or start slowly; default: it is logged.

    Raises
    ------
    IsdError
        What the campaign raised.
    ActorLostError
        If coordinators keep dying.
    """
    # No timeouts here: whatever the coordinator waits for has its own, and it takes up no room.
    options = replace(stable_options(setup.config, "coordinator"), start_timeout_s=None, call_timeout_s=None)
    group = ActorGroup(Coordinator, (ray.put(setup),), options)
    asking = (trainer_options(setup.config), scorer_options(setup.config))
    try:
        group.wait_until_ready(None if say is None else lambda: say(f"waiting for actors to start; {words_of(asking)}"))
        done = False
        while not done:
            [progress] = group.map("advance", [()])
            done = progress.done or progress.waiting
            yield progress
        group.map("close", [()])
    finally:
        group.close()
        give_back(str(setup.out))  # where the coordinator was killed by an error, or is not wanted any more
