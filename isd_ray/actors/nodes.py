"""The nodes of the connected Ray: what they have, what of it is free, and which were lost."""

from __future__ import annotations

import ray
from ray.core.generated.common_pb2 import NodeDeathInfo

from isd_ray.core.placement import Demand, Node, what_is_missing

NODES_REMEDY = (
    "ask for less in [compute], add nodes or bring lost ones back, or raise compute.start_timeout_s if they are to come"
)
_LOST = (NodeDeathInfo.UNEXPECTED_TERMINATION, NodeDeathInfo.AUTOSCALER_DRAIN_PREEMPTED)
"""Ends of a node that nobody here wanted."""
_SHOWN = 3


def nodes_now() -> list[Node]:
    """The living nodes, with all that may be placed on them."""
    return [
        Node(node["NodeManagerAddress"], node["Resources"], node.get("Labels") or {})
        for node in ray.nodes()
        if node["Alive"]
    ]


def free_now() -> str:
    """What of the cluster's resources nobody uses, in words."""
    free = ray.available_resources().items()
    named = {key: value for key, value in free if not any(part in key for part in (":", "memory", "_group_"))}
    return ", ".join(f"{value:g} {key}" for key, value in sorted(named.items())) or "nothing"


def lacking_now(demand: Demand) -> str:
    """What nodes lack for an actor, and which were lost, in words."""
    return what_is_missing(demand, nodes_now()) + _lost_now()


def _lost_now() -> str:
    """Nodes that died and have not come back, with the reason that Ray gives; empty if there are none."""
    every = ray.nodes()
    here = {node["NodeManagerAddress"] for node in every if node["Alive"]}
    lost = {
        node["NodeManagerAddress"]: (node.get("DeathReasonMessage") or "no reason given").split("\n", 1)[0]
        for node in every
        if not node["Alive"] and node.get("DeathReason") in _LOST and node["NodeManagerAddress"] not in here
    }
    if not lost:
        return ""
    shown = ", ".join(f"{address} ({reason})" for address, reason in list(lost.items())[:_SHOWN])
    more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
    return f"; the cluster has lost {shown}{more}"
