"""Screens at once on three nodes that have room for one: `python -m tests.chaos.at_once CONFIG FOLDER N`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ray.cluster_utils import Cluster

N_NODES, N_CPUS = 3, 2
COMPUTE = {"backend": "ray", "trainers": 2, "scorers": 2, "start_timeout_s": 600.0}
"""4 of 6 CPUs: two screens that each held half of them would wait for each other."""


def main() -> None:
    """Run them; ends with an error if one does."""
    config, folder, n_screens = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    node = {"num_cpus": N_CPUS, "object_store_memory": 100 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    for _ in range(N_NODES - 1):
        cluster.add_node(**node)
    settings = [f"compute.address={cluster.address}", "compute.allow_cluster_without_authentication=true"]
    command = [sys.executable, "-c", "from isd_ray.cli import main; main()", "simulate", str(config)]
    command += [word for setting in settings for word in ("--set", setting)]
    screens = [
        subprocess.Popen([*command, "--out", str(folder / str(number))], stderr=subprocess.STDOUT)
        for number in range(n_screens)
    ]
    codes = [screen.wait() for screen in screens]
    cluster.shutdown()
    assert not any(codes), codes


if __name__ == "__main__":
    main()
