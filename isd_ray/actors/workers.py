"""The workers of a campaign as actors on Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ray

from isd_ray.actors.bound import BoundActor
from isd_ray.actors.group import ActorGroup
from isd_ray.actors.options import scorer_options, stable_options, trainer_options
from isd_ray.actors.room import Room
from isd_ray.actors.scorer import Scorer
from isd_ray.actors.trainer import Trainer
from isd_ray.campaign.workers import AnswerT, Kind
from isd_ray.core.goals import goal_for
from isd_ray.messages import WorkerSpec

SHARDS_PER_SCORER = 4
"""More shards than scorers, so that a fast scorer takes over from a slow one."""


class RayWorkers:
    """Trainers, scorers and the bound actor on the connected Ray: `isd_ray.campaign.workers.Workers`.

    Created inside the coordinator, so that its actors end with it.

    Parameters
    ----------
    spec:
        The campaign's configuration and libraries.
    owner:
        Address of the campaign (`isd_ray.actors.room.Room`).
    """

    def __init__(self, spec: WorkerSpec, owner: str = "") -> None:
        campaign, compute = spec.config.name, spec.config.compute
        trainers, scorers = trainer_options(campaign, compute), scorer_options(campaign, compute)
        self.n_scorers, self.shards_per_scorer = scorers.size, SHARDS_PER_SCORER
        rule = (
            spec.config.stopping,
            goal_for(spec.config.stopping, spec.config.task, spec.classes, spec.outputs, spec.config.labels.numbers),
        )
        spec_ref = ray.put(spec)
        self._groups: dict[Kind, ActorGroup] = {}
        self._room = Room((trainers, scorers), compute.room_timeout_s, owner, compute.priority)
        try:
            self._groups["bound"] = ActorGroup(BoundActor, rule, stable_options(campaign, compute, "bound"))
            self._groups["trainer"] = ActorGroup(Trainer, (spec_ref,), trainers, self._room.place)
            self._groups["scorer"] = ActorGroup(Scorer, (spec_ref,), scorers, self._room.place)
            for group in self._groups.values():
                group.wait_until_ready()
        except BaseException:
            self.close()
            raise

    def put(self, value: Any) -> Any:
        """A reference to the value in the object store."""
        return ray.put(value)

    def each(
        self, kind: Kind, method: Callable[..., AnswerT], calls: Sequence[tuple[Any, ...]], *, stay: bool = False
    ) -> Iterator[tuple[int, AnswerT]]:
        """See `Workers.each`; shared out and, where an actor is lost, repeated as by `ActorGroup.each`."""
        return self._groups[kind].each(method.__name__, calls, stay=stay)

    def close(self) -> None:
        """End the actors, and give their room back."""
        for group in self._groups.values():
            group.close()
        self._room.give_back()
