"""The service of coordinators for laptops: a container of a head that stays, joins its Ray and outlives errors."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from starlette.testclient import TestClient

from isd_ray.config import ComputeConfig
from isd_ray.errors import ConfigError
from isd_ray.ops.calls import MAX_SENT_BYTES
from isd_ray.remote.tokens import Tokens
from isd_ray.serve.coordinators.app import Served, create_app
from isd_ray.serve.coordinators.campaigns import Campaigns
from isd_ray.serve.coordinators.guard import MAX_CALL_BYTES
from isd_ray.serve.settings import EVERY_ADDRESS
from tests.manifests.campaign_rules import UsageError, is_kept, mount_of, parse_command
from tests.manifests.kustomize import Object
from tests.manifests.page_rules import BODY_SIZE, in_bytes
from tests.manifests.pod_rules import PORTS
from tests.manifests.specs import COORDINATORS, Pod, behind, clusters, jobs, of_kind, pods, quantity

SHARED = ("/tmp/ray", "/dev/shm")
"""What a process needs of the node whose Ray it joins: sockets and objects."""
N_AT_A_TIME = 8
"""Files of readouts that the memory must hold at once."""


@dataclass(frozen=True)
class Service:
    """The service in a pod: `alone` is the pod as if it had that container only."""

    pod: Pod
    container: Object
    alone: Pod

    @property
    def given(self) -> dict[str, Any]:
        """The arguments of its command; empty if there is no such command."""
        words = [*self.container.get("command", []), *self.container.get("args", [])]
        try:
            return dict(parse_command(words)) if words[:3] == ["isd", "coordinators", "serve"] else {}
        except UsageError:
            return {}

    @property
    def variables(self) -> dict[str, Object]:
        """Its environment by name."""
        return {variable["name"]: variable for variable in self.container.get("env", [])}


def _services(objects: list[Object]) -> list[Service]:
    return [
        Service(pod, container, replace(pod, spec={**pod.spec, "containers": [container]}))
        for pod in pods(objects)
        for container in pod.containers
        if container["name"] == COORDINATORS
    ]


def coordinators_are_served(objects: list[Object]) -> Iterator[str]:
    """`isd coordinators serve` with options that exist, of the head beside it, over campaigns that are kept."""
    for service in _services(objects):
        given = service.given
        if not given:
            yield f"{service.container.get('command')} {service.container.get('args')} is no command"
            continue
        try:
            Served(given["host"], given["port"], given["tls_cert"], given["tls_key"], given["behind_proxy"])
        except ConfigError as error:
            yield str(error)
        if given["host"] not in EVERY_ADDRESS:
            yield "the service is shown to its own pod only"
        if service.pod.name != "head" or given["address"] != f"127.0.0.1:{PORTS['gcs-server']}":
            yield f"{given['address']} in {service.pod.name} is no head beside it"
        first = [container.get("command", []) for container in service.pod.spec["initContainers"]]
        made = {folder for words in first if words[:2] == ["mkdir", "-p"] for folder in words[2:]}
        for place in given["places"]:
            if not is_kept(service.alone, place):
                yield f"{place} is lost"
            if place.startswith("/") and place not in made:
                yield f"{place} is not there on a new claim"
    if any(_services([job]) for kind in ("RayJob", "RayCronJob") for job in of_kind(objects, kind)):
        yield f"the cluster of {len(jobs(objects))} jobs ends with them, and the service too"


def coordinators_join_ray(objects: list[Object]) -> Iterator[str]:
    """Ray takes in the service: it sees the processes and files of the node, and shows the token."""
    secrets = {cluster.get("authOptions", {}).get("secretName") for cluster in clusters(objects)}
    for service in _services(objects):
        if service.pod.spec.get("shareProcessNamespace") is not True:
            yield "the raylet is not seen"
        for path in SHARED:
            if service.alone.volume_at(path) is None or service.alone.volume_at(path) != service.pod.volume_at(path):
                yield f"{path} is not that of the node"
        token = service.variables.get("RAY_AUTH_TOKEN", {}).get("valueFrom", {}).get("secretKeyRef", {})
        mode = service.variables.get("RAY_AUTH_MODE", {}).get("value")
        if mode != "token" or token.get("key") != "auth_token" or {token.get("name")} != secrets:
            yield f"token {token} in mode {mode}"
        if service.container["image"] != service.pod.main["image"]:
            yield "two versions of isd_ray do not understand each other"


@functools.cache
def _answer(path: str) -> int:
    """The status with which the service answers somebody without a token."""
    with tempfile.TemporaryDirectory() as folder:
        tokens = Tokens.read(Path(folder) / "tokens")
        return TestClient(create_app(cast(Campaigns, None), tokens, Path(folder))).get(path).status_code


def coordinators_outlive_errors(objects: list[Object]) -> Iterator[str]:
    """The service is begun again alone, keeps Ray from nothing, and is asked only when it has had time for Ray."""
    for service in _services(objects):
        if service.container.get("restartPolicy") != "Always":
            yield "what has ended is not begun again"
        if "startupProbe" in service.container or "readinessProbe" in service.container:
            yield "the head is not there before the service is, which waits for the head"
        probe = service.container.get("livenessProbe", {})
        named = {port["name"]: port["containerPort"] for port in service.container.get("ports", [])}
        asked = probe.get("httpGet", {})
        if named.get(asked.get("port"), asked.get("port")) != service.given.get("port"):
            yield f"{asked} asks nobody"
        elif _answer(asked["path"]) != 200:
            yield f"{asked['path']} is refused"
        if probe.get("initialDelaySeconds", 0) <= ComputeConfig().start_timeout_s:
            yield "it is ended while it waits for Ray"


def coordinators_are_reached(objects: list[Object]) -> Iterator[str]:
    """An Ingress leads by a Service to the port of the service, and lets whole files of readouts through."""
    for service in _services(objects):
        targets = {
            thing["metadata"]["name"]: {port["name"]: port["targetPort"] for port in thing["spec"]["ports"]}
            for thing in of_kind(objects, "Service")
            if service.pod in behind(objects, thing["metadata"]["name"])
        }
        ours = [
            (ingress, path["backend"]["service"])
            for ingress in of_kind(objects, "Ingress")
            for rule in ingress["spec"].get("rules", [])
            for path in rule["http"]["paths"]
            if path["backend"]["service"]["name"] in targets
        ]
        for ingress, backend in ours:
            if targets[backend["name"]].get(backend["port"].get("name")) != service.given.get("port"):
                yield f"{backend} leads nowhere"
            size = ingress["metadata"].get("annotations", {}).get(BODY_SIZE, "1m")
            if quantity(in_bytes(size)) <= MAX_SENT_BYTES + MAX_CALL_BYTES:
                yield "files of readouts are refused on the way"
        if not ours:
            yield "nobody is led to the service"


def coordinators_take_their_tokens_from_a_secret(objects: list[Object]) -> Iterator[str]:
    """The tokens are a file of a Secret that only the pod's user and group read."""
    for service in _services(objects):
        volume = mount_of(service.alone, str(service.given.get("token_file"))) or {}
        if "secret" not in volume or volume["secret"].get("defaultMode", 0o644) & 0o007:
            yield f"tokens in {volume}"


def coordinators_have_room(objects: list[Object]) -> Iterator[str]:
    """Some files of readouts fit the memory at a time."""
    for service in _services(objects):
        memory = service.container.get("resources", {}).get("limits", {}).get("memory", 0)
        if quantity(memory) < N_AT_A_TIME * MAX_SENT_BYTES:
            yield f"memory {memory}"


RULES = (
    coordinators_are_served,
    coordinators_join_ray,
    coordinators_outlive_errors,
    coordinators_are_reached,
    coordinators_take_their_tokens_from_a_secret,
    coordinators_have_room,
)
