"""Screens that run at once on one cluster, which has room for one of them, all end, and none changes another."""

from __future__ import annotations

import subprocess
import sys

from isd_ray.config_file import to_toml
from isd_ray.ops.simulate import simulate
from tests.chaos.at_once import COMPUTE
from tests.chaos.laboratory import assert_same, outcome

SMALL = {
    "model": {"families": ["linear"], "members": 2},
    "acquisition": {"batch_size": 120},
    "stopping": {"rule": "none", "max_rounds": 2},
}
N_SCREENS = 3


def test_three_screens_at_once_all_end(make_config, tmp_path):
    alone = outcome(simulate(make_config(**SMALL), tmp_path / "alone").path)
    config = tmp_path / "small.toml"
    config.write_text(to_toml(make_config(**SMALL, compute=COMPUTE)))
    command = [sys.executable, "-m", "tests.chaos.at_once", str(config), str(tmp_path), str(N_SCREENS)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    for number in range(N_SCREENS):
        assert_same(tmp_path / str(number), alone)
