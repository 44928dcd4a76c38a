"""Nodes and drivers die in every phase; the screen is that of an undisturbed run."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from isd_ray.config_file import to_toml
from isd_ray.ops.simulate import simulate
from tests.chaos.laboratory import SCREEN, assert_same


def test_a_driver_killed_in_every_phase_goes_on(make_config, undisturbed_screen, tmp_path):
    """One folder, and process after process that dies a phase further on."""
    config, out = tmp_path / "small.toml", tmp_path / "run"
    config.write_text(to_toml(make_config(**SCREEN)))
    command = [sys.executable, "-m", "tests.chaos.killed_driver", str(config), str(out)]
    for phase, number in (("score", 0), ("release", 1), ("measure", 1), ("decide", 1), ("score", 2)):
        killed = subprocess.run([*command, phase, str(number)], check=False, capture_output=True)
        assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-2000:]
    simulate(make_config(**SCREEN), out)
    assert_same(out, undisturbed_screen)


@pytest.mark.parametrize("phase", ["fit", "score"])
def test_a_lost_node_changes_nothing(phase, make_config, undisturbed_screen, tmp_path):
    compute = {"backend": "ray", "scorers": 2, "trainers": 2, "trainer_cpus": 1.0, "scorer_cpus": 1.0}
    config, out = tmp_path / "small.toml", tmp_path / "run"
    config.write_text(to_toml(make_config(**SCREEN, compute=compute)))
    command = [sys.executable, "-m", "tests.chaos.lost_node", str(config), str(out), phase, "1"]
    done = subprocess.run(command, check=False, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    assert_same(out, undisturbed_screen)


def test_a_node_lost_during_a_library_build_costs_its_chunks_only():
    command = [sys.executable, "-m", "tests.chaos.lost_build_node"]
    done = subprocess.run(command, check=False, capture_output=True, timeout=600)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
