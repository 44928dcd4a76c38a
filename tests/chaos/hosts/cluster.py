"""A Ray cluster on hosts, and screens on it that can be held in the middle of a call."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from isd_ray.errors import ResourceError
from isd_ray.ops import reach
from tests.chaos.hosts.machines import Host, clock_library

PORT, DAY_S = 6379, 86_400.0
OTHERS = ("one", "two", "three")
NAMES = ("head", *OTHERS)
ROOM = {"isd_trainer": 1, "isd_scorer": 1}
"""Of each host but the head: together they have room for a trainer and a scorer more than there are."""
DEAD_AFTER_S = 5.0
"""When Ray gives up a node that does not answer; 25 s by default."""
SETTINGS = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 2000,
    "health_check_failure_threshold": int(DEAD_AFTER_S) - 2,
}
COMPUTE = {
    "backend": "ray",
    "address": "auto",
    "trainers": 2,
    "trainer_cpus": 0.0,
    "trainer_resources": {"isd_trainer": 1.0},
    "scorers": 2,
    "scorer_cpus": 0.0,
    "scorer_resources": {"isd_scorer": 1.0},
    "start_timeout_s": 120.0,
    "call_timeout_s": 120.0,
}
PORTS = (
    "--dashboard-agent-listen-port=52365",
    "--dashboard-agent-grpc-port=52366",
    "--runtime-env-agent-port=52367",
    "--metrics-export-port=52368",
)
"""Every host has all of them for itself; Ray waits for none that it would have to be told."""
STARTED, TRIES = "Ray runtime started", 3
STARTS_WITHIN_S, ENDS_WITHIN_S, _POLL_S = 240.0, 600.0, 0.05
"""On a machine that is busy."""


class Cluster:
    """A head, where drivers run, and the other hosts.

    Parameters
    ----------
    folder:
        Seen by all hosts, as everything outside their own disks.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._clock = folder, clock_library(folder)
        self._environment = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_memory_monitor_refresh_ms": "100",
            "RAY_worker_niceness": "0",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",  # the `python` of jobs
        }
        os.environ.update(self._environment)  # this process asks the GCS, too
        self.hosts: dict[str, Host] = {}
        self._rays: dict[str, subprocess.Popen] = {}
        self._days: Mapping[str, float] = {}

    @property
    def head(self) -> Host:
        """Where the GCS is, drivers and, unless they are told otherwise, coordinators."""
        return self.hosts["head"]

    def mend(self, days: Mapping[str, float] | None = None) -> None:
        """Switch on what is off, and off and on what is no node any more; all where the head is lost, or clocks change.

        Parameters
        ----------
        days:
            By how many their clocks are ahead, by the names of hosts.
        """
        if self._days != (days or {}):
            self.switch_off()
            self._days = days or {}
        if "head" not in self.hosts or not self.head.is_on or self.head.address not in self._nodes():
            self.switch_off()
        for name in NAMES:
            host = self.hosts.get(name)
            if host is None or not host.is_on or host.address not in self._nodes():
                if host is not None:
                    host.switch_off()
                self._switch_on(name)

    def restart_head(self) -> None:
        """Give its power back to the head; the others, which had it all the time, start Ray again where it ends."""
        self._switch_on("head")
        for name in OTHERS:
            self._rays[name].wait(STARTS_WITHIN_S)
            self._start(name)

    def switch_off(self) -> None:
        """All hosts."""
        for host in self.hosts.values():
            host.switch_off()
        self.hosts = {}

    def _nodes(self) -> set[str]:
        """Addresses of the nodes that the head knows of, none if there is no head."""
        try:
            return set(reach._nodes(f"{self.head.address}:{PORT}").values())
        except ResourceError:
            return set()

    def _switch_on(self, name: str) -> None:
        self.hosts[name] = Host(NAMES.index(name) + 1, name, self._folder, self._clock)
        self.hosts[name].set_clock(self._days.get(name, 0.0) * DAY_S)
        self._start(name)

    def _start(self, name: str) -> None:
        host = self.hosts[name]
        options = [*PORTS, "--block", f"--node-ip-address={host.address}", "--object-store-memory=80000000"]
        if name == "head":
            options += ["--head", f"--port={PORT}", "--num-cpus=0", "--dashboard-host=0.0.0.0"]
            options += [f"--system-config={json.dumps(SETTINGS)}"]
        else:
            options += [f"--address={self.head.address}:{PORT}", "--num-cpus=1", f"--resources={json.dumps(ROOM)}"]
            options += [f"--labels=host={name}"]
        command = [sys.executable, "-m", "tests.chaos.hosts.node", "start", *options]
        for _ in range(TRIES):
            with host.log.open("w") as log:
                self._rays[name] = host.run(command, self._environment, log)
            if _has_started(self._rays[name], host.log):
                return
        raise TimeoutError(f"Ray on {name}: {host.log.read_text()[-2000:]}")

    def screen(self, config: Path, out: Path, held: str = "") -> Screen:
        """Begin a screen, or go on with it; see `Screen`."""
        notes = self._folder / "notes"
        shutil.rmtree(notes, ignore_errors=True)
        notes.mkdir()
        return Screen(self, config, out, notes, held, self._environment)

    @property
    def dashboard(self) -> str:
        """Where jobs are given to it."""
        return f"http://{self.head.address}:8265"


