"""What the project says of itself: version, extras, pins."""

from __future__ import annotations

import re
from typing import Any

from isd_ray.config_file import tomllib
from tests.manifests.kustomize import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def pinned(package: str) -> str:
    """The version of a package in constraints.txt."""
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    found = re.search(rf"^{re.escape(package)}==([^\s;]+)", pins, re.MULTILINE)
    assert found, f"{package} is not pinned"
    return found[1]
