"""Files on object stores, worked on through copies on the local disk.

An address is a path, or a URI such as ``s3://bucket/kinase/campaign.json``; the copy of a URI lies in the cache folder
(`isd_ray.data.remote.cache_folder`), at the same place for every process of a machine. Settings and credentials of the
stores come from the environment, as ``AWS_REGION`` or ``AWS_ENDPOINT_URL``.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isd_ray.data.filesystem import is_uri, without_secrets
from isd_ray.data.remote import cache_folder
from isd_ray.errors import StoreError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SCHEMES = ("s3", "s3a", "gs", "az", "adl", "abfs", "abfss", "azure")
"""Stores that have a conditional create."""
_COLLAPSED = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+):/(?=[^/])")
_REACH = "check the address, the network and the credentials; then repeat the command, nothing is lost"


def address_of(path: str | Path) -> str:
    """A path or URI as text; a URI that went through `pathlib`, which drops one of its slashes, has it again."""
    return _COLLAPSED.sub(r"\1://", str(path)).rstrip("/")


def within(address: str | Path, name: str) -> str:
    """The address of something in a folder."""
    return f"{address_of(address)}/{name}"


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


def send(path: Path, address: str) -> None:
    """Copy a file to the object store, over what is there (raises as `sent`)."""
    obstore, store, name = _open(address)
    with _translated(address, obstore):
        obstore.put(store, name, path)


def create_object(address: str, data: bytes) -> bool:
    """Create an object, whole or not at all; False if there is one already (raises as `sent`)."""
    obstore, store, name = _open(address)
    with _translated(address, obstore):
        try:
            obstore.put(store, name, data, mode="create")
        except obstore.exceptions.AlreadyExistsError:
            return False
    return True


def read_object(address: str) -> bytes | None:
    """The content of an object; None if there is none (raises as `fetched`)."""
    obstore, store, name = _open(address)
    with _translated(address, obstore):
        try:
            return bytes(obstore.get(store, name).bytes())
        except FileNotFoundError:
            return None


def list_objects(address: str) -> dict[str, int]:
    """Sizes of all objects under an address in bytes, by their names from there (raises as `fetched`)."""
    obstore, store, _ = _open(within(address, "_"))
    with _translated(address, obstore):
        return {str(meta["path"]): int(meta["size"]) for page in obstore.list(store) for meta in page}


def keep_copy(path: Path, data: bytes) -> None:
    """Write a local copy whole: several processes of a machine may do it at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    temporary.write_bytes(data)
    temporary.replace(path)


def _open(address: str) -> tuple[Any, ObjectStore, str]:
    """The library, the store of the folder that an address lies in, and the name there."""
    try:
        import obstore
    except ImportError as error:
        raise StoreError(
            "campaigns on object stores need the package obstore", address, "pip install 'isd_ray[cloud]'"
        ) from error
    folder, _, name = address.rpartition("/")
    with _translated(address, obstore):
        return obstore, _store(folder), name


@lru_cache(maxsize=256)
def _store(folder: str) -> ObjectStore:
    from obstore.store import from_url

    return from_url(folder)


@contextmanager
def _translated(address: str, obstore: Any) -> Iterator[None]:
    try:
        yield
    except (obstore.exceptions.BaseError, OSError, ValueError) as error:
        # What a store answers runs to several lines; the first says it.
        reason = str(error).strip().split("\n", 1)[0]
        raise StoreError(f"the object store gives an error: {reason}", without_secrets(address), _REACH) from error