class Screen:
    """A screen that a process on the head has taken on: `tests.chaos.hosts.driver`.

    Parameters
    ----------
    notes:
        An empty folder for what is said between processes, not on the disk of the campaign.
    held:
        The class of the actor whose call in the middle of the screen is held until `let_go`; empty for none.
    """

    def __init__(
        self, cluster: Cluster, config: Path, out: Path, notes: Path, held: str, environment: Mapping[str, str]
    ) -> None:
        self.cluster, self.out, self._notes, self.log = cluster, out, notes, notes / "log"
        words = [str(config), str(out), str(notes), held]
        with self.log.open("w") as log:
            self._process = cluster.head.run(
                [sys.executable, "-m", "tests.chaos.hosts.driver", *words], environment, log
            )

    def held(self) -> Host:
        """The host of the call that is held, once it is."""
        note = self._notes / "held"
        wait_for(lambda: note.exists() or self._process.poll() is not None, "a call to hold", ENDS_WITHIN_S)
        assert note.exists(), f"the screen has ended before\n{self.said()[-3000:]}"
        return self.cluster.hosts[note.read_text()]

    def let_go(self) -> None:
        """The call that is held may go on."""
        (self._notes / "go").touch()

    def said(self) -> str:
        """What it has printed."""
        return self.log.read_text()

    def stop(self) -> None:
        """End it where it is."""
        for process in (*psutil.Process(self._process.pid).children(recursive=True), self._process):
            process.kill()
        self._process.wait()

    def ended(self) -> dict[str, Any] | None:
        """None if it came to its end, else the type of its error and what it says, once it has ended."""
        self.let_go()
        try:
            code = self._process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.stop()
            return {"type": "hang", "words": f"no end within {ENDS_WITHIN_S:g} s"}
        note = self._notes / "error"
        if code == 0:
            return None
        if note.exists():
            return json.loads(note.read_text())
        return {"type": "power cut" if not self.cluster.head.is_on else "traceback", "words": f"exit {code}"}


def _has_started(ray: subprocess.Popen, log: Path) -> bool:
    """Whether a node came up, once that is known."""
    wait_for(lambda: ray.poll() is not None or STARTED in log.read_text(), f"Ray, which writes into {log}")
    return ray.poll() is None


def wait_for(holds: Callable[[], object], what: str, within_s: float = STARTS_WITHIN_S) -> None:
    """Wait until something holds.

    Raises
    ------
    TimeoutError
        If it does not.
    """
    give_up = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > give_up:
            raise TimeoutError(what)
        time.sleep(_POLL_S)
