"""Serving the page."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

import uvicorn

from isd_ray.errors import ResourceError
from isd_ray.serve.app import create_app
from isd_ray.serve.patience import IDLE_S, Connection
from isd_ray.serve.settings import Settings

MAX_CONNECTIONS = 500
"""Those beyond are told to come again."""
GOODBYE_S = 3
"""How long requests that are under way have when the page is ended."""


def serve(places: Sequence[str], settings: Settings, host: str, port: int, started: Callable[[str], None]) -> None:
    """Serve the page until the process is asked to end.

    Parameters
    ----------
    places:
        See `isd_ray.serve.shelf.Shelf`.
    port:
        0 takes a free one.
    started:
        Called with the address of the page, without a slash at its end, once it can be reached.

    Raises
    ------
    StoreError
        If a place holds no campaigns.
    ResourceError
        If the port is taken.
    """
    with tempfile.TemporaryDirectory(prefix="isd-serve-") as scratch:
        listening = _listening(host, port)
        scheme = "https" if settings.is_encrypted else "http"
        name = settings.names[0]
        started(f"{scheme}://{name}:{listening.getsockname()[1]}")
        uvicorn.Server(configuration(places, settings, Path(scratch))).run(sockets=[listening])


def configuration(places: Sequence[str], settings: Settings, scratch: Path) -> uvicorn.Config:
    """How uvicorn serves the page; `scratch` as of `create_app`."""
    return uvicorn.Config(
        create_app(places, settings, scratch),
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.key,
        http=Connection,
        ws="none",
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=int(IDLE_S),
        # Addresses hold the token once, and who is asked by whom is not ours to log.
        access_log=False,
        log_level="warning",
        proxy_headers=bool(settings.proxies),
        forwarded_allow_ips=list(settings.proxies),
        server_header=False,
        timeout_graceful_shutdown=GOODBYE_S,
    )


def _listening(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        what = f"cannot listen at {host}, port {port} ({error.strerror})"
        raise ResourceError(what, remedy="try another --port") from error


def login_address(address: str, token: str) -> str:
    """The page's address with the token filled in."""
    return f"{address}/login?token={quote(token)}"
