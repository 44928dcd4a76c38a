"""A group of equal actors that work through a list of calls; lost actors are replaced and their calls repeated."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    GetTimeoutError,
    ObjectLostError,
    OwnerDiedError,
    RayTaskError,
    WorkerCrashedError,
)

from isd_ray.actors.failure import FailureDecision, FailurePolicy
from isd_ray.errors import ActorLostError, IsdError, ResourceError

LOSSES = (ActorDiedError, ActorUnavailableError, ObjectLostError, OwnerDiedError, WorkerCrashedError)
"""What Ray raises when an actor, its node, or an object that it owned is gone; calls are idempotent and repeated."""


def unwrap(error: RayTaskError) -> Exception:
    """The error that the actor raised itself, when it is one of ours; else Ray's, with the remote traceback."""
    return error.cause if isinstance(error.cause, IsdError) else error


@dataclass(frozen=True, slots=True)
class GroupOptions:
    """Size, demands and patience of a group.

    Attributes
    ----------
    num_cpus, num_gpus:
        What each actor reserves (logical resources; fractions share a device).
    start_timeout_s, call_timeout_s:
        Longest wait for an actor to start, and for any call to end; None where what the actor does is bounded itself.
    """

    name: str
    size: int
    num_cpus: float
    num_gpus: float
    start_timeout_s: float | None
    call_timeout_s: float | None
    policy: FailurePolicy


class ActorGroup:
    """`options.size` actors of one plain class, made remote here and only here.

    Parameters
    ----------
    plain_class:
        The class; it needs a method ``ready()``.
    arguments:
        Arguments of its constructor.
    options:
        Size, demands and patience.
    """

    def __init__(self, plain_class: type, arguments: tuple[Any, ...], options: GroupOptions) -> None:
        self._remote = ray.remote(plain_class).options(
            num_cpus=options.num_cpus, num_gpus=options.num_gpus, scheduling_strategy="SPREAD"
        )
        self._arguments = arguments
        self._options = options
        self._actors = [self._remote.remote(*arguments) for _ in range(options.size)]

    def wait_until_ready(self) -> None:
        """Wait until every actor runs.

        Raises
        ------
        ResourceError
            If one is not placed in time, saying what was asked for and what the cluster has.
        """
        options = self._options
        pending = [actor.ready.remote() for actor in self._actors]
        started, waiting = ray.wait(pending, num_returns=len(pending), timeout=options.start_timeout_s)
        if waiting:
            raise ResourceError(
                f"{len(waiting)} of {options.size} {options.name} actors did not start within "
                f"{options.start_timeout_s} s; each asks for {options.num_cpus:g} CPU and {options.num_gpus:g} GPU; "
                f"the cluster has {_short(ray.cluster_resources())}, free {_short(ray.available_resources())}",
                remedy="ask for less in [compute], add nodes, or raise compute.start_timeout_s",
            )
        try:
            ray.get(started)
        except RayTaskError as error:
            raise unwrap(error) from error
        except LOSSES as error:
            raise ActorLostError(
                f"a {options.name} actor died while starting: {error}", remedy="see the Ray logs of that actor"
            ) from error

    def map(self, method: str, calls: Sequence[tuple[Any, ...]], *, stay: bool = False) -> list[Any]:
        """Call `method` once for each tuple of arguments; results in the order of `calls`.

        Calls are shared out in order, the first to the first actor: equal work goes to the same actor every time, where
        what it keeps of it lies. An actor that has done its share takes over from the one with the most left, so a
        slow one holds up only what it has. A lost actor is replaced and its call repeated, within the policy's budget.

        Parameters
        ----------
        stay:
            Nobody takes over: for calls that are quick where their work lies, and slow anywhere else.

        Raises
        ------
        IsdError
            What the actors' code raised on purpose.
        ActorLostError
            If the budget is spent, or no call ends within the timeout.
        """
        results: list[Any] = [None] * len(calls)
        n_actors = len(self._actors)
        queues: list[deque[int]] = [deque() for _ in range(n_actors)]
        for index in range(len(calls)):
            queues[index * n_actors // len(calls)].append(index)
        idle = deque(range(n_actors))
        running: dict[ray.ObjectRef, tuple[int, int]] = {}
        n_lost = 0
        while any(queues) or running:
            while idle and any(queues):
                slot = idle.popleft()
                if stay and not queues[slot]:
                    continue
                index = queues[slot].popleft() if queues[slot] else max(queues, key=len).pop()
                running[getattr(self._actors[slot], method).remote(*calls[index])] = (slot, index)
            ready, _ = ray.wait(list(running), timeout=self._options.call_timeout_s)
            if not ready:
                raise ActorLostError(
                    f"no answer to {method} from {len(running)} {self._options.name} actors within "
                    f"{self._options.call_timeout_s} s; free resources {_short(ray.available_resources())}",
                    remedy="look for a hung node, or raise compute.call_timeout_s",
                )
            slot, index = running.pop(ready[0])
            try:
                results[index] = ray.get(ready[0])
            except RayTaskError as error:
                raise unwrap(error) from error
            except LOSSES as error:
                n_lost += 1
                self._replace(slot, n_lost, method, error)
                queues[slot].appendleft(index)
            idle.append(slot)
        return results

    def _replace(self, slot: int, n_lost: int, method: str, error: Exception) -> None:
        name = self._options.name
        if self._options.policy.decide(n_lost) is FailureDecision.GIVE_UP:
            raise ActorLostError(
                f"{n_lost} {name} actors were lost during {method}; the last: {type(error).__name__}",
                remedy="check the memory of the nodes and the Ray logs; raise compute.lost_actor_retries on spot nodes",
            ) from error
        ray.kill(self._actors[slot])
        self._actors[slot] = self._remote.remote(*self._arguments)
        self._await_start(slot)

    def _await_start(self, slot: int) -> None:
        try:
            ray.get(self._actors[slot].ready.remote(), timeout=self._options.start_timeout_s)
        except GetTimeoutError as error:
            raise ResourceError(
                f"a replacement {self._options.name} actor did not start within {self._options.start_timeout_s} s; "
                f"free resources {_short(ray.available_resources())}",
                remedy="add nodes, or raise compute.start_timeout_s",
            ) from error
        except RayTaskError as error:
            raise unwrap(error) from error
        except LOSSES:
            # It will be found dead, counted and replaced at its next call.
            return

    def close(self) -> None:
        """End the actors."""
        for actor in self._actors:
            ray.kill(actor)
        self._actors = []


def _short(resources: dict[str, float]) -> str:
    named = {key: value for key, value in resources.items() if key in ("CPU", "GPU")}
    return ", ".join(f"{value:g} {key}" for key, value in sorted(named.items())) or "nothing"
