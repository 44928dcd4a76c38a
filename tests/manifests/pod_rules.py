"""What every pod must be: confined, bounded, pinned, and given what Ray needs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.manifests.kustomize import Object
from tests.manifests.project import PROJECT
from tests.manifests.specs import (
    COORDINATORS,
    PAGE,
    backends_of,
    behind,
    clusters,
    groups,
    is_openshift,
    of_kind,
    pods,
    quantity,
)

GPU = "nvidia.com/gpu"
PORTS = {"gcs-server": 6379, "dashboard": 8265, "client": 10001, "metrics": 8080}
_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|CREDENTIAL|_KEY", re.IGNORECASE)
_LARGEST_SHM_SHARE = 0.5


def pods_are_not_root(objects: list[Object]) -> Iterator[str]:
    """No pod, and no container, runs as root or with the host's namespaces or files.

    OpenShift numbers users itself, and refuses pods that ask for a number or a group of their own.
    """
    for pod in pods(objects):
        security = pod.spec.get("securityContext", {})
        if security.get("runAsNonRoot") is not True:
            yield f"{pod.name}: may run as root"
        if is_openshift(objects) and {"runAsUser", "runAsGroup", "fsGroup", "supplementalGroups"} & security.keys():
            yield f"{pod.name}: OpenShift refuses its number"
        if not is_openshift(objects) and not security.get("runAsUser"):
            yield f"{pod.name}: may run as root"
        if security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{pod.name}: no seccomp profile"
        if any(pod.spec.get(field) for field in ("hostNetwork", "hostPID", "hostIPC")):
            yield f"{pod.name}: shares the host's namespaces"
        if any("hostPath" in volume for volume in pod.volumes.values()):
            yield f"{pod.name}: mounts the host's files"


def containers_are_confined(objects: list[Object]) -> Iterator[str]:
    """No privileges, none to be gained, nothing writable but what is mounted; also in the autoscaler."""
    contexts = [
        (f"{pod.name}/{container['name']}", container.get("securityContext", {}))
        for pod in pods(objects)
        for container in pod.containers
    ]
    contexts += [
        ("autoscaler", cluster["autoscalerOptions"].get("securityContext", {}))
        for cluster in clusters(objects)
        if "autoscalerOptions" in cluster
    ]
    for name, security in contexts:
        capabilities = security.get("capabilities", {})
        confined = (
            security.get("allowPrivilegeEscalation") is False
            and not security.get("privileged")
            and security.get("readOnlyRootFilesystem") is True
            and security.get("runAsNonRoot") is True
            and security.get("runAsUser", 1) != 0
            and capabilities.get("drop") == ["ALL"]
            and not capabilities.get("add")
        )
        if not confined:
            yield f"{name}: {security}"


def ray_has_room_to_write(objects: list[Object]) -> Iterator[str]:
    """With a read-only root Ray needs /tmp, its logs, and shared memory in memory; all scratch has a limit."""
    for pod in pods(objects):
        for path in ("/tmp", *(("/tmp/ray", "/dev/shm") if pod.is_ray_node else ())):
            if "emptyDir" not in (pod.volume_at(path) or {}):
                yield f"{pod.name}: {path} cannot be written"
        for volume in pod.volumes.values():
            if "emptyDir" in volume and "sizeLimit" not in (volume["emptyDir"] or {}):
                yield f"{pod.name}: {volume['name']} has no limit"
    for cluster in clusters(objects):
        mounts = cluster.get("autoscalerOptions", {"volumeMounts": [{"mountPath": "/tmp"}]}).get("volumeMounts", [])
        if "/tmp" not in [mount["mountPath"] for mount in mounts]:
            yield "autoscaler: /tmp cannot be written"


def containers_are_bounded(objects: list[Object]) -> Iterator[str]:
    """Requests and limits of CPU and memory; memory is guaranteed."""
    for pod in pods(objects):
        for container in pod.containers:
            resources = container.get("resources", {})
            requests, limits = resources.get("requests", {}), resources.get("limits", {})
            amounts = [quantity(side.get(name, 0)) for side in (requests, limits) for name in ("cpu", "memory")]
            if not all(amount > 0 for amount in amounts) or requests["memory"] != limits["memory"]:
                yield f"{pod.name}/{container['name']}: {resources}"
    for cluster in clusters(objects):
        if "autoscalerOptions" in cluster and "limits" not in cluster["autoscalerOptions"].get("resources", {}):
            yield "autoscaler: no limits"


def object_store_fits_shared_memory(objects: list[Object]) -> Iterator[str]:
    """The object store lies in /dev/shm, whose pages count in the container's memory limit."""
    for cluster in clusters(objects):
        for group in groups(cluster):
            spec = group.template["spec"]
            volumes = {volume["name"]: volume.get("emptyDir") or {} for volume in spec.get("volumes", [])}
            mounts = {mount["mountPath"]: mount["name"] for mount in spec["containers"][0].get("volumeMounts", [])}
            shared = volumes.get(mounts.get("/dev/shm", ""), {})
            size = quantity(shared.get("sizeLimit", 0))
            memory = quantity(spec["containers"][0].get("resources", {}).get("limits", {}).get("memory", 0))
            store = quantity(group.spec.get("rayStartParams", {}).get("object-store-memory"))
            if shared.get("medium") != "Memory" or not store <= size <= _LARGEST_SHM_SHARE * memory:
                yield f"{group.name}: object store {store:g}, /dev/shm {size:g}, memory {memory:g}"


