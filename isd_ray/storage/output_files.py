"""Files and folders that a user names to be written: whole or not at all, and one error for whatever is in the way."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from isd_ray.errors import OutputFileError
from isd_ray.storage.addresses import address_of, is_uri, without_secrets

_ANOTHER = "name another place, or make room and give write access there"
_REMEDIES = {
    errno.ENOENT: "check the path, and make the folder that it lies in",
    errno.EISDIR: "this is a folder; name a file in it",
    errno.EEXIST: "a file lies there; name a folder",
    errno.ENOTDIR: "a file lies where the path needs a folder; name another path",
}
_WHILE_WRITING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EPIPE})
"""What only writing meets: an error with such a number is the output's, even if it names no file."""
_NO_NEW_FILE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
"""How a folder refuses a new file, though files in it may be writable."""
_NAME_SHOWN = 40
"""Characters of a file's name in that of its partial file, which must not grow too long."""
_MAX_LINKS = 40
"""Links that Linux follows on a path."""


@contextmanager
def written(path: Path) -> Iterator[None]:
    """Write a file or folder in the block; what the system refuses there names it, errors of other files pass.

    Raises
    ------
    OutputFileError
        If it cannot be written, or is a URI.
    """
    _refuse_uri(path)
    try:
        yield
    except OSError as error:
        if _is_of((path, *path.parents), error) or _is_below(path, error):
            _refuse(path, error)
        raise


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A file to write in the block, beside `file`, whose place it then takes; behind an error nothing of it is left.

    A link stays, and what it points to is replaced; owner and mode stay those of the file that is there. Written in
    place, so that half of it may stay, are devices and pipes, what is reached through ``/dev`` or ``/proc`` (as
    ``/dev/stdout``), and a file whose folder takes no new ones.

    Raises
    ------
    OutputFileError
        If it cannot be written, or is a URI; what can be known beforehand, before the block. Errors of other files that
        the block meets pass as they are.
    """
    _refuse_uri(file)
    try:
        there = _status(file)
        target = Path(os.path.realpath(file))
        partial = None if _is_special(file, there) else _new_partial(target, there)
    except OSError as error:
        _refuse(file, error)
    try:
        yield partial or file
        if partial is not None:
            partial.replace(target)
    except OSError as error:
        if _is_of((file, partial or file), error):
            _refuse(file, error)
        raise
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


def refuse_file_as_folder(folder: Path) -> None:
    """Refuse early, before anything is computed, a folder that cannot be made because a file lies in its way.

    Raises
    ------
    OutputFileError
        If there is one, or the folder is a URI.
    """
    with written(folder):
        there = next((path for path in (folder, *folder.parents) if path.exists()), folder)
    if there.is_file():
        raise OutputFileError("is a file, and a folder is to be written here", str(there), "name another folder")


def _refuse_uri(path: Path) -> None:
    address = address_of(path)
    if is_uri(address):
        shown = without_secrets(address)
        raise OutputFileError(
            "is a URI, and this is written to files and folders of this machine only",
            shown,
            "write it here, then copy it there",
        )


def _refuse(path: Path, error: OSError) -> NoReturn:
    number = error.errno or 0
    raise OutputFileError(
        f"cannot be written ({os.strerror(number)})", str(path), _REMEDIES.get(number, _ANOTHER)
    ) from error


def _is_of(places: Collection[Path], error: OSError) -> bool:
    """Whether an error is of one of some files: it names it, or names none and is one that only writing meets."""
    if error.errno is None:
        return False  # Arrow's, of a damaged file that is read meanwhile
    if error.filename is not None:
        return _named(error) in places
    return error.errno in _WHILE_WRITING or any(f"'{place}'" in str(error) for place in places)  # Arrow quotes it


def _is_below(folder: Path, error: OSError) -> bool:
    if error.errno is None:
        return False
    return f"'{folder}/" in str(error) if error.filename is None else _named(error).is_relative_to(folder)


def _named(error: OSError) -> Path:
    return Path(os.fsdecode(error.filename) if isinstance(error.filename, bytes) else str(error.filename))


def _status(file: Path) -> os.stat_result | None:
    """Of the file behind all links; None if there is none."""
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "")
    return status


def _is_special(file: Path, there: os.stat_result | None) -> bool:
    """Whether no other file may take the place of this one: it is no plain file, or belongs to a process."""
    if there is not None and not stat.S_ISREG(there.st_mode):
        return True
    for _ in range(_MAX_LINKS):
        lies = Path(os.path.realpath(file.parent)) / file.name
        if lies.parts[1:2] == ("proc",) or (lies.parts[1:2] == ("dev",) and lies.parts[2:3] != ("shm",)):
            return True
        if not lies.is_symlink():
            return False
        file = lies.parent / lies.readlink()
    return False


def _new_partial(target: Path, there: os.stat_result | None) -> Path | None:
    """A hidden file of this writer alone beside `target`; None if it lies in a folder that takes no new files."""
    name = f".{target.name[:_NAME_SHOWN]}.{os.getpid()}-{secrets.token_hex(4)}.partial"
    partial = target.with_name(name)
    try:
        partial.touch(exist_ok=False)
    except OSError as error:
        if there is None or error.errno not in _NO_NEW_FILE:
            raise
        return None
    if there is not None:
        try:
            with suppress(PermissionError):  # only root gives files away
                os.chown(partial, there.st_uid, there.st_gid)
            partial.chmod(stat.S_IMODE(there.st_mode))
        except OSError:
            partial.unlink(missing_ok=True)
            raise
    return partial
