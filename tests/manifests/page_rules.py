"""The laboratory's web page: a command that exists, a name that fits, probes that it answers, a token from a Secret."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from isd_ray.config.limits import MAX_READING_BYTES, MAX_UPLOAD_BYTES
from isd_ray.serve.app import create_app
from isd_ray.serve.settings import EVERY_ADDRESS, LOOPBACK_NAMES, Settings
from isd_ray.serve.uploads import MAX_UPLOADS
from tests.manifests.campaign_rules import UsageError, is_kept, mount_of, parse_command
from tests.manifests.kustomize import Object
from tests.manifests.specs import PAGE, Pod, backends_of, behind, of_kind, pods, quantity

POD_ADDRESS = "10.1.2.3:8765"
"""What a probe names as its host unless it is told another."""
BODY_SIZE = "nginx.ingress.kubernetes.io/proxy-body-size"
N_AT_A_TIME = 2
"""Files of readouts that are read at a time (`isd_ray.serve.apart`)."""
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def _pages(objects: list[Object]) -> list[Pod]:
    return [pod for pod in pods(objects) if pod.name == PAGE]


def _command(pod: Pod) -> dict[str, Any]:
    """The arguments of the page's command; empty if there is no such command."""
    words = [*pod.main.get("command", []), *pod.main.get("args", [])]
    try:
        return dict(parse_command(words)) if words[:2] == ["isd", "serve"] else {}
    except UsageError:
        return {}


def _ports(pod: Pod) -> dict[str, int]:
    """Ports of the page by their names."""
    return {port["name"]: port["containerPort"] for port in pod.main.get("ports", [])}


def pages_are_served(objects: list[Object]) -> Iterator[str]:
    """`isd serve` with options that exist, to others than its own pod, over campaigns that are kept."""
    for pod in _pages(objects):
        given = _command(pod)
        if not given:
            yield f"{pod.main.get('command')} {pod.main.get('args')} is no command"
            continue
        if given["host"] not in EVERY_ADDRESS or not given["open_to_network"] or not given["name"]:
            yield "the page is shown to its own pod only"
        first = [container.get("command", []) for container in pod.spec.get("initContainers", [])]
        made = {folder for words in first if words[:2] == ["mkdir", "-p"] for folder in words[2:]}
        for place in given["places"]:
            if not is_kept(pod, place):
                yield f"{place} is lost"
            if place.startswith("/") and place not in made:
                yield f"{place} is not there on a new claim"


def pages_are_reached(objects: list[Object]) -> Iterator[str]:
    """The Ingress asks for the page's name, and leads by the Service to the port that it listens at."""
    for pod in _pages(objects):
        given, ports = _command(pod), _ports(pod)
        services = [
            thing for thing in of_kind(objects, "Service") if behind(objects, thing["metadata"]["name"]) == [pod]
        ]
        targets = {
            (thing["metadata"]["name"], port["name"]): ports.get(port["targetPort"], port["targetPort"])
            for thing in services
            for port in thing["spec"]["ports"]
        }
        ingresses = [
            ingress
            for ingress in of_kind(objects, "Ingress")
            if {name for name, _ in targets} & {service for service, _ in backends_of(ingress)}
        ]
        for ingress in ingresses:
            for rule in ingress["spec"].get("rules", []):
                if rule["host"] not in given.get("name", ()):
                    yield f"requests for {rule['host']} are refused"
                for path in rule["http"]["paths"]:
                    backend = path["backend"]["service"]
                    if targets.get((backend["name"], backend["port"].get("name"))) != given.get("port"):
                        yield f"{backend} leads nowhere"
            if quantity(in_bytes(ingress["metadata"].get("annotations", {}).get(BODY_SIZE, "1m"))) <= MAX_UPLOAD_BYTES:
                yield "files of readouts are refused on the way"
        if not ingresses:
            yield "nobody is led to the page"


def in_bytes(size: str) -> str:
    """A size as nginx writes it as a quantity of Kubernetes."""
    return size.replace("m", "Mi").replace("g", "Gi")


@functools.cache
def _answer(path: str, host: str, names: Sequence[str]) -> int:
    """The status with which the page answers a probe."""
    settings = Settings("a token of these tests", (*names, *LOOPBACK_NAMES))
    with tempfile.TemporaryDirectory() as folder:
        client = TestClient(create_app([folder], settings, Path(folder)), follow_redirects=False)
        return client.get(path, headers={"Host": host}).status_code


def pages_answer_probes(objects: list[Object]) -> Iterator[str]:
    """Kubernetes learns by requests that the page refuses nobody, at its port, without the token."""
    for pod in _pages(objects):
        given, named = _command(pod), _ports(pod)
        for name in PROBES:
            request = pod.main.get(name, {}).get("httpGet", {})
            headers = {header["name"]: header["value"] for header in request.get("httpHeaders", [])}
            host = headers.get("Host", POD_ADDRESS)
            if named.get(request.get("port"), request.get("port")) != given.get("port"):
                yield f"{name}: {request}"
            elif _answer(request["path"], host, tuple(given["name"] or ())) != 200:
                yield f"{name}: {request['path']} of {host} is refused"


def pages_take_their_token_from_a_secret(objects: list[Object]) -> Iterator[str]:
    """The token is a file of a Secret that only the pod's user and group read."""
    for pod in _pages(objects):
        volume = mount_of(pod, str(_command(pod).get("token_file"))) or {}
        if "secret" not in volume or volume["secret"].get("defaultMode", 0o644) & 0o007:
            yield f"token in {volume}"


def pages_have_room(objects: list[Object]) -> Iterator[str]:
    """All files that may wait fit the scratch, and those that are read at a time the memory; one process has them."""
    for pod in _pages(objects):
        scratch = (pod.volume_at("/tmp") or {}).get("emptyDir", {}).get("sizeLimit", 0)
        memory = pod.main.get("resources", {}).get("limits", {}).get("memory", 0)
        if quantity(scratch) < MAX_UPLOADS * MAX_UPLOAD_BYTES or quantity(memory) <= N_AT_A_TIME * MAX_READING_BYTES:
            yield f"/tmp {scratch}, memory {memory}"
    for thing in of_kind(objects, "Deployment"):
        if thing["spec"].get("replicas") != 1 or thing["spec"].get("strategy", {}).get("type") != "Recreate":
            yield "logins are those of one process"


RULES = (
    pages_are_served,
    pages_are_reached,
    pages_answer_probes,
    pages_take_their_token_from_a_secret,
    pages_have_room,
)
