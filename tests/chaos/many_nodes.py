"""A screen on nodes that come and go: `python -m tests.chaos.many_nodes CONFIG OUT`.

A head, a node of trainers and two of scorers; a node of scorers is lost in the middle of a round, while a call runs on
it, and another joins. No call of that round ends before a scorer of the new node has answered. Every worker process
notes its calls in OUT-notes/calls; the driver adds the names of the nodes, and what is said of actors that no node can
hold.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster

from isd_ray.actors.bound import BoundActor
from isd_ray.actors.group import ActorGroup
from isd_ray.actors.options import trainer_options
from isd_ray.actors.scorer import Scorer
from isd_ray.actors.trainer import Trainer
from isd_ray.config import CampaignConfig
from isd_ray.errors import ResourceError
from isd_ray.ops.coordinator import Coordinator
from isd_ray.ops.simulate import simulate
from tests.chaos.lost_node import QUICK_TO_NOTICE

NOTES = "ISD_TEST_NOTES"
ROUND = 1
"""Round in which a node is lost."""
PATIENCE_S = 120.0
SCREENING = {"pool": "screening"}
NODES: dict[str, dict[str, Any]] = {
    "head": {"num_cpus": 4, "include_dashboard": False, "_system_config": QUICK_TO_NOTICE},
    # It has room for scorers as well: only its label keeps them off.
    "trainers": {"num_cpus": 1, "resources": {"isd_trainer": 2, "isd_scorer": 4}, "labels": {"pool": "training"}},
    "stays": {"num_cpus": 1, "resources": {"isd_scorer": 2}, "labels": SCREENING},
    "leaves": {"num_cpus": 1, "resources": {"isd_scorer": 1}, "labels": SCREENING},
    "joins": {"num_cpus": 1, "resources": {"isd_scorer": 2}, "labels": SCREENING},
}
COMPUTE = {
    "allow_cluster_without_authentication": True,
    "backend": "ray",
    "trainers": 2,
    "trainer_cpus": 0.0,
    "trainer_resources": {"isd_trainer": 1.0},
    # The first nodes hold three of them.
    "scorers": 4,
    "min_scorers": 3,
    "scorer_cpus": 0.0,
    "scorer_resources": {"isd_scorer": 1.0},
    "scorer_labels": {"pool": "in(spot, screening)"},
    "start_timeout_s": 120.0,
}


class Notes:
    """A folder in which the processes leave word for each other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def leave(self, name: str, text: str = "") -> None:
        """Leave a note, whole or not at all."""
        draft = self._folder / f"{name}.{os.getpid()}"
        draft.write_text(text)
        draft.rename(self._folder / name)

    def read(self, name: str) -> str:
        """A note; it is waited for."""
        give_up = time.monotonic() + PATIENCE_S
        while not (self._folder / name).exists():
            if time.monotonic() > give_up:
                raise TimeoutError(name)
            time.sleep(0.05)
        return (self._folder / name).read_text()

    def add_call(self, actor: str, number: int | None) -> None:
        """A call that this process has answered."""
        line = json.dumps({"actor": actor, "node": here(), "pid": os.getpid(), "round": number})
        with (self._folder / "calls").open("a") as file:
            file.write(line + "\n")

    def calls(self) -> list[dict[str, Any]]:
        """All calls answered so far."""
        return [json.loads(line) for line in (self._folder / "calls").read_text().splitlines()]


def here() -> str:
    """Ray's name of this process's node."""
    return ray.get_runtime_context().get_node_id()


def listen() -> None:
    """In every worker process: note each call; in the chosen round wait for the nodes to change."""
    notes = Notes(Path(os.environ[NOTES]))
    methods = ((Coordinator, "advance"), (Trainer, "fit"), (Scorer, "score"), (BoundActor, "decide"))
    for plain_class, method in methods:
        setattr(plain_class, method, _noting(plain_class.__name__, getattr(plain_class, method), notes))


def _noting(actor: str, method: Any, notes: Notes) -> Any:
    @functools.wraps(method)
    def noting(self: Any, *arguments: Any) -> Any:
        number = getattr(arguments[0], "round", None) if arguments else None
        disturbed = actor == "Scorer" and number == ROUND
        if disturbed and here() == notes.read("leaves"):
            notes.leave("at-work")
            # Lost with its node long before.
            time.sleep(PATIENCE_S)
        if disturbed and here() == notes.read("stays"):
            notes.read("newcomer-answered")
        answer = method(self, *arguments)
        notes.add_call(actor, number)
        if disturbed and here() not in (notes.read("stays"), notes.read("leaves")):
            notes.leave("newcomer-answered")
        return answer

    return noting


def main() -> None:
    """Run the screen, then ask for more than the nodes have."""
    config_file, out = Path(sys.argv[1]), Path(sys.argv[2])
    folder = out.with_name(f"{out.name}-notes")
    folder.mkdir()
    # Before any process starts that is to inherit it.
    os.environ[NOTES] = str(folder)
    notes = Notes(folder)
    memory = {"object_store_memory": 100 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={**NODES["head"], **memory})
    nodes = {"head": cluster.head_node}
    for name in ("trainers", "stays", "leaves"):
        nodes[name] = cluster.add_node(**NODES[name], **memory)
        notes.leave(name, nodes[name].node_id)
    cluster.wait_for_nodes()
    ray.init(address=cluster.address, runtime_env={"worker_process_setup_hook": listen}, log_to_driver=False)

    address = f'compute.address="{cluster.address}"'
    with ThreadPoolExecutor() as threads:
        # Nodes can be made in the main thread only.
        screen = threads.submit(simulate, CampaignConfig.from_toml(config_file, [address]), out)
        notes.read("at-work")
        cluster.remove_node(nodes["leaves"], allow_graceful=False)
        nodes["joins"] = cluster.add_node(**NODES["joins"], **memory)
        screen.result()
    names = {node.node_id: name for name, node in nodes.items()}
    notes.leave("nodes", json.dumps(names))
    greedy = ["compute.trainer_resources.isd_trainer=3", "compute.start_timeout_s=1"]
    options = trainer_options("greedy", CampaignConfig.from_toml(config_file, greedy).compute)
    try:
        ActorGroup(Trainer, (None,), options).wait_until_ready()
    except ResourceError as error:
        notes.leave("diagnosis", str(error))
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main()
