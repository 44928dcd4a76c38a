"""The notebooks of `examples/notebooks` run, as they are, in a copy of their folder, and hold what they show."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import nbformat
import pytest

from tests.docs.notebooks import NOTEBOOKS, executed
from tests.docs.pages import ROOT
from tests.docs.samples import install_plugin

FUNCTIONS = ("least_confidence", "likely_hits")
LARGEST = 60_000
"""Bytes of a notebook with its outputs."""


@pytest.fixture(scope="module")
def examples(tmp_path_factory) -> Path:
    """A copy of `examples`."""
    return shutil.copytree(ROOT / "examples", tmp_path_factory.mktemp("notebooks") / "examples")


@pytest.fixture(scope="module")
def plugin(tmp_path_factory) -> Path:
    """A folder of modules with the example of a plug-in."""
    return install_plugin(tmp_path_factory.mktemp("plugin"))


def shown(content: nbformat.NotebookNode) -> str:
    """What a notebook prints and shows, as text."""
    outputs = [output for cell in content.cells for output in cell.get("outputs", ())]
    return "\n".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs)


def kinds(content: nbformat.NotebookNode) -> list[list[str]]:
    """Of each cell, what kinds of outputs it has; lines that are printed one by one are one."""
    found = []
    for cell in content.cells:
        named = [output.get("name") or "+".join(sorted(output["data"])) for output in cell.get("outputs", ())]
        found.append(sorted(set(named)))
    return found


def stored(name: str) -> nbformat.NotebookNode:
    return nbformat.read(ROOT / "examples" / "notebooks" / f"{name}.ipynb", as_version=4)


def run(name: str, examples: Path) -> tuple[str, str]:
    """What a notebook shows when it is run, and what is stored of it; both are of the same kinds."""
    made = executed(examples / "notebooks" / f"{name}.ipynb")
    assert kinds(made) == kinds(stored(name)), "run `make notebooks`"
    return shown(made), shown(stored(name))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_notebooks_are_small_and_hold_outputs_that_speak_of_no_machine(notebook):
    cells, text = stored(notebook.stem).cells, notebook.read_text(encoding="utf-8")
    assert any(cell.get("outputs") for cell in cells)
    assert all(cell.execution_count for cell in cells if cell.cell_type == "code")
    assert not any(output.output_type == "error" for cell in cells for output in cell.get("outputs", ()))
    assert not re.search(r"/tmp/|/home/|/root/|/work/|Traceback", text)
    assert notebook.stat().st_size < LARGEST


def test_quickstart(examples):
    for text in run("quickstart", examples):
        assert "claimed: accuracy is above 0.9, certified" in text
        assert "Proof: an audit (check sample) of" in text


def test_own_library(examples):
    for text in run("own_library", examples):
        assert "in-order" in text
        assert "predicted" in text


def test_laboratory(examples):
    for text in run("laboratory", examples):
        assert "0 readouts, 120 lost" in text
        assert "accuracy is above 0.7\ncertified" in text
        assert text.rstrip().endswith("True")


def test_the_page_for_the_bench_tells_what_the_notebook_shows():
    text, page = shown(stored("laboratory")), (ROOT / "docs" / "for-chemists.md").read_text(encoding="utf-8")
    [(measured, right)] = re.findall(r"(\d+%) measured; .*?truly right: ([\d.]+%)", text, re.DOTALL)
    [z_prime] = set(re.findall(r"Z' -([\d.]+) is below 0.4", text))
    for told in (measured.replace("%", " %"), f"{right.replace('%', ' %')} of all labels", f"−{z_prime}"):
        assert told in page
    n = re.search(r"measured (\d+) of 600; done", text)[1]
    assert f"{n} compounds were measured" in page


def test_plugin(examples, plugin, monkeypatch):
    path = [str(plugin), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    for text in run("plugin", examples):
        assert "isd_likely_hits:likely_hits" in text
        found = {function: int(re.search(rf"^{function} +(\d+)", text, re.MULTILINE)[1]) for function in FUNCTIONS}
        assert found["likely_hits"] > 1.2 * found["least_confidence"]
