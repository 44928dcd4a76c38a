"""Libraries on object stores: written whole, read through a cache on the local disk, part by part."""

from __future__ import annotations

import json
import re
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isd_ray.config.limits import MAX_DESCRIPTION_BYTES
from isd_ray.data.blocks.description import cached_block, described_blocks
from isd_ray.data.layout import (
    BLOCKS_DIRECTORY,
    METADATA_FILE,
    NO_LIBRARY,
    PARTS_DIRECTORY,
    REBUILD,
    REJECTS_FILE,
    check_version,
    read_metadata,
)
from isd_ray.errors import CorruptFileError, LibraryError
from isd_ray.storage.addresses import without_secrets
from isd_ray.storage.client import REACH, RemoteFiles
from isd_ray.storage.copies import cache_folder
from isd_ray.storage.files import sha256_file

_HASH = re.compile(r"[0-9a-f]{64}")
_PART = re.compile(rf"{PARTS_DIRECTORY}/part-[0-9]{{5,}}\.arrow")


@dataclass(frozen=True, slots=True)
class RemoteLibrary:
    """A library behind a URI; pickles as the URI, so that every node fetches for itself."""

    uri: str

    def __str__(self) -> str:
        return without_secrets(self.uri)

    def read_metadata(self) -> dict[str, Any]:
        """The description of the library.

        Raises
        ------
        LibraryError
            If there is none, it has another schema version, or the store cannot be reached.
        CorruptFileError
            If it cannot be read.
        """
        files = RemoteFiles(self.uri)
        try:
            if not files.has(METADATA_FILE):
                raise LibraryError(f"no library here ({METADATA_FILE} is missing)", str(self), NO_LIBRARY)
            text = files.start_of(METADATA_FILE, MAX_DESCRIPTION_BYTES + 1)
            if len(text) > MAX_DESCRIPTION_BYTES:
                raise CorruptFileError("is too long for a description of a library", f"{self}/{METADATA_FILE}", REBUILD)
            metadata = json.loads(text)
        except OSError as error:
            raise LibraryError(f"cannot be reached: {error}", str(self), REACH) from error
        except ValueError as error:
            raise CorruptFileError(f"cannot be read: {error}", f"{self}/{METADATA_FILE}", REBUILD) from error
        return _with_plain_names(check_version(metadata, f"{self}/{METADATA_FILE}"), f"{self}/{METADATA_FILE}")

    def local_part(self, folder: Path, part: dict[str, Any], cached_in: str | None = None) -> Path:
        """A copy of a part in `folder`, fetched and checked unless it is there.

        Parameters
        ----------
        cached_in:
            Folder of the copy, where it is not that of the part.

        Raises
        ------
        CorruptFileError
            If what the store gives is not what was written.
        LibraryError
            If the store cannot be reached.
        """
        local = folder / part["file"] if cached_in is None else folder / cached_in / Path(part["file"]).name
        if local.is_file() and local.stat().st_size == part["bytes"]:
            return local
        local.parent.mkdir(parents=True, exist_ok=True)
        temporary = local.with_name(f".{local.name}.{secrets.token_hex(8)}")
        try:
            RemoteFiles(self.uri).fetch(part["file"], temporary)
            if sha256_file(temporary) != part["sha256"]:
                raise CorruptFileError("is not what was written", f"{self}/{part['file']}", REBUILD)
            temporary.replace(local)  # several processes of a node may fetch it at once
        except OSError as error:
            raise LibraryError(f"{part['file']} cannot be fetched: {error}", str(self), REACH) from error
        finally:
            temporary.unlink(missing_ok=True)
        return local


def _with_plain_names(metadata: dict[str, Any], where: str) -> dict[str, Any]:
    """Refuse a description whose names would lead out of the cache: it comes from somebody else's store."""
    names = [part.get("file") for part in metadata.get("parts", ())]
    if not _HASH.fullmatch(str(metadata.get("hash"))) or not all(_PART.fullmatch(str(name)) for name in names):
        raise CorruptFileError("is not a library description: hash or names of parts are none", where, REBUILD)
    return metadata


def publish(folder: Path, uri: str) -> None:
    """Copy a finished library to an object store or another file system; its description comes last.

    Raises
    ------
    LibraryError
        If there is a library already, or the store cannot be written.
    """
    files = RemoteFiles(uri)
    try:
        refuse_published(uri)
        files.make_folder(PARTS_DIRECTORY)
        names = [str(file.relative_to(folder)) for file in sorted((folder / PARTS_DIRECTORY).iterdir())]
        for block in described_blocks(read_metadata(folder), str(folder)):
            files.make_folder(f"{BLOCKS_DIRECTORY}/{block.name}")
            names += [part["file"] for part in block.parts]
        for name in [*names, REJECTS_FILE, METADATA_FILE]:
            files.send(folder / name, name)
    except OSError as error:
        raise LibraryError(f"cannot be written: {error}", without_secrets(uri), REACH) from error


def keep_as_cache(folder: Path, metadata: dict[str, Any]) -> None:
    """Let a library that was published from `folder` serve as its own copy in the cache, unless there is one."""
    cached = cache_folder() / metadata["hash"]
    if cached.exists():
        shutil.rmtree(folder)
        return
    for block in described_blocks(metadata, str(folder)):
        (folder / BLOCKS_DIRECTORY / block.name).rename(folder / cached_block(block))
    folder.rename(cached)


def is_published(uri: str) -> bool:
    """Whether there is a library at a URI.

    Raises
    ------
    LibraryError
        If the store cannot be reached.
    """
    try:
        return RemoteFiles(uri).has(METADATA_FILE)
    except OSError as error:
        raise LibraryError(f"cannot be reached: {error}", without_secrets(uri), REACH) from error


def refuse_published(uri: str) -> None:
    """Raise LibraryError if there is a library at a URI, or the store cannot be reached."""
    if is_published(uri):
        raise LibraryError("already exists", without_secrets(uri), "choose another address, or remove this library")
