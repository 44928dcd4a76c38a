"""The command line as a user types it: in a process of its own, on files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from isd_ray.config_file import load_config, to_toml
from isd_ray.data.library import Library

EXAMPLES = Path(__file__).parents[2] / "examples"


def isd(*arguments: object, expect: int = 0) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", "from isd_ray.cli import main; main()", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == expect, done.stderr
    return done


@pytest.fixture(scope="module")
def campaign_file(make_config, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("cli") / "small.toml"
    file.write_text(to_toml(make_config(stopping={"rule": "none", "max_fraction": 0.4})))
    return file


def test_simulate_prints_a_summary_and_reports_progress_on_standard_error(campaign_file, tmp_path):
    done = isd("simulate", campaign_file, "--out", tmp_path / "run", "--set", "stopping.max_fraction=0.3")
    assert "Accuracy, true" in done.stdout
    assert "270 (30.0%)" in done.stdout
    assert "round 2, measured 240 of 900" in done.stderr


def test_simulate_with_json_prints_the_summary_and_nothing_else(campaign_file, tmp_path):
    done = isd("simulate", campaign_file, "--out", tmp_path / "run", "--json")
    assert json.loads(done.stdout) == json.loads((tmp_path / "run" / "summary.json").read_text())


def test_a_random_baseline_tells_what_was_saved(campaign_file, tmp_path):
    settings = ("--set", "simulation.random_baseline=true", "--set", "stopping.max_fraction=0.5")
    summary = json.loads(isd("simulate", campaign_file, "--out", tmp_path / "run", "--json", *settings).stdout)
    baseline = summary["random_baseline"]
    assert baseline["n_saved"] == round(baseline["fraction_at_equal_accuracy"] * 900) - summary["n_acquired"]
    assert baseline["n_saved"] > 0


def test_compare_runs_every_agent_and_seed_and_continues_what_is_there(campaign_file, tmp_path):
    arguments = ("compare", campaign_file, "--out", tmp_path, "--order-column", "size", "--json")
    isd(*arguments, "--agents", "active", "--seeds", 2)
    finished = (tmp_path / "active" / "1" / "summary.json").stat().st_mtime_ns
    summary = json.loads(isd(*arguments, "--seeds", 2).stdout)
    assert list(summary["agents"]) == ["active", "random", "in-order"]
    assert (tmp_path / "active" / "1" / "summary.json").stat().st_mtime_ns == finished
    rounds = pq.read_table(tmp_path / "comparison.parquet")
    assert set(zip(rounds["agent"].to_pylist(), rounds["seed"].to_pylist(), strict=True)) == {
        (agent, seed) for agent in summary["agents"] for seed in (0, 1)
    }
    assert "Comparison" in (tmp_path / "report.html").read_text()
    done = isd(*arguments, "--seeds", 1, "--set", "model.epochs=3", expect=1)
    assert "another configuration" in done.stderr
    assert "there is no agent 'greedy'" in isd(*arguments, "--agents", "greedy", expect=1).stderr


def test_libraries_are_built_inspected_and_split(compounds, tmp_path):
    keys = ("--set", "id_column=name", "--set", "workers=1")
    isd("library", "build", compounds, "--out", tmp_path / "lib", "--features", "light", *keys)
    info = json.loads(isd("library", "info", tmp_path / "lib", "--verify", "--json").stdout)
    assert info["counts"]["read"] == 900
    assert info["width"] == 10_240
    isd("library", "split", tmp_path / "lib", "--out", tmp_path / "parts", "--fractions", "0.8,0.05,0.15")
    sizes = [Library.open(tmp_path / "parts" / name).n_rows for name in ("target", "validation", "test")]
    assert sum(sizes) == info["n_rows"]
    assert sizes[1:] == [round(0.05 * info["n_rows"]), round(0.15 * info["n_rows"])]
    again = isd("library", "build", compounds, "--out", tmp_path / "lib", "--features", "light", *keys)
    assert "is there already" in again.stderr
    other = isd("library", "build", compounds, "--out", tmp_path / "lib", "--set", "workers=1", expect=1)
    assert "built otherwise than the configuration asks for: library.id_column" in other.stderr


def test_a_byte_order_mark_is_no_part_of_a_configuration(campaign_file, tmp_path):
    marked = tmp_path / "marked.toml"
    marked.write_text(campaign_file.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert load_config(marked) == load_config(campaign_file)


@pytest.mark.parametrize(
    "file",
    sorted(file for file in EXAMPLES.rglob("*.toml") if file.name != "pyproject.toml"),
    ids=lambda file: file.name,
)
def test_every_example_is_a_valid_configuration(file):
    assert load_config(file).name == file.stem


def test_qm9_is_the_paper_s_data_set(isd_data, tmp_path):
    """107,108 target molecules, the split of the paper's code, and two balanced classes by the median gap."""
    from isd_ray.campaign.watcher import Watcher
    from isd_ray.ops.prepare import prepare

    setup = prepare(load_config(EXAMPLES / "paper" / "qm9.toml"), tmp_path, Watcher())
    sizes = {name: Library.open(path).n_rows for name, path in setup.spec.libraries.items()}
    assert sizes == {"target": 107_108, "validation": 13_388, "test": 13_389}
    assert setup.labels.cut == pytest.approx(0.2494)
    assert abs(setup.labels.labels.mean() - 0.5) < 0.005
    assert setup.spec.validation_labels is not None
    assert len(setup.spec.validation_labels) == 13_388
