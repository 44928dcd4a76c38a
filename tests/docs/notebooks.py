"""Runs the notebooks of `examples/notebooks` and stores what they show: ``python -m tests.docs.notebooks [NAME …]``.

`make notebooks` does it. That of the plug-in needs its package, which is installed into a folder of its own.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from tests.docs.pages import ROOT
from tests.docs.samples import install_plugin

FOLDER = ROOT / "examples" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LONGEST_CELL_S = 600


def executed(notebook: Path) -> nbformat.NotebookNode:
    """A notebook after it was run in its folder; what it writes stays there."""
    content = nbformat.read(notebook, as_version=4)
    resources = {"metadata": {"path": str(notebook.parent)}}
    client = NotebookClient(content, timeout=LONGEST_CELL_S, kernel_name="python3", resources=resources)
    client.execute()
    for cell in content.cells:
        cell.metadata.pop("execution", None)  # when it was run
    content.metadata = {"kernelspec": content.metadata["kernelspec"]}
    return content


def main() -> None:
    """Run them in a copy of the examples, so that nothing but their outputs is left."""
    with tempfile.TemporaryDirectory() as folder:
        site = install_plugin(Path(folder))
        os.environ["PYTHONPATH"] = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
        examples = shutil.copytree(ROOT / "examples", Path(folder) / "examples")
        for notebook in NOTEBOOKS:
            if sys.argv[1:] and notebook.stem not in sys.argv[1:]:
                continue
            made = executed(examples / "notebooks" / notebook.name)
            text = nbformat.writes(made).replace(str(examples / "notebooks"), ".")
            notebook.write_text(f"{text}\n", encoding="utf-8")
            print(notebook.relative_to(ROOT), file=sys.stderr)


if __name__ == "__main__":
    main()
