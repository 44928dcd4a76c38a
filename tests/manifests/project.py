"""What the project says of itself: version, extras, pins."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from isd_ray.config_file import tomllib
from tests.manifests.kustomize import ROOT, absent

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def pinned(package: str) -> str:
    """The version of a package in constraints.txt."""
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    found = re.search(rf"^{re.escape(package)}==([^\s;]+)", pins, re.MULTILINE)
    assert found, f"{package} is not pinned"
    return found[1]


def tool(name: str) -> str:
    """A command of the extra `dev`."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        absent(f"{name} is not installed; the extra `dev` brings it")
    return found
