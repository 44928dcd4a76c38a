"""The client of object stores and other file systems behind a URI: nothing else opens one.

Two libraries do the work, each what the other does not. obstore creates conditionally, which the decisions of a
campaign ask for (`create_object` and the functions beside it). pyarrow reads and writes streams, finds the region of a
bucket and the profile of a user, and knows ``file://`` and ``hdfs://`` (`file_system_of`, `RemoteFiles`). Settings and
credentials come from the environment for both, as ``AWS_REGION`` or ``AWS_ENDPOINT_URL``.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow import fs as pafs

from isd_ray.credentials import REMEDY, holds_credentials
from isd_ray.errors import InputFileError, StoreError
from isd_ray.storage.addresses import scheme_of, within, without_secrets

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SCHEMES = ("s3", "s3a", "gs", "az", "adl", "abfs", "abfss", "azure")
"""Stores that have a conditional create."""
REACH = "check the address, the network, the credentials and this machine's clock"
"""What to do about a store that cannot be reached; it refuses what is signed at another time than its own."""
_COPY_CHUNK = 1 << 22


def file_system_of(uri: str) -> tuple[pafs.FileSystem, str]:
    """The file system of a URI, and the path in it.

    Raises
    ------
    InputFileError
        If pyarrow knows no such scheme, or cannot set it up (region, endpoint); or if the URI holds credentials.
    """
    if holds_credentials(uri):
        raise InputFileError(
            "holds a password, key or token, which would be stored and shown",
            uri,
            REMEDY,
        )
    try:
        filesystem, path = pafs.FileSystem.from_uri(uri)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputFileError(
            f"no file system for this address: {error}",
            without_secrets(uri),
            "pyarrow reads file://, s3://, gs://, abfs:// and hdfs://; options stand after '?', as in "
            "s3://bucket/key?region=eu-west-1; credentials come from the environment",
        ) from error
    return filesystem, path


@dataclass(frozen=True, slots=True)
class RemoteFiles:
    """Files in a folder behind a URI, by their names from there; pickles as the URI.

    Every method raises as `file_system_of`, and OSError if the store cannot be reached or refuses.
    """

    uri: str

    def has(self, name: str) -> bool:
        """Whether there is a file."""
        filesystem, path = self._place(name)
        return bool(filesystem.get_file_info(path).type != pafs.FileType.NotFound)

    def start_of(self, name: str, n_bytes: int) -> bytes:
        """The first bytes of a file, at most so many."""
        filesystem, path = self._place(name)
        with filesystem.open_input_stream(path) as stream:
            return bytes(stream.read(n_bytes))

    def fetch(self, name: str, to: Path) -> None:
        """Copy a file to this machine."""
        filesystem, path = self._place(name)
        with filesystem.open_input_stream(path) as stream, to.open("wb") as sink:
            shutil.copyfileobj(stream, sink, _COPY_CHUNK)

    def make_folder(self, name: str) -> None:
        """Make a folder, where the store has some; those above it too."""
        filesystem, path = self._place(name)
        filesystem.create_dir(path, recursive=True)

    def send(self, file: Path, name: str) -> None:
        """Copy a file from this machine, over what is there."""
        filesystem, path = self._place(name)
        with file.open("rb") as source, filesystem.open_output_stream(path) as sink:
            shutil.copyfileobj(source, sink, _COPY_CHUNK)

    def _place(self, name: str) -> tuple[pafs.FileSystem, str]:
        filesystem, path = file_system_of(self.uri)
        return filesystem, f"{path.rstrip('/')}/{name}"


def require_reachable(uri: str) -> None:
    """Ask a store for something behind a URI; that there is none is an answer, too.

    Raises
    ------
    StoreError, InputFileError, OSError
        If it gives none.
    """
    if scheme_of(uri) in SCHEMES:
        read_object(within(uri, "seen"))
    else:
        filesystem, path = file_system_of(uri)
        filesystem.get_file_info(path)


def send(path: Path, address: str) -> None:
    """Copy a file to the object store, over what is there.

    Raises
    ------
    StoreError
        If the store cannot be written.
    """
    obstore, store, name = _open(address)
    with _translated(address, obstore):
        obstore.put(store, name, path)


def create_object(address: str, data: bytes) -> bool:
    """Create an object, whole or not at all; False if there is one already (raises as `send`)."""
    obstore, store, name = _open(address)
    with _translated(address, obstore):
        try:
            obstore.put(store, name, data, mode="create")
        except obstore.exceptions.AlreadyExistsError:
            return False
    return True


def read_object(address: str) -> bytes | None:
    """The content of an object; None if there is none.

    Raises
    ------
    StoreError
        If the store cannot be reached.
    """
    obstore, store, name = _open(address)
    with _translated(address, obstore):
        try:
            return bytes(obstore.get(store, name).bytes())
        except FileNotFoundError:
            return None


def list_objects(address: str) -> dict[str, int]:
    """Sizes of all objects under an address in bytes, by their names from there (raises as `read_object`)."""
    obstore, store, _ = _open(within(address, "_"))
    with _translated(address, obstore):
        return {str(meta["path"]): int(meta["size"]) for page in obstore.list(store) for meta in page}


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
        raise StoreError(
            f"the object store gives an error: {_reason(str(error))}",
            without_secrets(address),
            f"{REACH}; then repeat the command, nothing is lost",
        ) from error


def _reason(answer: str) -> str:
    """What a store says in one line: the first, and the code and message of the document that it may end in."""
    first = answer.strip().split("\n", 1)[0].partition("<?xml")[0].strip()
    said = [found[1] for part in ("Code", "Message") if (found := re.search(f"<{part}>([^<]*)</{part}>", answer))]
    return " ".join([first, ": ".join(said)]).strip()
