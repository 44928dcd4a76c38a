"""The blocks beside the main features of an opened library."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from isd_ray.core.features import Features
from isd_ray.data.blocks.assays import assays_of
from isd_ray.data.blocks.description import BLOCK_DTYPE, BlockDescription, cached_block, described_blocks, remedy_of
from isd_ray.data.grid import Grid
from isd_ray.data.info import BlockInfo
from isd_ray.data.layout import METADATA_FILE
from isd_ray.data.part_files import PartFiles, Residents
from isd_ray.data.remote import RemoteLibrary
from isd_ray.errors import LibraryError


class AddedBlocks:
    """Descriptions and files of the blocks that were added to a library.

    Parameters
    ----------
    main:
        Name of the main features, for messages.

    Raises
    ------
    CorruptFileError, LibraryError
        As `described_blocks`.
    """

    def __init__(
        self,
        path: Path,
        metadata: dict[str, Any],
        grid: Grid,
        main: str,
        remote: RemoteLibrary | None,
        residents: Residents,
    ) -> None:
        self._path = path
        self._main = main
        self._blocks = {block.name: block for block in described_blocks(metadata, str(path / METADATA_FILE))}
        self._files = {
            name: PartFiles(
                path,
                block.parts,
                grid,
                remedy=remedy_of(name),
                remote=remote,
                cached_in=cached_block(block),
                residents=residents,
            )
            for name, block in self._blocks.items()
        }

    @property
    def names(self) -> tuple[str, ...]:
        """In the order in which they were added."""
        return tuple(self._blocks)

    @property
    def files(self) -> Sequence[PartFiles]:
        """Of each block."""
        return list(self._files.values())

    def __getitem__(self, name: str) -> BlockDescription:
        if name not in self._blocks:
            names = ", ".join((self._main, *self._blocks))
            raise LibraryError(f"there is no block {name!r}", str(self._path), f"name one of {names}, or add it")
        return self._blocks[name]

    def info(self, n_rows: int) -> list[BlockInfo]:
        """A summary of each, for people and programs."""
        return [
            BlockInfo(
                name=block.name,
                source=block.source,
                width=block.width,
                dtype=BLOCK_DTYPE,
                nbytes=block.nbytes,
                missing=block.n_missing / (n_rows * block.width),
                hash=block.hash,
                assays=[{"name": a.name, "n": a.n, "n_hits": a.n_hits} for a in assays_of(block)],
            )
            for block in self._blocks.values()
        ]

    def features(self, name: str, block: int) -> Features:
        """Rows of a block of the grid (raises LibraryError, CorruptFileError)."""
        width = self[name].width
        return self._files[name].features(block, width)
