"""What the nodes of a cluster see: each says its versions, its clock and disk, and which paths it reaches."""

from __future__ import annotations

import platform
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from isd_ray.errors import ClusterError, IsdError, ResourceError
from isd_ray.storage.addresses import is_uri
from isd_ray.storage.client import require_reachable

NODE_TIMEOUT_S = 120.0
"""Longest wait for one node: it may have to unpack the package first."""


@dataclass(frozen=True, slots=True)
class NodeView:
    """What one node says of itself.

    Attributes
    ----------
    address:
        Its IP address.
    resources, labels:
        What Ray may place on it, and by which labels it is chosen.
    python, ray, isd_ray:
        Versions; empty where a package is not installed.
    unseen:
        Of the paths asked for, those that it does not reach, and why.
    free_bytes:
        Disk where the first path that it reaches lies; None where that is a URI.
    clock_s:
        How far its clock is ahead of the driver's, in seconds; half the round trip is the error.
    """

    address: str
    resources: Mapping[str, float]
    labels: Mapping[str, str]
    python: str
    ray: str
    isd_ray: str
    unseen: Mapping[str, str]
    free_bytes: int | None
    clock_s: float


def survey(folder: str | None, paths: Sequence[str] = ()) -> list[NodeView]:
    """Ask every living node of the connected Ray, the node of this process first.

    Parameters
    ----------
    folder:
        Folder for results, made if need be, or its URI: do all nodes reach this very folder?
    paths:
        Further files or folders, or URIs, that are there.

    Raises
    ------
    ClusterError
        If a node does not answer in time.
    ResourceError
        If `folder` cannot be made or written to from here.
    """
    here = ray.get_runtime_context().get_node_id()
    nodes = sorted((node for node in ray.nodes() if node["Alive"]), key=lambda node: node["NodeID"] != here)
    with _landmark(folder) if folder else nullcontext("") as file:
        asked = {folder: file} if folder else {}
        return [_asked(node, {**asked, **{path: path for path in paths}}) for node in nodes]


def require_seen(path: str, nodes: Sequence[NodeView]) -> None:
    """Refuse a path that a node does not reach.

    Raises
    ------
    ResourceError
        If there is such a node.
    """
    blind = {node.address: node.unseen[path] for node in nodes if path in node.unseen}
    if blind:
        address, reason = next(iter(blind.items()))
        raise ResourceError(
            f"{len(blind)} of {len(nodes)} nodes do not reach it; node {address}: {reason}",
            path,
            "give a folder on storage that all nodes mount under the same path, or an object store",
        )


def installed(package: str) -> str:
    """The version of a package; empty if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


@contextmanager
def _landmark(folder: str) -> Iterator[str]:
    """A file in a folder, made for the time of the block: who sees it sees this folder, and no other of that name.

    Of a URI it is the URI itself.
    """
    if is_uri(folder):
        yield folder
        return
    file = Path(folder) / f".seen-{secrets.token_hex(8)}"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    except OSError as error:
        raise ResourceError(
            f"the driver of the job cannot write here: {error.strerror}",
            folder,
            "give a folder that the nodes of the cluster mount and may write to",
        ) from error
    try:
        yield str(file)
    finally:
        file.unlink()


def _asked(node: Mapping[str, Any], paths: Mapping[str, str]) -> NodeView:
    task = ray.remote(_look).options(
        num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(str(node["NodeID"]), soft=False)
    )
    address = str(node["NodeManagerAddress"])
    try:
        ray.get(task.remote({}), timeout=NODE_TIMEOUT_S)  # the process is there before clocks are compared
        before = time.time()
        found = ray.get(task.remote(dict(paths)), timeout=NODE_TIMEOUT_S)
        after = time.time()
    except ray.exceptions.RayError as error:
        raise ClusterError(
            f"the node does not answer: {type(error).__name__}", address, "see the log of its raylet, or remove it"
        ) from error
    now = found.pop("now")
    return NodeView(
        address=address,
        resources=node["Resources"],
        labels=node.get("Labels") or {},
        clock_s=now - (before + after) / 2,
        **found,
    )


def _look(paths: Mapping[str, str]) -> dict[str, object]:
    unseen = {name: reason for name, path in paths.items() if (reason := _why_unseen(path))}
    here = [path for name, path in paths.items() if not is_uri(path) and name not in unseen]
    return {
        "python": platform.python_version(),
        "ray": ray.__version__,
        "isd_ray": installed("isd_ray"),
        "unseen": unseen,
        "free_bytes": shutil.disk_usage(here[0]).free if here else None,
        "now": time.time(),
    }


def _why_unseen(path: str) -> str:
    """Why a path is not reached; empty if it is."""
    try:
        if is_uri(path):
            require_reachable(path)
        else:
            Path(path).stat()
    except (OSError, IsdError) as error:
        return str(error)
    return ""
