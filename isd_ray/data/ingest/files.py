"""Source files wherever they lie: local paths, and what pyarrow reaches by URI (``s3://``, ``gs://`` …)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pyarrow as pa
from pyarrow import fs as pafs

from isd_ray.errors import InputFileError

_HASH_CHUNK = 4 << 20
_COMPRESSED = frozenset({".gz", ".gzip", ".bz2", ".xz", ".zst", ".zstd"})
"""Endings of compressed files; how they are compressed shows in their first bytes."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to read.

    Attributes
    ----------
    filesystem, path:
        The file system of pyarrow, and the path in it.
    label:
        What messages call it: the local path, or the URI without credentials and options.
    """

    filesystem: pafs.FileSystem
    path: str
    label: str

    @classmethod
    def local(cls, path: Path) -> SourceFile:
        """A file of this machine."""
        return cls(pafs.LocalFileSystem(), str(path), str(path))

    def __str__(self) -> str:
        return self.label

    @property
    def name(self) -> str:
        """The last component of the path."""
        return PurePosixPath(self.path).name

    @property
    def suffixes(self) -> list[str]:
        """Endings of the name in lower case, as ``['.csv', '.gz']``."""
        return [suffix.lower() for suffix in PurePosixPath(self.path).suffixes]

    @property
    def format_suffix(self) -> str:
        """The ending that tells the format: the last one, or the last but one where that says that it is compressed."""
        suffixes = self.suffixes
        while suffixes and suffixes[-1] in _COMPRESSED:
            suffixes.pop()
        return suffixes[-1] if suffixes else ""

    @property
    def size(self) -> int:
        """Bytes, now.

        Raises
        ------
        OSError
            If the file system cannot be asked.
        """
        return int(self.filesystem.get_file_info(self.path).size or 0)

    @property
    def stamp(self) -> tuple[int, int | None]:
        """Bytes and time of the last change (ns, where the file system tells it): another one, another content."""
        info = self.filesystem.get_file_info(self.path)
        return int(info.size or 0), info.mtime_ns

    def open(self) -> pa.NativeFile:
        """The bytes, seekable; `tell` on it says how far a reader is.

        Raises
        ------
        OSError
            If the file cannot be opened.
        """
        return self.filesystem.open_input_file(self.path)

    def sha256(self) -> str:
        """Hexadecimal SHA-256 of the content.

        Raises
        ------
        InputFileError
            If the file cannot be read.
        """
        digest = hashlib.sha256()
        try:
            with self.open() as stream:
                while chunk := stream.read(_HASH_CHUNK):
                    digest.update(chunk)
        except OSError as error:
            raise InputFileError(f"cannot be read: {error}", self.label, "check that it is still there") from error
        return digest.hexdigest()
