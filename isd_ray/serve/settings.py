"""How the page is served."""

from __future__ import annotations

import ipaddress
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from isd_ray.errors import ConfigError
from isd_ray.serve.listening import check_tls

MIN_TOKEN_LETTERS = 16
"""A shorter token could be guessed."""
_TOKEN_BYTES = 32
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
"""Where to listen for this machine alone."""
EVERY_ADDRESS = ("0.0.0.0", "::")


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


@dataclass(frozen=True, slots=True)
class Settings:
    """How the page is served.

    Attributes
    ----------
    token:
        What people log in with.
    names:
        Names and addresses that the page is reached by; requests for others are refused, so that a page elsewhere whose
        name is pointed at this machine cannot read this one (DNS rebinding).
    read_only:
        Nothing can be said, only seen.
    proxies:
        Addresses or networks of proxies that are believed whom they ask for (``X-Forwarded-For``) and by which scheme
        (``X-Forwarded-Proto``); nobody else is.
    certificate, key:
        PEM files for TLS; None serves plain HTTP.
    """

    token: str = field(repr=False)
    names: tuple[str, ...] = LOOPBACK_NAMES
    read_only: bool = False
    proxies: tuple[str, ...] = ()
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        if len(self.token) < MIN_TOKEN_LETTERS:
            raise ConfigError(
                f"the token has {len(self.token)} letters, fewer than {MIN_TOKEN_LETTERS}",
                remedy="take a longer one, or none: one is made at every start",
            )
        try:
            for proxy in self.proxies:
                ipaddress.ip_network(proxy)
        except ValueError as error:
            what = f"{proxy!r} is no address of a proxy ({error})"
            raise ConfigError(what, "--proxy", "give an IP address, or a network as 10.0.0.0/24") from error
        check_tls(self.certificate, self.key)

    @property
    def is_encrypted(self) -> bool:
        """Whether the page is served by HTTPS."""
        return self.certificate is not None
