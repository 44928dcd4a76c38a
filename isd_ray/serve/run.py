"""Serving the page."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

import uvicorn

from isd_ray.serve.app import create_app
from isd_ray.serve.settings import Settings

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
        Called with the address of the page, without a slash at its end, once it is bound.
    """
    with tempfile.TemporaryDirectory(prefix="isd-serve-") as scratch:
        config = uvicorn.Config(
            create_app(places, settings, Path(scratch)),
            host=host,
            port=port,
            ssl_certfile=settings.certificate,
            ssl_keyfile=settings.key,
            ws="none",
            # Addresses hold the token once, and who is asked by whom is not ours to log.
            access_log=False,
            log_level="warning",
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=GOODBYE_S,
        )
        listening = config.bind_socket()
        scheme = "https" if settings.is_encrypted else "http"
        name = settings.names[0]
        started(f"{scheme}://{name}:{listening.getsockname()[1]}")
        uvicorn.Server(config).run(sockets=[listening])


def login_address(address: str, token: str) -> str:
    """The page's address with the token filled in."""
    return f"{address}/login?token={quote(token)}"
