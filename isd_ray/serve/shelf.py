"""The campaigns that are served: each with a name for its address, and one who works at it at a time."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from isd_ray.campaign.status import Status
from isd_ray.campaign.store import CampaignStore
from isd_ray.errors import StoreError
from isd_ray.ops.campaign import Campaign
from isd_ray.storage.addresses import is_uri

_KEY_LETTERS = 40
_N_KEPT = 32
"""What is kept of a campaign at a time: rounds, lines of batches, plates; then it is begun anew."""
T = TypeVar("T")


@dataclass(slots=True)
class Held:
    """A campaign that is open here.

    Attributes
    ----------
    key:
        Its name in addresses of pages.
    n_events:
        Length of its log when it was last looked at.
    """

    key: str
    campaign: Campaign
    n_events: int = -1
    _kept: dict[Hashable, Any] = field(default_factory=dict)

    def status(self) -> Status:
        """Where the campaign stands."""
        return self.once("status", self.campaign.status)

    def once(self, name: Hashable, make: Callable[[], T]) -> T:
        """What follows from the campaign's folder; made anew once its log has grown."""
        n_events = len(self.campaign.store.events())
        if n_events != self.n_events or len(self._kept) >= _N_KEPT:
            self._kept, self.n_events = {}, n_events
        if name not in self._kept:
            self._kept[name] = make()
        kept: T = self._kept[name]
        return kept


@dataclass(slots=True)
class _Place:
    address: str
    lock: Lock = field(default_factory=Lock)
    held: Held | None = None


class Shelf:
    """The campaigns in some places.

    Parameters
    ----------
    places:
        Folders or URIs of campaigns, or folders that hold folders of campaigns; new ones in these are found.

    Raises
    ------
    StoreError
        If a place is neither.
    """

    def __init__(self, places: Sequence[str]) -> None:
        self._addresses: list[str] = []
        self._parents: list[Path] = []
        self._known: dict[str, _Place] = {}
        for place in places:
            if CampaignStore.exists(place):
                self._addresses.append(place if is_uri(place) else str(Path(place).resolve()))
            elif not is_uri(place) and Path(place).is_dir():
                self._parents.append(Path(place).resolve())
            else:
                raise StoreError(
                    "there is neither a campaign here nor a folder of campaigns",
                    place,
                    "check the path; a folder that is still empty will do: what isd create begins there is found",
                )

    def names(self) -> list[str]:
        """The campaigns that are there now, in the order of their places and names."""
        found = dict.fromkeys(self._addresses)
        for parent in self._parents:
            found |= dict.fromkeys(str(path.parent) for path in sorted(parent.glob("*/campaign.json")))
        for address in found:
            self._known.setdefault(_key(address), _Place(address))
        return [_key(address) for address in found]

    def has(self, key: str) -> bool:
        """Whether there is a campaign of this name."""
        return key in self._known or key in self.names()

    def address(self, key: str) -> str:
        """Folder or URI of a campaign (`names`)."""
        return self._known[key].address

    @contextmanager
    def hold(self, key: str) -> Iterator[Held]:
        """A campaign that there is (`has`), which nobody else of this process uses meanwhile.

        Raises
        ------
        IsdError
            If it cannot be read.
        """
        place = self._known[key]
        with place.lock:
            manifest = CampaignStore.open(place.address).manifest
            if place.held is None or place.held.campaign.store.manifest != manifest:
                place.held = Held(key, Campaign.open(place.address))
            yield place.held


def _key(address: str) -> str:
    """Readable, and different for every address: it is looked up and never taken for a path."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", address.rstrip("/").rsplit("/", 1)[-1]).strip("-")[:_KEY_LETTERS]
    return f"{name or 'campaign'}-{hashlib.sha256(address.encode()).hexdigest()[:8]}".lower()
