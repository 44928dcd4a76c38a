"""Manifests that are wrong in one place, and the rule that must say so."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from tests.manifests.kustomize import Object

GONE = object()
"""The field is removed."""


@dataclass(frozen=True)
class Mutant:
    """One change: in a bundle, of the object `kind/name`, at a JSON pointer; `caught_by` names a rule."""

    bundle: str
    target: str
    pointer: str
    value: Any
    caught_by: str

    def __str__(self) -> str:
        value = "gone" if self.value is GONE else str(self.value)[:30]
        return f"{self.bundle}:{self.target}:{self.pointer}={value}"

    def applied(self, objects: list[Object]) -> list[Object]:
        """A changed copy of the bundle."""
        changed = copy.deepcopy(objects)
        kind, _, name = self.target.partition("/")
        [found] = [thing for thing in changed if thing["kind"] == kind and thing["metadata"]["name"].endswith(name)]
        *parents, last = [part.replace("~1", "/") for part in self.pointer.split("/")]
        node: Any = found
        for part in parents:
            node = node[int(part)] if isinstance(node, list) else node.setdefault(part, {})
        key = int(last) if isinstance(node, list) and last != "-" else last
        if self.value is GONE:
            del node[key]
        elif key == "-":
            node.append(self.value)
        else:
            node[key] = self.value
        return changed


CLUSTER, JOB, CRON = "RayCluster/isd", "RayJob/isd-screen", "RayCronJob/isd-nightly"
HEAD, TRAINER, SCORER = "spec/headGroupSpec", "spec/workerGroupSpecs/0", "spec/workerGroupSpecs/1"
POD, FIRST = "template/spec", "template/spec/containers/0"
SUBMITTER = "spec/submitterPodTemplate"
PART_OF, COMPONENT = "app.kubernetes.io~1part-of", "app.kubernetes.io~1component"
NODES, TO_HEAD, METRICS = "NetworkPolicy/isd-ray-nodes", "NetworkPolicy/isd-ray-head", "NetworkPolicy/isd-ray-metrics"
STORE, PAGES = "NetworkPolicy/isd-ray-object-store", "NetworkPolicy/isd-ray-serve"
CAMPAIGN = "data/campaign.toml"
_QUICKSTART = """
name = "q"
[library]
path = "{path}"
[labels]
column = "x"
[acquisition]
batch_size = 10
[compute]
address = "{address}"
trainers = {trainers}
trainer_gpus = {gpus}
scorers = 2
start_timeout_s = {patience}
{more}
"""


def campaign(path="/isd/libraries/x", address="auto", trainers=4, gpus=0, patience=1800, more="") -> str:
    """A small campaign with one thing wrong."""
    return _QUICKSTART.format(path=path, address=address, trainers=trainers, gpus=gpus, patience=patience, more=more)


def _simulate(out: str) -> str:
    return f"isd simulate /etc/isd/campaign.toml --out {out}"


def _of_cluster() -> list[Mutant]:
    rows: list[tuple[str, Any, str]] = [
        # schemas
        ("spec/rayVersoin", "2.60.0", "schema"),
        (f"{SCORER}/minReplicas", "0", "schema"),
        (f"{HEAD}/{FIRST}/resources/limits/memory", "eight", "containers_are_bounded"),
        (f"{HEAD}/template/spec/containers/0/imagePullPolicy", 1, "schema"),
        ("spec/authOptions/mode", "tokens", "schema"),
        # the operator
        ("spec/authOptions", GONE, "token_authentication"),
        ("spec/authOptions/mode", "disabled", "token_authentication"),
        ("spec/authOptions/secretName", GONE, "token_authentication"),
        ("spec/rayVersion", "2.51.0", "token_authentication"),
        ("spec/rayVersion", GONE, "token_authentication"),
        ("spec/rayVersion", "2.59.0", "ray_version_is_the_pinned_one"),
        ("spec/autoscalerOptions/version", "v1", "autoscaler_v2_restarts_nothing"),
        (f"{HEAD}/{POD}/restartPolicy", "Always", "autoscaler_v2_restarts_nothing"),
        (f"{SCORER}/{POD}/restartPolicy", "OnFailure", "autoscaler_v2_restarts_nothing"),
        (f"{TRAINER}/minReplicas", 1, "groups_scale_from_zero"),
        (f"{TRAINER}/minReplicas", 9, "groups_scale_from_zero"),
        (f"{TRAINER}/maxReplicas", GONE, "groups_scale_from_zero"),
        (f"{TRAINER}/groupName", "scorer", "groups_scale_from_zero"),
        (f"{HEAD}/rayStartParams/num-cpus", "0", "resources_are_stated_once"),
        (f"{SCORER}/rayStartParams/resources", '"{}"', "resources_are_stated_once"),
        (f"{SCORER}/rayStartParams/labels", "a=b", "resources_are_stated_once"),
        ("spec/networkPolicy", {"mode": "DenyAll"}, "alpha_fields_are_unused"),
        ("spec/tlsOptions", {}, "alpha_fields_are_unused"),
        ("spec/historyServerOptions", {}, "alpha_fields_are_unused"),
        ("spec/gcsFaultToleranceOptions", {"backend": "rocksdb"}, "alpha_fields_are_unused"),
        ("metadata/name", "isd" + "x" * 51, "names_fit"),
        # pods
        (f"{HEAD}/{POD}/securityContext/runAsNonRoot", GONE, "pods_are_not_root"),
        (f"{TRAINER}/{POD}/securityContext/runAsUser", 0, "pods_are_not_root"),
        (f"{SCORER}/{POD}/securityContext/seccompProfile", {"type": "Unconfined"}, "pods_are_not_root"),
        (f"{SCORER}/{POD}/hostNetwork", True, "pods_are_not_root"),
        (f"{SCORER}/{POD}/volumes/-", {"name": "host", "hostPath": {"path": "/"}}, "pods_are_not_root"),
        (f"{HEAD}/{FIRST}/securityContext", GONE, "containers_are_confined"),
        (f"{TRAINER}/{FIRST}/securityContext/privileged", True, "containers_are_confined"),
        (f"{TRAINER}/{FIRST}/securityContext/allowPrivilegeEscalation", True, "containers_are_confined"),
        (f"{SCORER}/{FIRST}/securityContext/capabilities/drop", [], "containers_are_confined"),
        (f"{SCORER}/{FIRST}/securityContext/capabilities/add", ["SYS_PTRACE"], "containers_are_confined"),
        (f"{SCORER}/{FIRST}/securityContext/readOnlyRootFilesystem", False, "containers_are_confined"),
        (f"{SCORER}/{FIRST}/securityContext/runAsUser", 0, "containers_are_confined"),
        ("spec/autoscalerOptions/securityContext", GONE, "containers_are_confined"),
        (f"{SCORER}/{POD}/initContainers", [{"name": "x", "image": "busybox"}], "containers_are_confined"),
        (f"{HEAD}/{FIRST}/volumeMounts/3", GONE, "ray_has_room_to_write"),
        (f"{SCORER}/{FIRST}/volumeMounts/4", GONE, "ray_has_room_to_write"),
        (f"{SCORER}/{POD}/volumes/2/emptyDir", {}, "ray_has_room_to_write"),
        ("spec/autoscalerOptions/volumeMounts", GONE, "ray_has_room_to_write"),
        (f"{TRAINER}/{FIRST}/resources", GONE, "containers_are_bounded"),
        (f"{SCORER}/{FIRST}/resources/limits/memory", GONE, "containers_are_bounded"),
        (f"{SCORER}/{FIRST}/resources/requests/memory", "1Gi", "containers_are_bounded"),
        ("spec/autoscalerOptions/resources", GONE, "containers_are_bounded"),
        (f"{SCORER}/rayStartParams/object-store-memory", "9000000000", "object_store_fits_shared_memory"),
        (f"{SCORER}/rayStartParams", {}, "object_store_fits_shared_memory"),
        (f"{SCORER}/{POD}/volumes/4/emptyDir/medium", GONE, "object_store_fits_shared_memory"),
        (f"{SCORER}/{POD}/volumes/4/emptyDir/sizeLimit", "12Gi", "object_store_fits_shared_memory"),
        (f"{HEAD}/{FIRST}/env", [{"name": "RAY_AUTH_TOKEN", "value": "x"}], "secrets_are_references"),
        (f"{SCORER}/{FIRST}/env", [{"name": "AWS_SECRET_ACCESS_KEY", "value": "x"}], "secrets_are_references"),
        (f"{HEAD}/{FIRST}/image", "isd-ray", "images_are_pinned"),
        (f"{HEAD}/{FIRST}/image", "isd-ray:latest", "images_are_pinned"),
        (f"{SCORER}/{FIRST}/image", "isd-ray:0.0.9-cpu", "images_are_pinned"),
        (f"{TRAINER}/{FIRST}/image", "isd-ray:0.1.0-cpu", "images_are_pinned"),
        (f"{TRAINER}/{FIRST}/resources/limits/nvidia.com~1gpu", GONE, "gpus_are_asked_for"),
        (f"{TRAINER}/{POD}/tolerations", GONE, "gpus_are_asked_for"),
        (f"{TRAINER}/resources/GPU", "2", "gpus_are_asked_for"),
        (f"{TRAINER}/resources/GPU", GONE, "gpus_are_asked_for"),
        (f"{SCORER}/resources/CPU", "16", "gpus_are_asked_for"),
        (f"{HEAD}/resources", {"CPU": "2"}, "gpus_are_asked_for"),
        (f"{SCORER}/{POD}/automountServiceAccountToken", GONE, "only_the_head_speaks_to_kubernetes"),
        (f"{SCORER}/{POD}/volumes/0/persistentVolumeClaim/claimName", "other", "mounts_resolve"),
        (f"{SCORER}/{POD}/volumes/1/configMap/name", "other", "mounts_resolve"),
        (f"{SCORER}/{FIRST}/volumeMounts/-", {"name": "no", "mountPath": "/no"}, "mounts_resolve"),
        (f"{HEAD}/{FIRST}/ports/1/containerPort", 8266, "ports_are_rays"),
        (f"{SCORER}/{FIRST}/ports/0/name", "metric", "ports_are_rays"),
        (f"{HEAD}/serviceType", "LoadBalancer", "services_stay_inside"),
        (f"{HEAD}/enableIngress", True, "services_stay_inside"),
        ("metadata/namespace", "default", "namespace_is_restricted"),
        # network and campaign
        (f"{SCORER}/template/metadata/labels/{PART_OF}", "other", "everything_else_is_shut"),
        (f"{SCORER}/template/metadata/labels/{COMPONENT}", "worker", "what_must_work_is_open"),
        (f"{HEAD}/template/metadata/labels/{COMPONENT}", "header", "every_policy_has_pods"),
        (f"{SCORER}/{FIRST}/envFrom", [{"secretRef": {"name": "x"}}], "object_stores_are_reached_where_configured"),
        (f"{SCORER}/maxReplicas", 0, "actors_can_be_placed"),
    ]
    return [Mutant("base", CLUSTER, *row) for row in rows]


def _of_the_rest_of_the_base() -> list[Mutant]:
    everyone = {"podSelector": {}}
    rows: list[tuple[str, str, Any, str]] = [
        ("PersistentVolumeClaim/isd-storage", "spec/accessModes", ["ReadWriteOnce"], "mounts_resolve"),
        ("PersistentVolumeClaim/isd-storage", "spec/accessMode", "ReadWriteMany", "schema"),
        (
            "Namespace/isd-ray",
            "metadata/labels/pod-security.kubernetes.io~1enforce",
            "baseline",
            "namespace_is_restricted",
        ),
        (NODES, "spec/policyTypes", ["Egress"], "what_must_work_is_open"),
        (NODES, "spec/policyTypes", ["Ingress"], "everything_else_is_shut"),
        (NODES, "spec/ingress/0/from", [everyone], "everything_else_is_shut"),
        (NODES, "spec/ingress/0/from", GONE, "everything_else_is_shut"),
        (NODES, "spec/ingress/-", {"from": [{"namespaceSelector": {}}]}, "everything_else_is_shut"),
        (NODES, "spec/ingress", [], "what_must_work_is_open"),
        (NODES, "spec/egress/0/to/0/podSelector/matchExpressions/0/values", ["head"], "what_must_work_is_open"),
        (NODES, "spec/egress/-", {}, "everything_else_is_shut"),
        (NODES, "spec/egress/1/ports/0/protocol", "TCP", "what_must_work_is_open"),
        (NODES, "spec/egress/1/to/1", GONE, "what_must_work_is_open"),
        (NODES, "spec/podSelector/matchLabels", {"app": "ray"}, "every_policy_has_pods"),
        (NODES, "spec/podSelecter", {}, "schema"),
        (TO_HEAD, "spec/ingress/0/from", GONE, "everything_else_is_shut"),
        (TO_HEAD, "spec/ingress/0/from/0/namespaceSelector", {}, "everything_else_is_shut"),
        (TO_HEAD, "spec/ingress/0/ports", GONE, "everything_else_is_shut"),
        (TO_HEAD, "spec/ingress/0/ports/2", GONE, "what_must_work_is_open"),
        (TO_HEAD, "spec/ingress/1/from/0/podSelector", GONE, "everything_else_is_shut"),
        (TO_HEAD, "spec/ingress/1/from/0/namespaceSelector", GONE, "what_must_work_is_open"),
        (TO_HEAD, "spec/ingress/1/ports/0/port", 8266, "what_must_work_is_open"),
        (TO_HEAD, "spec/egress", [], "what_must_work_is_open"),
        (TO_HEAD, "spec/podSelector/matchLabels", {PART_OF.replace("~1", "/"): "isd-ray"}, "everything_else_is_shut"),
        (METRICS, "spec/ingress/0/ports", GONE, "everything_else_is_shut"),
        (METRICS, "spec/ingress/0/ports/0/port", 9090, "what_must_work_is_open"),
        ("ConfigMap/isd-campaign", CAMPAIGN, "name = ", "campaign_parses"),
        ("ConfigMap/isd-campaign", CAMPAIGN, campaign() + "\n[modle]\n", "campaign_parses"),
        ("ConfigMap/isd-campaign", CAMPAIGN, campaign(address="ray://head:10001"), "campaign_parses"),
        ("ConfigMap/isd-campaign", CAMPAIGN, campaign(path="/tmp/library"), "libraries_are_shared"),
        ("ConfigMap/isd-campaign", CAMPAIGN, campaign(path="s3://bucket/x"), "libraries_are_shared"),
        ("ConfigMap/isd-campaign", CAMPAIGN, campaign(trainers=5, gpus=1), "actors_can_be_placed"),
        ("ConfigMap/isd-campaign", CAMPAIGN, campaign(trainers=1, gpus=2), "actors_can_be_placed"),
        ("ConfigMap/isd-campaign", CAMPAIGN, campaign(more="trainer_resources.isd_trainer=1"), "actors_can_be_placed"),
        ("ConfigMap/isd-campaign", CAMPAIGN, campaign(more="scorer_resources.isd_scorer=5"), "actors_can_be_placed"),
        ("ConfigMap/isd-campaign", CAMPAIGN, campaign(more="scorer_labels.pool='x'"), "actors_can_be_placed"),
        ("ConfigMap/isd-campaign", CAMPAIGN, campaign(trainers=1, gpus=1), "gpus_are_kept_for_trainers"),
        ("ConfigMap/isd-campaign", CAMPAIGN, campaign(patience=60), "waits_for_nodes"),
    ]
    return [Mutant("base", *row) for row in rows]


def _of_jobs() -> list[Mutant]:
    rows: list[tuple[str, str, str, Any, str]] = [
        ("screen", JOB, "spec/entrypont", "x", "schema"),
        ("screen", JOB, "spec/backoffLimit", "3", "schema"),
        (
            "screen",
            JOB,
            "spec/entrypoint",
            "isd simulates /etc/isd/campaign.toml --out /isd/x",
            "entrypoints_are_commands",
        ),
        (
            "screen",
            JOB,
            "spec/entrypoint",
            "isd simulate /etc/isd/campaign.toml --outt /isd/x",
            "entrypoints_are_commands",
        ),
        ("screen", JOB, "spec/entrypoint", "isd simulate /etc/isd/campaign.toml", "entrypoints_are_commands"),
        (
            "screen",
            JOB,
            "spec/entrypoint",
            "isd simulate /etc/isd/campaign.toml --out /home/x",
            "entrypoints_are_commands",
        ),
        ("screen", JOB, "spec/entrypoint", "isd simulate /isd/campaign.toml --out /isd/x", "entrypoints_are_commands"),
        ("screen", JOB, "spec/entrypoint", "isd simulate /etc/isd/other.toml --out /isd/x", "entrypoints_are_commands"),
        ("screen", JOB, "spec/entrypoint", "python run.py", "entrypoints_are_commands"),
        ("screen", JOB, "spec/clusterSelector", {"ray.io/cluster": "isd"}, "jobs_end_and_clean_up"),
        ("screen", JOB, "spec/rayClusterSpec", GONE, "jobs_end_and_clean_up"),
        ("screen", JOB, "spec/backoffLimit", 0, "jobs_end_and_clean_up"),
        ("screen", JOB, "spec/activeDeadlineSeconds", GONE, "jobs_end_and_clean_up"),
        ("screen", JOB, "spec/shutdownAfterJobFinishes", False, "jobs_end_and_clean_up"),
        ("screen", JOB, SUBMITTER, GONE, "submitter_runs_the_operators_command"),
        ("screen", JOB, "spec/submissionMode", "HTTPMode", "submitter_runs_the_operators_command"),
        ("screen", JOB, f"{SUBMITTER}/spec/containers/0/command", ["sh"], "submitter_runs_the_operators_command"),
        ("screen", JOB, f"{SUBMITTER}/spec/restartPolicy", "Always", "submitter_runs_the_operators_command"),
        ("screen", JOB, f"{SUBMITTER}/spec/securityContext", GONE, "pods_are_not_root"),
        ("screen", JOB, f"{SUBMITTER}/spec/containers/0/securityContext", GONE, "containers_are_confined"),
        ("screen", JOB, f"{SUBMITTER}/spec/containers/0/resources", GONE, "containers_are_bounded"),
        ("screen", JOB, f"{SUBMITTER}/spec/containers/0/image", "isd-ray:0.1.0-cuda", "images_are_pinned"),
        ("screen", JOB, f"{SUBMITTER}/spec/automountServiceAccountToken", True, "only_the_head_speaks_to_kubernetes"),
        ("screen", JOB, f"{SUBMITTER}/metadata/labels/isd-ray-client", GONE, "what_must_work_is_open"),
        ("screen", JOB, f"{SUBMITTER}/metadata/labels/{PART_OF}", GONE, "everything_else_is_shut"),
        ("screen", JOB, "spec/rayClusterSpec/authOptions/mode", "disabled", "token_authentication"),
        ("screen", JOB, "metadata/labels/kueue.x-k8s.io~1queue-name", "q", "queues_see_what_they_queue"),
        ("screen", JOB, "metadata/name", "x" * 48, "names_fit"),
        ("nightly", CRON, "spec/schedule", "TZ=UTC 0 1 * * *", "schedule_is_valid"),
        ("nightly", CRON, "spec/schedule", "0 1 * *", "schedule_is_valid"),
        ("nightly", CRON, "spec/timeZone", "Mars/Olympus", "schedule_is_valid"),
        ("nightly", CRON, "spec/jobTemplate/activeDeadlineSeconds", 90_000, "schedule_is_valid"),
        ("nightly", CRON, "spec/jobTemplate/entrypoint", "isd resume", "entrypoints_are_commands"),
        ("nightly", CRON, "spec/jobTemplate/entrypoint", "isd resume campaigns/x", "entrypoints_are_commands"),
        ("nightly", CRON, "spec/concurrencyPolicy", "Forbid", "schema"),
        ("nightly", CRON, "metadata/labels/volcano.sh~1queue-name", "q", "queues_see_what_they_queue"),
        ("nightly", CRON, "metadata/name", "x" * 37, "names_fit"),
        ("production", JOB, "spec/rayClusterSpec/workerGroupSpecs/0/replicas", 1, "queues_see_what_they_queue"),
        ("production", JOB, "spec/rayClusterSpec/enableInTreeAutoscaling", True, "queues_see_what_they_queue"),
        ("production", JOB, f"spec/rayClusterSpec/workerGroupSpecs/1/{FIRST}/envFrom", GONE, "libraries_are_shared"),
        ("production", JOB, f"spec/rayClusterSpec/workerGroupSpecs/1/{FIRST}/env", GONE, "libraries_are_shared"),
        ("production", JOB, "spec/entrypoint", _simulate("/isd/x"), "entrypoints_are_commands"),
        ("production", JOB, "spec/entrypoint", _simulate("ftp://host/x"), "entrypoints_are_commands"),
        ("production", STORE, "spec/egress/0/to/0/ipBlock/except", GONE, "everything_else_is_shut"),
        ("production", STORE, "spec/egress/0/ports", GONE, "everything_else_is_shut"),
        ("production", STORE, "spec/egress", [], "object_stores_are_reached_where_configured"),
        ("production", "PodMonitor/isd-ray", "spec/podMetricsEndpoints/0/port", "metric", "metrics_are_collected"),
        ("production", "PodMonitor/isd-ray", "spec/selector/matchLabels", {"app": "ray"}, "metrics_are_collected"),
        ("production", "PodMonitor/isd-ray", "spec/selector/matchExpressions", GONE, "metrics_are_collected"),
        ("production", "PrometheusRule/isd-ray", "spec/groups/0/rules/0/expr", "ray_isd_runds > 1", "alerts_can_fire"),
        ("production", "PrometheusRule/isd-ray", "metadata/namespace", "default", "alerts_can_fire"),
        ("production", "PrometheusRule/isd-ray", "metadata/labels/release", GONE, "metrics_are_collected"),
        ("production", "PodMonitor/isd-ray", "metadata/labels/release", GONE, "metrics_are_collected"),
    ]
    return [Mutant(*row) for row in rows]


def _of_pages() -> list[Mutant]:
    pod = "spec/template/spec"
    serve = f"{pod}/containers/0"
    probed = {"path": "/login", "port": "page"}
    rows: list[tuple[str, str, Any, str]] = [
        ("Deployment/isd-serve", "spec/replica", 1, "schema"),
        ("Deployment/isd-serve", "spec/replicas", 2, "pages_have_room"),
        ("Deployment/isd-serve", "spec/strategy", GONE, "pages_have_room"),
        ("Deployment/isd-serve", f"{pod}/volumes/1/emptyDir/sizeLimit", "1Gi", "pages_have_room"),
        ("Deployment/isd-serve", f"{serve}/resources/limits/memory", "4Gi", "pages_have_room"),
        ("Deployment/isd-serve", f"{serve}/command", ["isd", "server"], "pages_are_served"),
        ("Deployment/isd-serve", f"{serve}/args/3", "--hosts=0.0.0.0", "pages_are_served"),
        ("Deployment/isd-serve", f"{serve}/args/3", "--host=127.0.0.1", "pages_are_served"),
        ("Deployment/isd-serve", f"{serve}/args/5", "--read-only", "pages_are_served"),
        ("Deployment/isd-serve", f"{serve}/args/0", "/campaigns", "pages_are_served"),
        ("Deployment/isd-serve", f"{pod}/initContainers", GONE, "pages_are_served"),
        ("Deployment/isd-serve", f"{serve}/args/2", "other.example.com", "pages_are_reached"),
        ("Deployment/isd-serve", f"{serve}/args/4", "--port=8766", "pages_are_reached"),
        ("Deployment/isd-serve", f"{serve}/livenessProbe/httpGet", probed, "pages_answer_probes"),
        ("Deployment/isd-serve", f"{serve}/livenessProbe", GONE, "pages_answer_probes"),
        ("Deployment/isd-serve", f"{serve}/readinessProbe/httpGet/path", "/healthz", "pages_answer_probes"),
        ("Deployment/isd-serve", f"{serve}/startupProbe/httpGet/port", 80, "pages_answer_probes"),
        ("Deployment/isd-serve", f"{serve}/args/6", "--token-file=/isd/token", "pages_take_their_token_from_a_secret"),
        ("Deployment/isd-serve", f"{pod}/volumes/2/secret/defaultMode", 420, "pages_take_their_token_from_a_secret"),
        ("Deployment/isd-serve", f"{serve}/env", [{"name": "ISD_SERVE_TOKEN", "value": "x"}], "secrets_are_references"),
        ("Deployment/isd-serve", f"{serve}/securityContext", GONE, "containers_are_confined"),
        ("Deployment/isd-serve", f"{pod}/securityContext/runAsUser", 0, "pods_are_not_root"),
        ("Deployment/isd-serve", f"{pod}/automountServiceAccountToken", True, "only_the_head_speaks_to_kubernetes"),
        ("Deployment/isd-serve", f"{serve}/image", "isd-ray:latest", "images_are_pinned"),
        ("Service/isd-serve", "spec/type", "NodePort", "services_stay_inside"),
        ("Service/isd-serve", "spec/selector", {"ray.io/node-type": "head"}, "services_stay_inside"),
        ("Service/isd-serve", "spec/ports/0/targetPort", 80, "pages_are_reached"),
        ("Ingress/isd-serve", "spec/tls", GONE, "services_stay_inside"),
        ("Ingress/isd-serve", "spec/tls/0/hosts", ["other.example.com"], "services_stay_inside"),
        (
            "Ingress/isd-serve",
            "spec/rules/0/http/paths/0/backend/service/name",
            "isd-head-svc",
            "services_stay_inside",
        ),
        ("Ingress/isd-serve", "metadata/annotations", GONE, "pages_are_reached"),
        (PAGES, "spec/ingress/0/from", GONE, "everything_else_is_shut"),
        (PAGES, "spec/ingress/0/ports/0/port", 80, "what_must_work_is_open"),
        (PAGES, "spec/podSelector/matchLabels/app.kubernetes.io~1component", "head", "what_must_work_is_open"),
        (NODES, "spec/ingress/0/from/0/podSelector/matchExpressions", GONE, "everything_else_is_shut"),
    ]
    return [Mutant("nightly+serve", *row) for row in rows]


def _of_openshift() -> list[Mutant]:
    ours = f"spec/rayClusterSpec/{HEAD.removeprefix('spec/')}/{POD}/securityContext"
    rows: list[tuple[str, str, Any, str]] = [
        (JOB, f"{ours}/runAsUser", 1000, "pods_are_not_root"),
        (JOB, f"{ours}/fsGroup", 1000, "pods_are_not_root"),
        (JOB, f"{ours}/runAsNonRoot", GONE, "pods_are_not_root"),
        (JOB, f"{SUBMITTER}/spec/securityContext/runAsGroup", 1000, "pods_are_not_root"),
        (NODES, "spec/egress/1/ports/0/port", 53, "what_must_work_is_open"),
    ]
    return [Mutant("screen+openshift", *row) for row in rows]


MUTANTS = [*_of_cluster(), *_of_the_rest_of_the_base(), *_of_jobs(), *_of_pages(), *_of_openshift()]
