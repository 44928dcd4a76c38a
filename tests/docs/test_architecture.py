"""The page on the architecture names files that are there, and every file of a campaign."""

from __future__ import annotations

import re
from pathlib import Path

from isd_ray.ops.simulate import simulate

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "architecture.md"
TOP = {"isd_ray", "tests", *(path.name for path in (ROOT / "isd_ray").iterdir())}


def test_every_module_that_it_names_is_there():
    named = [name for name in re.findall(r"`([\w/.]+)`", PAGE.read_text()) if "/" in name or name.endswith(".py")]
    named = [name for name in named if name.split("/")[0] in TOP]
    assert len(named) > 30
    for name in named:
        assert (ROOT / name if name.startswith(("isd_ray", "tests")) else ROOT / "isd_ray" / name).exists(), name


def test_every_file_of_a_campaign_is_in_its_table(make_config, tmp_path):
    run = simulate(make_config(stopping={"rule": "certify", "gamma": 0.7}), tmp_path / "run")
    table = PAGE.read_text().split("## The folder of a campaign")[1].split("## Adding things")[0]
    for file in sorted(path.relative_to(run.path) for path in run.path.rglob("*") if path.is_file()):
        shown = (file.name, f"{file.parent.name}/", f"{file.stem.split('-')[0]}-*{file.suffix}", f"{file.stem}.*")
        assert any(name in table for name in shown), str(file)
