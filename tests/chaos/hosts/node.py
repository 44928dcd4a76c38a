"""`ray start` with patience, for a machine that is busy: `python -m tests.chaos.hosts.node start …`.

Ray gives up a node that does not come up within 30 s, and a raylet that finds no file with the port of its agent, which
is told by an option here, within 15 s.
"""

from __future__ import annotations

import inspect
import time
from contextlib import suppress
from typing import Any

from ray._private import services
from ray._raylet import DASHBOARD_AGENT_LISTEN_PORT_NAME, persist_port
from ray.scripts.scripts import main

PATIENCE_S, _POLL_S = 200.0, 0.5
_get_node, _start_raylet = services.get_node, services.start_raylet


def get_node(*arguments: Any) -> Any:
    """Ray's, which raises as long as the node has not come up: it is waited for."""
    give_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up:
        with suppress(RuntimeError):
            return _get_node(*arguments)
        time.sleep(_POLL_S)
    return _get_node(*arguments)


def start_raylet(*arguments: Any, **options: Any) -> Any:
    """Ray's; the file with the port of the agent is there before."""
    given = inspect.signature(_start_raylet).bind(*arguments, **options).arguments
    port = given["dashboard_agent_listen_port"]
    persist_port(given["session_dir"], given["node_id"], DASHBOARD_AGENT_LISTEN_PORT_NAME, port)
    return _start_raylet(*arguments, **options)


if __name__ == "__main__":
    services.get_node, services.start_raylet = get_node, start_raylet
    main()
