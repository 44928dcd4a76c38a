"""Screens that are given to a cluster of hosts as jobs, by a machine that is none of them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from isd_ray.errors import IsdError
from isd_ray.remote.attempts import JOB_FILE
from isd_ray.remote.submit import resubmit, submit
from tests.chaos.hosts.cluster import ENDS_WITHIN_S, Cluster, wait_for
from tests.chaos.hosts.driver import ROUND


class JobScreen:
    """A screen that a job has taken on; one that has left a description of itself is submitted again."""

    def __init__(self, cluster: Cluster, config: Path, out: Path) -> None:
        self.cluster, self.out = cluster, out
        if (out / JOB_FILE).exists():
            self._job = resubmit(out, address=cluster.dashboard)
        else:
            self._job = submit(config, address=cluster.dashboard, out=out, name=f"screen-{out.parent.name}")

    def held(self) -> None:
        """Wait until the screen is in its middle; nothing is held there."""
        wait_for(lambda: (self.out / "rounds" / f"{ROUND:05d}").exists(), f"round {ROUND}", ENDS_WITHIN_S)

    def said(self) -> str:
        """What it has printed; empty where the cluster cannot be asked."""
        try:
            return "".join(self._job.logs()) if self._job else ""
        except IsdError:
            return ""

    def ended(self) -> dict[str, Any] | None:
        """As of `tests.chaos.hosts.cluster.Screen`."""
        give_up = time.monotonic() + ENDS_WITHIN_S
        try:
            if self._job is not None:
                self._job.wait(progress=False, timeout_s=ENDS_WITHIN_S)
        except IsdError as error:
            kind = "hang" if time.monotonic() >= give_up else type(error).__name__
            return {"type": kind, "words": str(error)}
        return None
