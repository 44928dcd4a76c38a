"""A screen on three nodes, one of which is lost: `python -m tests.chaos.lost_node CONFIG OUT PHASE ROUND`."""

from __future__ import annotations

import sys
from pathlib import Path

from ray.cluster_utils import Cluster

from isd_ray.campaign.watcher import Watcher
from isd_ray.config import CampaignConfig
from isd_ray.ops.simulate import simulate

QUICK_TO_NOTICE = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 3,
}


class LosesANode(Watcher):
    """Takes a node away when the campaign is about to enter a phase."""

    def __init__(self, cluster: Cluster, phase: str, number: int) -> None:
        self._cluster, self._phase, self._number = cluster, phase, number
        self.lost = False

    def step(self, name, progress) -> None:
        if not self.lost and (progress.state, progress.round) == (self._phase, self._number):
            self._cluster.remove_node(self._cluster.list_all_nodes()[-1], allow_graceful=False)
            self.lost = True


def main() -> None:
    """Run the screen; ends with an error if no node was lost."""
    config_file, out, phase, number = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    head = {"num_cpus": 2, "include_dashboard": False, "object_store_memory": 128 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={**head, "_system_config": QUICK_TO_NOTICE})
    for _ in range(2):
        cluster.add_node(num_cpus=3, object_store_memory=128 << 20)
    settings = [f'compute.address="{cluster.address}"', "compute.allow_cluster_without_authentication=true"]
    config = CampaignConfig.from_toml(config_file, settings)
    watcher = LosesANode(cluster, phase, number)
    simulate(config, out, watcher)
    cluster.shutdown()
    assert watcher.lost


if __name__ == "__main__":
    main()
