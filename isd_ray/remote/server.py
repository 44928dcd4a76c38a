"""What a coordinator that stays on a cluster does: the verbs of one campaign, with trainers and scorers kept warm."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from isd_ray.campaign.events import acting_for
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.watcher import Watcher
from isd_ray.errors import InputFileError, IsdError, StoreError
from isd_ray.messages import Progress
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.observe import show_again

if TYPE_CHECKING:
    from isd_ray.campaign.setup import CampaignSetup
    from isd_ray.ops.run import Steps, WarmRun

_LOGGER = logging.getLogger(__name__)

MAX_SENT_BYTES = 256 << 20
"""Largest file of readouts that is sent to the cluster."""
_CHUNK_BYTES = 8 << 20
"""A file for the caller comes in pieces of this size."""


@dataclass(frozen=True, slots=True)
class SentFile:
    """A file of the caller's, by its name and content."""

    name: str
    content: bytes

    @classmethod
    def read(cls, file: Path) -> SentFile:
        """Read a file to be sent.

        Raises
        ------
        InputFileError
            If it is larger than `MAX_SENT_BYTES`, or cannot be read.
        """
        try:
            size = file.stat().st_size
            if size > MAX_SENT_BYTES:
                raise InputFileError(
                    f"{size:,} bytes are more than the {MAX_SENT_BYTES:,} that are sent to a cluster",
                    str(file),
                    "split the file; or open the campaign (`Campaign.open`) where its folder can be reached",
                )
            return cls(file.name, file.read_bytes())
        except OSError as error:
            raise InputFileError(f"cannot be read ({error})", str(file), "check the path") from error


@dataclass(frozen=True, slots=True)
class VerbCall:
    """A verb of `Campaign`, to be done by a coordinator.

    Attributes
    ----------
    campaign_id:
        The campaign that is meant.
    who:
        On whose behalf: the name that events carry.
    key:
        Tells this call from all others, also where it is repeated.
    """

    campaign_id: str
    who: str
    verb: str
    arguments: tuple[Any, ...] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict)
    key: str = field(default_factory=lambda: uuid4().hex)


class StepsTaken(Watcher):
    """Keeps the steps of one call for those who ask what it has done so far."""

    def __init__(self) -> None:
        self._key = ""
        self._taken: list[Progress] = []

    def begin(self, key: str) -> None:
        """From now on steps are those of another call."""
        self._key, self._taken = "", []  # no moment at which the key of one has the steps of the other
        self._key = key

    def step(self, name: str, progress: Progress) -> None:
        """One more step of the call."""
        self._taken.append(progress)

    def after(self, key: str, n_seen: int) -> tuple[int, list[Progress]]:
        """How many steps a call has taken, and those after the first `n_seen`; all of a call that began anew."""
        taken = list(self._taken) if key == self._key else []
        return len(taken), taken[n_seen if n_seen <= len(taken) else 0 :]


class CampaignServer:
    """The verbs of the campaign in a folder. Holds nothing that cannot be had from the folder again.

    Parameters
    ----------
    path:
        The campaign's directory, a folder as the cluster sees it or a URI.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._warm: WarmRun | None = None
        self._campaign: Campaign | None = None
        self._steps = StepsTaken()
        # Ray starts a lost coordinator again, and nobody calls it until there are readouts: a waiting campaign is seen.
        try:
            show_again(CampaignStore.open(path))
        except IsdError as error:
            _LOGGER.warning("metrics show nothing of the campaign: %s", type(error).__name__)

    def ready(self) -> dict[str, Any]:
        """Who this is: version of isd_ray, id and configuration of the campaign, whether Ray had to start it again.

        Raises
        ------
        StoreError
            If the cluster sees no campaign there.
        """
        from ray import get_runtime_context

        store = CampaignStore.open(self._path)
        return {
            "isd_ray": version("isd_ray"),
            "campaign_id": store.manifest["campaign_id"],
            "config": store.config,
            "was_restarted": get_runtime_context().was_current_actor_reconstructed,
        }

    def change(self, call: VerbCall) -> Any:
        """Do a verb that may change the campaign; one after the other."""
        self._steps.begin(call.key)
        store = self._store(call)
        if self._campaign is None or self._campaign.store.manifest != store.manifest:
            if self._warm is not None:
                self._warm.close()
            self._campaign = Campaign(store, self._steps, self._run)
        with acting_for(call.who):
            return _do(self._campaign, call)

    def look(self, call: VerbCall) -> Any:
        """Do a verb that only reads, at any time: on a view of the campaign of its own."""
        return _do(Campaign(self._store(call)), call)

    def steps(self, key: str, n_seen: int) -> tuple[int, list[Progress]]:
        """What `StepsTaken.after` says of the call of that key; nothing of one that has not begun, or is long over."""
        return self._steps.after(key, n_seen)

    def write(self, call: VerbCall, name: str) -> Iterator[Any]:
        """Do a verb that writes a file of that name: yields what it returned, then the file in pieces."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / name
            yield getattr(Campaign(self._store(call)), call.verb)(file, **call.keywords)
            with file.open("rb") as stream:
                while piece := stream.read(_CHUNK_BYTES):
                    yield piece

    def _run(self, setup: CampaignSetup) -> Steps:
        if self._warm is None:
            from isd_ray.ops.run import WarmRun  # with it comes torch, which nothing else here needs

            self._warm = WarmRun()
        return self._warm(setup)

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
