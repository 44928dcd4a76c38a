"""Serving the coordinators of a cluster."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from isd_ray.config import ComputeConfig
from isd_ray.errors import ConfigError
from isd_ray.ops.reach import wait_until_up
from isd_ray.remote.tokens import Tokens
from isd_ray.serve.coordinators.app import create_app
from isd_ray.serve.coordinators.campaigns import Campaigns
from isd_ray.serve.listening import check_tls, listening, uvicorn_of
from isd_ray.serve.settings import EVERY_ADDRESS, LOCAL_HOSTS


@dataclass(frozen=True, slots=True)
class Served:
    """Where the service listens, and who ends the TLS of its callers.

    Attributes
    ----------
    host, port:
        Of the socket; port 0 takes a free one.
    certificate, key:
        PEM files; None where a proxy ends TLS, or where only this machine reaches the service.
    behind_proxy:
        Whether such a proxy stands before a service that others reach.

    Raises
    ------
    ConfigError
        If tokens and readouts would travel in the clear.
    """

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None
    behind_proxy: bool = False

    def __post_init__(self) -> None:
        check_tls(self.certificate, self.key)
        if not (self.host in LOCAL_HOSTS or self.certificate or self.behind_proxy):
            raise ConfigError(
                f"at {self.host} others reach the service, and its tokens would travel in the clear",
                "--host",
                "give --tls-cert and --tls-key, or say --behind-proxy if a proxy ends TLS and nobody else reaches it",
            )

    def url(self, port: int) -> str:
        """Where the service is reached, as far as it knows."""
        host = "HOST" if self.host in EVERY_ADDRESS else f"[{self.host}]" if ":" in self.host else self.host
        return f"{'http' if self.certificate is None else 'https'}://{host}:{port}"


def serve(
    places: Sequence[str],
    address: str,
    tokens: Tokens,
    place: Served,
    started: Callable[[str, dict[str, str]], None],
    say: Callable[[str], None],
) -> None:
    """Serve coordinators until the process is asked to end; they stay.

    A cluster that is just starting, as that of the same pod, is waited for.

    Parameters
    ----------
    places, address:
        See `isd_ray.serve.coordinators.campaigns.Campaigns`.
    started:
        Called with the URL and the campaigns' paths by name, once the service can be reached.
    say:
        Told if the cluster is waited for.

    Raises
    ------
    StoreError, ResourceError, ClusterError
        As `Campaigns`; or if the port is taken.
    """
    wait_until_up(address, ComputeConfig().start_timeout_s, say)
    campaigns = Campaigns(places, address)
    with tempfile.TemporaryDirectory(prefix="isd-coordinators-") as scratch:
        socket = listening(place.host, place.port)
        started(place.url(socket.getsockname()[1]), campaigns.paths())
        app = create_app(campaigns, tokens, Path(scratch))
        uvicorn.Server(uvicorn_of(app, place.certificate, place.key)).run(sockets=[socket])
