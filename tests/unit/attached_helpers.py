"""Attached campaigns without a Ray: the coordinator works in this process, behind a service or not."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import uvicorn

from isd_ray.campaign.store import CampaignStore
from isd_ray.errors import StoreError
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.coordinator import Coordinator
from isd_ray.ops.run import run_cold
from isd_ray.remote.tokens import Tokens
from isd_ray.serve.coordinators.app import create_app
from isd_ray.serve.listening import uvicorn_of

READOUT = "BBB+"
"""One of the classes of the campaigns of `tests.unit.test_arguments.LABORATORY`."""


def certified(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost, which is its own authority, and its key."""
    tls = (folder / "cert.pem", folder / "key.pem")
    made_out = "-subj /CN=localhost -addext subjectAltName=DNS:localhost"
    words = f"openssl req -x509 -newkey rsa:2048 -nodes -days 1 {made_out} -out {tls[0]} -keyout {tls[1]}"
    subprocess.run(words.split(), check=True, capture_output=True)
    return tls


def told_events(campaign: Campaign) -> list:
    """What is on record of readouts."""
    return [event for event in campaign.store.events() if event["kind"] == "tell"]


class WithoutRay(Coordinator):
    """A coordinator that computes in this process, and keeps nothing warm."""

    def _run(self, setup):
        return run_cold(setup)


class InThisProcess:
    """The transport of a coordinator whose calls are done here."""

    def __init__(self, path: Path) -> None:
        self._coordinator = WithoutRay(str(path))
        self._one_after_the_other = threading.Lock()  # as Ray has it
        self._path = path

    def ready(self):
        store = CampaignStore.open(self._path)
        return {
            "isd_ray": version("isd_ray"),
            "campaign_id": store.manifest["campaign_id"],
            "config": store.config,
            "was_restarted": False,
        }

    def change(self, call, heard=None):
        with self._one_after_the_other:
            answer = self._coordinator.change(call)
        for progress in self._coordinator.steps(call.key, 0)[1] if heard else ():
            heard(progress)
        return answer

    def look(self, call):
        return self._coordinator.look(call)

    def write(self, call, name, file):
        returned, *content = self._coordinator.write(call, name)
        file.write_bytes(b"".join(content))
        return returned


@dataclass
class Here:
    """The campaigns of a service, by name; their coordinators live as long as this."""

    transports: dict[str, InThisProcess]

    def paths(self):
        return {name: str(transport._path) for name, transport in self.transports.items()}

    def attach(self, name):
        return self.transport(name).ready()

    def stop(self, name):
        return self.transport(name) is not None

    def transport(self, name):
        if name not in self.transports:
            raise StoreError("no campaign of this name is served here", name, "give one that is")
        return self.transports[name]


@dataclass
class Running:
    """A service that runs; `start` and `stop` let it be away for a while, at the same port."""

    campaigns: Here
    tokens: Tokens
    scratch: Path
    tls: tuple[Path, Path] | tuple[None, None] = (None, None)
    port: int = 0
    _server: uvicorn.Server = field(init=False)
    _thread: threading.Thread = field(init=False)

    @property
    def url(self) -> str:
        return f"{'https' if self.tls[0] else 'http'}://localhost:{self.port}"

    def start(self) -> None:
        listening = socket.create_server(("127.0.0.1", self.port))
        self.port = listening.getsockname()[1]
        app = create_app(self.campaigns, self.tokens, self.scratch)
        self._server = uvicorn.Server(uvicorn_of(app, *self.tls))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listening]})
        self._thread.start()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()


@contextmanager
def running(paths: dict[str, Path], token_file: Path, scratch: Path, **settings) -> Iterator[Running]:
    """A service of the campaigns in some folders, whose calls are done in this process."""
    scratch.mkdir()
    campaigns = Here({name: InThisProcess(path) for name, path in paths.items()})
    service = Running(campaigns, Tokens.read(token_file), scratch, **settings)
    service.start()
    try:
        yield service
    finally:
        service.stop()
