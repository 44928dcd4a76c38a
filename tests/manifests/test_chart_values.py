"""Every value of the Helm chart does something, is documented, and is refused where it is wrong."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.manifests.chart import CHART, RELEASE, defaults, render_all
from tests.manifests.kustomize import KUBERAY

Path = tuple[str, ...]
STORE: dict[str, Any] = {
    "campaign": (KUBERAY / "production" / "campaign.toml").read_text(encoding="utf-8"),
    "screen": {"out": "s3://my-bucket/campaigns/kinase"},
    "objectStore": {"secret": "isd-ray-object-store"},
}
WHERE: dict[str, dict[str, Any]] = {
    "nightly": {"kind": "nightly"},
    "serve": {"serve": {"enabled": True}},
    "coordinators": {"kind": "cluster", "coordinators": {"enabled": True}},
    "monitoring": {"monitoring": {"enabled": True}},
    "objectStore": STORE,
    "proxy": {"proxy": {"url": "http://proxy.example.com:3128"}},
    "ca": {"ca": {"configMap": "company"}},
}
"""With which other values a section does something."""
SELECTOR, TOLERATIONS = {"pool": "screening"}, [{"key": "screening", "operator": "Exists"}]
OTHER: dict[Path, Any] = {
    ("kind",): "cluster",
    ("campaign",): 'name = "mine"\n',
    ("screen", "out"): "/isd/campaigns/other",
    ("nightly", "folder"): "/isd/campaigns/other",
    ("nightly", "schedule"): "0 2 * * *",
    ("nightly", "timeZone"): "Europe/Basel",
    ("image", "repository"): "registry.example.com:5000/isd-ray",
    ("image", "pullPolicy"): "Always",
    ("image", "pullSecrets"): ["registry"],
    ("storage", "accessMode"): "ReadWriteOnce",
    ("objectStore", "ports"): [9000],
    ("objectStore", "peers"): [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "minio"}}}],
    ("proxy", "url"): "http://other.example.com:8080",
    ("proxy", "exceptions"): "localhost",
    ("security", "supplementalGroups"): [20002],
    ("networkPolicy", "kubernetesApiPorts"): [8443],
    ("networkPolicy", "nodeLocalDns"): "169.254.25.10/32",
    ("monitoring", "enabled"): False,
    ("monitoring", "labels"): {"release": "other"},
    ("monitoring", "interval"): "10s",
    ("serve", "enabled"): False,
    ("serve", "host"): "screens.example.org",
    ("serve", "places"): ["/isd/other"],
    ("serve", "proxies"): ["10.0.0.0/8"],
    ("serve", "ingress", "annotations"): {"haproxy.org/timeout-client": "60s"},
    ("coordinators", "enabled"): False,
    ("coordinators", "host"): "laptops.example.org",
    ("coordinators", "places"): ["/isd/other"],
    ("coordinators", "ingress", "annotations"): {"haproxy.org/timeout-client": "60s"},
}
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"kind": "screens"}, "kind"),
    ({"scorer": {"maxReplicas": 0}}, "maxReplicas"),
    ({"scorer": {"memory": "16 GB"}}, "memory"),
    ({"image": {"tag": "latest"}}, "tag"),
    ({"security": {"runAsUser": 0}}, "runAsUser"),
    ({"tokenSecret": ""}, "tokenSecret"),
    ({"tokenSecret": None}, "tokenSecret"),
    ({"screen": {"out": "/tmp/out"}}, "out"),
    ({"nightly": {"schedule": "TZ=UTC 0 1 * * *"}}, "schedule"),
    ({"nightly": {"activeDeadlineSeconds": 90_000}}, "activeDeadlineSeconds"),
    ({"proxy": {"url": "http://user:password@proxy.example.com:3128"}}, "url"),
    ({"proxy": {"url": "http://proxy.example.com"}}, "url"),
    ({"monitoring": {"interval": "60s"}}, "interval"),
    ({"storage": {"accessMode": "ReadOnlyMany"}}, "accessMode"),
    ({"objectStore": {"ports": []}}, "ports"),
    ({"objectStore": {"secret": "x"}, "campaign": 'name = "x"'}, "would be lost"),
    ({"objectStore": {"secret": "x"}, "screen": {"out": "s3://bucket/x"}}, "give your campaign"),
    ({"campaign": "runs/campaign.toml"}, "--set-file campaign=FILE"),
    (STORE | {"serve": {"enabled": True}}, "/isd/campaigns would be lost"),
    ({"screen": {"out": "s3://bucket/x"}}, "objectStore.secret"),
    ({"kind": "nightly", "queue": {"kueue": "isd-ray"}}, "no queue sees them"),
    ({"coordinators": {"enabled": True}}, "with kind cluster"),
]


def leaves(values: dict[str, Any], above: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Values by their path; a mapping that is empty, or of labels, is one."""
    for key, value in values.items():
        path = (*above, key)
        if isinstance(value, dict) and value and path not in OTHER:
            yield from leaves(value, path)
        else:
            yield path, value


