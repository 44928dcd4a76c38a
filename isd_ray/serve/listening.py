"""Listening, and what every server of ours does alike: patience, limits, TLS, silence about who asked for what."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from isd_ray.errors import ConfigError, ResourceError
from isd_ray.serve.patience import IDLE_S, Connection

MAX_CONNECTIONS = 500
"""Those beyond are told to come again."""
GOODBYE_S = 3
"""How long requests that are under way have when a server is ended."""


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one.

    Raises
    ------
    ResourceError
        If the port is taken.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        what = f"cannot listen at {host}, port {port} ({error.strerror})"
        raise ResourceError(what, remedy="try another --port") from error


def check_tls(certificate: Path | None, key: Path | None) -> None:
    """Refuse one of the two PEM files without the other, one that is not there, and two that are no pair.

    Raises
    ------
    ConfigError
        If that is so.
    """
    if (certificate is None) != (key is None):
        raise ConfigError("a TLS certificate and its key go together", remedy="give both --tls-cert and --tls-key")
    for file in (certificate, key):
        if file is not None and not file.is_file():
            raise ConfigError("there is no such file", str(file), "check the path")
    if certificate is not None:
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key)
        except OSError as error:
            raise ConfigError(
                f"no TLS can be served by the certificate and its key: {error}",
                str(certificate),
                "give the PEM file of the certificate with its chain, and the one of its own key",
            ) from error


def uvicorn_of(app: ASGIApp, certificate: Path | None, key: Path | None, proxies: Sequence[str] = ()) -> uvicorn.Config:
    """How uvicorn serves an application; `proxies` as of `isd_ray.serve.settings.Settings`."""
    return uvicorn.Config(
        app,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        http=Connection,
        ws="none",
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=int(IDLE_S),
        # Addresses hold the token of a page once, and who is asked by whom is not ours to log.
        access_log=False,
        log_level="warning",
        proxy_headers=bool(proxies),
        forwarded_allow_ips=list(proxies),
        server_header=False,
        timeout_graceful_shutdown=GOODBYE_S,
    )
