"""Changing a library that is there: by one process at a time, and its description at once or not at all."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from isd_ray.data.layout import METADATA_FILE
from isd_ray.data.library import Library
from isd_ray.data.writer import sync
from isd_ray.errors import LibraryError
from isd_ray.storage.addresses import is_uri


def refuse_published(library: Library, what: str, remedy: str) -> None:
    """Refuse (LibraryError) to add something to a library behind a URI."""
    if is_uri(library.address):
        raise LibraryError(f"{what} cannot be added to a published library", library.address, remedy)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep two changes of one library apart; the lock is on its folder, and gone with the process.

    Raises
    ------
    LibraryError
        If the library cannot be written, or another process adds to it.
    """
    try:
        folder = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            words = f"another process adds a block or compounds to it ({error})"
            raise LibraryError(words, str(path), "wait for that one, and give the command again") from error
        yield
    finally:
        os.close(folder)


def unwritable(path: Path, error: OSError) -> LibraryError:
    """That the folder of a library takes nothing new."""
    return LibraryError(f"cannot be written: {error}", str(path), "choose a library in a folder that can be written")


def replace_description(path: Path, metadata: Mapping[str, Any], file: Path | None = None) -> None:
    """Put another description in place of the one that is there, at once; that of an earlier version in its `file`."""
    file, new = file or path / METADATA_FILE, path / f".{METADATA_FILE}.new"
    new.write_text(json.dumps(metadata, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    sync(new)
    new.replace(file)
