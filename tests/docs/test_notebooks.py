"""The notebooks of `examples/notebooks` run, as they are, in a copy of their folder."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.docs.pages import ROOT
from tests.docs.samples import install_plugin

NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))
LONGEST_CELL_S = 240
FUNCTIONS = ("least_confidence", "likely_hits")


@pytest.fixture(scope="module")
def examples(tmp_path_factory) -> Path:
    """A copy of `examples`."""
    return shutil.copytree(ROOT / "examples", tmp_path_factory.mktemp("notebooks") / "examples")


@pytest.fixture(scope="module")
def plugin(tmp_path_factory) -> Path:
    """A folder of modules with the example of a plug-in."""
    return install_plugin(tmp_path_factory.mktemp("plugin"))


def run(notebook: Path) -> str:
    """What a notebook prints and shows."""
    content = nbformat.read(notebook, as_version=4)
    client = NotebookClient(
        content, timeout=LONGEST_CELL_S, kernel_name="python3", resources={"metadata": {"path": str(notebook.parent)}}
    )
    client.execute()
    outputs = [output for cell in content.cells for output in cell.get("outputs", ())]
    return "\n".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_notebooks_are_small_and_without_outputs(notebook):
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    assert cells
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
    assert notebook.stat().st_size < 20_000


def test_quickstart(examples):
    shown = run(examples / "notebooks" / "quickstart.ipynb")
    assert "claimed: accuracy is above 0.9, certified" in shown
    assert "Proof: an audit of" in shown


def test_own_library(examples):
    shown = run(examples / "notebooks" / "own_library.ipynb")
    assert "in-order" in shown
    assert "predicted" in shown


def test_laboratory(examples):
    shown = run(examples / "notebooks" / "laboratory.ipynb")
    assert "0 readouts, 120 lost" in shown
    assert "accuracy is above 0.7\ncertified" in shown
    assert shown.rstrip().endswith("True")


def test_plugin(examples, plugin, monkeypatch):
    path = [str(plugin), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    shown = run(examples / "notebooks" / "plugin.ipynb")
    assert "isd_likely_hits:likely_hits" in shown
    found = {function: int(re.search(rf"^{function} +(\d+)", shown, re.MULTILINE)[1]) for function in FUNCTIONS}
    assert found["likely_hits"] > 1.2 * found["least_confidence"]
