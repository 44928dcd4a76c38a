"""Who waits for nodes that were lost is told which, and why; nodes that were let go, or are back, are none of them."""

from __future__ import annotations

import pytest
import ray
from ray.core.generated.common_pb2 import NodeDeathInfo

from isd_ray.actors.nodes import lacking_now
from isd_ray.core.placement import Demand

LOST, LET_GO = NodeDeathInfo.UNEXPECTED_TERMINATION, NodeDeathInfo.AUTOSCALER_DRAIN_IDLE
SILENT = "health check failed due to missing too many heartbeats"


def node(address: str, reason: int | None = None, words: str = "") -> dict:
    return {
        "Alive": reason is None,
        "NodeManagerAddress": address,
        "Resources": {"CPU": 1.0},
        "Labels": {},
        "DeathReason": reason or 0,
        "DeathReasonMessage": words,
    }


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ([], ""),
        ([node("10.0.0.2", LET_GO, "idle")], ""),
        ([node("10.0.0.1", LOST, SILENT)], ""),
        ([node("10.0.0.2", LOST, f"{SILENT}\nmore")], f"; the cluster has lost 10.0.0.2 ({SILENT})"),
        (
            [node(f"10.0.0.{n}", LOST, "x") for n in range(2, 7)],
            "; the cluster has lost 10.0.0.2 (x), 10.0.0.3 (x), 10.0.0.4 (x) and 2 more",
        ),
    ],
)
def test_lost_nodes_are_named(others, said, monkeypatch):
    monkeypatch.setattr(ray, "nodes", lambda: [node("10.0.0.1"), *others])
    assert lacking_now(Demand({"GPU": 1.0})) == f"10.0.0.1 lacks GPU (0 of 1){said}"
