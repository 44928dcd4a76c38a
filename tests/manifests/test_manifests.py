"""Manifests that a user applies obey the schemas of Kubernetes and KubeRay, and every rule of ours."""

from __future__ import annotations

import json
import shutil

import pytest
import yaml

from tests.manifests.kustomize import KUBERAY, base_as_written, composed, read, rendered, schema
from tests.manifests.rules import RULES, broken
from tests.manifests.specs import clusters, jobs, of_kind, pods

READY = ("cluster", "screen", "nightly", "production")
COMPOSED = [
    (None, ["object-storage"]),
    (None, ["kueue"]),
    (None, ["volcano", "monitoring"]),
    ("screen", ["object-storage", "monitoring"]),
    ("screen", ["volcano"]),
    ("nightly", ["monitoring"]),
    (None, ["gpu-nodes", "nfs"]),
    ("screen", ["openshift", "pull-secret"]),
    ("nightly", ["serve"]),
    (None, ["coordinators"]),
    (None, ["coordinators", "serve", "openshift", "pull-secret", "monitoring"]),
    (None, ["coordinators", "kueue"]),
    (None, ["coordinators", "nfs", "object-storage", "coordinators/object-storage"]),
    ("nightly", ["serve", "openshift", "pull-secret"]),
    ("screen", ["serve", "object-storage", "nfs"]),
]


def test_the_base_obeys_every_rule_as_it_is_written():
    rules = tuple(rule for rule in RULES if rule is not schema)
    assert broken(json.loads(base_as_written()), rules) == {}


def test_the_base_and_the_jobs_obey_the_schemas_as_they_are_written():
    assert list(schema(json.loads(base_as_written()))) == []
    files = [KUBERAY / "kinds" / name for name in ("screen/rayjob.yaml", "nightly/raycronjob.yaml")]
    pages = KUBERAY / "overlays" / "serve"
    files += [KUBERAY / "base" / "submitter.yaml", pages / "page.yaml", pages / "network-policy.yaml"]
    files += [KUBERAY / "overlays" / "coordinators" / name for name in ("service.yaml", "network-policy.yaml")]
    assert list(schema(read(*files))) == []


@pytest.mark.parametrize("folder", READY)
def test_what_kubectl_applies_obeys_every_rule(folder):
    assert broken(json.loads(rendered(KUBERAY / folder))) == {}


@pytest.mark.parametrize(("kind", "overlays"), COMPOSED)
def test_overlays_compose(kind, overlays, tmp_path):
    assert broken(composed(tmp_path, kind, overlays)) == {}


def test_without_overlays_kustomize_changes_nothing_of_the_base():
    def by_name(text: str) -> dict:
        return {(thing["kind"], thing["metadata"]["name"]): thing for thing in json.loads(text)}

    assert by_name(rendered(KUBERAY / "cluster")) == by_name(base_as_written())


@pytest.mark.parametrize("folder", ["screen", "nightly"])
def test_jobs_run_on_the_cluster_of_the_base_and_nothing_else_is_left_running(folder):
    objects = json.loads(rendered(KUBERAY / folder))
    assert clusters(objects) == clusters(json.loads(base_as_written()))
    assert not of_kind(objects, "RayCluster")
    assert not of_kind(objects, "PodTemplate")


def test_kueue_gets_a_queued_job_of_fixed_size(tmp_path):
    objects = composed(tmp_path, "screen", ["kueue"])
    [job] = of_kind(objects, "RayJob")
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "isd-ray"
    assert job["spec"]["rayClusterSpec"]["enableInTreeAutoscaling"] is False


def test_volcano_gets_a_queued_job(tmp_path):
    [job] = of_kind(composed(tmp_path, "screen", ["volcano"]), "RayJob")
    assert job["metadata"]["labels"]["volcano.sh/queue-name"] == "isd-ray"


def test_a_registry_is_named_in_one_place_for_all_images():
    [job] = jobs(json.loads(rendered(KUBERAY / "production")))
    templates = [job["submitterPodTemplate"]]
    templates += [job["rayClusterSpec"]["headGroupSpec"]["template"]]
    templates += [group["template"] for group in job["rayClusterSpec"]["workerGroupSpecs"]]
    images = [template["spec"]["containers"][0]["image"] for template in templates]
    assert {image.rpartition(":")[0] for image in images} == {"registry.example.com/screening/isd-ray"}


def test_a_pull_secret_and_an_owner_of_the_export_reach_every_pod(tmp_path):
    every = list(pods(composed(tmp_path, "nightly", ["serve", "pull-secret", "nfs"])))
    assert {pod.name for pod in every} == {"head", "trainer", "scorer", "submitter", "serve"}
    assert all(pod.spec["imagePullSecrets"] == [{"name": "isd-ray-registry"}] for pod in every)
    assert {pod.spec["securityContext"]["runAsUser"] for pod in every} == {20001}


def test_a_page_that_is_named_in_the_ingress_answers_to_that_name(tmp_path):
    shutil.copytree(KUBERAY, tmp_path / "kuberay")
    file = tmp_path / "kuberay" / "overlays" / "serve" / "page.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("host: isd.example.com", "host: screens.example.org"), encoding="utf-8")
    (tmp_path / "kuberay" / "mine").mkdir()
    described = {"resources": ["../base"], "components": ["../overlays/serve"]}
    (tmp_path / "kuberay" / "mine" / "kustomization.yaml").write_text(yaml.safe_dump(described), encoding="utf-8")
    objects = json.loads(rendered(tmp_path / "kuberay" / "mine"))
    assert broken(objects) == {}
    [ingress] = of_kind(objects, "Ingress")
    assert ingress["spec"]["tls"][0]["hosts"] == ["screens.example.org"]
