"""Serving the page."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

import uvicorn

from isd_ray.serve.app import create_app
from isd_ray.serve.listening import listening, uvicorn_of
from isd_ray.serve.settings import Settings


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
        socket = listening(host, port)
        scheme = "https" if settings.is_encrypted else "http"
        name = settings.names[0]
        started(f"{scheme}://{name}:{socket.getsockname()[1]}")
        uvicorn.Server(configuration(places, settings, Path(scratch))).run(sockets=[socket])


def configuration(places: Sequence[str], settings: Settings, scratch: Path) -> uvicorn.Config:
    """How uvicorn serves the page; `scratch` as of `create_app`."""
    app = create_app(places, settings, scratch)
    return uvicorn_of(app, settings.certificate, settings.key, settings.proxies)


def login_address(address: str, token: str) -> str:
    """The page's address with the token filled in."""
    return f"{address}/login?token={quote(token)}"
