"""Compounds outside a library, prepared as those inside it: the same structures, fingerprints and blocks of features.

Nothing of the library is read but its description, which holds all that the preparation follows from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from isd_ray.chem.descriptor_sets import descriptor_set
from isd_ray.config import DenseFeatures, OnBitFeatures
from isd_ray.core.features import Block, Dense, FeatureBlocks, OnBits, Texts
from isd_ray.data.blocks.assays import Assay
from isd_ray.data.blocks.description import TEXTS, BlockDescription
from isd_ray.data.blocks.standard import standardise
from isd_ray.data.ingest.columns import NULL_WORDS, ids_as_text
from isd_ray.data.ingest.contexts import ContextEncoder
from isd_ray.data.ingest.dense import check_dense_column, dense_rows
from isd_ray.data.ingest.molecules import CHUNK_ROWS, MoleculeOptions, PreparedChunk, done, prepare_chunk
from isd_ray.data.ingest.records import Records, Source
from isd_ray.data.library import Library
from isd_ray.data.outside_history import EarlierReadouts, assay_values, assays_of
from isd_ray.errors import LibraryError

_VECTOR = re.compile(r"(?P<column>.+)\[(?P<place>\d+)\]")
"""How a block names the numbers of a column of vectors."""


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

    Attributes
    ----------
    missing:
        Columns of blocks that the source does not bring, by block: their values are missing throughout.

    Raises
    ------
    InputFileError
        If the source lacks the structures, a context, or the vectors that are the library's main features; or
        `history` cannot be used.
    LibraryError
        If a block holds descriptors that this version computes otherwise.
    """

    library: Library
    blocks: Sequence[str]
    source: Source
    smiles_column: str | None = None
    id_column: str | None = None
    history: Source | None = None
    missing: dict[str, tuple[str, ...]] = field(init=False)
    _structure: str | None = field(init=False)
    _columns: dict[str, dict[str, NDArray[np.int64]]] = field(init=False)
    _assays: dict[str, tuple[Assay, ...]] = field(init=False)
    _earlier: EarlierReadouts | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        options, source = self.library.metadata["options"], self.source
        self._structure = source.structure_column(self.smiles_column or options.get("smiles_column"))
        if options.get("smiles_column") is None:
            self._structure = None
        elif source.structure == "smiles" and self._structure is not None:
            source.require(self._structure, "--smiles-column")
        if self.id_column is not None:
            source.require(self.id_column, "--id-column")
        else:
            known = [name for name in (options.get("id_column"), "id") if name in source.column_names]
            self.id_column = known[0] if known else None
        features = self.library.spec
        if isinstance(features, DenseFeatures):
            source.require(features.column, "features.column")
            check_dense_column(source.column_type(features.column), features, str(source.file))
        else:
            for name in features.context_columns:
                source.require(name, "context_columns")
        self._columns, self._assays, self.missing = {}, {}, {}
        for block in self._added():
            if block.source == "descriptors":
                self._check_descriptors(block)
                continue
            if block.source == "history":
                self._plan_history(block)
                continue
            self._columns[block.name] = _columns_of(block, source.column_names)
            found = {place for places in self._columns[block.name].values() for place in places[places >= 0].tolist()}
            if lost := tuple(column.name for place, column in enumerate(block.columns) if place not in found):
                self.missing[block.name] = lost

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

    def _plan_history(self, block: BlockDescription) -> None:
        self._assays[block.name] = assays = assays_of(block)
        names = [assay.name for assay in assays if assay.name in self.source.column_names]
        if self.history is not None:
            smiles = self.smiles_column or self.library.metadata["options"].get("smiles_column")
            self._earlier = EarlierReadouts(self.library, assays, self.history, self.id_column, smiles)
            names = self._earlier.names
        if lost := tuple(assay.name for assay in assays if assay.name not in names):
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
        features, options = self.library.spec, self.library.metadata["options"]
        fingerprints = features.model_copy(update={"contexts": ()}) if isinstance(features, OnBitFeatures) else None
        wanted = OutsideOptions(
            MoleculeOptions(
                structure=self.source.structure,
                fingerprints=fingerprints,
                standardise=options["standardise"],
                drop_single_atoms=options["drop_single_atoms"],
                hash_by=None,
            ),
            describes=tuple(b.definition["descriptors"] for b in self._added() if b.source == "descriptors"),
        )
        columns = [self._structure, self.id_column]
        columns += [features.column] if isinstance(features, DenseFeatures) else features.context_columns
        columns += [name for block in self._columns.values() for name in block]
        assays = (assay.name for block in self._assays.values() for assay in block) if self._earlier is None else ()
        columns += [name for name in assays if name in self.source.column_names]
        names = list(dict.fromkeys(name for name in columns if name is not None))
        for records in self.source.read(names):
            for start in range(0, len(records), CHUNK_ROWS):
                part = _part(records, start, min(start + CHUNK_ROWS, len(records)))
                n = len(part)
                texts = part.table[self._structure].to_pylist() if self._structure else [None] * n
                structures = [None if text is None or i in part.problems else str(text) for i, text in enumerate(texts)]
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
            values[name], wrong = _read(table, columns, self.library.block_width(name))
            reasons |= wrong
        if self._earlier is None:
            for name, assays in self._assays.items():
                there = {a.name: table[a.name].to_pylist() for a in assays if a.name in table.column_names}
                values[name] = assay_values(assays, there, n, reasons)
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
            values[name][kept] = assay_values(assays, earlier.of(keys), len(kept))
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
    features, options = library.spec, library.metadata["options"]
    assert isinstance(features, OnBitFeatures), "of a library with fingerprints"
    wanted = MoleculeOptions("smiles", features, options["standardise"], drop_single_atoms=False, hash_by=None)
    prepared = prepare_chunk(list(smiles), wanted)
    assert prepared.features is not None, "asked for"
    return prepared.features, prepared.passed


