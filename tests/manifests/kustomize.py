"""Manifests as Kubernetes gets them: files read, overlays rendered, schemas applied."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

Object = dict[str, Any]

ROOT = Path(__file__).parents[2]
KUBERAY = ROOT / "cluster" / "kuberay"
KUBERNETES_VERSION = "1.34"
_NO_SCHEMA = {"monitoring.coreos.com/v1"}
"""Groups whose schemas no package ships; rules check what we use of them."""
_NOT_APPLIED = "config.kubernetes.io/local-config"
"""The annotation of what kustomize keeps to itself."""


def absent(reason: str) -> None:
    """What a test needs is not on this machine: a skip here, a failure in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def read(*files: Path) -> list[Object]:
    """All documents of some files."""
    return [document for file in files for document in yaml.safe_load_all(file.read_text(encoding="utf-8"))]


@functools.cache
def base_as_written() -> str:
    """The base without kustomize, as JSON: a whole long-lived cluster."""
    folder = KUBERAY / "base"
    description = read(folder / "kustomization.yaml")[0]
    [generator] = description["configMapGenerator"]
    metadata = {"name": generator["name"], "namespace": generator["namespace"]}
    data = {name: (folder / name).read_text(encoding="utf-8") for name in generator["files"]}
    named = read(*(folder / name for name in description["resources"]))
    objects = [thing for thing in named if _NOT_APPLIED not in thing["metadata"].get("annotations", {})]
    return json.dumps([*objects, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}])


@functools.cache
def rendered(folder: Path) -> str:
    """What `kubectl apply -k` would send for a folder, as JSON."""
    commands = [["kubectl", "kustomize"], ["kustomize", "build"]]
    command = next((words for words in commands if shutil.which(words[0])), None)
    if command is None:
        pytest.skip("neither kubectl nor kustomize is on the PATH, so overlays cannot be rendered")
    made = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return json.dumps(list(yaml.safe_load_all(made.stdout)))


def composed(folder: Path, kind: str | None, overlays: Sequence[str]) -> list[Object]:
    """The base with overlays and a kind, put together in an empty folder as cluster/README.md tells to.

    With an object store the campaign and the folder that a job writes to are those of production/.
    """
    components = [*(f"overlays/{name}" for name in overlays), *([f"kinds/{kind}"] if kind else [])]
    described: Object = {
        "resources": [os.path.relpath(KUBERAY / "base", folder)],
        "components": [os.path.relpath(KUBERAY / name, folder) for name in components],
    }
    if "object-storage" in overlays:
        shutil.copy(KUBERAY / "production" / "campaign.toml", folder)
        in_production = read(KUBERAY / "production" / "kustomization.yaml")[0]
        described |= {name: in_production[name] for name in ("configMapGenerator", "generatorOptions")}
        if kind == "screen":
            described["patches"] = in_production["patches"]
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(described), encoding="utf-8")
    return json.loads(rendered(folder))


@functools.cache
def _validator(kind: str) -> jsonschema.Draft202012Validator:
    named = os.environ.get("ISD_KUBERAY_SCHEMAS")
    beside_data = Path(os.environ.get("ISD_DATA", ROOT.parent / "shared" / "data")).parent / "kuberay" / "schemas"
    file = (Path(named) if named else beside_data) / f"{kind.lower()}-v1.strict.json"
    if not file.is_file():
        absent(f"no strict schema of KubeRay's {kind} at {file}; name their folder in ISD_KUBERAY_SCHEMAS")
    return jsonschema.Draft202012Validator(json.loads(file.read_text(encoding="utf-8")))


def schema(objects: list[Object]) -> Iterator[str]:
    """What the schemas of Kubernetes and of KubeRay object to."""
    for thing in objects:
        if thing["apiVersion"] == "ray.io/v1":
            for error in _validator(thing["kind"]).iter_errors(thing):
                yield f"{thing['kind']} {error.json_path}: {error.message[:200]}"
        elif thing["apiVersion"] not in _NO_SCHEMA:
            try:
                kubernetes_validate.validate(thing, KUBERNETES_VERSION, strict=True)
            except kubernetes_validate.ValidationError as error:
                yield f"{thing['kind']} {'.'.join(map(str, error.path))}: {error.message[:200]}"
