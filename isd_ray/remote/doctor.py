"""The doctor of clusters: who may use it, which versions it has, what it can place, and what its nodes see."""

from __future__ import annotations

import platform
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

from isd_ray.actors.options import scorer_demand, trainer_demand
from isd_ray.config import CampaignConfig, ComputeConfig
from isd_ray.core.placement import Node, unplaced, what_is_missing
from isd_ray.errors import ClusterError, IsdError
from isd_ray.ops.security import (
    CLIENT_METHOD,
    GCS_METHOD,
    Door,
    bearer,
    grpc_door,
    http_door,
    is_loopback,
    ray_version_of,
)
from isd_ray.remote import joblog
from isd_ray.remote.driver import command
from isd_ray.remote.jobs_client import ENDED, JobsClient, dashboard_url, ray_range
from isd_ray.report.numbers import counted

LARGEST_SKEW_S = 5.0
"""Clocks further apart than this are worth a warning: times of the log stop meaning an order."""
SURVEY_TIMEOUT_S = 300.0
"""Longest wait for the job that looks around."""
LEAST_FREE_BYTES = 10 << 30
"""Free disk below this is worth a warning."""


class Verdict(str, Enum):
    """What a finding means."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding.

    Attributes
    ----------
    name:
        For programs; ``what`` is for people.
    found, remedy:
        In words; no remedy where none is needed.
    """

    name: str
    what: str
    verdict: Verdict
    found: str
    remedy: str = ""


def examine(
    address: str,
    config: CampaignConfig | None = None,
    out: str | None = None,
    *,
    gcs_port: int | None = None,
    client_port: int,
    ca_file: str | None = None,
) -> Iterator[Check]:
    """Examine a cluster, finding by finding; the last ones come from a job on it, which takes some seconds.

    Parameters
    ----------
    config:
        A campaign: can its actors be placed, are its library and sources there?
    out:
        Folder for results: do all nodes reach it?
    gcs_port:
        Of the head's GCS; without it the one that `compute.address` of the campaign names, else 6379.

    Raises
    ------
    ClusterError
        If `address` cannot be that of a dashboard.
    """
    address = dashboard_url(address)
    host = urlsplit(address).hostname or ""
    allowed = config is not None and config.compute.allow_cluster_without_authentication
    gcs_port = gcs_port or _gcs_port_of(config)
    yield from _doors(address, host, {"GCS": gcs_port, "Ray Client": client_port}, ca_file, tolerated=allowed)
    try:
        found, date = ray_version_of(address, ca_file)
    except ClusterError as error:
        yield _problem("jobs_api", "Jobs API", error)
        return
    words = "answers" + (", the token is accepted" if bearer() else "")
    yield Check("jobs_api", "Jobs API", Verdict.OK, words)
    yield _ray_version(found)
    if date is not None:
        yield _clock("clock", "Clock of the head", parsedate_to_datetime(date).timestamp() - time.time())
    try:
        access, nodes = _survey(JobsClient.open(address, ca_file=ca_file), [out or "", *_paths(config)])
    except IsdError as error:
        yield _problem("nodes", "Nodes", error)
        return
    yield _access("authentication", "GCS, from the head", access, Verdict.WARNING if allowed else Verdict.PROBLEM)
    yield from _nodes(nodes, config, out)


def _gcs_port_of(config: CampaignConfig | None) -> int:
    """A door that the campaign does not use, and that is shut, says nothing of the one it uses."""
    _, _, port = ((config and config.compute.address) or "").rpartition(":")
    return int(port) if port.isdecimal() else 6379


def _doors(address: str, host: str, ports: dict[str, int], ca_file: str | None, *, tolerated: bool) -> Iterator[Check]:
    harm = Verdict.WARNING if tolerated or is_loopback(host) else Verdict.PROBLEM
    doors: dict[str, tuple[str, Door]] = {}
    if (jobs := http_door(address, ca_file)) is not Door.SHUT:  # where nothing answers, that is a finding of its own
        doors["Jobs API"] = (address, jobs)
    for (name, port), method in zip(ports.items(), (GCS_METHOD, CLIENT_METHOD), strict=True):
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        doors[name] = (place, grpc_door(place, method))
    for name, (place, door) in doors.items():
        yield _access("open_" + name.lower().replace(" ", "_"), f"{name} at {place}", door, harm)
    if address.startswith("http:") and not is_loopback(host):
        yield Check(
            "transport",
            "Transport",
            Verdict.WARNING,
            "HTTP: whoever reads the network reads the token",
            "use https, or a tunnel (kubectl port-forward, ssh -L) to a loopback address",
        )


def _access(name: str, what: str, door: Door, harm: Verdict) -> Check:
    if door is not Door.OPEN:
        return Check(name, what, Verdict.OK, door.value)
    found = f"{door.value}: whoever reaches it runs code"
    remedy = "start the cluster with RAY_AUTH_MODE=token, and let a firewall or NetworkPolicy shut its ports"
    return Check(name, what, harm, found, remedy)


def _ray_version(found: str) -> Check:
    ours = version("ray")
    if not ray_range().contains(found, prereleases=True):
        return Check("ray", "Ray", Verdict.PROBLEM, f"{found}; needed is {ray_range()}", "use another image")
    if found != ours:
        return Check("ray", "Ray", Verdict.WARNING, f"{found} there, {ours} here", "use the same where you can")
    return Check("ray", "Ray", Verdict.OK, found)


def _clock(name: str, what: str, ahead_s: float) -> Check:
    words = f"{abs(ahead_s):.1f} s {'ahead' if ahead_s >= 0 else 'behind'}"
    if abs(ahead_s) <= LARGEST_SKEW_S:
        return Check(name, what, Verdict.OK, words)
    return Check(name, what, Verdict.WARNING, words, "synchronise clocks (NTP)")


