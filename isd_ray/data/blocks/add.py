"""Adding a block of features to a library that is there."""

from __future__ import annotations

import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from isd_ray.data.blocks.description import BlockColumn, BlockDescription, BlockSource, require_name
from isd_ray.data.blocks.spool import Spool
from isd_ray.data.blocks.standard import scaled
from isd_ray.data.changing import locked, refuse_published, replace_description, unwritable
from isd_ray.data.layout import BLOCKS_DIRECTORY, read_metadata
from isd_ray.data.library import Library
from isd_ray.data.versions import described, noted_versions
from isd_ray.errors import LibraryError


class BlockMaker(Protocol):
    """Where the values of a block come from."""

    @property
    def name(self) -> str:
        """Of the block."""

    @property
    def source(self) -> BlockSource:
        """Of which kind its source is."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of its columns."""

    @property
    def definition(self) -> dict[str, Any]:
        """What was asked for, as plain values: an unfinished addition of another definition is not continued."""

    @property
    def takes_logs(self) -> bool:
        """Whether values are standardised (signed logarithm, mean 0, sd 1), or stored as they are."""

    @property
    def rdkit(self) -> str:
        """Version that computes them; empty where none does."""

    def fill(self, spool: Spool, library: Library) -> None:
        """Write the raw values of the parts that the spool misses, and complete each."""

    def found(self) -> dict[str, Any]:
        """What people should know of the block, as plain values, once it is filled."""


def add_block(library: Library, maker: BlockMaker, like: BlockDescription | None = None) -> Library:
    """Make a block and put it beside the main features; the library's own files and hash stay as they are.

    The bytes do not depend on how many processes make the values. An addition that was cut off goes on behind the parts
    that are complete when it is called again.

    Parameters
    ----------
    library:
        In a directory of this machine.
    like:
        Block of another library with the same columns, whose statistics are taken: of a target set, for held-out ones.

    Returns
    -------
    Library
        Opened again, with the block.

    Raises
    ------
    LibraryError
        If there is such a block, the name is not free, another process adds one, the library cannot be written, or an
        unfinished addition of another definition lies in it.
    IsdError
        What the maker raises.
    """
    require_name(maker.name)
    remedy = "build it with the block at another address, as isd library build --descriptors rdkit2d --out URI"
    refuse_published(library, "blocks", remedy)
    with locked(library.path):
        asked, library = library, Library.open(library.path)
        if library.hash != asked.hash:
            raise LibraryError(
                f"this is version {asked.hash[:12]} of the library, which has grown since",
                str(library.path),
                "blocks are made for the last version: begin with that one, or leave the block out",
            )
        try:
            (library.path / BLOCKS_DIRECTORY).mkdir(exist_ok=True)
        except OSError as error:
            raise unwritable(library.path, error) from error
        if maker.name in library.block_names:
            other = "choose another name, or drop it" if maker.source == "table" else "to make it anew, drop it"
            more = "; then add it with all files of readouts at once" if maker.source == "history" else ""
            raise LibraryError(
                f"there is a block {maker.name!r} already",
                str(library.path),
                f"{other} first: isd library remove-block {library.path} {maker.name}{more}",
            )
        if like is not None and tuple(column.name for column in like.columns) != maker.columns:
            raise LibraryError(
                f"block {maker.name!r} would have other columns than that of the target set",
                str(library.path),
                "give both libraries the same columns",
            )
        rows = [library.part_rows_range(part) for part in range(library.n_parts)]
        spool = Spool(
            library.path,
            maker.name,
            len(maker.columns),
            rows,
            library.block_rows,
            takes_logs=maker.takes_logs,
            identity=_identity(library, maker, like),
        )
        if spool.missing:
            maker.fill(spool, library)
        columns = _columns(maker, spool, like)
        _finish_parts(spool, maker, columns, library.block_rows)
        described = BlockDescription(
            name=maker.name,
            source=maker.source,
            columns=columns,
            library=library.hash,
            parts=spool.parts,
            n_missing=spool.n_missing,
            definition=maker.definition,
            found={**maker.found(), **spool.counts},
            rdkit=maker.rdkit,
        )
        spool.put_in_place()
        metadata = read_metadata(library.path)
        replace_description(library.path, {**metadata, "blocks": [*metadata.get("blocks", ()), described.to_json()]})
        spool.discard()
    return Library.open(library.path)


def remove_block(path: Path, name: str) -> None:
    """Drop a block from a library, and from its earlier versions; a damaged one too.

    Raises
    ------
    LibraryError
        If there is no such block, or another process adds to the library: compounds would get the block that is gone.
    CorruptFileError
        If the library's description cannot be read.
    """
    read_metadata(path)  # where there is no library, that is what is wrong
    with locked(path):
        metadata = read_metadata(path)
        blocks = metadata.get("blocks", ())
        if all(block.get("name") != name for block in blocks):
            names = ", ".join(str(block.get("name")) for block in blocks) or "none"
            raise LibraryError(f"there is no block {name!r} to drop", str(path), f"blocks beside the main one: {names}")
        require_name(name)  # never a path of somebody else's description
        for noted in noted_versions(metadata)[:-1]:
            earlier, file = described(path, noted["hash"])
            replace_description(path, _without(earlier, name), file)
        replace_description(path, _without(metadata, name))
        shutil.rmtree(path / BLOCKS_DIRECTORY / name, ignore_errors=True)


def _without(metadata: dict[str, Any], name: str) -> dict[str, Any]:
    """A description without a block."""
    kept = [block for block in metadata.get("blocks", ()) if block.get("name") != name]
    rest = {key: value for key, value in metadata.items() if key != "blocks"}
    return {**rest, "blocks": kept} if kept else rest


def _identity(library: Library, maker: BlockMaker, like: BlockDescription | None) -> dict[str, Any]:
    """All that the parts of an unfinished addition depend on."""
    return {
        "library": library.hash,
        "definition": maker.definition,
        "columns": list(maker.columns),
        "statistics": None if like is None else like.hash,
        "rdkit": maker.rdkit,
        "isd_ray": version("isd_ray"),
    }


def _columns(maker: BlockMaker, spool: Spool, like: BlockDescription | None) -> tuple[BlockColumn, ...]:
    if like is not None:
        return like.columns
    if not maker.takes_logs:
        return tuple(BlockColumn(name) for name in maker.columns)
    moments = spool.moments
    statistics = zip(maker.columns, moments.mean.tolist(), moments.sd.tolist(), strict=True)
    return tuple(BlockColumn(name, mean, sd) for name, mean, sd in statistics)


def _finish_parts(spool: Spool, maker: BlockMaker, columns: tuple[BlockColumn, ...], block_rows: int) -> None:
    mean = np.array([column.mean for column in columns])
    sd = np.array([column.sd for column in columns])

    def stored(values: NDArray[np.float32]) -> NDArray[np.float16]:
        return scaled(values, mean, sd) if maker.takes_logs else values.astype(np.float16)

    for part, (first, stop) in enumerate(spool.rows):
        if not spool.is_done(part):
            spool.finish(part, (stored(spool.raw(part, start)) for start in range(0, stop - first, block_rows)))
