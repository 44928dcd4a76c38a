"""What a campaign is from its beginning on: ``campaign.json``, written once."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from isd_ray.campaign.events import Event
from isd_ray.config import LabelsConfig
from isd_ray.config_file import set_paths, set_reading
from isd_ray.data.layout import METADATA_FILE
from isd_ray.errors import CorruptFileError, StoreError
from isd_ray.storage.addresses import absolute, is_uri
from isd_ray.storage.files import canonical_json, read_json
from isd_ray.storage.folder import Folder

SCHEMA_VERSION = 2
"""2 since corrections are events and the log names the file of every decision."""
MANIFEST = "campaign.json"
RELOCATE, RECONFIGURE = "relocate", "reconfigure"
"""Kinds of the events that change the configuration in force."""
OWN_LIBRARY = "library"
"""Folder of a library that was built with the campaign, in its own."""
_MAY_CHANGE = ("compute", "library", "logging")
"""Sections of the configuration that are not what the campaign is: its manifest has the hash of the library."""


def read_manifest(folder: Folder) -> dict[str, Any]:
    """The manifest of a campaign that is there.

    Raises
    ------
    StoreError
        If there is none, or it was written by a later version, or by one from before the first release.
    CorruptFileError
        If it does not parse.
    """
    file = folder.path / MANIFEST
    if not folder.names_it(file):
        raise StoreError("there is no campaign here", folder.address, "check the path")
    manifest = read_json(file)
    try:
        version = int(manifest["schema_version"])
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptFileError(f"is no campaign manifest ({error})", str(file), "restore it from a backup") from error
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"schema version {version} is newer than {SCHEMA_VERSION}, which this isd_ray knows",
            str(file),
            "upgrade isd_ray",
        )
    if version < SCHEMA_VERSION:
        raise StoreError(
            f"schema version {version} is of a development version; no release has written it",
            str(file),
            f"finish it with the version that began it, isd_ray {manifest.get('software', {}).get('isd_ray')}",
        )
    return manifest


def config_in_force(manifest: Mapping[str, Any], events: Sequence[Event]) -> dict[str, Any]:
    """What a campaign began with, its files where they were last said to lie, and read as was said last."""
    config: dict[str, Any] = copy.deepcopy(manifest["config"])
    for event in events:
        if event["kind"] == RELOCATE:
            set_paths(config, event["paths"])
        elif event["kind"] == RECONFIGURE:
            set_reading(config, event["settings"])
    return config


def library_at(named: str, folder: str) -> str:
    """Where the library of a campaign lies: where it was last said to, or in a folder that was moved as a whole.

    Parameters
    ----------
    named:
        Path or URI on record.
    folder:
        The campaign's own; the hash of what lies there is compared by whoever opens it.
    """
    if is_uri(named) or is_uri(folder):
        return named
    own = Path(folder, OWN_LIBRARY)
    has_moved = not Path(named, METADATA_FILE).is_file() and (own / METADATA_FILE).is_file()
    return absolute(own) if has_moved else named


def origin_of(manifest: Mapping[str, Any]) -> str:
    """SHA-256 of what a campaign began with: not of where its library lies, nor of what computes it."""
    config = {name: value for name, value in manifest.get("config", {}).items() if name not in _MAY_CHANGE}
    began = {name: value for name, value in manifest.items() if name != "library"}
    return hashlib.sha256(canonical_json({**began, "config": config})).hexdigest()


def numbers_of(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of a panel's outputs that are numbers."""
    labels = manifest["config"]["labels"]
    if not labels.get("numbers"):  # as in all campaigns of earlier versions
        return ()
    return LabelsConfig.model_validate(labels).numbers_among(manifest["outputs"])