def _problem(name: str, what: str, error: IsdError) -> Check:
    where = f"{error.where}: " if error.where else ""
    return Check(name, what, Verdict.PROBLEM, where + error.what, error.remedy)


def _paths(config: CampaignConfig | None) -> list[str]:
    """Files that the configuration names by their plain paths."""
    if config is None:
        return []
    history = config.library.history
    given = [config.library.source or (), (history.source if history is not None else None) or ()]
    sources = [name for source in given for name in ([source] if isinstance(source, str) else source)]
    named = [config.library.path, *sources, config.labels.source, config.validation.file, config.test.file]
    return [path for path in named if path and not path.startswith("package:") and not set("$*?[") & set(path)]


def _survey(client: JobsClient, arguments: Sequence[str]) -> tuple[Door, list[dict[str, Any]]]:
    """How the GCS meets callers, and what nodes say (`isd_ray.remote.survey.NodeView`), by a job that is forgotten."""
    name = f"isd-doctor-{uuid.uuid4().hex[:8]}"
    client.submit(name, command("survey", *arguments), {}, {})
    deadline = time.monotonic() + SURVEY_TIMEOUT_S
    while client.state_of(name)[0] not in ENDED:
        if time.monotonic() > deadline:
            client.stop(name)
            raise ClusterError(f"a job has not ended in {SURVEY_TIMEOUT_S:g} s", name, "see its log in the dashboard")
        time.sleep(1.0)
    log = client.log_of(name)
    client.forget(name)
    if (error := joblog.error_of(log)) is not None:
        raise error
    access, nodes = joblog.last_of(log, "access"), joblog.last_of(log, "nodes")
    if access is None or nodes is None:
        raise ClusterError(
            f"a job failed:\n{joblog.words_of(log)[-2000:]}",
            name,
            "mend what its last lines name, and run `isd doctor` again",
        )
    return Door(access), nodes


def _nodes(nodes: list[dict[str, Any]], config: CampaignConfig | None, out: str | None) -> Iterator[Check]:
    cpus, gpus = (sum(node["resources"].get(kind, 0.0) for node in nodes) for kind in ("CPU", "GPU"))
    yield Check("nodes", "Nodes", Verdict.OK, f"{len(nodes)}, with {cpus:g} CPUs and {gpus:g} GPUs")
    yield _same_everywhere("python", "Python", nodes, platform.python_version(), harm_here=Verdict.WARNING)
    yield _same_everywhere("isd_ray", "isd_ray", nodes, version("isd_ray"), harm_here=Verdict.PROBLEM)
    if config is not None and config.compute.backend == "ray":
        yield _placement(config.compute, nodes)
    if out is not None:
        yield _seen("out", "Folder for results", [out], nodes)
        free = min((node["free_bytes"] for node in nodes if node["free_bytes"] is not None), default=None)
        if free is not None:
            few = free < LEAST_FREE_BYTES
            verdict, remedy = (Verdict.WARNING, "`isd plan` tells what is needed") if few else (Verdict.OK, "")
            yield Check("disk", "Free disk", verdict, f"{free / 2**30:,.1f} GiB", remedy)
    if config is not None:
        library, sources = config.library.path, [path for path in _paths(config) if path != config.library.path]
        will_be_built = bool(config.library.source) and library in nodes[0]["unseen"]
        if library and not will_be_built:
            yield _seen("library", "Library", [library], nodes)
        if sources:
            yield _seen("sources", "Sources and labels", sources, nodes[:1])
    worst = max(nodes, key=lambda node: abs(node["clock_s"]))
    yield _clock("node_clocks", f"Clocks of the nodes, worst {worst['address']}", worst["clock_s"])


def _same_everywhere(key: str, what: str, nodes: Sequence[dict[str, Any]], ours: str, *, harm_here: Verdict) -> Check:
    found = {node[key] for node in nodes}
    words = ", ".join(sorted(version or "not installed" for version in found))
    if len(found) > 1:
        return Check(key, what, Verdict.PROBLEM, f"nodes differ: {words}", "use one image for all nodes")
    if found != {ours}:
        return Check(key, what, harm_here, f"{words} there, {ours} here", "use the same version")
    return Check(key, what, Verdict.OK, words)


def _seen(key: str, what: str, paths: Sequence[str], nodes: Sequence[dict[str, Any]]) -> Check:
    for node in nodes:
        for path in paths:
            if path in node["unseen"]:
                found = f"node {node['address']} does not reach {path}: {node['unseen'][path]}"
                return Check(key, what, Verdict.PROBLEM, found, "use storage that all nodes mount under one path")
    return Check(key, what, Verdict.OK, f"reached by {'all nodes' if len(nodes) > 1 else 'the head'}")


def _placement(compute: ComputeConfig, nodes: Sequence[dict[str, Any]]) -> Check:
    wanted = {
        "trainer": (compute.trainers, trainer_demand(compute)),
        "scorer": (compute.scorers, scorer_demand(compute)),
    }
    there = [Node(node["address"], node["resources"], node["labels"]) for node in nodes]
    left = unplaced(wanted, there)
    if not left:
        words = ", ".join(counted(n, name) for name, (n, _) in wanted.items())
        return Check("placement", "Placement", Verdict.OK, f"{words} find room")
    words = "; ".join(
        f"{n} of {wanted[name][0]} {name}s, each {wanted[name][1].words}: {what_is_missing(wanted[name][1], there)}"
        for name, n in left.items()
    )
    return Check(
        "placement",
        "Placement",
        Verdict.PROBLEM,
        f"no room for {words}",
        "ask for fewer or smaller ones in [compute], or add nodes; they would wait for ever, or for an autoscaler",
    )
