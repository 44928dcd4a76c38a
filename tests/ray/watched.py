"""What `test_prometheus` has watched, each in a process of its own: `python -m tests.ray.watched WHAT …`.

It says a line once there is something to be seen, and stays as it is until its standard input is closed.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import ray

from isd_ray.actors import metrics
from isd_ray.actors.failure import FailurePolicy
from isd_ray.actors.group import ActorGroup
from isd_ray.campaign.watcher import Watcher
from isd_ray.config import CampaignConfig
from isd_ray.config_file import parse_config
from isd_ray.errors import ActorLostError, LabelError
from isd_ray.messages import Progress, StepTaken
from isd_ray.ops.observe import observed
from isd_ray.ops.simulate import simulate
from isd_ray.remote.attach import attach
from tests.ray.dying import Dying
from tests.ray.test_faults import options

HOURS = 3600.0
SHARE_FILLED = 0.92


def as_read(configuration: str) -> CampaignConfig:
    return parse_config(json.loads(configuration))


def stay() -> None:
    """Until whoever started this closes the pipe."""
    print("there", flush=True)
    sys.stdin.read()


class Pauses(Watcher):
    """Stays in the middle of a screen, after the first round with a model."""

    def step(self, name, progress):
        if progress.system_bound is not None:
            stay()
            sys.exit()


def screen(configuration: str, out: str) -> None:
    """A real screen, four hours ago as its clock has it, that does not get on."""
    metrics.time = SimpleNamespace(time=lambda: time.time() - 4 * HOURS, sleep=time.sleep)
    simulate(as_read(configuration), out, Pauses())


def laboratory(folder: str) -> None:
    """The coordinator of a campaign whose batch is out, after this process is gone as well."""
    ray.init(address="auto")
    attach(folder)


def steps(**changes):
    taken = StepTaken("decide", 1, 0.5, 0)
    yield Progress("release", 1, 900, 240, 660, 60, False, taken, **changes)


def troubles(alarm: str, failing: str) -> None:
    """Models that are confidently wrong, a campaign that failed, actors that die, and a full object store."""
    ray.init(address="auto")
    list(observed(as_read(alarm), steps(calibration_alarm=True, waiting=True), on_ray=True))

    def fail():
        yield from steps()
        raise LabelError("a readout is none")

    with suppress(LabelError):
        list(observed(as_read(failing), fail(), on_ray=True))
    group = ActorGroup(Dying, (), options(size=1, campaign="restless", policy=FailurePolicy(6)))
    with suppress(ActorLostError):
        group.map("work", [()])
    size = int(SHARE_FILLED * ray.cluster_resources()["object_store_memory"])
    held = [ray.get(ray.put(np.zeros(size // 10, np.uint8))) for _ in range(10)]
    stay()
    del held


def running(configuration: str) -> None:
    """A campaign that runs, until it is killed."""
    ray.init(address="auto")
    for _ in observed(as_read(configuration), steps(), on_ray=True):
        stay()


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    {function.__name__: function for function in (screen, laboratory, troubles, running)}[what](*arguments)
