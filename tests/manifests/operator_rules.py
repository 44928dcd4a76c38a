"""What KubeRay 1.7 refuses or ignores although its schemas allow it, and what we ask of every cluster and job."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Iterator

from tests.manifests.kustomize import Object
from tests.manifests.project import pinned
from tests.manifests.specs import clusters, groups, jobs, of_kind

LONGEST_NAMES = {"RayCluster": 53, "RayJob": 47, "RayCronJob": 36}
TOKEN_SINCE = (2, 52)
ALPHA_FIELDS = ("networkPolicy", "tlsOptions", "historyServerOptions")
QUEUE_LABELS = ("kueue.x-k8s.io/queue-name", "volcano.sh/queue-name")
DAY_S = 86_400
_RESOURCE_PARAMETERS = {"num-cpus", "num-gpus", "memory", "resources"}


def token_authentication(objects: list[Object]) -> Iterator[str]:
    """Every cluster asks for the token of a named Secret, in a Ray that can."""
    for cluster in clusters(objects):
        options = cluster.get("authOptions", {})
        if options.get("mode") != "token" or not options.get("secretName"):
            yield f"authOptions={options}"
        if tuple(map(int, cluster.get("rayVersion", "0.0").split(".")[:2])) < TOKEN_SINCE:
            yield f"rayVersion={cluster.get('rayVersion')} knows no token"


def ray_version_is_the_pinned_one(objects: list[Object]) -> Iterator[str]:
    """The operator is told the Ray version that the image holds."""
    for cluster in clusters(objects):
        if cluster.get("rayVersion") != pinned("ray"):
            yield f"rayVersion={cluster.get('rayVersion')}, constraints.txt pins {pinned('ray')}"


def autoscaler_v2_restarts_nothing(objects: list[Object]) -> Iterator[str]:
    """Autoscaler v2 makes new pods itself."""
    for cluster in clusters(objects):
        if cluster.get("enableInTreeAutoscaling") and cluster.get("autoscalerOptions", {}).get("version") != "v2":
            yield "the autoscaler is not v2"
        for group in groups(cluster):
            if group.template["spec"].get("restartPolicy", "Never") != "Never":
                yield f"{group.name}: restartPolicy"


def groups_scale_from_zero(objects: list[Object]) -> Iterator[str]:
    """With autoscaling workers begin at none, without it the sizes are set; names are unique."""
    for cluster in clusters(objects):
        workers = cluster["workerGroupSpecs"]
        if len({group["groupName"] for group in workers}) < len(workers):
            yield "two groups have one name"
        for group in workers:
            low, high = group.get("minReplicas"), group.get("maxReplicas")
            if low is None or high is None or not 0 <= low <= high:
                yield f"{group['groupName']}: minReplicas={low}, maxReplicas={high}"
            elif cluster.get("enableInTreeAutoscaling") and (low > 0 or high == 0 or group.get("replicas", 0) > 0):
                yield f"{group['groupName']}: does not scale from zero"


def resources_are_stated_once(objects: list[Object]) -> Iterator[str]:
    """Logical resources stand in `resources`, nowhere else; labels never in rayStartParams."""
    for cluster in clusters(objects):
        for group in groups(cluster):
            parameters = group.spec.get("rayStartParams", {})
            if (_RESOURCE_PARAMETERS & parameters.keys() and group.resources) or "labels" in parameters:
                yield f"{group.name}: rayStartParams={sorted(parameters)}"


def alpha_fields_are_unused(objects: list[Object]) -> Iterator[str]:
    """Fields behind feature gates make the operator refuse the object where they are off, as they are by default."""
    for cluster in clusters(objects):
        yield from (field for field in ALPHA_FIELDS if field in cluster)
        if cluster.get("gcsFaultToleranceOptions", {}).get("backend") == "rocksdb":
            yield "gcsFaultToleranceOptions.backend"


def jobs_end_and_clean_up(objects: list[Object]) -> Iterator[str]:
    """A job brings its cluster, is retried with a new one, has an end, and gives its nodes back."""
    for job in jobs(objects):
        if "clusterSelector" in job or "rayClusterSpec" not in job:
            yield "a job does not bring its cluster; with clusterSelector the operator refuses backoffLimit"
        if not (job.get("backoffLimit", 0) > 0 and job.get("activeDeadlineSeconds", 0) > 0):
            yield "no retry, or no deadline"
        if not (job.get("shutdownAfterJobFinishes") and job.get("ttlSecondsAfterFinished")):
            yield "the cluster outlives the job"


def submitter_runs_the_operators_command(objects: list[Object]) -> Iterator[str]:
    """The submitter is a pod of ours whose command is left to the operator."""
    for job in jobs(objects):
        template = job.get("submitterPodTemplate")
        if job.get("submissionMode") != "K8sJobMode" or template is None:
            yield "no submitter pod of ours"
        elif {"command", "args"} & template["spec"]["containers"][0].keys():
            yield "the submitter has a command"
        elif template["spec"].get("restartPolicy") not in ("Never", "OnFailure"):
            yield "pods of a Kubernetes Job need restartPolicy Never or OnFailure"


def names_fit(objects: list[Object]) -> Iterator[str]:
    """Names leave room for what the operator appends."""
    for kind, longest in LONGEST_NAMES.items():
        for thing in of_kind(objects, kind):
            if len(thing["metadata"]["name"]) > longest:
                yield f"{kind} {thing['metadata']['name']}"


def schedule_is_valid(objects: list[Object]) -> Iterator[str]:
    """A cron schedule of five fields, a time zone by name, and a run that ends before the next one of a day."""
    for thing in of_kind(objects, "RayCronJob"):
        spec = thing["spec"]
        if not re.fullmatch(r"(?:[\d*][\d*/,-]*\s){4}[\d*][\d*/,-]*", spec["schedule"]):
            yield f"schedule={spec['schedule']!r}"
        if spec.get("timeZone") not in zoneinfo.available_timezones():
            yield f"timeZone={spec.get('timeZone')!r}"
        if spec["jobTemplate"].get("activeDeadlineSeconds", DAY_S) >= DAY_S:
            yield "a run may last into the next night"


def queues_see_what_they_queue(objects: list[Object]) -> Iterator[str]:
    """Kueue admits clusters of fixed size only; a RayCronJob does not hand its labels on."""
    for thing in objects:
        labels = thing["metadata"].get("labels", {})
        if thing["kind"] == "RayCronJob" and any(label in labels for label in QUEUE_LABELS):
            yield "a queue label on a RayCronJob does nothing"
        if QUEUE_LABELS[0] not in labels:
            continue
        for cluster in clusters([thing]):
            fixed = all(
                group.get("replicas") == group["minReplicas"] == group["maxReplicas"]
                for group in cluster["workerGroupSpecs"]
            )
            if cluster.get("enableInTreeAutoscaling") or not fixed:
                yield "Kueue needs a cluster of fixed size"


RULES = (
    token_authentication,
    ray_version_is_the_pinned_one,
    autoscaler_v2_restarts_nothing,
    groups_scale_from_zero,
    resources_are_stated_once,
    alpha_fields_are_unused,
    jobs_end_and_clean_up,
    submitter_runs_the_operators_command,
    names_fit,
    schedule_is_valid,
    queues_see_what_they_queue,
)
