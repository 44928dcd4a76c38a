"""A Ray head of its own: with a dashboard, token authentication, its own ports, folder and token; in no other's way."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import requests

START_TIMEOUT_S = 180.0


@dataclass(frozen=True)
class Head:
    """A running head.

    Attributes
    ----------
    address:
        URL of its dashboard.
    gcs_port, client_port, metrics_port:
        Where the GCS and the Ray Client server listen, and where Prometheus collects.
    token_file:
        The token that it asks for.
    """

    address: str
    gcs_port: int
    client_port: int
    metrics_port: int
    token_file: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to be let in."""
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.token_file), "RAY_USAGE_STATS_ENABLED": "0"}


def free_ports(n: int) -> list[int]:
    """Ports that nobody listens on; all are held until the last is found."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(n)]
        for each in sockets:
            each.bind(("", 0))
        return [each.getsockname()[1] for each in sockets]


@contextmanager
def ray_head(object_store_memory: int = 100 << 20, **settings: str) -> Iterator[Head]:
    """A head for the time of the block; ended by its process group, never by `ray stop`.

    Parameters
    ----------
    object_store_memory:
        In bytes.
    settings:
        Further variables of its environment.
    """
    folder = Path(tempfile.mkdtemp(prefix="isd-"))  # short: Ray puts sockets in it, whose paths end at 107 letters
    token_file = folder / "token"
    token_file.write_text(secrets.token_hex(32))
    gcs, client, dashboard, agent, agent_grpc, metrics = free_ports(6)
    options = {
        "temp-dir": folder / "ray",
        "port": gcs,
        "ray-client-server-port": client,
        "dashboard-host": "127.0.0.1",
        "dashboard-port": dashboard,
        "dashboard-agent-listen-port": agent,
        "dashboard-agent-grpc-port": agent_grpc,
        "metrics-export-port": metrics,
        "num-cpus": 4,
        "object-store-memory": object_store_memory,
    }
    head = Head(f"http://127.0.0.1:{dashboard}", gcs, client, metrics, token_file)
    # The package comes with the jobs, not from a path of this process; `python` is the one that runs the tests.
    inherited = {name: text for name, text in os.environ.items() if name not in ("PYTHONPATH", "RAY_ADDRESS")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with (folder / "head.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
            + [f"--{name}={value}" for name, value in options.items()],
            env={**inherited, **head.environment, **settings, "PATH": path},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_for(head, process, folder / "head.log")
        yield head
    finally:
        _end(process)
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(head: Head, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        with suppress(requests.ConnectionError):
            if requests.get(f"{head.address}/api/version", timeout=10).status_code == requests.codes.unauthorized:
                return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the head has not started:\n{log.read_text()}")
        time.sleep(0.2)


def _end(process: subprocess.Popen) -> None:
    """End the head, and those of its processes that are in groups of their own: workers and drivers."""
    try:
        started = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        started = []
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for child in started:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    psutil.wait_procs(started, timeout=20)