def _part(records: Records, start: int, stop: int) -> Records:
    problems = {i - start: why for i, why in records.problems.items() if start <= i < stop}
    lines, table = records.lines[start:stop], records.table.slice(start, stop - start)
    return Records(table, records.first + start, lines, records.share, problems)


def _columns_of(block: BlockDescription, there: Sequence[str]) -> dict[str, NDArray[np.int64]]:
    """Columns of a file that a block is made of, and where in the block each of their numbers goes (-1: nowhere)."""
    found: dict[str, dict[int, int]] = {}
    for place, column in enumerate(block.columns):
        vector = _VECTOR.fullmatch(column.name)
        if column.name in there:
            found.setdefault(column.name, {})[0] = place
        elif vector is not None and vector["column"] in there:
            found.setdefault(vector["column"], {})[int(vector["place"])] = place
    return {
        name: np.array([places.get(number, -1) for number in range(max(places) + 1)], np.int64)
        for name, places in found.items()
    }


def _read(
    table: pa.Table, columns: Mapping[str, NDArray[np.int64]], width: int
) -> tuple[NDArray[np.float64], dict[int, str]]:
    """Raw values of a block (n, width), NaN where missing; and which records hold what is no number, by index."""
    values, wrong = np.full((len(table), width), np.nan), dict[int, str]()
    for name, places in columns.items():
        column = table[name]
        is_list = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
        if is_list or pa.types.is_fixed_size_list(column.type):
            for index, vector in enumerate(column.to_pylist()):
                if vector is not None and len(vector) != len(places):
                    wrong[index] = f"column {name} has a vector of {len(vector)} instead of {len(places)} values"
                elif vector is not None:
                    values[index, places] = [np.nan if number is None else number for number in vector]
        else:
            values[:, places[0]] = _numbers(name, column, wrong)
    for index in np.flatnonzero(np.isinf(values).any(axis=1)).tolist():
        wrong.setdefault(index, "an infinite value")
    return values, wrong


def _numbers(name: str, column: pa.ChunkedArray, wrong: dict[int, str]) -> NDArray[np.float64]:
    try:
        numbers: NDArray[np.float64] = pc.cast(column, pa.float64()).fill_null(np.nan).to_numpy()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        numbers = np.full(len(column), np.nan)
        for index, value in enumerate(column.to_pylist()):
            text = "" if value is None else str(value).strip()
            if text in NULL_WORDS:
                continue
            try:
                numbers[index] = float(text)
            except ValueError:
                wrong[index] = f"column {name} holds {text!r}, no number"
    return numbers


def _stored(block: BlockDescription, raw: NDArray[np.float64]) -> Dense:
    """What the library would have stored of raw values (n, width)."""
    if block.source == "history":
        return Dense(raw.astype(np.float32).astype(np.float16))  # scores are no logarithms
    mean, sd = (np.array([getattr(column, name) for column in block.columns]) for name in ("mean", "sd"))
    return Dense(standardise(raw, mean, sd))
