"""How files are written and read: decisions exclusively and durably, bulk data checked by hash."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from isd_ray.errors import CorruptFileError, StoreError
from isd_ray.storage.output_files import replacing

_TEMPORARY = re.compile(r"\..+\.([0-9a-f]{8}|[0-9a-f]{16}|\d+-[0-9a-f]{8}\.partial)")
_ABANDONED_S = 24 * 3600.0
_HASH_CHUNK = 1 << 20


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_HASH_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, indent=1, allow_nan=False).encode() + b"\n"


def identity_of(content: Mapping[str, Any], name: str) -> str:
    """What names a document by its content, which may hold the `name` already: the first letters of its hash."""
    named = {key: value for key, value in content.items() if key != name}
    return hashlib.sha256(canonical_json(named)).hexdigest()[:16]


def parquet_bytes(table: pa.Table) -> bytes:
    """A table as the content of a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def sweep(folder: Path) -> None:
    """Drop the temporary files of writers that were killed: those that nothing has written to for `_ABANDONED_S`.

    That is told by the clock of the file system: a host whose own clock is days ahead would take away what others are
    writing. Where nothing can be written, nothing is dropped.
    """
    left = [file for file in folder.rglob(".*") if _TEMPORARY.fullmatch(file.name)]
    if not left:
        return
    with suppress(OSError):
        oldest = _now(folder) - _ABANDONED_S
        for file in left:
            with suppress(OSError):  # its writer, or another sweep, was faster
                if file.is_file() and file.stat().st_mtime < oldest:
                    file.unlink()


def _now(folder: Path) -> float:
    """Seconds since 1970 by the clock that dates the files of a folder."""
    probe = folder / f".now.{secrets.token_hex(8)}"
    try:
        probe.touch(exist_ok=False)
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def put_if_absent(path: Path, data: bytes) -> bool:
    """Create `path` with `data`, whole or not at all; False if it exists already.

    A temporary file is written and synced, then linked to its name: `os.link` fails if the name is taken, on local and
    on shared POSIX file systems.

    Raises
    ------
    StoreError
        If the file system has no hard links, is full, or refuses to write.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.link(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_directory(path.parent)
    except FileExistsError:
        return False
    except OSError as error:
        raise StoreError(
            f"the file cannot be created exclusively ({error.strerror})",
            str(path),
            "make room or give write access, and keep the campaign on a local or shared POSIX file system with hard "
            "links, or on an object store; then repeat the command, nothing is lost",
        ) from error
    return True


def sync_directory(path: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(path: Path) -> None:
    """Make all files under a folder, and their names, durable: what a decision names must outlive a power cut."""
    for folder, _, names in os.walk(path):
        for name in names:
            handle = os.open(Path(folder) / name, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        sync_directory(Path(folder))


def read_json(path: Path, needed: Sequence[str] = ()) -> dict[str, Any]:
    """A JSON object.

    Raises
    ------
    CorruptFileError
        If the file is missing or holds something else, or lacks a key that is `needed`.
    """
    try:
        value = json.loads(path.read_bytes())
    except PermissionError as error:
        raise StoreError("may not be read (Permission denied)", str(path), "have its owner give access") from error
    except (OSError, ValueError, RecursionError) as error:  # the last of lists in lists
        raise CorruptFileError(f"cannot be read as JSON ({error})", str(path), "restore it from a backup") from error
    if not isinstance(value, dict):
        raise CorruptFileError("is not a JSON object", str(path), "restore it from a backup")
    require_keys(value, needed, path)
    return value


def read_checked(path: Path, sha256: str) -> pa.Table:
    """A Parquet file whose bytes must have the given hash (raises as `check_hash`)."""
    check_hash(path, sha256)
    return pq.read_table(path)


def read_derived(path: Path) -> pa.Table:
    """A Parquet file that follows from the record and has no hash.

    Raises
    ------
    CorruptFileError
        If it cannot be read.
    """
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        remedy = "restore it from a backup, or remove it: the record of the rounds is what counts"
        raise CorruptFileError(f"cannot be read as Parquet ({error})", str(path), remedy) from error


def check_hash(path: Path, sha256: str) -> None:
    """Refuse a file that is not the one that was recorded.

    Raises
    ------
    CorruptFileError
        If the file is missing or its bytes differ.
    """
    if not path.is_file() or sha256_file(path) != sha256:
        raise CorruptFileError(
            "the file is missing or its bytes are not those that were recorded",
            str(path),
            "restore it from a backup; the campaign cannot go on without it",
        )


def require_keys(data: Mapping[str, Any], names: Sequence[str], file: Path) -> None:
    """Refuse the content of a file that lacks some of its keys.

    Raises
    ------
    CorruptFileError
        If it does.
    """
    if missing := [name for name in names if name not in data]:
        raise CorruptFileError(
            f"does not say {', '.join(map(repr, missing))}: it was altered", str(file), "restore it from a backup"
        )


def replace_text(path: Path, text: str) -> None:
    """Write a file for people whole or not at all (raises as `replacing`)."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def replace_table(rows: Sequence[Mapping[str, Any]], schema: pa.Schema, path: Path) -> None:
    """Replace a derived table (never a decision) atomically."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows], schema=schema), temporary)
    temporary.replace(path)
