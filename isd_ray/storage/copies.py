"""Files on object stores, worked on through copies on the local disk.

The copy of a URI lies in the cache folder, at the same place for every process of a machine.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from isd_ray.errors import StoreError
from isd_ray.storage.addresses import is_uri, without_secrets
from isd_ray.storage.client import SCHEMES, read_object, send

CACHE_VARIABLE = "ISD_CACHE"


def cache_folder() -> Path:
    """Where copies lie: in ``$ISD_CACHE``, else in ``isd_ray`` in the user's cache folder."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "isd_ray"


def local_path(address: str) -> Path:
    """Where a file or folder lies on this machine: itself, or the copy of what a URI names.

    Raises
    ------
    StoreError
        If it is a URI of a store that cannot create conditionally, or one with options.
    """
    if not is_uri(address):
        return Path(address)
    scheme, _, rest = address.partition("://")
    names = rest.split("/")
    if scheme not in SCHEMES or "?" in rest or "@" in names[0] or not all(names) or {".", ".."} & set(names):
        raise StoreError(
            "campaigns do not live at such an address",
            without_secrets(address),
            f"give a folder, or a URI as s3://bucket/folder ({', '.join(SCHEMES)}); settings and credentials come from "
            "the environment",
        )
    return cache_folder() / "campaigns" / scheme / Path(*names)


def fetched(address: str, *, again: bool = False) -> Path:
    """A file on this machine: itself, or a copy, fetched unless it is there; of what does not exist, where it would be.

    Parameters
    ----------
    again:
        Fetch a new copy: the file is one of the few that change.

    Raises
    ------
    StoreError
        If the store cannot be reached.
    """
    path = local_path(address)
    if not is_uri(address) or (path.is_file() and not again):
        return path
    data = read_object(address)
    if data is None:
        path.unlink(missing_ok=True)
    else:
        keep_copy(path, data)
    return path


@contextmanager
def sent(address: str) -> Iterator[Path]:
    """Where to write a file so that, after the block, it lies at its address.

    Raises
    ------
    StoreError
        If the store cannot be written.
    """
    path = local_path(address)
    yield path
    if is_uri(address):
        send(path, address)


def keep_copy(path: Path, data: bytes) -> None:
    """Write a local copy whole: several processes of a machine may do it at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    temporary.write_bytes(data)
    temporary.replace(path)