def secrets_are_references(objects: list[Object]) -> Iterator[str]:
    """No Secret and no secret value is in a manifest; the operator sets Ray's token itself, in Ray's own containers."""
    yield from (f"Secret {thing['metadata']['name']}" for thing in of_kind(objects, "Secret"))
    for pod in pods(objects):
        for container in pod.containers:
            for variable in container.get("env", []):
                is_set_by_the_operator = variable["name"].startswith("RAY_AUTH") and container["name"] != COORDINATORS
                if is_set_by_the_operator or ("value" in variable and _SECRET_NAME.search(variable["name"])):
                    yield f"{pod.name}: {variable['name']}"


def images_are_pinned(objects: list[Object]) -> Iterator[str]:
    """Every image has the tag of this version, and a GPU is asked for where, and only where, CUDA is."""
    for pod in pods(objects):
        for container in pod.containers:
            tag = container["image"].rpartition("/")[2].partition(":")[2]
            variant = "cuda" if GPU in container.get("resources", {}).get("limits", {}) else "cpu"
            if tag != f"{PROJECT['version']}-{variant}":
                yield f"{pod.name}: {container['image']}"


def gpus_are_asked_for(objects: list[Object]) -> Iterator[str]:
    """A group that tells Ray of GPUs asks Kubernetes for as many and may go where they are; CPUs are not invented."""
    for cluster in clusters(objects):
        for group in groups(cluster):
            limits = group.template["spec"]["containers"][0].get("resources", {}).get("limits", {})
            if group.resources.get("GPU", 0.0) != quantity(limits.get(GPU, 0)):
                yield f"{group.name}: Ray sees {group.resources.get('GPU', 0):g} GPUs of {limits.get(GPU, 0)}"
            tolerated = [toleration.get("key") for toleration in group.template["spec"].get("tolerations", [])]
            if (GPU in limits) != (GPU in tolerated):
                yield f"{group.name}: tolerations {tolerated}"
            if group.resources.get("CPU", float("inf")) > quantity(limits.get("cpu", 0)):
                yield f"{group.name}: more CPUs for Ray than the container has"
        if groups(cluster)[0].resources.get("CPU") != 0.0:
            yield "actors may be placed on the head"
    if not any("GPU" in group.resources for cluster in clusters(objects) for group in groups(cluster)):
        yield "no group has GPUs"


def only_the_head_speaks_to_kubernetes(objects: list[Object]) -> Iterator[str]:
    """The autoscaler in the head needs a service account's token; where campaigns compute there is none."""
    for pod in pods(objects):
        if pod.name != "head" and pod.spec.get("automountServiceAccountToken") is not False:
            yield f"{pod.name}: mounts a service account's token"


