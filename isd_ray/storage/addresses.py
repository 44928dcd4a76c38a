"""How the places of files and folders are spelled: a path, or a URI such as ``s3://bucket/kinase/campaign.json``."""

from __future__ import annotations

import re
from pathlib import Path

from isd_ray.errors import InputFileError

_URI = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://")
_COLLAPSED = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+):/(?=[^/])")


def is_uri(text: str) -> bool:
    """Whether a text is a URI, with ``scheme://``, rather than a path."""
    return _URI.match(text) is not None


def address_of(path: str | Path) -> str:
    """A path or URI as text; a URI that went through `pathlib`, which drops one of its slashes, has it again."""
    text = _COLLAPSED.sub(r"\1://", str(path))
    return text.rstrip("/") or text


def working_folder() -> Path:
    """The folder that relative paths start from.

    Raises
    ------
    InputFileError
        If it was deleted while this process, or the shell that began it, was in it.
    """
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise InputFileError(
            "the working folder was deleted, and relative paths start from there",
            "the working folder",
            "go to a folder that is there (cd) and give the same command again, which goes on; submit a job again",
        ) from error


def absolute(path: str | Path) -> str:
    """The address of something wherever the next command is given. Raises as `working_folder`."""
    address = address_of(path)
    if is_uri(address):
        return address
    return str(Path(address) if Path(address).is_absolute() else working_folder() / address)


def within(address: str | Path, name: str) -> str:
    """The address of something in a folder."""
    return f"{address_of(address)}/{name}"


def scheme_of(address: str) -> str:
    """What stands before the ``://`` of a URI; nothing of a path."""
    return address.partition("://")[0] if is_uri(address) else ""


def without_secrets(uri: str) -> str:
    """A URI without user, password and options, fit to be shown."""
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{rest.split('?', 1)[0].rsplit('@', 1)[-1]}"
