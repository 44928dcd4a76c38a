"""The Helm chart as Helm's own engine renders it, in a process of its own: it brings another language's runtime."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from tests.manifests.kustomize import KUBERAY, ROOT, Object, absent, read

CHART = ROOT / "cluster" / "helm" / "isd-ray"
Values = Mapping[str, Any]
RELEASE, NAMESPACE = "isd", "isd-ray"
_RENDER = """
import json, sys
import helm_python
asked, said = json.load(sys.stdin), []
with helm_python.Chart.load(sys.argv[1]) as chart:
    for values, name in asked:
        try:
            said.append(chart.render(values, name=name, namespace=sys.argv[2]))
        except helm_python.HelmError as error:
            said.append(str(error))
json.dump(said, sys.stdout)
"""
_LINT = "import json, sys, helm_python; json.dump(helm_python.lint(sys.argv[1], strict=True), sys.stdout)"


class Refused(Exception):  # noqa: N818 - what Helm says to whoever gives wrong values
    """The chart was not rendered."""


def _run(code: str, *words: str, given: str = "") -> Any:
    if find_spec("helm_python") is None:
        absent("helm-python-sdk, which renders charts, is not installed; the extra `dev` brings it on Linux x86_64")
    done = subprocess.run(
        [sys.executable, "-c", code, *words], input=given, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def linted(chart: Path = CHART) -> list[Object]:
    """What Helm's linter says: messages with `severity` (2: warning, 3: error) and `error`."""
    return _run(_LINT, str(chart))["messages"]


def render_all(asked: Sequence[tuple[Values, str]], chart: Path = CHART) -> list[dict[str, str] | str]:
    """Manifests by template for values and names of releases, or what Helm refuses them with."""
    return _run(_RENDER, str(chart), NAMESPACE, given=json.dumps(asked))


@functools.cache
def _rendered(values: str, name: str, chart: Path) -> str:
    [made] = render_all([(json.loads(values), name)], chart)
    if isinstance(made, str):
        raise Refused(made)
    texts = [text for template, text in sorted(made.items()) if template.endswith(".yaml")]
    return json.dumps([thing for text in texts for thing in yaml.safe_load_all(text) if thing])


def installed(values: Values, name: str = RELEASE, chart: Path = CHART) -> list[Object]:
    """What `helm install` makes in the namespace that cluster/README.md tells to make.

    Raises
    ------
    Refused
        If Helm does not render the chart with these values.
    """
    made = json.loads(_rendered(json.dumps(values, sort_keys=True), name, chart))
    return [*read(KUBERAY / "base" / "namespace.yaml"), *made]


def defaults() -> dict[str, Any]:
    """The values of the chart."""
    return yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
