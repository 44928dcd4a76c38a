"""Part files with a record batch for each block of the fixed grid: mapped, or held in memory, or fetched first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from isd_ray.core.features import Features
from isd_ray.data.grid import Grid
from isd_ray.data.layout import FEATURES, REBUILD, arrow_to_features
from isd_ray.data.remote import RemoteLibrary
from isd_ray.errors import CorruptFileError
from isd_ray.storage.files import sha256_file


@dataclass(slots=True)
class Residents:
    """How many bytes of parts may still be read into memory, over all features of a library."""

    n_bytes: int = 0


class PartFiles:
    """The parts of the main features, or of a block beside them.

    Parameters
    ----------
    folder:
        Of the library, or of its local copy.
    parts:
        Of the description: file, first_row, n_rows, bytes, sha256.
    grid:
        Of the library.
    remedy:
        What helps against damage.
    remote:
        Where parts come from that are not in `folder`.
    cached_in:
        Folder of the local copies, where it is not that of `parts`.
    residents:
        Shared by all parts of a library.
    """

    def __init__(
        self,
        folder: Path,
        parts: Sequence[dict[str, Any]],
        grid: Grid,
        remedy: str = REBUILD,
        remote: RemoteLibrary | None = None,
        cached_in: str | None = None,
        residents: Residents | None = None,
    ) -> None:
        self.parts = parts
        self._folder = folder
        self._grid = grid
        self._remedy = remedy
        self._remote = remote
        self._cached_in = cached_in
        self._residents = residents or Residents()
        self._readers: dict[int, pa.RecordBatchFileReader] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_readers": {}}

    def file(self, part: int) -> Path:
        """The file of a part on this machine; fetched if need be."""
        if self._remote is not None:
            return self._remote.local_part(self._folder, self.parts[part], self._cached_in)
        return self._folder / self.parts[part]["file"]

    def check_sizes(self) -> None:
        """Raise CorruptFileError if a part is missing or has another size than when it was written."""
        for part in self.parts:
            file, nbytes = self._folder / part["file"], part["bytes"]
            size = file.stat().st_size if file.is_file() else None
            if size != nbytes:
                what = "is missing" if size is None else f"has {size} bytes instead of {nbytes}"
                raise CorruptFileError(what, str(file), self._remedy)

    def verify(self) -> None:
        """Raise CorruptFileError if a part is not what was written; reads every byte."""
        for index, part in enumerate(self.parts):
            path = self.file(index)
            found = sha256_file(path) if path.is_file() else "no file"
            if found != part["sha256"]:
                raise CorruptFileError(f"sha256 is {found} instead of {part['sha256']}", str(path), self._remedy)

    @contextmanager
    def guarded(self, block: int) -> Iterator[None]:
        """Turn what reading an altered part of `block` raises into CorruptFileError."""
        try:
            yield
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            part = self._folder / self.parts[self._grid.part_of(block)]["file"]
            raise CorruptFileError(f"cannot be read: {error}", str(part), self._remedy) from error

    def batch(self, block: int) -> pa.RecordBatch:
        """The rows of a block; call it within `guarded`."""
        part = self._grid.part_of(block)
        reader = self._readers.get(part)
        if reader is None:
            reader = self._readers[part] = pa.ipc.open_file(self._source_of(part))
        batch = reader.get_batch(block - self._grid.blocks_before[part])
        first, stop = self._grid.rows_range(block)
        n_rows = stop - first
        if batch.num_rows != n_rows:
            raise ValueError(f"block {block} has {batch.num_rows} rows instead of {n_rows}")
        return batch

    def features(self, block: int, width: int) -> Features:
        """Features of a block: read-only views of the memory map (raises CorruptFileError)."""
        with self.guarded(block):
            return arrow_to_features(self.batch(block).column(FEATURES), width)

    def _source_of(self, part: int) -> pa.NativeFile | pa.Buffer:
        file, n_bytes = self.file(part), self.parts[part]["bytes"]
        if n_bytes > self._residents.n_bytes:
            return pa.memory_map(str(file))
        self._residents.n_bytes -= n_bytes
        return pa.py_buffer(file.read_bytes())
