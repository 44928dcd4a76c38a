"""Calls of a coordinator by a process that is connected to its Ray."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from isd_ray.actors import named
from isd_ray.actors.failure import FailurePolicy
from isd_ray.config import ComputeConfig
from isd_ray.errors import ResourceError, StoreError
from isd_ray.ops.calls import VerbCall
from isd_ray.ops.coordinator import Coordinator
from isd_ray.remote.transport import Heard

_STOP_TIMEOUT_S = 30.0


class OverRay:
    """The `Transport` over the named actor of a campaign, which is started if there is none.

    Parameters
    ----------
    name:
        The campaign's directory, as the cluster sees it.
    compute:
        How long to wait for the coordinator, and how often a call may be lost.
    """

    def __init__(self, name: str, compute: ComputeConfig) -> None:
        options = named.NamedOptions(name, compute.start_timeout_s, FailurePolicy(compute.lost_actor_retries))
        self._actor = named.NamedActor(Coordinator, (name,), options)
        self._name = name

    def ready(self) -> Mapping[str, Any]:
        """See `Transport.ready`.

        Raises
        ------
        ResourceError
            If it does not run in time, or runs another version of isd_ray.
        StoreError
            If the cluster has no campaign in that folder.
        ActorLostError
            If it was stopped.
        """
        try:
            found: Mapping[str, Any] = self._actor.ready()
        except StoreError:
            self.stop()
            raise
        if found["isd_ray"] != version("isd_ray"):
            raise ResourceError(
                f"its coordinator runs isd_ray {found['isd_ray']}, this process {version('isd_ray')}",
                self._name,
                "use one version everywhere; `isd coordinators stop` ends the coordinator, and nothing is lost by it",
            )
        return found

    def change(self, call: VerbCall, heard: Heard | None = None) -> Any:
        """See `Transport.change`."""
        if heard is None:
            return self._actor.call("change", call)
        n_seen = 0

        def pass_on() -> None:
            nonlocal n_seen
            n_seen, steps = self._actor.glance("steps", call.key, n_seen) or (n_seen, [])
            for progress in steps:
                heard(progress)

        return self._actor.call("change", call, meanwhile=pass_on)

    def look(self, call: VerbCall) -> Any:
        """See `Transport.look`."""
        return self._actor.call("look", call, group=named.LOOKS)

    def write(self, call: VerbCall, name: str, file: Path) -> Any:
        """See `Transport.write`."""

        def save(pieces: Iterator[Any]) -> Any:
            returned = next(pieces)
            with file.open("wb") as stream:
                stream.writelines(pieces)
            return returned

        return self._actor.stream("write", call, name, take=save)

    def stop(self) -> bool:
        """See `Transport.stop`."""
        return stop(self._name)


def stop(name: str) -> bool:
    """End the coordinator of a folder on the connected Ray; whether there was one.

    Raises
    ------
    ActorLostError
        If the cluster does not confirm it.
    """
    return named.stop(name, _STOP_TIMEOUT_S)
