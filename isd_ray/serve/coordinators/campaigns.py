"""The campaigns whose coordinators are served: found in their places, reached by Ray."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from isd_ray.campaign.store import CampaignStore
from isd_ray.config import CampaignConfig, ComputeConfig
from isd_ray.errors import StoreError
from isd_ray.ops.connect import connect
from isd_ray.remote import over_ray
from isd_ray.remote.over_ray import OverRay
from isd_ray.serve.shelf import Shelf


class Campaigns:
    """Campaigns of laboratories, as the cluster sees their folders.

    Parameters
    ----------
    places:
        See `isd_ray.serve.shelf.Shelf`.
    address:
        Of the Ray cluster, to which this process connects.

    Raises
    ------
    StoreError
        If a place holds no campaigns.
    ResourceError, ClusterError
        If the cluster cannot be reached, or is open to everybody.
    """

    def __init__(self, places: Sequence[str], address: str) -> None:
        self._shelf = Shelf(places)
        connect(ComputeConfig(address=address))
        self._reached: dict[str, OverRay] = {}

    def paths(self) -> dict[str, str]:
        """Folder or URI of each campaign, by the name that it is served by: that of its folder, or a longer one."""
        keys = self._shelf.names()
        folders = {key: self._shelf.address(key).rpartition("/")[2] for key in keys}
        times = Counter(folders.values())
        return {folders[key] if times[folders[key]] == 1 else key: self._shelf.address(key) for key in keys}

    def attach(self, name: str) -> Mapping[str, Any]:
        """What `isd_ray.remote.transport.Transport.ready` says of a campaign; its coordinator is started if need be."""
        path = self._path(name)
        reached = self._reached[path] = _reached(path)
        return reached.ready()

    def stop(self, name: str) -> bool:
        """End the coordinator of a campaign; whether there was one."""
        return over_ray.stop(self._path(name))

    def transport(self, name: str) -> OverRay:
        """How the calls of a campaign reach its coordinator.

        Raises
        ------
        StoreError
            If no campaign of this name or path is served.
        """
        path = self._path(name)
        if path not in self._reached:
            self._reached[path] = _reached(path)
        return self._reached[path]

    def _path(self, name: str) -> str:
        paths = self.paths()
        if name in paths:
            return paths[name]
        if name not in paths.values():
            shown = ", ".join(sorted(paths)) or "none so far"
            raise StoreError(
                f"no campaign of this name is served here; those are: {shown}",
                name,
                "give a name that `isd coordinators list` shows, or the path as the cluster sees it",
            )
        return name


def _reached(path: str) -> OverRay:
    return OverRay(path, CampaignConfig.from_stored(CampaignStore.open(path).config).compute)