def with_value(values: dict[str, Any], path: Path, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(values)
    node = changed
    for key in path[:-1]:
        node = node.setdefault(key, {})
    node[path[-1]] = value
    return changed


def other(path: Path, value: Any) -> Any:
    """Another value that is as right as the default."""
    if path in OTHER:
        return OTHER[path]
    if path[-1] in ("nodeSelector", "tolerations"):
        return SELECTOR if path[-1] == "nodeSelector" else TOLERATIONS
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value - 1 if value > 1 else value + 1
    return f"{int(value) + 1}" if value.isdecimal() else "3Gi" if value.endswith("Gi") else "other"


def test_every_value_does_something():
    before, after = [], []
    for path, value in leaves(defaults()):
        context = WHERE.get(path[0], {})
        before.append((context, RELEASE))
        after.append((with_value(context, path, other(path, value)), RELEASE))
    made = render_all([*before, *after])
    assert [one for one in made if isinstance(one, str)] == []
    for one in made:
        del one["isd-ray/templates/NOTES.txt"]
    pairs = zip(leaves(defaults()), made[: len(before)], made[len(before) :], strict=True)
    assert [path for (path, _), was, now in pairs if was == now] == []


def test_no_value_is_taken_that_the_chart_does_not_know():
    sections: list[Path] = [(), *{path[:n] for path, _ in leaves(defaults()) for n in range(1, len(path))}]
    made = render_all([(with_value({}, (*section, "unknown"), 1), RELEASE) for section in sections])
    assert [section for section, one in zip(sections, made, strict=True) if "unknown" not in one] == []
    assert all(isinstance(one, str) for one in made)


def test_wrong_values_are_refused_in_words():
    made = render_all([(values, RELEASE) for values, _ in WRONG])
    unheeded = [
        values for (values, words), one in zip(WRONG, made, strict=True) if not isinstance(one, str) or words not in one
    ]
    assert unheeded == []


@pytest.mark.parametrize(("kind", "longest"), [("screen", 40), ("cluster", 53), ("nightly", 28)])
def test_names_of_releases_leave_room_for_what_the_operator_appends(kind, longest):
    fits, too_long = render_all([({"kind": kind}, "x" * longest), ({"kind": kind}, "x" * (longest + 1))])
    assert isinstance(fits, dict)
    assert isinstance(too_long, str)


def test_the_schema_requires_every_value_and_says_nothing_of_others():
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))

    def named(part: dict[str, Any], above: Path = ()) -> Iterator[Path]:
        for key, inner in part.get("properties", {}).items():
            yield from named(inner, (*above, key)) if "properties" in inner else [(*above, key)]
        assert part.get("required", []) == list(part.get("properties", {}))

    assert set(named(schema)) == {path for path, _ in leaves(defaults())}


def test_the_readme_names_values_that_exist():
    text = (CHART.parents[1] / "README.md").read_text(encoding="utf-8")
    section = re.search(r"## By Helm\n(.*?)\n## ", text, re.DOTALL)
    assert section
    known = {".".join(path[:n]) for path, _ in leaves(defaults()) for n in range(1, len(path) + 1)}
    named = re.findall(r"--set(?:-file|-json)? '?([\w.]+)=", section[1]) + re.findall(
        r"^\| `([\w.]+)` \|", section[1], re.MULTILINE
    )
    assert len(named) > 5
    assert [name for name in named if name not in known] == []
