"""Earlier readouts of the same compounds as a block: of each assay a robust z score and a hit, or a 0/1."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from isd_ray.config import HistoryConfig, LibraryConfig
from isd_ray.data.blocks.assays import ASSAYS, assay_of, assays_of, hits
from isd_ray.data.blocks.description import BlockDescription, BlockSource
from isd_ray.data.blocks.numbers import described
from isd_ray.data.blocks.readouts import (
    KEY,
    AssayReadouts,
    history_sources,
    read_readouts,
    readout_columns,
    require_dates,
)
from isd_ray.data.blocks.spool import Spool
from isd_ray.data.blocks.table import N_UNMATCHED, UNMATCHED, no_match
from isd_ray.data.ingest.molecules import CHUNK_ROWS, MoleculeOptions, PreparedChunk, prepare_chunks
from isd_ray.data.layout import ID, SMILES
from isd_ray.data.library import Library
from isd_ray.errors import InputFileError, LibraryError

HISTORY_BLOCK = "history"
CLIP_Z = 10.0
"""Robust z beyond which a readout tells no more."""
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Structures:
    """A piece of structures to prepare."""

    structures: list[str | None]
    options: MoleculeOptions
    label: str


Prepare: TypeAlias = Callable[[Iterable[Structures]], Iterator[tuple[Structures, PreparedChunk]]]


class AssayHistory:
    """Makes the block of `[library.history]`; a `BlockMaker`.

    Parameters
    ----------
    library_config:
        For its source, where the readouts stand there; None where there is no configuration.
    prepare:
        Where structures are prepared, for a match by structure; default: in this process.
    like:
        Block of the target set, for held-out sets: its assays and their statistics.

    Raises
    ------
    InputFileError
        If a file cannot be read or lacks a column, no compound is in the library, or a value is no number or infinite.
    LibraryError
        If compounds are to be matched by structures that the library does not have.
    """

    name: ClassVar[str] = HISTORY_BLOCK
    source: ClassVar[BlockSource] = "history"
    takes_logs: ClassVar[bool] = False
    rdkit: ClassVar[str] = ""

    def __init__(
        self,
        library: Library,
        config: HistoryConfig,
        library_config: LibraryConfig | None,
        base_dir: Path,
        prepare: Prepare | None = None,
        like: BlockDescription | None = None,
    ) -> None:
        sources = history_sources(config, library_config, base_dir)
        files = [source.file for source in sources]
        self.definition = {"history": _settings(config), "sources": described(files)}
        known = None if like is None else {assay.name: assay for assay in assays_of(like)}
        readouts = read_readouts(config, sources, library.metadata["options"].get("id_column"), known)
        self._file = ", ".join(map(str, files))
        places = np.arange(len(readouts.keys))
        self._column, self._keys = ID, pa.array(readouts.keys, pa.string())
        if readouts.by_structure:
            self._column, (self._keys, places) = SMILES, canonical_keys(library, readouts, prepare, self._file)
        is_there = np.zeros(len(self._keys), dtype=bool)
        for block in range(library.n_blocks):
            codes = self._codes(library, block)
            is_there[codes[codes >= 0]] = True
        matched = np.append(is_there, False)[places]  # place -1: no structure
        unmatched = [readouts.names[place] for place in np.flatnonzero(~matched)[:_SHOWN].tolist()]
        if not matched.any():
            raise no_match(unmatched, self._file, readouts.column)
        self._found: dict[str, Any] = readouts.broken.found()
        if unmatched:
            self._found |= {N_UNMATCHED: int((~matched).sum()), UNMATCHED: unmatched}
        # Of held-out sets: in the order of the target set, missing throughout where nothing is known.
        self._assays = {name: replace(assay, n=0, n_hits=0) for name, assay in (known or {}).items()}
        self._of: dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]] = {}
        for name, measured in readouts.assays.items():
            codes = places[np.concatenate(measured.compounds)]
            here = np.append(is_there, False)[codes]
            assay, compounds, values = assay_of(measured, codes, here, readouts.names, (known or {}).get(name))
            self._assays[name], self._of[name] = assay, (compounds, values)
        if like is None:
            require_dates(config, list(self._assays))
        names = [name for assay in self._assays.values() for name in assay.columns]
        self.columns = tuple(names)
        if repeated := [name for name in names if names.count(name) > 1]:
            raise InputFileError(
                f"two assays would give column {repeated[0]!r}", self._file, f"rename one, or exclude it in {KEY}"
            )

    def fill(self, spool: Spool, library: Library) -> None:
        """Put the readouts where their compounds are."""
        for part in spool.missing:
            start, _ = spool.rows[part]
            for block in library.part_blocks(part):
                first, _ = library.block_rows_range(block)
                spool.write(part, first - start, self._values(self._codes(library, block)))
            spool.complete(part)

    def found(self) -> dict[str, Any]:
        """Each assay, how many compounds are not in the library, and how many records cannot be read."""
        return {ASSAYS: [asdict(assay) for assay in self._assays.values()], **self._found}

    def _codes(self, library: Library, block: int) -> NDArray[np.int64]:
        """For each row of a block its place among the keys, or -1."""
        found = pc.index_in(library.block_table(block).column(self._column), value_set=self._keys)
        return found.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)

    def _values(self, codes: NDArray[np.int64]) -> NDArray[np.float32]:
        columns = []
        for name, assay in self._assays.items():
            compounds, values = self._of.get(name, (np.empty(0, np.int64), np.empty(0)))
            at = np.searchsorted(compounds, codes)
            is_measured = (at < len(compounds)) & (np.append(compounds, -1)[at] == codes) & (codes >= 0)
            column = np.full(len(codes), np.nan)
            column[is_measured] = values[at[is_measured]]
            columns.append(np.clip(column, -CLIP_Z, CLIP_Z))
            if assay.kind == "numbers":
                columns.append(hits(column))
        return np.column_stack(columns).astype(np.float32)


def history_definition(config: LibraryConfig, base_dir: Path) -> dict[str, Any]:
    """What makes two blocks of earlier readouts the same, without reading the files (raises InputFileError)."""
    assert config.history is not None
    files = [source.file for source in history_sources(config.history, config, base_dir)]
    return {"history": _settings(config.history), "sources": [{"name": f.name, "bytes": f.size} for f in files]}


def check_history(config: LibraryConfig, base_dir: Path) -> None:
    """Refuse files that lack a column, before a library is built, which takes long (raises InputFileError)."""
    if config.history is not None:
        ids = None if config.history.smiles_column else config.history.id_column or config.id_column
        readout_columns(config.history, history_sources(config.history, config, base_dir), ids)


def _settings(config: HistoryConfig) -> dict[str, Any]:
    """The configuration without the addresses of its files, which may move, and without what changes no value."""
    return config.model_dump(mode="json", exclude={"source", "format", "dates"})


def canonical_keys(
    library: Library, readouts: AssayReadouts, prepare: Prepare | None, file: str
) -> tuple[pa.Array, NDArray[np.int64]]:
    """Canonical SMILES of the compounds, each once, and for each key its place among them, or -1."""
    options = library.metadata["options"]
    if options.get("smiles_column") is None:
        raise LibraryError("the library has no structures to match by", str(library.path), f"set {KEY}.id_column")
    structure = readouts.sources[0].structure
    wanted = replace(MoleculeOptions.like(options, structure), drop_single_atoms=False)
    texts: list[str | None] = list(readouts.keys)
    chunks = (Structures(texts[at : at + CHUNK_ROWS], wanted, file) for at in range(0, len(texts), CHUNK_ROWS))
    place_of: dict[str, int] = {}
    places: list[NDArray[np.int64]] = []
    for chunk, prepared in (prepare or (lambda pieces: prepare_chunks(pieces, 1)))(chunks):
        found = np.full(len(chunk.structures), -1, np.int64)
        found[prepared.passed] = [place_of.setdefault(text, len(place_of)) for text in prepared.canonical]
        places.append(found)
    return pa.array(list(place_of), pa.string()), np.concatenate(places)
