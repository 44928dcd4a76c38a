"""The versions of a library that has grown: what each held, and its description for those who began with it.

Rows and files of a version are the first ones of the next. ``library.json`` describes the last version;
``versions/<hash>.json`` is what it said of an earlier one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isd_ray.data.layout import METADATA_FILE, check_version, read_metadata
from isd_ray.errors import LibraryChangedError
from isd_ray.storage.files import read_json

VERSIONS = "versions"
"""Folder of the earlier descriptions, and key of the versions in a description."""


@dataclass(frozen=True, slots=True)
class LibraryVersion:
    """A version of a library.

    Attributes
    ----------
    number:
        From 1.
    hash:
        SHA-256 of the whole library as it was.
    n_rows:
        Its rows; they are the first ones of every later version.
    n_added:
        Rows that came with it.
    sources:
        Names of the files that came with it.
    counts:
        Of the records of these files, as `isd_ray.data.info.LibraryInfo.counts`.
    """

    number: int
    hash: str
    n_rows: int
    n_added: int
    sources: tuple[str, ...]
    counts: dict[str, Any]


def version_file(folder: Path, sha256: str) -> Path:
    """Where the description of an earlier version lies."""
    return folder / VERSIONS / f"{sha256}.json"


def noted_versions(metadata: dict[str, Any]) -> list[dict[str, Any]]:
    """The versions that a description notes, oldest first and with its own: hash, n_rows, sources, counts, rdkit."""
    own = {name: metadata[name] for name in ("hash", "n_rows", "sources", "counts", "rdkit") if name in metadata}
    return list(metadata.get(VERSIONS) or [own])


def versions_of(metadata: dict[str, Any]) -> tuple[LibraryVersion, ...]:
    """The versions that a description tells of, oldest first."""
    noted = noted_versions(metadata)
    before = [0, *(one["n_rows"] for one in noted)]
    return tuple(
        LibraryVersion(
            number=number,
            hash=one["hash"],
            n_rows=one["n_rows"],
            n_added=one["n_rows"] - n_before,
            sources=tuple(source["name"] for source in one["sources"]),
            counts=one["counts"],
        )
        for number, (one, n_before) in enumerate(zip(noted, before[:-1], strict=True), 1)
    )


def described(folder: Path, sha256: str | None) -> tuple[dict[str, Any], Path]:
    """The description of a version, None for the last, and its file.

    Raises
    ------
    LibraryError, CorruptFileError
        As `read_metadata`.
    LibraryChangedError
        If the library has no such version.
    """
    metadata, file = read_metadata(folder), folder / METADATA_FILE
    if sha256 is None or metadata.get("hash") == sha256:
        return metadata, file
    file = version_file(folder, sha256)
    if not any(one.get("hash") == sha256 for one in metadata.get(VERSIONS) or ()) or not file.is_file():
        raise other_library(str(folder), sha256, str(metadata.get("hash")))
    return check_version(read_json(file), str(file)), file


def other_library(where: str, began: str, found: str) -> LibraryChangedError:
    """That another library lies where a campaign began with one."""
    return LibraryChangedError(
        f"the library has changed since the campaign began: its hash was {began[:12]}, now it is {found[:12]}",
        where,
        "restore the library, or begin a new campaign in another folder",
    )


def is_grown_from(metadata: dict[str, Any], sha256: str | None) -> bool:
    """Whether a library was once the one with this hash."""
    return sha256 in [one["hash"] for one in noted_versions(metadata)]


def added_files(metadata: dict[str, Any]) -> Sequence[Sequence[dict[str, Any]]]:
    """The files of each version: name, bytes, sha256."""
    return [one["sources"] for one in noted_versions(metadata)]
