"""Who reaches whom: NetworkPolicies are evaluated as Kubernetes does, and compared with what we promise."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.manifests.kustomize import Object
from tests.manifests.pod_rules import PORTS
from tests.manifests.specs import COORDINATORS, PAGE, is_openshift, of_kind, pods

NAMESPACE_NAME = "kubernetes.io/metadata.name"
ANY_WORKER_PORT = 34_567
"""A port as Ray's workers choose them."""


@dataclass(frozen=True)
class Peer:
    """One end of a connection: a pod in a namespace, or an address outside."""

    name: str
    namespace: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    address: str | None = None


OPERATOR = Peer("operator", "kuberay-system", {"app.kubernetes.io/component": "kuberay-operator"})
PROMETHEUS = Peer("prometheus", "monitoring", {"app.kubernetes.io/name": "prometheus"})
DNS = Peer("dns", "kube-system", {"k8s-app": "kube-dns"})
NODE_LOCAL_DNS = Peer("NodeLocal DNSCache", address="169.254.20.10")
OPENSHIFT_DNS = Peer("dns of OpenShift", "openshift-dns", {"dns.operator.openshift.io/daemonset-dns": "default"})
PAGE_PORT, COORDINATORS_PORT = 8765, 8766
INTERNET = Peer("internet", address="203.0.113.7")
METADATA = Peer("metadata service", address="169.254.169.254")


def selects(selector: Object, labels: dict[str, str]) -> bool:
    """Whether a label selector matches; an empty one matches everything."""
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    for term in selector.get("matchExpressions", []):
        value, operator = labels.get(term["key"]), term["operator"]
        matched = {
            "In": value in term.get("values", []),
            "NotIn": value not in term.get("values", []),
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }[operator]
        if not matched:
            return False
    return True


def _is_peer(rule: Object, peer: Peer, namespace: str) -> bool:
    if "ipBlock" in rule:
        if peer.address is None:
            return False
        address = ipaddress.ip_address(peer.address)
        blocks = [rule["ipBlock"]["cidr"]], rule["ipBlock"].get("except", [])
        inside, outside = ([address in ipaddress.ip_network(block) for block in part] for part in blocks)
        return any(inside) and not any(outside)
    if peer.address is not None:
        return False
    if "namespaceSelector" in rule:
        if not selects(rule["namespaceSelector"], {NAMESPACE_NAME: peer.namespace}):
            return False
    elif peer.namespace != namespace:
        return False
    return selects(rule.get("podSelector", {}), peer.labels)


def _permits(policies: list[Object], one: Peer, other: Peer, port: int, protocol: str, direction: str) -> bool:
    """Whether the policies of `one` let traffic to it (Ingress) or from it (Egress) pass."""
    side = {"Ingress": "from", "Egress": "to"}[direction]
    ours = [
        policy
        for policy in policies
        if direction in policy["spec"]["policyTypes"]
        and policy["metadata"]["namespace"] == one.namespace
        and selects(policy["spec"]["podSelector"], one.labels)
    ]
    rules = [rule for policy in ours for rule in policy["spec"].get(direction.lower(), [])]
    return not ours or any(
        (not rule.get(side) or any(_is_peer(peer, other, one.namespace) for peer in rule[side]))
        and (
            not rule.get("ports")
            or any(at.get("protocol", "TCP") == protocol and at.get("port", port) == port for at in rule["ports"])
        )
        for rule in rules
    )


def reaches(policies: list[Object], source: Peer, target: Peer, port: int, protocol: str = "TCP") -> bool:
    """Whether a connection is let out at its source and in at its target."""
    out = source.address is not None or _permits(policies, source, target, port, protocol, "Egress")
    return out and (target.address is not None or _permits(policies, target, source, port, protocol, "Ingress"))


def _peers(objects: list[Object]) -> tuple[list[Peer], list[Peer], list[Peer]]:
    """Ray nodes, submitters, and web pages."""
    every = [(Peer(pod.name, pod.namespace, pod.labels), pod.is_ray_node) for pod in pods(objects)]
    others = [peer for peer, is_node in every if not is_node]
    pages = [peer for peer in others if peer.name == PAGE]
    return [peer for peer, is_node in every if is_node], [peer for peer in others if peer not in pages], pages


def _controller(objects: list[Object]) -> Peer:
    """The ingress controller."""
    namespace = "openshift-ingress" if is_openshift(objects) else "ingress-nginx"
    return Peer("ingress controller", namespace, {"app.kubernetes.io/component": "controller"})


def _serving(objects: list[Object]) -> list[Peer]:
    """The pods with the service of coordinators."""
    return [
        Peer(pod.name, pod.namespace, pod.labels)
        for pod in pods(objects)
        if any(container["name"] == COORDINATORS for container in pod.containers)
    ]


def _names(objects: list[Object]) -> list[tuple[Peer, int]]:
    """Where names are asked for: the pod and the port that a NetworkPolicy sees, behind the Service."""
    return [(OPENSHIFT_DNS, 5353)] if is_openshift(objects) else [(DNS, 53), (NODE_LOCAL_DNS, 53)]


