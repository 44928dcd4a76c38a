"""Chemistry on two nodes, one of which is lost with all that it does: `python -m tests.chaos.lost_build_node`."""

from __future__ import annotations

import time
from dataclasses import dataclass

import ray
from ray.cluster_utils import Cluster

from isd_ray.actors.chemistry import done_on_ray
from isd_ray.actors.failure import FailurePolicy
from isd_ray.data.ingest.molecules import MoleculeOptions
from tests.chaos.lost_node import QUICK_TO_NOTICE

N_CPUS, N_CHUNKS, WAIT_S = 3, 30, 300.0


@dataclass
class Piece:
    structures: list[str | None]
    options: MoleculeOptions
    label: str


def slowly(structures: list[str | None], options: MoleculeOptions) -> str | None:
    """Long enough to be lost in the middle."""
    time.sleep(0.5)
    return structures[0]


def main() -> None:
    """Do the work; ends with an error if a chunk is missing or twice, or of more losses of one chunk than two."""
    node = {"include_dashboard": False, "object_store_memory": 100 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **node, "_system_config": QUICK_TO_NOTICE})
    for _ in range(2):
        cluster.add_node(num_cpus=N_CPUS, object_store_memory=100 << 20)
    ray.init(address=cluster.address, log_to_driver=False)
    options = MoleculeOptions("smiles", None, True, False, "smiles")
    pieces = [Piece([str(number)], options, f"records {number}") for number in range(N_CHUNKS)]
    found = []
    for piece, answer in done_on_ray(slowly, pieces, FailurePolicy(2), WAIT_S):
        assert answer == piece.structures[0]
        found.append(answer)
        if len(found) == 1:
            cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)
    assert found == [str(number) for number in range(N_CHUNKS)]
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main()
