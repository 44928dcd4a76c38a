"""The example packages with families of models, installed from an empty folder, pass our tests and run a screen."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tomli_w

from tests.docs.pages import ROOT
from tests.docs.samples import CAMPAIGN, Samples, install_plugin

CODE = "from isd_ray.config.model import family_class as f; print(f('{0}').__module__)"


def run(site: Path, *command: str) -> str:
    """What a command of Python prints that knows the installed package."""
    paths = os.pathsep.join([str(site), str(ROOT)])
    done = subprocess.run(
        [sys.executable, *command],
        cwd=site.parent,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def similarity(tmp_path_factory) -> Path:
    return install_plugin(tmp_path_factory.mktemp("similarity"), "model_plugin")


@pytest.fixture(scope="module")
def graph(tmp_path_factory) -> Path:
    if importlib.util.find_spec("chemprop") is None:
        pytest.skip("chemprop is not installed: pip install ./examples/graph_plugin")
    return install_plugin(tmp_path_factory.mktemp("graph"), "graph_plugin")


def conforms(site: Path, name: str) -> None:
    folder = site.parent / site.parent.joinpath(f"{name}_plugin")
    options = ("-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(folder))
    shown = run(site, "-m", "pytest", *options, str(next(folder.glob("test_*.py"))))
    assert int(re.search(r"(\d+) passed", shown)[1]) > 35, shown


def screens(site: Path, family: str, compounds: Path, **table: object) -> None:
    Samples(compounds, site.parent).make("campaign.toml")
    config = {
        **CAMPAIGN,
        "library": {**CAMPAIGN["library"], "workers": 1},
        "model": {"families": [family], family: table},
        "compute": {"backend": "local"},
    }
    (site.parent / "own.toml").write_text(tomli_w.dumps(config))
    main = "from isd_ray.cli import main; main()"
    run(site, "-c", main, "simulate", "own.toml", "--out", "run")
    assert (site.parent / "run" / "report.html").is_file()


def test_the_scikit_learn_example_is_short():
    lines = (ROOT / "examples" / "model_plugin" / "isd_similarity.py").read_text(encoding="utf-8").splitlines()
    assert sum(bool(line.strip()) for line in lines) < 40


def test_the_scikit_learn_example_is_found_by_its_entry_point(similarity):
    assert run(similarity, "-c", CODE.format("similarity")).strip() == "isd_similarity"


def test_the_scikit_learn_example_conforms(similarity):
    conforms(similarity, "model")


def test_the_scikit_learn_example_screens(similarity, compounds):
    screens(similarity, "similarity", compounds, landmarks=100)


def test_the_graph_network_is_found_by_its_entry_point(graph):
    assert run(graph, "-c", CODE.format("graph")).strip() == "isd_graph"


def test_the_graph_network_conforms(graph):
    conforms(graph, "graph")


def test_the_graph_network_screens(graph, compounds):
    screens(graph, "graph", compounds, hidden_size=16, epochs=5)
