"""The coordinator of a campaign on a cluster: runs its loop, the only writer of rounds, and does its verbs."""

from __future__ import annotations

import logging
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray

from isd_ray.actors.group import ActorGroup
from isd_ray.actors.logs import configure
from isd_ray.actors.options import scorer_options, stable_options, trainer_options
from isd_ray.actors.room import give_back, words_of
from isd_ray.campaign.events import acting_for
from isd_ray.campaign.setup import CampaignSetup, open_loop
from isd_ray.campaign.store import CampaignStore
from isd_ray.errors import IsdError, StoreError
from isd_ray.messages import Progress
from isd_ray.ops.calls import SentFile, StepsTaken, VerbCall
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.observe import show_again

if TYPE_CHECKING:
    from isd_ray.ops.run import Steps, WarmRun

_LOGGER = logging.getLogger(__name__)

_CHUNK_BYTES = 8 << 20
"""A file for the caller comes in pieces of this size."""
_N_ANSWERS = 32
"""Answers that are kept for callers who repeat a call."""


class Coordinator:
    """Owns the rounds of the campaign in a folder. What it holds can be had from the folder again, or only saves work.

    That of a simulation ends with the driver that has it take step after step (`run_on_ray`). That of a laboratory
    stays, does the verbs of all who call, and keeps trainers and scorers warm between rounds (`isd_ray.remote.attach`).
    The work of starting is in `ready`, not in the constructor: Ray drops the type of what a constructor raises.

    Parameters
    ----------
    path:
        The campaign's directory, a folder as the cluster sees it or a URI.
    setup:
        Of a simulation: what its loop runs on; None in a laboratory.
    """

    def __init__(self, path: str, setup: CampaignSetup | None = None) -> None:
        self._path = path
        self._setup = setup
        self._campaign: Campaign | None = None
        self._steps = StepsTaken()
        self._answers: OrderedDict[str, Any] = OrderedDict()
        if setup is not None:
            return
        # Ray starts a lost coordinator again, and nobody calls it until there are readouts: a waiting campaign is seen.
        try:
            show_again(CampaignStore.open(path))
        except IsdError as error:
            _LOGGER.warning("metrics show nothing of the campaign: %s", type(error).__name__)

    @cached_property
    def _workers(self) -> WarmRun:
        from isd_ray.ops.run import WarmRun  # with it comes torch, which nothing else here needs

        return WarmRun()

    def ready(self) -> dict[str, Any]:
        """Start the other actors of a simulation, and say who this is.

        That is the version of isd_ray, id and configuration of the campaign, and whether Ray had to start it again.

        Raises
        ------
        StoreError
            If the cluster sees no campaign there.
        """
        if self._setup is not None:
            configure(self._setup.config.logging)
            self._loop = open_loop(self._setup, self._workers.started(self._setup))
        store = CampaignStore.open(self._path)
        return {
            "isd_ray": version("isd_ray"),
            "campaign_id": store.manifest["campaign_id"],
            "config": store.config,
            "was_restarted": ray.get_runtime_context().was_current_actor_reconstructed,
        }

    def advance(self) -> Progress:
        """One step of a simulation's loop."""
        return self._loop.advance()

    def close(self) -> None:
        """End the other actors."""
        self._workers.close()

    def change(self, call: VerbCall) -> Any:
        """Do a verb that may change the campaign; one after the other.

        A call that is repeated, as its answer was lost on the way, is answered as before: nothing is done twice.
        """
        store = self._store(call)
        if call.key in self._answers:
            return self._answers[call.key]
        self._steps.begin(call.key)
        if self._campaign is None or self._campaign.store.manifest != store.manifest:
            if self._campaign is not None:
                self.close()
            self._campaign = Campaign(store, self._steps, self._run)
        with acting_for(call.who):
            answer = self._answers[call.key] = _do(self._campaign, call)
        while len(self._answers) > _N_ANSWERS:
            self._answers.popitem(last=False)
        return answer

    def look(self, call: VerbCall) -> Any:
        """Do a verb that only reads, at any time: on a view of the campaign of its own."""
        return _do(Campaign(self._store(call)), call)

    def steps(self, key: str, n_seen: int) -> tuple[int, list[Progress]]:
        """What `StepsTaken.after` says of the call of that key; nothing of one that has not begun, or is long over."""
        return self._steps.after(key, n_seen)

    def write(self, call: VerbCall, name: str) -> Iterator[Any]:
        """Do a verb that writes a file of that name: yields what it returned, then the file in pieces."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / Path(name).name
            yield getattr(Campaign(self._store(call)), call.verb)(file, **call.keywords)
            with file.open("rb") as stream:
                while piece := stream.read(_CHUNK_BYTES):
                    yield piece

    def _run(self, setup: CampaignSetup) -> Steps:
        return self._workers(setup)

    def _store(self, call: VerbCall) -> CampaignStore:
        """The store, if it is still the campaign that the caller means."""
        store = CampaignStore.open(self._path)
        if store.manifest["campaign_id"] != call.campaign_id:
            raise StoreError(
                f"campaign {store.manifest['campaign_id']} lies here, not {call.campaign_id}",
                self._path,
                "attach to it again (`isd.attach`) if that is the one you mean",
            )
        return store


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
    campaign, compute = setup.config.name, setup.config.compute
    # No timeouts here: whatever the coordinator waits for has its own, and it takes up no room.
    options = replace(stable_options(campaign, compute, "coordinator"), start_timeout_s=None, call_timeout_s=None)
    group = ActorGroup(Coordinator, (str(setup.out), ray.put(setup)), options)
    asking = (trainer_options(campaign, compute), scorer_options(campaign, compute))
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


def _do(campaign: Campaign, call: VerbCall) -> Any:
    member = getattr(campaign, call.verb)
    if not callable(member):
        return member
    with tempfile.TemporaryDirectory() as folder:
        return member(*(_unpack(value, Path(folder)) for value in call.arguments), **call.keywords)


def _unpack(value: Any, folder: Path) -> Any:
    if not isinstance(value, SentFile):
        return value
    file = folder / Path(value.name).name
    file.write_bytes(value.content)
    return file