def mounts_resolve(objects: list[Object]) -> Iterator[str]:
    """What is mounted is a volume, and what a volume names is in the bundle; libraries and campaigns are shared."""
    known = {
        (kind, thing["metadata"]["name"])
        for kind in ("PersistentVolumeClaim", "ConfigMap")
        for thing in of_kind(objects, kind)
    }
    for pod in pods(objects):
        for container in pod.containers:
            for mount in container.get("volumeMounts", []):
                if mount["name"] not in pod.volumes:
                    yield f"{pod.name}: no volume {mount['name']}"
        for volume in pod.volumes.values():
            claim, config = volume.get("persistentVolumeClaim"), volume.get("configMap")
            if claim and ("PersistentVolumeClaim", claim["claimName"]) not in known:
                yield f"{pod.name}: no claim {claim['claimName']}"
            if config and ("ConfigMap", config["name"]) not in known:
                yield f"{pod.name}: no ConfigMap {config['name']}"
    for claim in of_kind(objects, "PersistentVolumeClaim"):
        if claim["spec"]["accessModes"] != ["ReadWriteMany"]:
            yield "scorers on several nodes write into one campaign"


def ports_are_rays(objects: list[Object]) -> Iterator[str]:
    """The head names Ray's ports, every node its metrics port."""
    for pod in pods(objects):
        if pod.is_ray_node:
            wanted = PORTS if pod.name == "head" else {"metrics": PORTS["metrics"]}
            found = {port.get("name"): port["containerPort"] for port in pod.main.get("ports", [])}
            if found != wanted:
                yield f"{pod.name}: {found}"


def services_stay_inside(objects: list[Object]) -> Iterator[str]:
    """Nothing but the page and the service of coordinators is published, and these by an Ingress with TLS alone."""
    for cluster in clusters(objects):
        head = cluster["headGroupSpec"]
        own = head.get("headService", {}).get("spec", {}).get("type", "ClusterIP")
        if head.get("serviceType") != "ClusterIP" or own != "ClusterIP" or head.get("enableIngress"):
            yield f"head: serviceType={head.get('serviceType')}"
    for thing in objects:
        published = thing["kind"] == "Service" and thing["spec"].get("type", "ClusterIP") != "ClusterIP"
        published |= thing["kind"] == "Ingress" and not _is_guarded(thing, objects)
        if published or thing["kind"] in ("HTTPRoute", "Route"):
            yield f"{thing['kind']} {thing['metadata']['name']}"


def namespace_is_restricted(objects: list[Object]) -> Iterator[str]:
    """All is in one namespace, and Kubernetes itself refuses pods that are not confined there."""
    namespaces = of_kind(objects, "Namespace")
    for thing in namespaces:
        if thing["metadata"]["labels"].get("pod-security.kubernetes.io/enforce") != "restricted":
            yield "pod security is not enforced"
    allowed = {thing["metadata"]["name"] for thing in namespaces}
    for thing in objects:
        if thing["kind"] != "Namespace" and thing["metadata"].get("namespace") not in allowed:
            yield f"{thing['kind']} {thing['metadata']['name']} is elsewhere"


def _is_guarded(ingress: Object, objects: list[Object]) -> bool:
    """Whether every host of an Ingress has a certificate, and every path of it leads to what asks for a login."""
    spec = ingress["spec"]
    hosts = [rule.get("host") for rule in spec.get("rules", [])]
    secured = [host for entry in spec.get("tls", []) if entry.get("secretName") for host in entry["hosts"]]
    is_secured = bool(hosts) and set(hosts) <= set(secured) and "defaultBackend" not in spec
    return is_secured and all(_asks_for_login(objects, *backend) for backend in backends_of(ingress))


def _asks_for_login(objects: list[Object], service: str, port: str | None) -> bool:
    """Whether all pods behind a port of a Service are pages, or it is the one of the coordinators in them."""
    found = behind(objects, service)
    if {pod.name for pod in found} == {PAGE}:
        return True
    [to] = [
        each["targetPort"]
        for thing in of_kind(objects, "Service")
        if thing["metadata"]["name"] == service
        for each in thing["spec"]["ports"]
        if each["name"] == port
    ] or [None]
    ports = [
        {each["containerPort"] for each in container.get("ports", [])}
        for pod in found
        for container in pod.containers
        if container["name"] == COORDINATORS
    ]
    return bool(ports) and len(ports) == len(found) and all(to in each for each in ports)


RULES = (
    pods_are_not_root,
    containers_are_confined,
    ray_has_room_to_write,
    containers_are_bounded,
    object_store_fits_shared_memory,
    secrets_are_references,
    images_are_pinned,
    gpus_are_asked_for,
    only_the_head_speaks_to_kubernetes,
    mounts_resolve,
    ports_are_rays,
    services_stay_inside,
    namespace_is_restricted,
)
