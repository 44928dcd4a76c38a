"""Reaching the coordinator of a campaign: by the Ray of its cluster, or by a service from anywhere else."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.watcher import Watcher
from isd_ray.config import CampaignConfig, ComputeConfig
from isd_ray.errors import StoreError
from isd_ray.ops.connect import connect
from isd_ray.remote.attached import AttachedCampaign
from isd_ray.report.notebook import default_watcher
from isd_ray.storage.addresses import absolute, address_of, is_uri

if TYPE_CHECKING:
    from isd_ray.remote.over_http import Service
    from isd_ray.remote.transport import Transport


def attach(
    path: str | Path,
    address: str | None = None,
    watcher: Watcher | None = None,
    *,
    token: str | None = None,
    ca_file: str | Path | None = None,
) -> AttachedCampaign:
    """Open a campaign on a Ray cluster, where one coordinator does its verbs and keeps its workers between rounds.

    The coordinator is started if there is none, and the same one answers whoever serves the same folder, until it is
    stopped (`AttachedCampaign.stop_coordinator`). The first `ask` starts its trainers and scorers. Warm or not, the
    answers are the same; a process of it that dies is started again and goes on from the folder.

    Parameters
    ----------
    path:
        The campaign's directory, a folder as the cluster sees it or a URI; this process need not see it. Through a
        service its name there, or the URL of both: ``https://HOST:PORT/NAME``.
    address:
        Of the cluster; default: the configured one, where this process sees the folder. A Ray that this process has
        initialised is used as it is where no cluster is named, and must be the one that is. From elsewhere the URL of
        its service (`isd coordinators serve`), to which this process needs no Ray.
    watcher:
        Told about the steps of an `ask`; default: in a notebook they are shown below the cell, elsewhere nowhere.
    token:
        Of the service; default: that of the file that ISD_TOKEN_FILE names.
    ca_file:
        PEM file of the authority of the service's certificate; default: the file that ISD_CA_FILE names, else those
        that this machine trusts.

    Raises
    ------
    ResourceError
        If the cluster cannot be reached, this process is connected to another one, or another version of isd_ray runs
        there.
    ClusterError
        If the service cannot be reached, is no such service, or refuses the token.
    StoreError
        If the cluster has no campaign in that folder, or another one than this process sees there.
    """
    service, name = _service_of(path, address, token, ca_file)
    if service is not None:
        return _attached(service.campaign(name), name, watcher)
    name = _name(path)
    seen = _seen(name)
    compute = _compute(seen)
    _connect(compute, address)
    from isd_ray.remote.over_ray import OverRay

    campaign = _attached(OverRay(name, compute), name, watcher)
    if seen is not None and seen["campaign_id"] != campaign.campaign_id:
        raise StoreError(
            f"here lies campaign {seen['campaign_id']}, but on the cluster {campaign.campaign_id}",
            name,
            "give the folder as the cluster sees it, on storage that both share",
        )
    return campaign


def coordinated(address: str | None = None) -> list[str]:
    """Folders of the campaigns that coordinators of a cluster serve now; of a service, those that it serves."""
    service, _ = _service_of("", address)
    if service is not None:
        return [campaign["path"] for campaign in service.campaigns()]
    _connect(ComputeConfig(), address)
    from isd_ray.actors import named

    return named.names()


def stop(path: str | Path, address: str | None = None) -> bool:
    """End the coordinator of a campaign, its trainers and scorers; whether there was one. The campaign loses nothing.

    Raises
    ------
    ResourceError, ClusterError
        If the cluster or the service cannot be reached.
    ActorLostError
        If the cluster does not confirm it.
    """
    service, name = _service_of(path, address)
    if service is not None:
        return service.campaign(name).stop()
    name = _name(path)
    _connect(_compute(_seen(name)), address)
    from isd_ray.remote import over_ray

    return over_ray.stop(name)


def _attached(transport: Transport, name: str, watcher: Watcher | None) -> AttachedCampaign:
    found = transport.ready()
    config = CampaignConfig.from_stored(found["config"])
    return AttachedCampaign(
        transport, name, found["campaign_id"], config, watcher or default_watcher(config.stopping, config.task)
    )


def _service_of(
    path: str | Path, address: str | None, token: str | None = None, ca_file: str | Path | None = None
) -> tuple[Service | None, str]:
    """The service that a path or an address is a URL of, and the name of the campaign there; None if neither is."""
    named = address_of(path)
    if address is None and _is_url(named):
        address, _, named = named.rpartition("/")
    if address is None or not _is_url(address):
        return None, named
    from isd_ray.remote.over_http import Service

    return Service(address, token, ca_file), named


def _is_url(text: str) -> bool:
    return text.startswith(("http://", "https://"))


def _name(path: str | Path) -> str:
    """Coordinators go by folder: two campaigns of equal configuration, and so of equal id, are still two."""
    address = address_of(path)
    return address if is_uri(address) else os.path.normpath(absolute(address))


def _seen(name: str) -> Mapping[str, Any] | None:
    """The manifest of the campaign, if this process sees it in a folder.

    A URI means the same everywhere, and this process need not have the rights to read there.
    """
    return CampaignStore.open(name).manifest if not is_uri(name) and CampaignStore.exists(name) else None


def _compute(seen: Mapping[str, Any] | None) -> ComputeConfig:
    return ComputeConfig() if seen is None else CampaignConfig.from_stored(seen["config"]).compute


def _connect(compute: ComputeConfig, address: str | None) -> None:
    """Connect to the cluster of an address, or else to the configured one."""
    connect(compute if address is None else compute.model_copy(update={"address": address}))
