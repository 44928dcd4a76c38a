"""What the rules look at: clusters, jobs and pods, wherever they are nested."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.manifests.kustomize import Object

_UNITS = {"": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_QUANTITY = re.compile(rf"(\d+(?:\.\d+)?)({'|'.join(_UNITS)})")
OPERATOR_LABELS = {"ray.io/is-ray-node": "yes", "ray.io/cluster": "generated"}
"""Labels that KubeRay adds to the pods of a cluster, besides ray.io/node-type and ray.io/group."""
PAGE = "serve"
"""The pod of the laboratory's web page."""


COORDINATORS = "coordinators"
"""The container with the service of coordinators."""


def quantity(text: Any) -> float:
    """A Kubernetes quantity as a number; nan if it is none."""
    found = _QUANTITY.fullmatch(str(text))
    return float(found[1]) * _UNITS[found[2]] if found else math.nan


@dataclass(frozen=True)
class Group:
    """A group of equal pods of a Ray cluster: `head`, or the name of a worker group."""

    name: str
    spec: Object

    @property
    def template(self) -> Object:
        """The template of its pods."""
        return self.spec["template"]

    @property
    def resources(self) -> dict[str, float]:
        """The logical resources that a node of it offers to Ray."""
        return {name: quantity(value) for name, value in self.spec.get("resources", {}).items()}


@dataclass(frozen=True)
class Pod:
    """A kind of pod that will exist."""

    name: str
    namespace: str
    labels: dict[str, str]
    spec: Object
    is_ray_node: bool

    @property
    def containers(self) -> list[Object]:
        """All containers that the manifest itself names."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    @property
    def main(self) -> Object:
        """The container that stays."""
        return self.spec["containers"][0]

    @property
    def volumes(self) -> dict[str, Object]:
        """Volumes by name."""
        return {volume["name"]: volume for volume in self.spec.get("volumes", [])}

    def volume_at(self, path: str) -> Object | None:
        """The volume that the main container mounts at a path."""
        mounts = {mount["mountPath"]: mount["name"] for mount in self.main.get("volumeMounts", [])}
        return self.volumes.get(mounts.get(path, ""))


def of_kind(objects: list[Object], kind: str) -> list[Object]:
    """The objects of a kind."""
    return [thing for thing in objects if thing["kind"] == kind]


def jobs(objects: list[Object]) -> list[Object]:
    """Specs of RayJobs, also of those in a RayCronJob."""
    crons = [thing["spec"]["jobTemplate"] for thing in of_kind(objects, "RayCronJob")]
    return [thing["spec"] for thing in of_kind(objects, "RayJob")] + crons


def clusters(objects: list[Object]) -> list[Object]:
    """Specs of Ray clusters, also of those that jobs make."""
    made = [job["rayClusterSpec"] for job in jobs(objects) if "rayClusterSpec" in job]
    return [thing["spec"] for thing in of_kind(objects, "RayCluster")] + made


def groups(cluster: Object) -> list[Group]:
    """The head and the worker groups of a cluster."""
    workers = [Group(group["groupName"], group) for group in cluster.get("workerGroupSpecs", [])]
    return [Group("head", cluster["headGroupSpec"]), *workers]


def pods(objects: list[Object]) -> Iterator[Pod]:
    """Every kind of pod, with the labels that it will carry."""
    owners = [thing for thing in objects if thing["apiVersion"] == "ray.io/v1"]
    for owner in owners:
        namespace = owner["metadata"]["namespace"]
        for cluster in clusters([owner]):
            for group in groups(cluster):
                metadata = group.template.get("metadata", {})
                node = {"ray.io/node-type": "head" if group.name == "head" else "worker", "ray.io/group": group.name}
                labels = {**metadata.get("labels", {}), **OPERATOR_LABELS, **node}
                yield Pod(group.name, namespace, labels, group.template["spec"], True)
        for job in jobs([owner]):
            if "submitterPodTemplate" in job:
                template = job["submitterPodTemplate"]
                labels = template.get("metadata", {}).get("labels", {})
                yield Pod("submitter", namespace, labels, template["spec"], False)
    for thing in of_kind(objects, "Deployment"):
        template = thing["spec"]["template"]
        yield Pod(PAGE, thing["metadata"]["namespace"], template["metadata"]["labels"], template["spec"], False)


def behind(objects: list[Object], service: str) -> list[Pod]:
    """The pods that a Service of the bundle leads to."""
    found = [thing["spec"]["selector"] for thing in of_kind(objects, "Service") if thing["metadata"]["name"] == service]
    return [pod for pod in pods(objects) for labels in found if labels.items() <= pod.labels.items()]


def backends_of(ingress: Object) -> list[tuple[str, Any]]:
    """Service and name of the port that each path of an Ingress leads to."""
    paths = [path for rule in ingress["spec"].get("rules", []) for path in rule["http"]["paths"]]
    services = [path["backend"]["service"] for path in paths]
    return [(service["name"], service["port"].get("name")) for service in services]


def is_openshift(objects: list[Object]) -> bool:
    """Whether names are asked for where OpenShift's name servers are."""
    return any("openshift-dns" in str(policy["spec"]) for policy in of_kind(objects, "NetworkPolicy"))
