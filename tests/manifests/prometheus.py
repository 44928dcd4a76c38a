"""Prometheus as it is installed: its binaries, and its own judgement of rules on series that are written down."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import yaml

from tests.manifests.kustomize import ROOT, absent

RULES = ROOT / "cluster" / "monitoring" / "rules.yaml"


def binary(name: str) -> str:
    """The path of `prometheus` or `promtool`; absent is a skip here and a failure in CI."""
    found = shutil.which(name)
    if found is None:
        absent(f"{name} is not on the path (Debian: apt-get install prometheus)")
    return str(found)


def firing(series: Mapping[str, str], minute: int, folder: Path, rules: Path = RULES) -> set[str]:
    """Names of the alerts that fire in a minute, on series with a value a minute in promtool's notation."""
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": 'ALERTS{alertstate="firing"}', "eval_time": f"{minute}m", "exp_samples": []}],
    }
    file = folder / "test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": [test]}))
    done = subprocess.run([binary("promtool"), "test", "rules", str(file)], capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    found = set(re.findall(r'alertname="(\w+)"', said))
    assert (done.returncode == 0) == (not found), said  # what else may be wrong names no alert
    return found
