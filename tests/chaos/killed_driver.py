"""A simulation whose process kills itself in a phase: `python -m tests.chaos.killed_driver CONFIG OUT PHASE ROUND`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from isd_ray.campaign.watcher import Watcher
from isd_ray.config import CampaignConfig
from isd_ray.ops.simulate import simulate


class Kills(Watcher):
    """Ends the process when the campaign is about to enter a phase."""

    def step(self, name, progress) -> None:
        if (progress.state, progress.round) == (sys.argv[3], int(sys.argv[4])):
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    simulate(CampaignConfig.from_toml(sys.argv[1]), Path(sys.argv[2]), Kills())
