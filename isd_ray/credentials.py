"""Passwords, keys and tokens inside addresses: they come from the environment, and are written and shown nowhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

HIDDEN = "***"
REMEDY = (
    "leave it out of the address: credentials come from the environment, as AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY, or a profile"
)
_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):/+(?P<rest>[^\s'\"<>`]+)")
"""A URI, also one whose second slash a `Path` has dropped."""
_NAMES_ONLY = frozenset({"abfs", "abfss", "hdfs", "viewfs", "ssh", "sftp"})
"""Schemes where what is before the ``@`` is a container or a user: no credential unless a ``:`` follows it."""
_PORT = re.compile(r"[^/@]*:[0-9]{1,5}/")
"""A host with its port: what follows is a path, and may hold an ``@``."""
_OPTION = re.compile(r"(?P<name>[^?&#;=]+)=(?P<value>[^&#;]*)")
_SECRET = re.compile(r"secret|token|passw|pwd|credential|signature|key|auth|^sig$|^sas", re.IGNORECASE)
"""Names of options that hold one."""


def without_credentials(text: str) -> str:
    """A text whose addresses hold ``***`` in the place of what nobody else may know."""
    return _ADDRESS.sub(_plain, text) if ":/" in text else text


def cleaned(value: Any) -> Any:
    """Nested mappings and lists with `without_credentials` of every text in them."""
    if isinstance(value, str):
        return without_credentials(value)
    if isinstance(value, Mapping):
        return {name: cleaned(inner) for name, inner in value.items()}
    return [cleaned(inner) for inner in value] if isinstance(value, list | tuple) else value


def holds_credentials(text: str) -> bool:
    """Whether an address in a text does."""
    return without_credentials(text) != text


def _plain(found: re.Match[str]) -> str:
    place, mark, options = found["rest"].partition("?")
    user, at, host = place.rpartition("@")
    is_path = "/" in user and (":" not in user or _PORT.match(user + "/"))
    is_name = ":" not in user and found["scheme"].lower() in _NAMES_ONLY
    if at and user != HIDDEN and not is_path and not is_name:
        place = f"{HIDDEN}@{host}"
    return found[0][: found.start("rest") - found.start()] + place + mark + _OPTION.sub(_plain_option, options)


def _plain_option(found: re.Match[str]) -> str:
    value = without_credentials(unquote(found["value"]))
    if _SECRET.search(unquote(found["name"])):
        value = HIDDEN
    elif value == unquote(found["value"]):
        value = found["value"]
    return f"{found['name']}={value}"
