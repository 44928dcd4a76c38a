"""File systems that pyarrow reaches by URI."""

from __future__ import annotations

import re

import pyarrow as pa
from pyarrow import fs as pafs

from isd_ray.credentials import REMEDY, holds_credentials
from isd_ray.errors import InputFileError

_URI = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://")


def is_uri(text: str) -> bool:
    """Whether a text is a URI, with ``scheme://``, rather than a path."""
    return _URI.match(text) is not None


def without_secrets(uri: str) -> str:
    """A URI without user, password and options, fit to be shown."""
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{rest.split('?', 1)[0].rsplit('@', 1)[-1]}"


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