def what_must_work_is_open(objects: list[Object]) -> Iterator[str]:
    """Ray nodes among themselves, clients and the operator at the head, metrics, names, Kubernetes, page, service."""
    policies = of_kind(objects, "NetworkPolicy")
    nodes, submitters, pages = _peers(objects)
    client = Peer("client", nodes[0].namespace, {"isd-ray-client": "true"})
    [head] = [node for node in nodes if node.name == "head"]
    wanted = [(one, other, ANY_WORKER_PORT, "TCP") for one in nodes for other in nodes]
    wanted += [(client, head, PORTS[name], "TCP") for name in ("gcs-server", "dashboard", "client")]
    wanted += [(submitter, head, PORTS["dashboard"], "TCP") for submitter in submitters]
    wanted += [(OPERATOR, head, PORTS["dashboard"], "TCP")]
    wanted += [(PROMETHEUS, node, PORTS["metrics"], "TCP") for node in nodes]
    ours = (*nodes, *submitters, *pages)
    wanted += [(peer, dns, port, how) for peer in ours for dns, port in _names(objects) for how in ("UDP", "TCP")]
    wanted += [(_controller(objects), page, PAGE_PORT, "TCP") for page in pages]
    wanted += [(_controller(objects), node, COORDINATORS_PORT, "TCP") for node in _serving(objects)]
    wanted += [(head, INTERNET, 6443, "TCP"), (head, INTERNET, 443, "TCP")]
    for source, target, port, protocol in wanted:
        if not reaches(policies, source, target, port, protocol):
            yield f"{source.name} does not reach {target.name}:{port}/{protocol}"


def everything_else_is_shut(objects: list[Object]) -> Iterator[str]:
    """Strangers, clients at workers, other namespaces and other ports; no way out but to what is named."""
    policies = of_kind(objects, "NetworkPolicy")
    nodes, submitters, pages = _peers(objects)
    namespace = nodes[0].namespace
    stranger = Peer("stranger", namespace, {"app": "notebook"})
    client = Peer("client", namespace, {"isd-ray-client": "true"})
    elsewhere = Peer("client of another namespace", "default", {**client.labels, **nodes[0].labels})
    other_pod = Peer("another pod of kuberay-system", "kuberay-system", {"app": "debug"})
    ports = (*PORTS.values(), ANY_WORKER_PORT)
    unwanted = [(peer, node, port) for peer in (stranger, elsewhere, other_pod) for node in nodes for port in ports]
    unwanted += [(client, node, port) for node in nodes if node.name != "head" for port in ports]
    unwanted += [(client, nodes[0], ANY_WORKER_PORT), (OPERATOR, nodes[0], PORTS["client"])]
    unwanted += [(PROMETHEUS, node, PORTS["dashboard"]) for node in nodes]
    unwanted += [(stranger, submitter, ANY_WORKER_PORT) for submitter in submitters]
    unwanted += [(node, METADATA, 80) for node in (*nodes, *submitters, *pages)]
    unwanted += [(peer, page, PAGE_PORT) for page in pages for peer in (stranger, elsewhere, client, OPERATOR, *nodes)]
    unwanted += [(page, node, port) for page in pages for node in nodes for port in ports]
    unwanted += [(_controller(objects), node, port) for node in nodes for port in (*ports, PAGE_PORT)]
    unwanted += [
        (peer, node, COORDINATORS_PORT)
        for node in nodes
        for peer in (stranger, elsewhere, client, OPERATOR, PROMETHEUS, *pages)
    ]
    served = _serving(objects)
    unwanted += [(_controller(objects), node, COORDINATORS_PORT) for node in nodes if node not in served]
    unwanted += [(page, INTERNET, port) for page in pages for port in (22, 80)]
    unwanted += [(node, METADATA, 443) for node in nodes if node.name != "head"]
    unwanted += [(node, INTERNET, port) for node in nodes for port in (22, 80)]
    unwanted += [(node, Peer("someone", "default", {"app": "x"}), port) for node in nodes for port in (80, 6379)]
    for source, target, port in unwanted:
        if reaches(policies, source, target, port):
            yield f"{source.name} reaches {target.name}:{port}"


def object_stores_are_reached_where_configured(objects: list[Object]) -> Iterator[str]:
    """Pods with credentials for an object store reach it by HTTPS; without them they reach nothing outside."""
    policies = of_kind(objects, "NetworkPolicy")
    for pod in pods(objects):
        if (pod.is_ray_node and pod.name != "head") or pod.name == PAGE:
            peer = Peer(pod.name, pod.namespace, pod.labels)
            if reaches(policies, peer, INTERNET, 443) != bool(pod.main.get("envFrom")):
                yield f"{pod.name}: credentials and way out do not go together"


def every_policy_has_pods(objects: list[Object]) -> Iterator[str]:
    """A policy that selects no pod protects nothing."""
    labels = [pod.labels for pod in pods(objects)]
    for policy in of_kind(objects, "NetworkPolicy"):
        if not any(selects(policy["spec"]["podSelector"], one) for one in labels):
            yield policy["metadata"]["name"]


def metrics_are_collected(objects: list[Object]) -> Iterator[str]:
    """A PodMonitor selects every Ray node, nothing else, by a port that its pods name, and Prometheus heeds it."""
    for thing in (*of_kind(objects, "PodMonitor"), *of_kind(objects, "PrometheusRule")):
        if "release" not in thing["metadata"].get("labels", {}):
            yield f"{thing['kind']}: kube-prometheus-stack heeds its own release only"
    for monitor in of_kind(objects, "PodMonitor"):
        spec = monitor["spec"]
        for pod in pods(objects):
            if selects(spec["selector"], pod.labels) != pod.is_ray_node:
                yield f"{pod.name}: wrongly selected or left out"
            named = {port.get("name") for port in pod.main.get("ports", [])}
            if pod.is_ray_node and not {endpoint.get("port") for endpoint in spec["podMetricsEndpoints"]} <= named:
                yield f"{pod.name}: has no such port"


RULES = (
    what_must_work_is_open,
    everything_else_is_shut,
    object_stores_are_reached_where_configured,
    every_policy_has_pods,
    metrics_are_collected,
)
