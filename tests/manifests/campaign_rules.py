"""What runs in the pods: commands that exist, a campaign that parses and can be placed, paths that are mounted."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

import typer

from isd_ray.actors.options import scorer_demand, trainer_demand
from isd_ray.cli import app
from isd_ray.config import CampaignConfig
from isd_ray.config.compute import ComputeConfig
from isd_ray.config_file import parse_config, tomllib
from isd_ray.core.placement import Demand, Node, unplaced
from isd_ray.errors import ConfigError
from isd_ray.storage.client import SCHEMES
from tests.manifests.kustomize import Object
from tests.manifests.specs import Pod, clusters, groups, jobs, of_kind, pods

UsageError = typer.BadParameter.__base__
"""The error of a wrong command line; typer brings its own click, or uses the installed one."""
CAMPAIGN_FILE = "campaign.toml"
_URI = re.compile(r"([a-z][a-z0-9+.-]+):/")
"""A URI, also one whose slashes a `Path` has merged."""
SHORTEST_START_S = 900.0
"""A GPU node made from nothing and an image of several gigabytes take a quarter of an hour."""


def parse_command(words: Sequence[str]) -> dict[str, object]:
    """The arguments of an `isd` command, by name.

    Raises
    ------
    UsageError
        If there is no such command or option.
    """
    if not words or words[0] != "isd":
        raise typer.BadParameter(f"{words[:1]} is not isd")
    command, rest = typer.main.get_command(app), list(words[1:])
    while hasattr(command, "commands"):
        if not rest or rest[0] not in command.commands:
            raise typer.BadParameter(f"{rest[:1]} is not one of {', '.join(command.commands)}")
        command, rest = command.commands[rest[0]], rest[1:]
    return command.make_context(command.name, rest).params


def _campaigns(objects: list[Object]) -> list[CampaignConfig]:
    texts = [thing["data"].get(CAMPAIGN_FILE) for thing in of_kind(objects, "ConfigMap")]
    return [parse_config(tomllib.loads(text)) for text in texts if text]


def mount_of(pod: Pod, path: str) -> Object | None:
    """The volume that a path of the main container lies on."""
    for parent in (PurePosixPath(path), *PurePosixPath(path).parents):
        if found := pod.volume_at(str(parent)):
            return found
    return None


def campaign_parses(objects: list[Object]) -> Iterator[str]:
    """The campaign in the ConfigMap is one, and computes on the cluster that its job runs in."""
    try:
        campaigns = _campaigns(objects)
    except (ConfigError, tomllib.TOMLDecodeError) as error:
        yield str(error)
        return
    for campaign in campaigns:
        if campaign.compute.address != "auto" or campaign.compute.backend != "ray":
            yield f"compute.address={campaign.compute.address!r}"
    if not campaigns:
        yield "there is no campaign"


def is_kept(pod: Pod, address: str) -> bool:
    """Whether a folder outlives a pod: on the claim, or in a store that the pod reaches, with room for copies."""
    scheme = _URI.match(address)
    if scheme is None:
        return "persistentVolumeClaim" in (mount_of(pod, address) or {})
    variables = {variable["name"]: variable.get("value") for variable in pod.main.get("env", [])}
    has_cache = "emptyDir" in (mount_of(pod, variables.get("ISD_CACHE", "?")) or {})
    return scheme[1] in SCHEMES and bool(pod.main.get("envFrom")) and has_cache


def entrypoints_are_commands(objects: list[Object]) -> Iterator[str]:
    """Entry points are `isd` commands with options that exist; their files are mounted, their results kept."""
    ray_nodes = [pod for pod in pods(objects) if pod.is_ray_node]
    for job in jobs(objects):
        try:
            given = parse_command(shlex.split(job["entrypoint"]))
        except UsageError as error:
            yield f"{job['entrypoint']!r}: {error}"
            continue
        config = PurePosixPath(str(given.get("config", f"/etc/isd/{CAMPAIGN_FILE}")))
        for pod in ray_nodes:
            if config.name != CAMPAIGN_FILE or "configMap" not in (mount_of(pod, str(config)) or {}):
                yield f"{pod.name}: {config} is not mounted"
            folders = [str(given[name]) for name in ("out", "path") if name in given]
            yield from (f"{pod.name}: {folder} is lost" for folder in folders if not is_kept(pod, folder))


def libraries_are_shared(objects: list[Object]) -> Iterator[str]:
    """All nodes see the library."""
    for campaign in _campaigns(objects):
        path = str(campaign.library.path)
        yield from (f"{pod.name}: {path}" for pod in pods(objects) if pod.is_ray_node and not is_kept(pod, path))


def _nodes(cluster: Object) -> tuple[list[Node], list[Node]]:
    """The nodes of the largest cluster, those with GPUs and the others."""
    largest = [(group, int(group.spec.get("maxReplicas", 1))) for group in groups(cluster)]
    nodes = [Node(group.name, group.resources, group.spec.get("labels", {})) for group, n in largest for _ in range(n)]
    return tuple([node for node in nodes if bool(node.resources.get("GPU")) is has] for has in (True, False))


def demands(compute: ComputeConfig) -> dict[str, tuple[int, Demand]]:
    """How many trainers and scorers there are, and what each asks for."""
    return {
        "trainers": (compute.trainers, trainer_demand(compute)),
        "scorers": (compute.scorers, scorer_demand(compute)),
    }


def actors_can_be_placed(objects: list[Object]) -> Iterator[str]:
    """All trainers and scorers fit the largest cluster, those that need no GPU on nodes without one.

    Actors that do not fit pend silently.
    """
    for campaign in _campaigns(objects):
        wanted = demands(campaign.compute)
        for cluster in clusters(objects):
            for has, nodes in zip((True, False), _nodes(cluster), strict=True):
                left = unplaced({name: w for name, w in wanted.items() if bool(w[1].resources["GPU"]) is has}, nodes)
                yield from (
                    f"{n} {name} find no node; each asks for {wanted[name][1].words}" for name, n in left.items()
                )


def gpus_are_kept_for_trainers(objects: list[Object]) -> Iterator[str]:
    """Where trainers need GPUs, no scorer that needs none finds room on their nodes: Ray spreads scorers over all."""
    for campaign in _campaigns(objects):
        demand = scorer_demand(campaign.compute)
        if not campaign.compute.trainer_gpus or demand.resources["GPU"]:
            continue
        for cluster in clusters(objects):
            nodes = {node.address: node for node in _nodes(cluster)[0]}
            yield from (f"scorers fit on {name}" for name in nodes if not unplaced({"x": (1, demand)}, [nodes[name]]))


def waits_for_nodes(objects: list[Object]) -> Iterator[str]:
    """Actors wait as long as nodes need to be made."""
    for campaign in _campaigns(objects):
        if campaign.compute.start_timeout_s < SHORTEST_START_S:
            yield f"start_timeout_s={campaign.compute.start_timeout_s:g}"


RULES = (
    campaign_parses,
    entrypoints_are_commands,
    libraries_are_shared,
    actors_can_be_placed,
    gpus_are_kept_for_trainers,
    waits_for_nodes,
)
