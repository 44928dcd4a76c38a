"""Compounds outside a library, prepared as those inside it: the same structures, fingerprints and blocks of features.

Nothing of the library is read but its description, which holds all that the preparation follows from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isd_ray.chem.descriptor_sets import descriptor_set
from isd_ray.config import DenseFeatures, OnBitFeatures
from isd_ray.core.features import Block, Dense, FeatureBlocks, OnBits, Texts
from isd_ray.data.blocks.assays import Assay, assays_of
from isd_ray.data.blocks.description import TEXTS, BlockDescription
from isd_ray.data.blocks.numbers import require_plain
from isd_ray.data.blocks.standard import standardise
from isd_ray.data.ingest.columns import as_text, ids_as_text
from isd_ray.data.ingest.contexts import ContextEncoder
from isd_ray.data.ingest.dense import check_dense_column, dense_rows
from isd_ray.data.ingest.molecules import CHUNK_ROWS, MoleculeOptions, PreparedChunk, done, prepare_chunk
from isd_ray.data.ingest.plan import require_ids, require_text
from isd_ray.data.ingest.records import Records, Source
from isd_ray.data.library import Library
from isd_ray.data.outside_columns import OutsideColumn, block_columns, read_block
from isd_ray.data.outside_history import EarlierReadouts, block_values, own_scores
from isd_ray.errors import InputFileError, LibraryError


@dataclass(frozen=True, slots=True)
class OutsideOptions:
    """What to make of structures: as a build does, and the sets of descriptors that are blocks."""

    molecules: MoleculeOptions
    describes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Piece:
    """Up to `CHUNK_ROWS` records on their way; a piece of work."""

    records: Records
    ids: list[str | None]
    structures: list[str | None]
    options: OutsideOptions
    label: str


@dataclass(frozen=True, slots=True)
class OutsideRows:
    """Records of a file, prepared.

    Attributes
    ----------
    lines:
        int64 (n,): where each of the n records begins in its file.
    ids:
        Of the n records.
    reasons:
        Why records are rejected, by index.
    kept:
        int64 (m,): indices of the others, ascending.
    smiles:
        Canonical SMILES of the m; None where there are no structures.
    features:
        Of the m, in the blocks asked for and the library's main one.
    """

    lines: NDArray[np.int64]
    ids: list[str | None]
    reasons: Mapping[int, str]
    kept: NDArray[np.int64]
    smiles: list[str | None]
    features: FeatureBlocks


@dataclass(slots=True)
class Preparation:
    """How compounds outside a library are prepared.

    Parameters
    ----------
    library:
        Its description (`Library.describe`).
    blocks:
        Names of the blocks of features to make, the texts among them.
    source:
        Where the compounds come from.
    smiles_column, id_column:
        Of the source; default: those that the library was built with, and the number of the record where there is no
        such column of ids.
    history:
        Earlier readouts of these compounds, a column an assay, found by the same column of ids or by structure;
        default: the columns of the source itself that are called as assays.
    seen:
        By block the names of its columns that some model sees: others are neither read nor missing. Default: all.

    Attributes
    ----------
    missing:
        Columns of blocks that the source does not bring, by block: their values are missing throughout.

    Raises
    ------
    InputFileError
        If the source lacks the structures, a context, or the vectors that are the library's main features; a column
        that is needed stands there twice, or holds something else; or `history` cannot be used.
    LibraryError
        If a block holds descriptors that this version computes otherwise.
    """

    library: Library
    blocks: Sequence[str]
    source: Source
    smiles_column: str | None = None
    id_column: str | None = None
    history: Source | None = None
    seen: Mapping[str, Sequence[str]] = field(default_factory=dict)
    missing: dict[str, tuple[str, ...]] = field(init=False)
    _structure: str | None = field(init=False)
    _columns: dict[str, dict[str, OutsideColumn]] = field(init=False)
    _assays: dict[str, tuple[Assay, ...]] = field(init=False)
    _own_assays: Sequence[str] = field(init=False, default=())
    _earlier: EarlierReadouts | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        options, source = self.library.metadata["options"], self.source
        self._structure = source.structure_column(self.smiles_column or options.get("smiles_column"))
        if options.get("smiles_column") is None:
            self._structure = None
        elif source.structure == "smiles" and self._structure is not None:
            source.require(self._structure, "--smiles-column")
            require_text(source, self._structure, "--smiles-column")
        if self.id_column is None:
            known = [name for name in (options.get("id_column"), "id") if name in source.column_names]
            self.id_column = known[0] if known else None
        if self.id_column is not None:
            source.require(self.id_column, "--id-column")
            require_ids(source, self.id_column, "--id-column")
        features = self.library.spec
        if isinstance(features, DenseFeatures):
            source.require(features.column, "features.column")
            check_dense_column(source.column_type(features.column), features, str(source.file))
        else:
            for name in features.context_columns:
                source.require(name, "context_columns")
                require_ids(source, name, "context_columns")
        self._columns, self._assays, self.missing = {}, {}, {}
        for block in self._added():
            if block.source == "descriptors":
                self._check_descriptors(block)
                continue
            if block.source == "history":
                self._plan_history(block)
                continue
            seen = self._seen(block)
            self._columns[block.name] = columns = block_columns(block, seen, source)
            found = {place for column in columns.values() for place in column.places.tolist()}
            if lost := tuple(c.name for place, c in enumerate(block.columns) if c.name in seen and place not in found):
                self.missing[block.name] = lost
        if self.history is not None and self._earlier is None:
            raise InputFileError("the models see no earlier readouts", str(self.history.file), "leave --history out")

    def rows(self, n_processes: int = 1) -> Iterator[OutsideRows]:
        """All records of the source in order, some thousand at a time.

        Raises
        ------
        InputFileError
            If the source cannot be read on.
        ResourceError
            If a process died.
        """
        for piece, (prepared, descriptors) in done(prepare_outside, self._pieces(), n_processes):
            yield self._finish(piece, prepared, descriptors)

    def _added(self) -> list[BlockDescription]:
        return [block for block in self.library.added_blocks if block.name in self.blocks]

    @property
    def n_with_history(self) -> int | None:
        """Compounds so far of which `history` has a readout; None without it."""
        return None if self._earlier is None else self._earlier.n_found

    def _seen(self, block: BlockDescription) -> Sequence[str]:
        return self.seen.get(block.name, [column.name for column in block.columns])

    def _plan_history(self, block: BlockDescription) -> None:
        self._assays[block.name] = assays = assays_of(block)
        seen = self._seen(block)
        wanted = [assay.name for assay in assays if any(column in seen for column in assay.columns)]
        if self.history is not None:
            smiles = self.smiles_column or self.library.metadata["options"].get("smiles_column")
            self._earlier = EarlierReadouts(self.library, assays, wanted, self.history, self.id_column, smiles)
            names = self._earlier.names
        else:
            self._own_assays = names = [name for name in wanted if name in self.source.column_names]
            for name in names:
                self.source.require(name, f"assay of block {block.name!r}")
                if not pa.types.is_null(self.source.column_type(name)):
                    require_plain(self.source, name)
        if lost := tuple(name for name in wanted if name not in names):
            self.missing[block.name] = lost

    def _check_descriptors(self, block: BlockDescription) -> None:
        version = descriptor_set(block.definition["descriptors"]).version
        if block.definition.get("version") != version:
            raise LibraryError(
                f"block {block.name!r} holds descriptors of version {block.definition.get('version')}, and what is "
                f"installed computes version {version}",
                str(self.library.path),
                "predict with the version of isd_ray, or of the package, that built it",
            )

    def _pieces(self) -> Iterable[_Piece]:
        features = self.library.spec
        fingerprints = features.model_copy(update={"contexts": ()}) if isinstance(features, OnBitFeatures) else None
        wanted = OutsideOptions(
            MoleculeOptions.like(self.library.metadata["options"], self.source.structure, fingerprints),
            describes=tuple(b.definition["descriptors"] for b in self._added() if b.source == "descriptors"),
        )
        columns = [self._structure, self.id_column]
        columns += [features.column] if isinstance(features, DenseFeatures) else features.context_columns
        columns += [name for block in self._columns.values() for name in block]
        columns += self._own_assays
        names = list(dict.fromkeys(name for name in columns if name is not None))
        for records in self.source.read(names):
            for start in range(0, len(records), CHUNK_ROWS):
                part = _part(records, start, min(start + CHUNK_ROWS, len(records)))
                n = len(part)
                texts = as_text(part.table[self._structure]).to_pylist() if self._structure else [None] * n
                structures = [None if i in part.problems else text for i, text in enumerate(texts)]
                label = f"{self.source.file}, records {part.first} to {part.first + n - 1}"
                yield _Piece(part, self._ids(part), structures, wanted, label)

    def _ids(self, records: Records) -> list[str | None]:
        if self.id_column is None:
            return [str(number) for number in range(records.first, records.first + len(records))]
        ids: list[str | None] = ids_as_text(records.table[self.id_column]).to_pylist()
        return ids

    def _finish(
        self, piece: _Piece, prepared: PreparedChunk, descriptors: Mapping[str, NDArray[np.float64]]
    ) -> OutsideRows:
        table, features, n = piece.records.table, self.library.spec, len(piece.records)
        reasons: dict[int, str] = dict(prepared.reasons) if self._structure else {}
        dense: Dense | None = None
        encoder = ContextEncoder(features)
        contexts, without = encoder.encode(table)
        reasons = without | reasons
        if isinstance(features, DenseFeatures):
            dense, no_vector = dense_rows(table[features.column], features)
            reasons |= no_vector
        values: dict[str, NDArray[np.float64]] = {}
        for name, columns in self._columns.items():
            values[name], wrong = read_block(table, columns, self.library.block_width(name))
            reasons |= wrong
        if self._earlier is None:
            for name, assays in self._assays.items():
                values[name] = block_values(assays, own_scores(assays, table, reasons), n)
        reasons |= piece.records.problems
        is_kept = np.ones(n, np.bool_)
        is_kept[list(reasons)] = False
        kept = np.flatnonzero(is_kept)
        among = np.searchsorted(prepared.passed, kept) if self._structure else np.arange(len(kept))
        smiles: list[str | None] = [prepared.canonical[i] if self._structure else None for i in among.tolist()]
        made: dict[str, Block] = {}
        main = self.library.block_names[0]
        if dense is not None:
            made[main] = dense.take(kept)
        else:
            assert prepared.features is not None, "on-bits are made of structures"
            made[main] = encoder.append(prepared.features.take(among), contexts[kept])
        earlier = self._earlier
        for name, assays in self._assays.items():
            if earlier is None:
                break
            keys = smiles if earlier.by_structure else [piece.ids[index] for index in kept.tolist()]
            values[name] = np.full((n, self.library.block_width(name)), np.nan)
            values[name][kept] = block_values(assays, earlier.of(keys), len(kept))
        for block in self._added():
            is_computed = block.source == "descriptors"
            raw = descriptors[block.definition["descriptors"]] if is_computed else values[block.name]
            made[block.name] = _stored(block, raw[among if is_computed else kept])
        made[TEXTS] = Texts(np.array(smiles, object))
        names = dict.fromkeys((main, *self.blocks))
        return OutsideRows(
            piece.records.lines, piece.ids, reasons, kept, smiles, FeatureBlocks({name: made[name] for name in names})
        )


def prepare_outside(
    structures: list[str | None], options: OutsideOptions
) -> tuple[PreparedChunk, dict[str, NDArray[np.float64]]]:
    """Prepare structures, and compute the sets of descriptors, (m, columns) each, of those that passed."""
    prepared = prepare_chunk(structures, options.molecules)
    found = {name: descriptor_set(name).of(list(prepared.canonical)) for name in options.describes}
    return prepared, {name: np.where(np.isinf(values), np.nan, values) for name, values in found.items()}


def fingerprints_of(library: Library, smiles: Sequence[str]) -> tuple[OnBits, NDArray[np.int64]]:
    """Fingerprints of canonical SMILES, and the indices of those that RDKit reads; contexts are not among them."""
    features = library.spec
    assert isinstance(features, OnBitFeatures), "of a library with fingerprints"
    wanted = replace(MoleculeOptions.like(library.metadata["options"], "smiles", features), drop_single_atoms=False)
    prepared = prepare_chunk(list(smiles), wanted)
    assert prepared.features is not None, "asked for"
    return prepared.features, prepared.passed


def _part(records: Records, start: int, stop: int) -> Records:
    problems = {i - start: why for i, why in records.problems.items() if start <= i < stop}
    lines, table = records.lines[start:stop], records.table.slice(start, stop - start)
    return Records(table, records.first + start, lines, records.share, problems)


def _stored(block: BlockDescription, raw: NDArray[np.float64]) -> Dense:
    """What the library would have stored of raw values (n, width)."""
    if block.source == "history":
        return Dense(raw.astype(np.float32).astype(np.float16))  # scores are no logarithms
    mean, sd = (np.array([getattr(column, name) for column in block.columns]) for name in ("mean", "sd"))
    return Dense(standardise(raw, mean, sd))
