"""A group of equal actors that work through a list of calls; lost actors are replaced and their calls repeated."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayTaskError

from isd_ray.actors.failure import FailureDecision, FailurePolicy
from isd_ray.actors.losses import LOSSES, cause_of, remedy_for, unwrap
from isd_ray.actors.metrics import RESTARTS, record
from isd_ray.actors.nodes import NODES_REMEDY, free_now, lacking_now
from isd_ray.core.placement import Demand
from isd_ray.errors import ActorLostError, ResourceError

_LOGGER = logging.getLogger(__name__)

HEAD = "node:__internal_head__"
"""Resource that Ray gives to the head node alone."""
ON_HEAD = {HEAD: 0.001}
"""What an actor asks for that belongs on the head, which outlives the others. An affinity to the node is not enough:
Ray places actors that ask for nothing anywhere, whatever they prefer (2.60)."""
STILL_WAITING_S = 30.0
"""From one word about what is waited for to the next."""
SMALLER = (
    "have fewer or smaller processes on each: compute.scorers, compute.trainers; more CPUs for each (scorer_cpus, "
    "trainer_cpus) spread them over more nodes"
)
"""How a group needs less of a node's memory."""


@dataclass(frozen=True, slots=True)
class GroupOptions:
    """Size, demands and patience of a group.

    Attributes
    ----------
    name, campaign:
        What metrics and logs call the group, and the campaign that it works for; empty for a library build.
    size, min_size:
        Actors in the group, and those that must run before it begins; the others join when there is room for them.
    demand:
        What each actor reserves (logical resources; fractions share a device), and of which nodes.
    start_timeout_s, call_timeout_s:
        Longest wait for actors without which nothing goes on to start, and for any call to end; None where what the
        actor does is bounded itself.
    """

    name: str
    size: int
    min_size: int
    demand: Demand
    start_timeout_s: float | None
    call_timeout_s: float | None
    policy: FailurePolicy
    campaign: str = ""


class ActorGroup:
    """`options.size` actors of one plain class, made remote here and only here.

    Actors come and go: a lost one is replaced, and until its replacement runs, or while one has not found room yet, the
    others do its work.

    Parameters
    ----------
    plain_class:
        The class; it needs a method ``ready()``.
    arguments:
        Arguments of its constructor.
    options:
        Size, demands and patience.
    place:
        Where the actor of a slot belongs, as a scheduling strategy of Ray; None (of the result, too) for any node.
    """

    def __init__(
        self,
        plain_class: type,
        arguments: tuple[Any, ...],
        options: GroupOptions,
        place: Callable[[GroupOptions, int], Any] | None = None,
    ) -> None:
        self._remote, self._place = ray.remote(plain_class), place
        self._arguments = arguments
        self._options = options
        self._actors: list[Any] = [None] * options.size
        self._starting: dict[ray.ObjectRef, int] = {}
        self._n_lost = 0
        self._say_waiting: Callable[[], None] = self._log_waiting
        for slot in range(options.size):
            self._start(slot)

    def _start(self, slot: int) -> None:
        demand = self._options.demand
        amounts = dict(demand.resources)
        place = None if self._place is None else self._place(self._options, slot)
        remote = self._remote.options(
            num_cpus=amounts.pop("CPU", 0.0),
            num_gpus=amounts.pop("GPU", 0.0),
            resources=amounts,
            label_selector=(demand.selectors or None) if place is None else None,
            scheduling_strategy=place or "SPREAD",
        )
        self._actors[slot] = remote.remote(*self._arguments)
        self._starting[self._actors[slot].ready.remote()] = slot

    def wait_until_ready(self, meanwhile: Callable[[], None] | None = None) -> None:
        """Wait until so many actors run that work may begin.

        Parameters
        ----------
        meanwhile:
            Called every `STILL_WAITING_S` until then, and whenever later all are lost and none runs; default: what is
            waited for is logged.

        Raises
        ------
        ResourceError
            If they are not placed in time, saying what each asks for and what the nodes lack.
        ActorLostError
            If one cannot be made, or more are lost while they start than the policy allows.
        """
        options = self._options
        give_up = math.inf if options.start_timeout_s is None else time.monotonic() + options.start_timeout_s
        self._n_lost, self._say_waiting = 0, meanwhile or self._log_waiting
        # One by one: what keeps an actor from starting is said at once, whatever the others still wait for.
        while len(self._starting) > options.size - options.min_size:
            left = max(0.0, give_up - time.monotonic())
            started, _ = ray.wait(list(self._starting), timeout=min(left, STILL_WAITING_S))
            if started:
                self._take_in(started[0], "ready")
            elif left <= STILL_WAITING_S:
                raise self._unplaced()
            else:
                self._say_waiting()

    def _log_waiting(self) -> None:
        labels = {"campaign": self._options.campaign, "group": self._options.name}
        _LOGGER.warning("waiting for %s; %s", *self._absent(), extra=labels)

    def _take_in(self, ref: ray.ObjectRef, method: str) -> None:
        """Let an actor that has started work, or start another in the place of one that was lost on the way."""
        slot = self._starting.pop(ref)
        try:
            ray.get(ref)
        except RayTaskError as error:
            raise unwrap(error) from error
        except LOSSES as error:
            if getattr(error, "actor_init_failed", False):
                raise ActorLostError(
                    f"a {self._options.name} actor cannot be made: {error}",
                    remedy="install the same versions of isd_ray and of what it needs on all nodes",
                ) from error
            self._replace(slot, method, error)

    def map(self, method: str, calls: Sequence[tuple[Any, ...]], *, stay: bool = False) -> list[Any]:
        """Call `method` once for each tuple of arguments; results in the order of `calls`.

        Calls are shared out in order, the first to the first actor: equal work goes to the same actor every time, where
        what it keeps of it lies. An actor that has done its share takes over from the one with the most left, so a
        slow one holds up only what it has. A lost actor is replaced and its call repeated, within the policy's budget.

        Parameters
        ----------
        stay:
            Nobody takes over from an actor that runs: for calls that are quick where their work lies, and slow anywhere
            else.

        Raises
        ------
        IsdError
            What the actors' code raised on purpose.
        ActorLostError
            If the budget is spent, or no call ends within the timeout.
        ResourceError
            If no actor is left and no replacement starts in time.
        """
        results: list[Any] = [None] * len(calls)
        for index, result in self.each(method, calls, stay=stay):
            results[index] = result
        return results

    def each(self, method: str, calls: Sequence[tuple[Any, ...]], *, stay: bool = False) -> Iterator[tuple[int, Any]]:
        """As `map`, but result by result as they come, each with the place of its call: nothing is held meanwhile."""
        n_actors = len(self._actors)
        queues: list[deque[int]] = [deque() for _ in range(n_actors)]
        for index in range(len(calls)):
            queues[index * n_actors // len(calls)].append(index)
        running: dict[ray.ObjectRef, tuple[int, int]] = {}
        self._n_lost = 0
        while any(queues) or running:
            for slot in self._idle(running):
                if (call := self._next_call(slot, queues, stay)) is not None:
                    running[getattr(self._actors[slot], method).remote(*calls[call])] = (slot, call)
            ref = self._next_event(method, running)
            if ref in self._starting:
                self._take_in(ref, method)
                continue
            slot, index = running.pop(ref)
            try:
                result = ray.get(ref)
            except RayTaskError as error:
                raise unwrap(error) from error
            except LOSSES as error:
                self._replace(slot, method, error)
                queues[slot].appendleft(index)
            else:
                yield index, result

    def _idle(self, running: Mapping[ray.ObjectRef, tuple[int, int]]) -> list[int]:
        busy = {slot for slot, _ in running.values()} | set(self._starting.values())
        return [slot for slot in range(len(self._actors)) if slot not in busy]

    def _next_call(self, slot: int, queues: Sequence[deque[int]], stay: bool) -> int | None:
        """The next call for an idle actor: of its own share, or the last of the longest one that it may take from."""
        if queues[slot]:
            return queues[slot].popleft()
        absent = set(self._starting.values())
        others = [queue for other, queue in enumerate(queues) if queue and (not stay or other in absent)]
        return max(others, key=len).pop() if others else None

    def _next_event(self, method: str, running: Mapping[ray.ObjectRef, tuple[int, int]]) -> ray.ObjectRef:
        """An answer, or an actor that has started."""
        options = self._options
        timeout = options.call_timeout_s if running else options.start_timeout_s
        left = math.inf if timeout is None else timeout
        while True:
            # Of several that are ready Ray gives the first: many short calls must not keep a new actor from joining.
            ready, _ = ray.wait([*self._starting, *running], timeout=min(left, STILL_WAITING_S))
            if ready:
                return ready[0]
            left -= STILL_WAITING_S
            if left <= 0:
                break
            if not running:
                self._say_waiting()
        if not running:
            raise self._unplaced()
        raise ActorLostError(
            f"no answer to {method} from {len(running)} {options.name} actors within {timeout} s; "
            f"free now: {free_now()}",
            remedy="look for a hung node, or raise compute.call_timeout_s",
        )

    def _replace(self, slot: int, method: str, error: Exception) -> None:
        """Begin to start a new actor in the place of a lost one; nobody waits for it while others run."""
        name, is_preempted = self._options.name, getattr(error, "preempted", False)
        if not is_preempted:
            self._n_lost += 1
            if self._options.policy.decide(self._n_lost) is FailureDecision.GIVE_UP:
                raise ActorLostError(
                    f"{self._n_lost} {name} actors were lost during {method}; the last: {cause_of(error)}",
                    remedy=remedy_for(error, SMALLER),
                ) from error
        labels = {"campaign": self._options.campaign, "group": name, "reason": "preempted" if is_preempted else "lost"}
        record(RESTARTS, 1, labels)
        _LOGGER.warning(
            "a %s actor was lost and is replaced: %s", name, cause_of(error), extra={**labels, "call": method}
        )
        ray.kill(self._actors[slot])
        self._start(slot)

    def _unplaced(self) -> ResourceError:
        who, why = self._absent()
        return ResourceError(
            f"{who} did not start within {self._options.start_timeout_s} s; {why}",
            remedy=NODES_REMEDY,
        )

    def _absent(self) -> tuple[str, str]:
        """Which actors have not started, and what Ray lacks for them."""
        options = self._options
        lacks = lacking_now(options.demand)
        why = f"each asks for {options.demand.words}: {lacks}; free now: {free_now()}"
        return f"{len(self._starting)} of {options.size} {options.name} actors", why

    def close(self) -> None:
        """End the actors."""
        for actor in self._actors:
            ray.kill(actor)
        self._actors, self._starting = [], {}
