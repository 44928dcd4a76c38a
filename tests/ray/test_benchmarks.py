"""Benchmarks that begin campaigns or call workers themselves go with what they call."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from isd_ray.config import LibraryConfig
from isd_ray.ops.build import build_library

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def library(compounds, tmp_path_factory) -> Path:
    config = LibraryConfig(
        source=str(compounds), features="ecfp4", descriptors=("rdkit2d",), block_rows=32, part_blocks=2
    )
    path = tmp_path_factory.mktemp("benchmarks") / "library"
    build_library(config, path)
    return path


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("rounds", "--observed 40 --batch 20 --rows-at-least 1500 --trainers 1 --scorers 1", "round 2 (look)"),
        ("scaling", "--k 10 --scorers 1", "rows, 1 scorers"),
        ("telling", "--readouts 30", "the same again"),
    ],
)
def test_a_benchmark_runs(name: str, options: str, says: str, library: Path) -> None:
    command = [sys.executable, "-m", f"tests.benchmarks.{name}", "--library", str(library), *options.split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert says in done.stdout
