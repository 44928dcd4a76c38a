"""What a build will do, settled before the first record: sources, their columns, the types of kept columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from isd_ray.chem.parents import require_chembl
from isd_ray.config import DenseFeatures, LibraryConfig, OnBitFeatures
from isd_ray.data.ingest.columns import (
    ColumnKind,
    common_kind,
    ids_as_text,
    is_simple,
    is_texts,
    text_kind,
    typed_kind,
)
from isd_ray.data.ingest.contexts import ContextEncoder, collect_contexts
from isd_ray.data.ingest.dense import check_dense_column
from isd_ray.data.ingest.records import Records
from isd_ray.data.ingest.sources import Source, open_source, resolve_sources
from isd_ray.data.layout import RESERVED_COLUMNS
from isd_ray.errors import ConfigError, InputFileError


@dataclass(frozen=True, slots=True)
class PlannedSource:
    """One source, the columns to read, which of them hold structure and id, and what precedes record numbers."""

    source: Source
    columns: tuple[str, ...]
    structure: str | None
    id_column: str | None
    id_prefix: str


@dataclass(slots=True)
class BuildPlan:
    """All that a build needs to know.

    Attributes
    ----------
    config:
        Of the library, with the values of its contexts.
    kept:
        The further columns and their types.
    """

    config: LibraryConfig
    sources: list[PlannedSource]
    kept: dict[str, ColumnKind]

    @property
    def has_structures(self) -> bool:
        """Whether there are SMILES or mol blocks at all."""
        return self.sources[0].structure is not None

    @property
    def columns(self) -> dict[str, ColumnKind]:
        """Columns of the library beside those that each has, and their types: kept ones, then descriptors."""
        return {**self.kept, **dict.fromkeys(self.config.descriptor_columns, "float64")}

    @property
    def fingerprints(self) -> OnBitFeatures | None:
        """The fingerprints to make of structures, None for dense features."""
        features = self.config.features
        return features.model_copy(update={"contexts": ()}) if isinstance(features, OnBitFeatures) else None

    @property
    def contexts(self) -> ContextEncoder:
        """What makes on-bits of the contexts."""
        return ContextEncoder(self.config.features)

    @property
    def hash_by(self) -> Literal["smiles", "tautomer", "features"] | None:
        """What tells duplicates, None when they are kept."""
        return None if self.config.duplicates == "keep" else self.config.duplicates_by


def library_columns(config: LibraryConfig) -> list[str]:
    """Further columns of the source that the library keeps: `columns`, contexts, and the one that the split looks at.

    Raises
    ------
    ConfigError
        If one has the name of a column that every library has.
    """
    columns = list(dict.fromkeys([*config.columns, *config.context_columns]))
    if config.split is not None and config.split.column is not None and config.split.column not in columns:
        columns.append(config.split.column)
    taken = [name for name in columns if name in (*RESERVED_COLUMNS, *config.descriptor_columns)]
    if taken:
        raise ConfigError(
            f"column {taken[0]!r} cannot be kept under this name: the library has its own",
            "library.columns",
            f"rename it in the source; taken: {', '.join((*RESERVED_COLUMNS, *config.descriptor_columns))}",
        )
    return columns


def open_sources(config: LibraryConfig, base_dir: Path) -> list[Source]:
    """The library's source files, resolved and opened.

    Raises
    ------
    InputFileError
        If one is missing, empty, or of unknown format.
    ConfigError
        If `source` is not set.
    """
    if config.source is None:
        raise ConfigError("no source to build from", "library.source", "name the file with the compounds")
    paths = [config.source] if isinstance(config.source, str) else list(config.source)
    files = [file for path in paths for file in resolve_sources(path, base_dir, "library.source")]
    columns = (config.smiles_column, config.id_column, *config.columns)
    return [open_source(file, config.format, columns) for file in files]


def id_prefixes(sources: Sequence[Source], *, is_addition: bool = False) -> list[str]:
    """What precedes record numbers used as ids: nothing for one source, ``stem:`` for several, or for an addition.

    Raises
    ------
    InputFileError
        If two sources would share a prefix.
    """
    if len(sources) == 1 and not is_addition:
        return [""]
    stems = [source.file.name.split(".", 1)[0] for source in sources]
    repeated = sorted({stem for stem in stems if stems.count(stem) > 1})
    if repeated:
        raise InputFileError(
            f"several sources are called {repeated[0]!r}, so that their record numbers would be the same ids",
            "library.source",
            "set id_column, or rename one of the files",
        )
    return [f"{stem}:" for stem in stems]


def plan_build(config: LibraryConfig, base_dir: Path, kinds: Mapping[str, ColumnKind] | None = None) -> BuildPlan:
    """Open and check the sources.

    Parameters
    ----------
    kinds:
        Types of the columns of the library that compounds are added to.

    Raises
    ------
    InputFileError, ConfigError
        As told by `build_library`.
    """
    if config.parent == "chembl" and config.standardise:
        require_chembl()
    sources = open_sources(config, base_dir)
    extra = library_columns(config)
    prefixes = [""] * len(sources)
    if config.id_column is None:
        prefixes = id_prefixes(sources, is_addition=kinds is not None)
    planned = []
    for source, prefix in zip(sources, prefixes, strict=True):
        structure = source.structure_column(config.smiles_column)
        if structure is not None and structure == config.smiles_column:
            source.require(structure, "smiles_column")
            require_text(source, structure, "smiles_column")
        if config.id_column is not None:
            source.require(config.id_column, "id_column")
            require_ids(source, config.id_column, "id_column")
        for name in extra:
            role = "context_columns" if name in config.context_columns else "columns"
            source.require(name, role)
            if source.typed:
                typed_kind(source.column_type(name), name, str(source.file))
        columns = [structure, config.id_column, *extra]
        if isinstance(config.features, DenseFeatures):
            source.require(config.features.column, "features.column")
            check_dense_column(source.column_type(config.features.column), config.features, str(source.file))
            columns.append(config.features.column)
        names = tuple(dict.fromkeys(name for name in columns if name is not None))
        planned.append(PlannedSource(source, names, structure, config.id_column, prefix))
    if isinstance(config.features, OnBitFeatures) and config.context_columns and not config.features.contexts:
        contexts = collect_contexts(sources, config.context_columns)
        config = config.model_copy(update={"features": config.features.model_copy(update={"contexts": contexts})})
    return BuildPlan(config, planned, _kept_kinds(planned, extra, kinds))


def compounds(records: Records, id_column: str | None, structure: str | None) -> NDArray[np.bool_]:
    """Which records may be compounds: rows of units and words below a header, without id or structure, are none.

    Their values must not decide what type a column has.
    """
    is_compound = np.ones(len(records), dtype=np.bool_)
    is_compound[list(records.problems)] = False
    for name in (id_column, structure):
        if name is not None:
            is_compound &= ids_as_text(records.table[name]).is_valid().to_numpy(zero_copy_only=False)
    return is_compound


def _kept_kinds(
    sources: Sequence[PlannedSource], columns: list[str], wanted: Mapping[str, ColumnKind] | None
) -> dict[str, ColumnKind]:
    """Types of kept columns over all sources; text columns are read once to see whether they are numbers.

    Raises
    ------
    InputFileError
        If a column does not fit the type that is asked for.
    """
    kinds: dict[str, ColumnKind | None] = dict.fromkeys(columns)
    for planned in sources:
        source = planned.source
        if source.typed:
            for name in columns:
                kinds[name] = common_kind(kinds[name], typed_kind(source.column_type(name), name, str(source.file)))
            continue
        if not columns:
            continue
        asked = [*columns, *([planned.id_column] if planned.id_column else [])]
        # A structure in SDF is a whole mol block, and a record without one is a problem already.
        structure = planned.structure if source.structure == "smiles" else None
        for records in source.read(tuple(dict.fromkeys([*asked, *([structure] if structure else [])]))):
            is_compound = pa.array(compounds(records, planned.id_column, structure))
            for name in columns:
                kinds[name] = common_kind(kinds[name], text_kind(records.table[name].filter(is_compound)))
    if wanted is None:
        return {name: kind or "string" for name, kind in kinds.items()}
    for name, kind in kinds.items():
        if common_kind(kind, wanted[name]) != wanted[name]:
            raise InputFileError(
                f"column {name!r} holds {kind}, and the library keeps it as {wanted[name]}",
                ", ".join(str(planned.source.file) for planned in sources),
                "mend its values, or build a new library from all files",
            )
    return {name: wanted[name] for name in kinds}


def require_text(source: Source, name: str, role: str) -> None:
    """Raise InputFileError unless a column is text, or bytes that may be text."""
    kind = source.column_type(name)
    if source.typed and not is_texts(kind):
        raise InputFileError(
            f"{role} = {name!r} holds {kind}, and structures are text", str(source.file), f"set {role} to the SMILES"
        )


def require_ids(source: Source, name: str, role: str) -> None:
    """Raise InputFileError unless a column is text or numbers, which ids can be."""
    kind = source.column_type(name)
    if source.typed and not (is_texts(kind) or is_simple(kind)):
        raise InputFileError(
            f"{role} = {name!r} holds {kind}, which is no id", str(source.file), f"set {role} to a column of text"
        )


def record_ids(table: pa.Table, planned: PlannedSource, first: int, n: int) -> pa.Array:
    """Ids of n records as strings, null where a record has none."""
    if planned.id_column is None:
        numbers = pc.cast(pa.array(np.arange(first, first + n)), pa.string())
        return pc.binary_join_element_wise(planned.id_prefix, numbers, "") if planned.id_prefix else numbers
    ids = ids_as_text(table[planned.id_column])
    return ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids
