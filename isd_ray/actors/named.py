"""A named, detached actor: it outlives the driver that started it, and whoever knows its name reaches the same one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import ray
from ray.exceptions import ActorDiedError, GetTimeoutError, RayError, RayTaskError

from isd_ray.actors.failure import FailureDecision, FailurePolicy
from isd_ray.actors.group import ON_HEAD
from isd_ray.actors.losses import LOSSES, cause_of, remedy_for, unwrap
from isd_ray.errors import ActorLostError, ResourceError

NAMESPACE = "isd_ray"
"""Ray namespace of the named actors: those of other programs cannot be met by accident."""
LOOKS = "looks"
"""Concurrency group of calls that only read: they are answered while a call of the other kind is under way."""
_N_LOOKS = 4
_STOP_POLL_S = 0.05
_MEANWHILE_S = 1.0
"""From one look at what a call has done so far to the next."""
_GLANCE_S = 2.0
"""Longest wait for an answer that nothing depends on."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NamedOptions:
    """Name, patience and budget of a named actor.

    Attributes
    ----------
    start_timeout_s:
        Longest wait for it to start, and to start again.
    policy:
        How often one call may be lost and repeated.
    """

    name: str
    start_timeout_s: float
    policy: FailurePolicy


class NamedActor:
    """The one actor of a name on the connected cluster; started if there is none.

    Ray starts it again where it dies, without its state. Its calls must be idempotent: one that was lost is repeated.
    It runs on the head node, and reserves next to nothing of it.

    Parameters
    ----------
    plain_class:
        The class; it needs a method ``ready()``.
    arguments:
        Arguments of its constructor, also when it starts again.
    options:
        Name, patience and budget.
    """

    def __init__(self, plain_class: type, arguments: tuple[Any, ...], options: NamedOptions) -> None:
        remote = ray.remote(concurrency_groups={LOOKS: _N_LOOKS})(plain_class)
        self._actor = remote.options(
            name=options.name,
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            max_restarts=-1,
            num_cpus=0,
            resources=ON_HEAD,
        ).remote(*arguments)
        self._options = options

    def ready(self) -> Any:
        """What its ``ready()`` returns, once it runs; it is waited for if it is just starting again.

        Raises
        ------
        ResourceError
            If it does not run in time.
        ActorLostError
            If it was stopped.
        """
        options = self._options
        try:
            # Ray repeats this call itself: only so does it wait for an actor that starts again.
            call = self._actor.ready.options(max_task_retries=-1, concurrency_group=LOOKS)
            return ray.get(call.remote(), timeout=options.start_timeout_s)
        except GetTimeoutError as error:
            raise ResourceError(
                f"the coordinator did not start within {options.start_timeout_s} s",
                options.name,
                "see whether the cluster has a node that is alive, or raise compute.start_timeout_s",
            ) from error
        except RayTaskError as error:
            raise unwrap(error) from error
        except ActorDiedError as error:
            raise ActorLostError(
                "the coordinator was stopped", options.name, "attach to the campaign again; nothing is lost"
            ) from error

    def call(
        self,
        method: str,
        *arguments: Any,
        group: str | None = None,
        meanwhile: Callable[[], None] | None = None,
    ) -> Any:
        """Call a method, again if the actor is lost meanwhile; no timeout, as whatever it waits for has its own.

        Parameters
        ----------
        group:
            `LOOKS`, or None for calls that are answered one after the other.
        meanwhile:
            Called again and again while the answer is waited for, and once when it is there.

        Raises
        ------
        IsdError
            What the actor's code raised on purpose.
        ActorLostError
            If the budget is spent, or the actor was stopped.
        """
        options = {} if group is None else {"concurrency_group": group}

        def answered() -> Any:
            answer = getattr(self._actor, method).options(**options).remote(*arguments)
            while meanwhile is not None and not ray.wait([answer], timeout=_MEANWHILE_S)[0]:
                meanwhile()
            returned = ray.get(answer)
            if meanwhile is not None:
                meanwhile()
            return returned

        return self._insist(method, answered)

    def glance(self, method: str, *arguments: Any) -> Any:
        """What a method that only reads answers at once, never None; None if it does not.

        For what nothing depends on: an actor that is lost, busy, or of a version without the method has no answer.
        """
        try:
            call = getattr(self._actor, method).options(concurrency_group=LOOKS)
            return ray.get(call.remote(*arguments), timeout=_GLANCE_S)
        except (AttributeError, RayError):
            return None

    def stream(self, method: str, *arguments: Any, take: Callable[[Iterator[Any]], T]) -> T:
        """Hand what a generator method yields to `take`, from the beginning again if the actor is lost meanwhile."""

        def taken() -> T:
            refs = getattr(self._actor, method).options(num_returns="streaming", concurrency_group=LOOKS)
            return take(ray.get(ref) for ref in refs.remote(*arguments))

        return self._insist(method, taken)

    def _insist(self, method: str, attempt: Callable[[], T]) -> T:
        n_lost = 0
        while True:
            try:
                return attempt()
            except RayTaskError as error:
                raise unwrap(error) from error
            except LOSSES as error:
                lost = error
            n_lost += 1
            if self._options.policy.decide(n_lost) is FailureDecision.GIVE_UP:
                raise ActorLostError(
                    f"the coordinator was lost {n_lost} times during {method}; the last: {cause_of(lost)}",
                    self._options.name,
                    remedy_for(lost, "keep actors off the head, where it runs (compute.trainer_labels, scorer_labels)"),
                ) from lost
            self.ready()


def names() -> list[str]:
    """Names of the named actors of the connected cluster."""
    found = ray.util.list_named_actors(all_namespaces=True)
    return sorted(actor["name"] for actor in found if actor["namespace"] == NAMESPACE)


def stop(name: str, timeout_s: float) -> bool:
    """End the actor of a name and the actors that it started; whether there was one.

    Raises
    ------
    ActorLostError
        If the cluster does not confirm it in time.
    """
    try:
        ray.kill(ray.get_actor(name, NAMESPACE))
    except ValueError:
        return False
    give_up = time.monotonic() + timeout_s
    while name in names():
        if time.monotonic() > give_up:
            raise ActorLostError(
                f"the coordinator did not end within {timeout_s} s",
                name,
                "look for its log in the Ray dashboard, and give the command again",
            )
        time.sleep(_STOP_POLL_S)
    return True
