"""The target library: an immutable directory of memory-mapped blocks of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from isd_ray.config import FeatureSpec
from isd_ray.core.features import Block, FeatureBlocks, Features, OnBits, Texts, concatenate
from isd_ray.data.blocks.added import AddedBlocks
from isd_ray.data.blocks.description import MAIN_DENSE, MAIN_ON_BITS, TEXTS, BlockDescription
from isd_ray.data.grid import Grid
from isd_ray.data.info import LibraryInfo, features_in_short
from isd_ray.data.layout import ID, METADATA_FILE, REBUILD, SMILES, spec_from_json
from isd_ray.data.part_files import PartFiles, Residents
from isd_ray.data.remote import RemoteLibrary, is_published
from isd_ray.data.versions import LibraryVersion, described, other_library, versions_of
from isd_ray.errors import CorruptFileError, LibraryError
from isd_ray.storage.addresses import absolute, address_of, is_uri
from isd_ray.storage.copies import cache_folder

_BLOCKS_LOOKED_UP = 512
"""Blocks whose ids are looked up at a time: 4 bytes a row."""


class Library:
    """A built target library; open it with `Library.open`.

    Rows are numbered from 0. They lie in blocks of `block_rows` (the last of a part may be shorter), the fixed grid of
    scoring. A pickled library carries path and metadata only, and maps the files again where it arrives.

    Attributes
    ----------
    path:
        The directory; of a library behind a URI that of its local copy, into which parts are fetched when needed.
    metadata:
        library.json.
    n_rows, n_blocks, block_rows, width:
        Sizes; `width` is the number of feature columns.
    spec:
        What the features are.
    hash:
        SHA-256 that identifies features, rows and their order.
    """

    def __init__(self, path: Path, metadata: dict[str, Any], remote: RemoteLibrary | None = None) -> None:
        self.path = path
        self._remote = remote
        self.metadata = metadata
        self.n_rows: int = metadata["n_rows"]
        self.block_rows: int = metadata["block_rows"]
        self._grid = Grid(metadata["parts"], self.n_rows, self.block_rows)
        self.n_blocks: int = self._grid.n_blocks
        self.width: int = metadata["width"]
        self.hash: str = metadata["hash"]
        self.spec: FeatureSpec = spec_from_json(metadata["features"])
        self._residents = Residents()
        self._main = PartFiles(path, metadata["parts"], self._grid, remote=remote, residents=self._residents)
        self._main_name = MAIN_ON_BITS if self.spec.kind == "on_bits" else MAIN_DENSE
        self._added = AddedBlocks(path, metadata, self._grid, self._main_name, remote, self._residents)

    def __repr__(self) -> str:
        return f"Library({self.address!r}, {self.n_rows:,} compounds, blocks {', '.join(self.block_names)})"

    def __len__(self) -> int:
        return self.n_rows

    def keep_resident(self, n_bytes: int) -> None:
        """Read parts into memory, up to so many bytes of them, instead of mapping their files.

        For scorers far from their disk: a page of a mapped file may be dropped and fetched again in every round.
        """
        self._residents.n_bytes = n_bytes

    @staticmethod
    def exists(path: str | Path) -> bool:
        """Whether there is a library in a directory or at a URI (raises as `is_published`)."""
        address = address_of(path)
        return is_published(address) if is_uri(address) else (Path(address) / METADATA_FILE).is_file()

    @classmethod
    def open(cls, path: str | Path, version: str | None = None) -> Library:
        """Open a library, checking its description and the size of every part.

        Parameters
        ----------
        path:
            A directory, or the URI of one (``s3://bucket/library``): its parts are then copied to `cache_folder` one
            by one when they are first read, and checked on the way.
        version:
            Hash of the library as it is to be opened, before compounds were added; default: as it is now.

        Raises
        ------
        LibraryError
            If there is no library at `path`, or it was written by a newer version of isd_ray.
        LibraryChangedError
            If it is not, and never was, the one with the hash `version`.
        CorruptFileError
            If library.json cannot be read, or a part is missing or has another size than when it was written.
        """
        if is_uri(address := address_of(path)):
            remote = RemoteLibrary(address)
            metadata = remote.read_metadata()
            if version not in (None, metadata.get("hash")):
                raise other_library(str(remote), str(version), str(metadata.get("hash")))
            return cls._described(cache_folder() / str(metadata.get("hash")), metadata, str(remote), remote)
        library = cls.describe(path, version)
        for files in (library._main, *library._added.files):
            files.check_sizes()
        return library

    @classmethod
    def describe(cls, path: str | Path, version: str | None = None) -> Library:
        """A library by its description alone: its parts need not be there, and nothing that reads them works.

        Raises
        ------
        LibraryError, LibraryChangedError, CorruptFileError
            As `open`, but for the parts.
        """
        if is_uri(address_of(path)):
            return cls.open(path, version)
        metadata, file = described(Path(path), version)
        return cls._described(Path(path), metadata, str(file))

    @classmethod
    def _described(
        cls, folder: Path, metadata: dict[str, Any], where: str, remote: RemoteLibrary | None = None
    ) -> Library:
        try:
            library = cls(folder, metadata, remote)
            for part in metadata["parts"]:
                part["file"], part["bytes"], part["sha256"]
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptFileError(f"is not a library description: {error!r}", where, REBUILD) from error
        return library

    @property
    def address(self) -> str:
        """What `open` takes to open this library on any machine: the URI, or the absolute path."""
        return self._remote.uri if self._remote is not None else str(Path(absolute(self.path)).resolve())

    @property
    def versions(self) -> tuple[LibraryVersion, ...]:
        """Its versions up to this one, oldest first; one, where no compounds were ever added."""
        return versions_of(self.metadata)

    @property
    def column_names(self) -> list[str]:
        """Columns that `column` gives: row, id, smiles, record, those kept from the source, descriptors."""
        return ["row", ID, SMILES, "record", *self.metadata["columns"]]

    def block_rows_range(self, index: int) -> tuple[int, int]:
        """First row of a block, and the row after its last."""
        return self._grid.rows_range(index)

    @property
    def n_parts(self) -> int:
        """Number of part files."""
        return len(self.metadata["parts"])

    def part_blocks(self, part: int) -> range:
        """The blocks of a part file."""
        firsts = [*self._grid.blocks_before, self.n_blocks]
        return range(firsts[part], firsts[part + 1])

    def part_rows_range(self, part: int) -> tuple[int, int]:
        """First row of a part file, and the row after its last."""
        blocks = self.part_blocks(part)
        return self.block_rows_range(blocks[0])[0], self.block_rows_range(blocks[-1])[1]

    def block(self, index: int) -> Features:
        """Features of a block: read-only views of the memory map (on-bit offsets, int64, are a copy).

        Raises
        ------
        CorruptFileError
            If the part is damaged.
        """
        return self._main.features(self._in_grid(index), self.width)

    def features(self, rows: NDArray[np.integer]) -> Features:
        """Features of scattered rows, in the given order (int64, shape (m,)); repeated rows are allowed.

        Raises
        ------
        IndexError
            If a row is outside the library.
        CorruptFileError
            If a part is damaged.
        """
        main = self.features_of(rows, [self._main_name])[self._main_name]
        assert not isinstance(main, Texts)
        return main

    @property
    def block_names(self) -> tuple[str, ...]:
        """Names of the blocks of features: the main one, then those added to it; never the texts, "smiles"."""
        return (self._main_name, *self._added.names)

    @property
    def added_blocks(self) -> tuple[BlockDescription, ...]:
        """Descriptions of the blocks beside the main one."""
        return tuple(self._added[name] for name in self._added.names)

    def block_hash(self, name: str) -> str:
        """SHA-256 that identifies a block; of the main one that of the library (raises LibraryError: no such block)."""
        return self.hash if name == self._main_name else self._added[name].hash

    def block_width(self, name: str) -> int:
        """Columns of a block (raises LibraryError: no such block)."""
        return self.width if name == self._main_name else self._added[name].width

    def block_columns(self, name: str) -> tuple[str, ...]:
        """Names of the columns of a block; none of the main one (raises LibraryError: no such block)."""
        return () if name == self._main_name else tuple(column.name for column in self._added[name].columns)

    def feature_blocks(self, index: int, names: Sequence[str]) -> FeatureBlocks:
        """The rows of a block of the grid in named blocks of features.

        Parameters
        ----------
        names:
            Of `block_names`, or "smiles" for the canonical SMILES as texts. Blocks beside the main one are read-only
            views of the memory map: float16, standardised, NaN where a value is missing.

        Raises
        ------
        LibraryError
            If there is no such block, or `names` is empty.
        CorruptFileError
            If a part is damaged.
        """
        if not names:
            raise LibraryError("no block of features is asked for", str(self.path), "name at least one")
        return FeatureBlocks({name: self._features(index, name) for name in names})

    def features_of(self, rows: NDArray[np.integer], names: Sequence[str]) -> FeatureBlocks:
        """As `feature_blocks`, of scattered rows in the given order (int64, shape (m,)); repeated rows are allowed.

        Raises
        ------
        IndexError
            If a row is outside the library.
        LibraryError, CorruptFileError
            As `feature_blocks`.
        """
        rows = self._checked(rows)
        order = np.argsort(rows, kind="stable")
        parts = [self.feature_blocks(block, names).take(local) for block, local in self._by_block(rows[order])]
        back = np.empty(len(rows), dtype=np.int64)
        back[order] = np.arange(len(rows))
        return concatenate(parts or [self.feature_blocks(0, names).take(rows)]).take(back)

    def _features(self, index: int, name: str) -> Block:
        if name == TEXTS:
            return Texts(_to_numpy(self._column_of(self._in_grid(index), SMILES)))
        return self.block(index) if name == self._main_name else self._added.features(name, self._in_grid(index))

    def column(self, name: str, rows: NDArray[np.integer] | None = None) -> NDArray[Any]:
        """Values of a column.

        Parameters
        ----------
        name:
            One of `column_names`.
        rows:
            int64, shape (m,): these rows in this order; default all.

        Returns
        -------
        array, shape (m,)
            int64 or float64 (integers with missing values become float64 with NaN), or object: str, None where missing.

        Raises
        ------
        LibraryError
            If there is no such column.
        IndexError
            If a row is outside the library.
        CorruptFileError
            If a part is damaged.
        """
        if rows is None:
            return _to_numpy(self.arrow_column(name))
        rows = self._checked(rows)
        order = np.argsort(rows, kind="stable")
        parts = [
            self._column_of(block, name).take(pa.array(local)) for block, local in self._by_block(rows[order])
        ] or [self._column_of(0, name).slice(0, 0)]
        found = _to_numpy(pa.chunked_array(parts))
        values = np.empty(len(rows), dtype=found.dtype)
        values[order] = found
        return values

    def arrow_column(self, name: str, blocks: range | None = None) -> pa.ChunkedArray:
        """A column of some blocks, default all, as Arrow: one chunk a block, memory-mapped (raises as `column`)."""
        return pa.chunked_array([self._column_of(block, name) for block in blocks or range(self.n_blocks)])

    def ids(self, rows: NDArray[np.integer] | None = None) -> NDArray[np.object_]:
        """Compound ids (str), as `column`."""
        return self.column(ID, rows)

    def smiles(self, rows: NDArray[np.integer] | None = None) -> NDArray[np.object_]:
        """Canonical SMILES (str, or None in a library without structures), as `column`."""
        return self.column(SMILES, rows)

    def rows_of(self, ids: Sequence[str] | NDArray[Any] | pa.Array | pa.ChunkedArray) -> NDArray[np.int64]:
        """Rows of compound ids: int64, shape (m,); -1 for an id that is not in the library.

        Reads the id column once, at a cost that hardly depends on m: ask for many ids at a time.
        """
        asked = ids if isinstance(ids, pa.Array | pa.ChunkedArray) else pa.array(list(ids), pa.string())
        if isinstance(asked, pa.ChunkedArray):
            asked = pa.concat_arrays(asked.chunks) if asked.num_chunks else pa.array([], pa.string())
        encoded = asked.cast(pa.string()).dictionary_encode()
        rows_of_distinct = np.full(len(encoded.dictionary) + 1, -1, dtype=np.int64)  # the last is for nulls
        for first in range(0, self.n_blocks, _BLOCKS_LOOKED_UP):
            blocks = range(first, min(first + _BLOCKS_LOOKED_UP, self.n_blocks))
            # Looking the library up among the asked keeps the hash table as small as the question; it is made anew for
            # each call.
            found = pc.index_in(self.arrow_column(ID, blocks), value_set=encoded.dictionary)
            hits = np.flatnonzero(found.is_valid().to_numpy())
            rows_of_distinct[found.drop_null().to_numpy()] = hits + self.block_rows_range(first)[0]
        return rows_of_distinct[encoded.indices.fill_null(len(encoded.dictionary)).to_numpy()]

    def verify(self) -> None:
        """Read every part again and compare hashes.

        Raises
        ------
        CorruptFileError
            If a part is not what was written.
        """
        for files in (self._main, *self._added.files):
            files.verify()

    def info(self) -> LibraryInfo:
        """A summary for people and programs."""
        first = self.block(0)
        return LibraryInfo(
            path=str(self._remote or self.path),
            hash=self.hash,
            n_rows=self.n_rows,
            n_blocks=self.n_blocks,
            block_rows=self.block_rows,
            width=self.width,
            features=features_in_short(self.metadata["features"]),
            nbytes=sum(part["bytes"] for part in self.metadata["parts"]),
            mean_on_bits=float(np.diff(first.offsets).mean()) if isinstance(first, OnBits) else None,
            columns=dict(self.metadata["columns"]),
            counts=self.metadata["counts"],
            sources=self.metadata["sources"],
            blocks=self._added.info(self.n_rows),
            versions=list(self.versions),
        )

    def block_table(self, index: int) -> pa.RecordBatch:
        """All columns of a block, memory-mapped (raises as `block`)."""
        with self._main.guarded(self._in_grid(index)):
            return self._main.batch(index)

    def _in_grid(self, index: int) -> int:
        self.block_rows_range(index)
        return index

    def _column_of(self, block: int, name: str) -> pa.Array:
        if name not in self.column_names:
            raise LibraryError(f"no column {name!r}", str(self.path), f"name one of {', '.join(self.column_names)}")
        with self._main.guarded(block):
            column = self._main.batch(block).column(name)
            column.validate(full=True)
            return column

    def _checked(self, rows: NDArray[np.integer]) -> NDArray[np.int64]:
        checked: NDArray[np.int64] = np.asarray(rows, dtype=np.int64)
        if len(checked) and (checked.min() < 0 or checked.max() >= self.n_rows):
            raise IndexError(f"rows {checked.min()} to {checked.max()} of a library of {self.n_rows}")
        return checked

    def _by_block(self, rows: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Blocks that ascending rows touch, each with the rows counted from its first."""
        blocks = self._grid.blocks_of(rows)
        edges = [*np.flatnonzero(np.diff(blocks, prepend=-1)).tolist(), len(rows)]
        for start, stop in pairwise(edges):
            block = int(blocks[start])
            yield block, rows[start:stop] - self.block_rows_range(block)[0]


def _to_numpy(values: pa.Array | pa.ChunkedArray) -> NDArray[Any]:
    array: NDArray[Any] = values.to_numpy(zero_copy_only=False)
    return array
