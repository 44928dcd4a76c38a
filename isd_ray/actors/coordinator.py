"""The coordinator: owns the observation set, the inference set and the rounds, and is the only writer of rounds."""

from __future__ import annotations

from collections.abc import Iterator

import ray
from ray.exceptions import RayTaskError

from isd_ray.actors.backend import RayBackend
from isd_ray.actors.failure import FailureDecision, FailurePolicy
from isd_ray.actors.group import LOSSES, unwrap
from isd_ray.campaign.setup import CampaignSetup, open_loop
from isd_ray.errors import ActorLostError
from isd_ray.messages import Progress


class Coordinator:
    """Runs the campaign's loop over a `RayBackend`. Holds nothing that the store does not hold.

    The work of starting is in `ready`, not in the constructor: Ray drops the type of what a constructor raises.
    """

    def __init__(self, setup: CampaignSetup) -> None:
        self._setup = setup

    def ready(self) -> None:
        """Start the other actors and read the store."""
        self._backend = RayBackend(self._setup.spec, self._setup.truth)
        self._loop = open_loop(self._setup, self._backend)

    def advance(self) -> Progress:
        """One step of the loop."""
        return self._loop.advance()

    def close(self) -> None:
        """End the other actors."""
        self._backend.close()


def run_on_ray(setup: CampaignSetup) -> Iterator[Progress]:
    """Run a campaign on the connected Ray to its end, step by step.

    A coordinator that dies is replaced; the new one continues from the store, with the same result.

    Raises
    ------
    IsdError
        What the campaign raised.
    ActorLostError
        If coordinators keep dying.
    """
    policy = FailurePolicy(setup.spec.config.compute.lost_actor_retries)
    setup_ref = ray.put(setup)
    coordinator, ready = None, False
    n_lost = 0
    done = False
    try:
        while not done:
            try:
                if coordinator is None:
                    coordinator, ready = ray.remote(Coordinator).options(num_cpus=0).remote(setup_ref), False
                if not ready:
                    ray.get(coordinator.ready.remote())
                    ready = True
                progress: Progress = ray.get(coordinator.advance.remote())
            except RayTaskError as error:
                raise unwrap(error) from error
            except LOSSES as error:
                coordinator = None
                n_lost += 1
                if policy.decide(n_lost) is FailureDecision.GIVE_UP:
                    raise ActorLostError(
                        f"the coordinator was lost {n_lost} times", remedy="see the Ray logs; run again to continue"
                    ) from error
            else:
                done = progress.done
                yield progress
        ray.get(coordinator.close.remote())
    finally:
        if coordinator is not None:
            ray.kill(coordinator)
