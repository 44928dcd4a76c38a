"""Files and folders that a user names to be written: whole or not at all, and one error for whatever is in the way."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from isd_ray.errors import OutputFileError

_ANOTHER = "name another place, or make room and give write access there"
_REMEDIES = {
    errno.ENOENT: "check the path, and make the folder that it lies in",
    errno.EISDIR: "this is a folder; name a file in it",
    errno.EEXIST: "a file lies there; name a folder",
    errno.ENOTDIR: "a file lies where the path needs a folder; name another path",
}


@contextmanager
def written(path: Path) -> Iterator[None]:
    """Write a file or folder in the block; what the system refuses names it.

    Raises
    ------
    OutputFileError
        If it cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise  # Arrow's, of a damaged file that is read meanwhile
        raise OutputFileError(
            f"cannot be written ({os.strerror(error.errno)})", str(path), _REMEDIES.get(error.errno, _ANOTHER)
        ) from error


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A file to write in the block, beside `file`, whose place it then takes; behind an error nothing of it is left.

    Raises
    ------
    OutputFileError
        If it cannot be written; what can be known beforehand, before the block.
    """
    with written(file):
        if file.is_dir():
            raise IsADirectoryError(errno.EISDIR, "")
        if file.exists() and not file.is_file():
            yield file  # a device or pipe, as /dev/stdout, which no file must take the place of
            return
        partial = file.with_name(f".{file.name}.partial")
        try:
            partial.touch()
            yield partial
            partial.replace(file)
        finally:
            if partial.is_file():
                partial.unlink()


def refuse_file_as_folder(folder: Path) -> None:
    """Refuse early, before anything is computed, a folder that cannot be made because a file lies in its way.

    Raises
    ------
    OutputFileError
        If there is one.
    """
    with written(folder):
        there = next((path for path in (folder, *folder.parents) if path.exists()), folder)
    if there.is_file():
        raise OutputFileError("is a file, and a folder is to be written here", str(there), "name another folder")
