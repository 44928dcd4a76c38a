"""Manifests of the service of coordinators that are wrong in one place."""

from __future__ import annotations

from typing import Any

from tests.manifests.mutants import CLUSTER, COMPONENT, GONE, HEAD, POD, Mutant

LAPTOPS = "NetworkPolicy/isd-ray-coordinators"
_PROBE = {"httpGet": {"path": "/healthz", "port": 8766}}
_POD, _SERVICE = f"{HEAD}/{POD}", f"{HEAD}/{POD}/initContainers/1"
_ROWS: list[tuple[str, str, Any, str]] = [
    (CLUSTER, f"{_SERVICE}/args/3", "--prot=8766", "coordinators_are_served"),
    (CLUSTER, f"{_SERVICE}/args/2", "--host=127.0.0.1", "coordinators_are_served"),
    (CLUSTER, f"{_SERVICE}/args/4", GONE, "coordinators_are_served"),
    (CLUSTER, f"{_SERVICE}/args/1", "--address=isd-head-svc:6379", "coordinators_are_served"),
    (CLUSTER, f"{_SERVICE}/args/0", "/tmp/campaigns", "coordinators_are_served"),
    (CLUSTER, f"{_POD}/initContainers/0/command", ["ls"], "coordinators_are_served"),
    (CLUSTER, f"{_POD}/shareProcessNamespace", GONE, "coordinators_join_ray"),
    (CLUSTER, f"{_SERVICE}/volumeMounts/1", GONE, "coordinators_join_ray"),
    (CLUSTER, f"{_SERVICE}/volumeMounts/3/name", "tmp", "coordinators_join_ray"),
    (CLUSTER, f"{_SERVICE}/env/0", GONE, "coordinators_join_ray"),
    (CLUSTER, f"{_SERVICE}/env/1/valueFrom/secretKeyRef/name", "other", "coordinators_join_ray"),
    (CLUSTER, f"{_SERVICE}/env/1", {"name": "RAY_AUTH_TOKEN", "value": "x"}, "secrets_are_references"),
    (CLUSTER, f"{_SERVICE}/image", "isd-ray:0.0.9-cpu", "coordinators_join_ray"),
    (CLUSTER, f"{_SERVICE}/restartPolicy", GONE, "coordinators_outlive_errors"),
    (
        CLUSTER,
        f"{_SERVICE}/startupProbe",
        {"httpGet": {"path": "/healthz", "port": 8766}},
        "coordinators_outlive_errors",
    ),
    (CLUSTER, f"{_SERVICE}/livenessProbe/httpGet/path", "/v1/campaigns", "coordinators_outlive_errors"),
    (CLUSTER, f"{_SERVICE}/livenessProbe/httpGet/port", 8765, "coordinators_outlive_errors"),
    (CLUSTER, f"{_SERVICE}/livenessProbe/initialDelaySeconds", 30, "coordinators_outlive_errors"),
    (CLUSTER, f"{_SERVICE}/args/5", "--token-file=/isd/tokens", "coordinators_take_their_tokens_from_a_secret"),
    (CLUSTER, f"{_POD}/volumes/5/secret/defaultMode", 420, "coordinators_take_their_tokens_from_a_secret"),
    (CLUSTER, f"{_SERVICE}/resources/limits/memory", "1Gi", "coordinators_have_room"),
    (CLUSTER, f"{_SERVICE}/resources", GONE, "containers_are_bounded"),
    (CLUSTER, f"{_SERVICE}/securityContext/readOnlyRootFilesystem", False, "containers_are_confined"),
    ("Service/isd-coordinators", "spec/ports/0/targetPort", 8265, "services_stay_inside"),
    ("Service/isd-coordinators", "spec/ports/0/targetPort", 8765, "coordinators_are_reached"),
    ("Service/isd-coordinators", f"spec/selector/{COMPONENT}", "scorer", "services_stay_inside"),
    ("Service/isd-coordinators", "spec/type", "LoadBalancer", "services_stay_inside"),
    ("Ingress/isd-coordinators", "spec/tls", GONE, "services_stay_inside"),
    ("Ingress/isd-coordinators", "metadata/annotations", GONE, "coordinators_are_reached"),
    (LAPTOPS, "spec/ingress/0/from", GONE, "everything_else_is_shut"),
    (LAPTOPS, "spec/ingress/0/ports/0/port", 8765, "what_must_work_is_open"),
    (LAPTOPS, "spec/ingress/0/ports", GONE, "everything_else_is_shut"),
    (LAPTOPS, f"spec/podSelector/matchLabels/{COMPONENT}", GONE, "everything_else_is_shut"),
]
MUTANTS = [Mutant("+coordinators", *row) for row in _ROWS]
