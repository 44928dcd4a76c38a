"""Imports only go down, and heavy packages stay in their layers."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

import isd_ray
from isd_ray.actors.bound import BoundActor
from isd_ray.actors.scorer import Scorer
from isd_ray.actors.trainer import Trainer
from isd_ray.campaign.fitting import MemberTrainer
from isd_ray.campaign.scoring import ShardScorer
from isd_ray.core.stopping import Judge

ROOT = Path(isd_ray.__file__).parent
LAYERS = [
    {"cli", "__main__"},
    {"serve"},
    {"testing"},
    {"remote"},
    {"ops"},
    {"report"},
    {"actors"},
    {"campaign"},
    {"core", "models", "chem", "data", "plates"},
    {"storage"},
    {
        "config",
        "config_file",
        "delimited",
        "messages",
        "errors",
        "card",
        "plugins",
        "credentials",
        "formulas",
        "printable",
    },
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
HOMES = {
    "ray": {"actors", "ops", "remote"},
    "torch": {"models"},
    "rdkit": {"chem"},
    "plotly": set(),  # its script is in report/static
    "obstore": {"storage"},
    **{name: {"serve"} for name in ("fastapi", "itsdangerous", "starlette", "uvicorn")},
}
MODULES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_only_go_down(path):
    layer = path.parts[0].removesuffix(".py")
    if layer == "__init__":
        return
    for name in imports(path):
        if name.startswith("isd_ray."):
            used = name.split(".")[1]
            assert RANK[used] >= RANK[layer], f"{path} imports {name}"
            pure = {"core", "models", "chem", "data", "plates"}
            if layer == "core":
                assert used in {"core", "config", "messages", "errors", "plugins", "credentials", "formulas"}, (
                    f"{path} imports {name}"
                )
            if layer in {"models", "chem", "plates"}:
                assert used in {layer, "core", "config", "delimited", "messages", "errors", "plugins", "formulas"}, (
                    f"{path} imports {name}"
                )
            assert not (layer == "data" and used in pure - {"data", "core", "chem"}), f"{path} imports {name}"


def test_only_what_runs_a_campaign_is_handed_its_whole_configuration():
    """What computes, stores or shows takes the sections that it reads, so that its signature says which these are."""
    runs = {"campaign", "ops", "remote", "testing", "serve", "cli", "config", "config_file"}
    for path in MODULES:
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            if path.parts[0].removesuffix(".py") not in runs and isinstance(node, ast.arg) and node.annotation:
                assert "CampaignConfig" not in ast.unparse(node.annotation), f"{path}: {node.arg}, line {node.lineno}"


def test_an_actor_is_its_plain_class_with_a_start():
    """So a request is written twice only: where it is done, and where its calls are planned and merged."""
    for actor, plain in ((Trainer, MemberTrainer), (Scorer, ShardScorer), (BoundActor, Judge)):
        assert actor.__bases__ == (plain,)
        assert {name for name in vars(actor) if not name.startswith("__")} == {"ready"}


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_heavy_packages_stay_where_they_belong(path):
    layer = path.parts[0].removesuffix(".py")
    for name in imports(path):
        package = name.split(".")[0]
        assert layer in HOMES.get(package, {layer}), f"{path} imports {name}"


def test_file_systems_behind_a_uri_are_opened_in_one_place():
    opening = {"from_uri", "from_url"}
    for path in MODULES:
        used = {node.attr for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, ast.Attribute)}
        assert path.parts[0] == "storage" or not opening & used, path


def test_core_needs_numpy_and_the_standard_library_only():
    allowed = {"numpy", "isd_ray", *sys.stdlib_module_names}
    for path in MODULES:
        if path.parts[0] == "core":
            assert {name.split(".")[0] for name in imports(path)} <= allowed, path


@pytest.mark.parametrize("module", ["isd_ray", "isd_ray.cli", "isd_ray.config", "isd_ray.core.acquisition"])
def test_light_modules_load_nothing_heavy(module):
    code = f"import sys, {module}; print(sorted({{'ray', 'torch', 'rdkit', 'pyarrow'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_web_page_starts_without_ray_and_torch():
    code = "import sys, isd_ray.serve.app; print(sorted({'ray', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_exists_and_is_listed():
    for name in isd_ray.__all__:
        assert getattr(isd_ray, name).__module__.startswith("isd_ray")
    assert {name for name in dir(isd_ray) if not name.startswith("__")} == set(isd_ray.__all__)
    assert isd_ray.__version__ == version("isd_ray")


def test_the_version_of_a_source_folder_that_is_not_installed_is_unknown(monkeypatch):
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(isd_ray, "version", missing)
    assert isd_ray.__version__ == "0+unknown"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'simulat'"):
        isd_ray.simulat  # noqa: B018
