"""What a job runs on the cluster: a screen, a command, or a survey for `isd doctor`.

Started by `isd_ray.remote.submit` in a folder with the configuration; `isd_ray.remote.joblog` reads what it prints.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict

from rich.console import Console

from isd_ray.campaign.standing import standing_of
from isd_ray.campaign.store import CampaignStore
from isd_ray.config import CampaignConfig, ComputeConfig
from isd_ray.config_file import load_config
from isd_ray.errors import ClusterError, IsdError
from isd_ray.messages import Progress
from isd_ray.remote.joblog import error_line, marked
from isd_ray.report.progress import LiveProgress
from isd_ray.report.steps import goal_of

CONFIG_FILE = "campaign.toml"


def command(verb: str, *arguments: str) -> str:
    """The shell command of a job; `verb` is ``job`` or ``survey``."""
    return shlex.join(["python", *_arguments(verb, *arguments)])


def _arguments(verb: str, *arguments: str) -> list[str]:
    from isd_ray.remote.survey import installed

    return ["-m", "isd_ray.remote.driver", installed("isd_ray"), verb, *arguments]


class LoggedProgress(LiveProgress):
    """Lines for people, and after each round of the screen one for programs."""

    def __init__(self, config: CampaignConfig, out: str) -> None:
        super().__init__(Console(force_terminal=False), goal_of(config.stopping, config.task))
        self._name, self._out, self._round = config.name, out, 0

    def step(self, name: str, progress: Progress) -> None:
        """A line for people, and behind the last of a round one for programs."""
        super().step(name, progress)
        if name == self._name and progress.round > self._round:
            self._round = progress.round
            log_standing(self._out)


def log_standing(out: str) -> None:
    """Print how far the campaign at a path or URI is, for programs."""
    print(marked("standing", asdict(standing_of(CampaignStore.open(out)))), flush=True)


def screen(out: str) -> None:
    """Run the screen of the configuration beside, or go on with it; one that is finished stays as it is."""
    from isd_ray.ops.connect import ray_session
    from isd_ray.ops.simulate import simulate
    from isd_ray.remote.survey import require_seen, survey

    config = load_config(CONFIG_FILE)
    on_ray = config.compute.backend == "ray"
    with ray_session(config.compute) if on_ray else nullcontext():
        if on_ray:
            require_seen(out, survey(out))
        simulate(config, out, LoggedProgress(config, out))
    log_standing(out)


def job(name: str, out: str = "") -> None:
    """Run the job that is described beside; its name and folder are for those who look at the processes of a head."""
    from isd_ray.remote.attempts import run_job

    sys.exit(run_job([sys.executable, *_arguments("screen", out)]))


def look_around(out: str, *paths: str) -> None:
    """Print, for programs, how the GCS meets callers, and what the nodes see of some paths.

    `out` is a folder for results, empty for none.
    """
    import ray

    from isd_ray.ops.connect import ray_session
    from isd_ray.ops.security import GCS_METHOD, grpc_door
    from isd_ray.remote.survey import survey

    # Whether the cluster is open to everybody is what the doctor finds out himself.
    with ray_session(ComputeConfig(address="auto", allow_cluster_without_authentication=True)):
        door = grpc_door(ray.get_runtime_context().gcs_address, GCS_METHOD)
        views = survey(out or None, paths)
    print(marked("access", door.value))
    print(marked("nodes", [asdict(view) for view in views]), flush=True)


def main() -> None:
    """Run a job; a deliberate error is one message, once for people and once for programs."""
    expected, verb, *arguments = sys.argv[1:]
    verbs: dict[str, Callable[..., None]] = {"job": job, "screen": screen, "survey": look_around}
    try:
        _require_version(expected)
        verbs[verb](*arguments)
    except IsdError as error:
        print(error, file=sys.stderr)
        print(error_line(error), flush=True)
        sys.exit(1)


def _require_version(expected: str) -> None:
    """Refuse a cluster whose packages are those of another isd_ray: our code is sent along, what it needs is not."""
    from isd_ray.remote.survey import installed

    if (found := installed("isd_ray")) != expected:
        raise ClusterError(
            f"the cluster has isd_ray {found or 'not'} installed, the job comes from isd_ray {expected}",
            sys.executable,
            f"use an image with isd_ray {expected}, or install isd_ray {found} where you submit",
        )


if __name__ == "__main__":
    main()
