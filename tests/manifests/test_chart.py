"""The Helm chart makes what kustomize makes, and with every value what obeys the same schemas and rules."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.manifests.chart import CHART, installed, linted
from tests.manifests.kustomize import KUBERAY, Object, composed
from tests.manifests.network_rules import INTERNET, Peer, reaches
from tests.manifests.pod_rules import gpus_are_asked_for
from tests.manifests.project import PROJECT
from tests.manifests.rules import RULES, broken
from tests.manifests.specs import of_kind, pods

IN_STORE = (KUBERAY / "production" / "campaign.toml").read_text(encoding="utf-8")
ON_GPUS = IN_STORE.replace("s3://my-bucket", "/isd")
COMPANY = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "company", "namespace": "isd-ray"}, "data": {}}
"""A ConfigMap that is there before the chart."""
STORE = {
    "campaign": IN_STORE,
    "screen": {"out": "s3://my-bucket/campaigns/kinase"},
    "objectStore": {"secret": "isd-ray-object-store", "ports": [443, 9000]},
}
VALUES: dict[str, dict[str, Any]] = {
    "screen": {},
    "cluster": {"kind": "cluster"},
    "nightly": {"kind": "nightly"},
    "page": {"kind": "nightly", "serve": {"enabled": True, "readOnly": True, "proxies": ["10.0.0.0/8"]}},
    "openshift": {"kind": "nightly", "openshift": True, "serve": {"enabled": True}},
    "store": STORE,
    "store and page": STORE | {"serve": {"enabled": True, "places": ["s3://my-bucket/campaigns/laboratory"]}},
    "gpus": {"campaign": ON_GPUS, "trainer": {"gpus": 2, "runtimeClassName": "nvidia"}},
    "proxy": {"proxy": {"url": "http://proxy.example.com:3128"}, "ca": {"configMap": "company"}},
    "store behind a proxy": STORE | {"proxy": {"url": "http://proxy.example.com:3128"}},
    "registry": {"image": {"repository": "registry.example.com/isd-ray", "pullSecrets": ["isd-ray-registry"]}},
    "nfs": {"security": {"runAsUser": 20001, "runAsGroup": 20001, "supplementalGroups": [20002]}},
    "nodes": {
        "nodeSelector": {"kubernetes.io/arch": "amd64"},
        "tolerations": [{"key": "screening", "operator": "Exists"}],
    },
    "kueue": {"queue": {"kueue": "isd-ray"}, "trainer": {"maxReplicas": 1}, "scorer": {"maxReplicas": 2}},
    "volcano": {"queue": {"volcano": "isd-ray"}},
    "laptops": {"kind": "cluster", "coordinators": {"enabled": True}, "ca": {"configMap": "company"}},
    "laptops on openshift": {"kind": "cluster", "coordinators": {"enabled": True}, "openshift": True},
    "laptops and page in a store": {
        "kind": "cluster",
        "campaign": IN_STORE,
        "objectStore": STORE["objectStore"],
        "coordinators": {"enabled": True, "places": ["s3://my-bucket/campaigns/laboratory"]},
        "serve": {"enabled": True, "places": ["s3://my-bucket/campaigns/laboratory"]},
    },
    "monitoring": {"kind": "cluster", "monitoring": {"enabled": True}},
}
SAME = [
    ({}, "screen", []),
    ({"kind": "cluster"}, None, []),
    ({"kind": "nightly"}, "nightly", []),
    ({"kind": "nightly", "serve": {"enabled": True}}, "nightly", ["serve"]),
    ({"openshift": True, "serve": {"enabled": True}}, "screen", ["serve", "openshift"]),
    ({"kind": "cluster", "coordinators": {"enabled": True}}, None, ["coordinators"]),
    (
        {"kind": "cluster", "coordinators": {"enabled": True}, "openshift": True},
        None,
        ["coordinators", "openshift"],
    ),
    ({"monitoring": {"enabled": True}, "queue": {"volcano": "isd-ray"}}, "screen", ["volcano", "monitoring"]),
    ({"image": {"pullSecrets": ["isd-ray-registry"]}}, "screen", ["pull-secret"]),
    ({"trainer": {"nodeSelector": {"nvidia.com/gpu.present": "true"}}}, "screen", ["gpu-nodes"]),
]
BY_NAME = {rule.__name__: rule for rule in RULES}
OF_HELM = {"app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "helm.sh/chart", "helm.sh/resource-policy"}


def plain(thing: Any) -> Any:
    """Without what Helm adds to labels, selectors and annotations."""
    if isinstance(thing, dict):
        return {key: plain(value) for key, value in thing.items() if key not in OF_HELM}
    return [plain(value) for value in thing] if isinstance(thing, list) else thing


def by_name(objects: list[Object]) -> dict[tuple[str, str], Object]:
    """Objects without labels of their own that select nothing."""
    found = {(thing["kind"], thing["metadata"]["name"]): plain(thing) for thing in objects}
    for thing in found.values():
        labels = thing["metadata"].get("labels", {})
        labels.pop("app.kubernetes.io/part-of", None)
        thing["metadata"] = {key: value for key, value in thing["metadata"].items() if value}
    return found


@pytest.mark.parametrize("name", VALUES)
def test_what_helm_installs_obeys_every_rule(name):
    assert broken([*installed(VALUES[name]), COMPANY]) == {}


@pytest.mark.parametrize(("values", "kind", "overlays"), SAME)
def test_helm_installs_what_kubectl_applies(values, kind, overlays, tmp_path):
    assert by_name(installed(values)) == by_name(composed(tmp_path, kind, overlays))


def test_without_gpus_there_is_no_group_for_them():
    objects = installed({"trainer": {"maxReplicas": 0}})
    assert "trainer" not in {pod.name for pod in pods(objects)}
    assert broken(objects, tuple(rule for rule in RULES if rule is not gpus_are_asked_for)) == {}


def test_a_queue_of_kueue_gets_a_cluster_of_fixed_size():
    [job] = of_kind(installed(VALUES["kueue"]), "RayJob")
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "isd-ray"
    groups = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert [group["replicas"] for group in groups] == [1, 2]


def test_two_releases_share_nothing_but_what_they_name_alike():
    first, second = (installed({"serve": {"enabled": True}}, name) for name in ("first", "second"))
    names = [{(thing["kind"], thing["metadata"]["name"]) for thing in objects} for objects in (first, second)]
    assert names[0] & names[1] == {("Namespace", "isd-ray")}
    [service] = of_kind(first, "Service")
    [other] = [pod for pod in pods(second) if pod.name == "serve"]
    assert not service["spec"]["selector"].items() <= other.labels.items()


def test_campaigns_outlive_a_release_that_is_uninstalled():
    [claim] = of_kind(installed({}), "PersistentVolumeClaim")
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    objects = installed({"storage": {"existingClaim": "ours"}})
    assert not of_kind(objects, "PersistentVolumeClaim")
    claims = [
        volume["persistentVolumeClaim"]["claimName"]
        for pod in pods(objects)
        for volume in pod.spec["volumes"]
        if "persistentVolumeClaim" in volume
    ]
    assert set(claims) == {"ours"}


def test_stores_and_proxies_are_reached_at_their_ports_and_no_others():
    minio = Peer("a store in this cluster", "minio", {"app": "minio"})
    inside = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "minio"}}}]
    store = STORE | {"objectStore": STORE["objectStore"] | {"peers": inside}, **VALUES["proxy"]}

    def open_ports(values: dict[str, Any], target: Peer) -> set[int]:
        objects = installed(values)
        [pod] = [pod for pod in pods(objects) if pod.name == "scorer"]
        scorer = Peer(pod.name, pod.namespace, pod.labels)
        policies = of_kind(objects, "NetworkPolicy")
        return {port for port in (80, 443, 3128, 9000) if reaches(policies, scorer, target, port)}

    assert open_ports({}, INTERNET) == set()
    assert open_ports(STORE, INTERNET) == {443, 9000}
    assert open_ports(STORE, minio) == set()
    assert open_ports(store, minio) == {443, 3128, 9000}
    assert open_ports(VALUES["proxy"], INTERNET) == {3128}


def test_whoever_reaches_outside_knows_the_proxy_and_the_authorities():
    outside = [
        pod for pod in pods(installed(VALUES["proxy"] | {"serve": {"enabled": True}})) if pod.name != "submitter"
    ]
    assert {pod.name for pod in outside} == {"head", "trainer", "scorer", "serve"}
    for pod in outside:
        variables = {variable["name"]: variable["value"] for variable in pod.main["env"]}
        assert variables["HTTPS_PROXY"] == variables["HTTP_PROXY"] == "http://proxy.example.com:3128"
        assert {".svc", ".cluster.local", "localhost"} <= set(variables["NO_PROXY"].split(","))
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
            folder, _, file = variables[name].rpartition("/")
            volume = pod.volume_at(folder)["configMap"]
            assert (volume["name"], volume["items"]) == ("company", [{"key": "ca.crt", "path": file}])


def test_network_policies_may_be_left_to_others():
    assert not of_kind(installed({"networkPolicy": {"enabled": False}}), "NetworkPolicy")


def test_the_chart_is_of_this_version_and_the_linter_finds_nothing():
    written = (CHART / "Chart.yaml").read_text(encoding="utf-8")
    assert f"\nversion: {PROJECT['version']}\nappVersion: {PROJECT['version']} " in written
    assert [one for one in linted() if one["severity"] > 1] == []


MUTANTS = {
    "templates/_cluster.tpl": [
        ("  mode: token\n", "", "token_authentication"),
        ("rayVersion: 2.60.0", "rayVersion: 2.59.0", "ray_version_is_the_pinned_one"),
        ("        automountServiceAccountToken: false\n", "", "only_the_head_speaks_to_kubernetes"),
        ("containerPort: 8265", "containerPort: 8266", "ports_are_rays"),
        ("serviceType: ClusterIP", "serviceType: NodePort", "services_stay_inside"),
        ("shared-mem, mountPath: /dev/shm", "shared-mem, mountPath: /shm", "ray_has_room_to_write"),
        ('    isd-ray-client: "true"\n', "", "what_must_work_is_open"),
        ('list "CPU" "GPU" "isd_trainer"', 'list "CPU" "isd_trainer"', "gpus_are_asked_for"),
        ("rayStartParams:", "rayStartParameters:", "schema"),
    ],
    "templates/_helpers.tpl": [
        ("readOnlyRootFilesystem: true\n", "", "containers_are_confined"),
        ("  seccompProfile: {type: RuntimeDefault}\n", "", "pods_are_not_root"),
        ('-%s" .root.Values', '%s" .root.Values', "images_are_pinned"),
        ('printf "%s-storage"', 'printf "%s-store"', "mounts_resolve"),
        ("    - {hosts: [{{ .of.host }}]", "    - {hosts: [x.example.com]", "services_stay_inside"),
        ("mkdir", "ls", "pages_are_served"),
    ],
    "templates/ray.yaml": [
        ("shutdownAfterJobFinishes: true\n", "", "jobs_end_and_clean_up"),
        ("isd simulate", "isd simulates", "entrypoints_are_commands"),
    ],
    "templates/campaign.yaml": [
        ("files/campaign.toml", "files/rules.yaml", "campaign_parses"),
    ],
    "templates/network-policies.yaml": [
        (", values: [head, trainer, scorer]}", ", values: [head, trainer, scorer, serve]}", "everything_else_is_shut"),
        ("        - ipBlock: {cidr: {{ .Values.networkPolicy.nodeLocalDns }}}\n", "", "what_must_work_is_open"),
        ("component: kuberay-operator", "component: operator", "what_must_work_is_open"),
    ],
    "templates/serve.yaml": [
        (", httpHeaders: [{name: Host, value: localhost}]", "", "pages_answer_probes"),
        ("--token-file=/etc/isd-serve/token", "--token-file=/isd/token", "pages_take_their_token_from_a_secret"),
        ('"port" "page"', '"port" 80', "pages_are_reached"),
        ("sizeLimit: 4Gi", "sizeLimit: 1Gi", "pages_have_room"),
    ],
    "templates/coordinators.yaml": [
        ("- --behind-proxy ", "# ", "coordinators_are_served"),
        ("restartPolicy: Always", "", "coordinators_outlive_errors"),
        ("mountPath: /tmp/ray", "mountPath: /tmp/rays", "coordinators_join_ray"),
        ("key: auth_token", "key: token", "coordinators_join_ray"),
        ('"port" 8766', '"port" 8765', "coordinators_are_reached"),
        ("--token-file=/etc/isd-coordinators/", "--token-file=/isd/", "coordinators_take_their_tokens_from_a_secret"),
    ],
    "templates/monitoring.yaml": [
        ("- port: metrics", "- port: metric", "metrics_are_collected"),
        ("    {{- toYaml .Values.monitoring.labels | nindent 4 }}\n", "", "metrics_are_collected"),
    ],
    "files/rules.yaml": [
        ("ray_isd_state", "ray_isd_stat", "alerts_can_fire"),
    ],
}


@pytest.mark.parametrize(("file", "mutant"), [(file, mutant) for file, some in MUTANTS.items() for mutant in some])
def test_a_worse_chart_is_caught(file, mutant, tmp_path: Path):
    text, changed, caught_by = mutant
    chart = shutil.copytree(CHART, tmp_path / "isd-ray")
    good = (chart / file).read_text(encoding="utf-8")
    assert text in good
    (chart / file).write_text(good.replace(text, changed), encoding="utf-8")
    values = {name: {"enabled": True} for name in ("serve", "monitoring")}
    if file == "templates/coordinators.yaml":
        values |= {"kind": "cluster", "coordinators": {"enabled": True}}
    objects = installed(values, chart=chart)
    assert list(BY_NAME[caught_by](objects))
