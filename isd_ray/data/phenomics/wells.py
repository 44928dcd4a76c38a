"""Wells and their embeddings: what stands in the well table, and the vectors as a stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from isd_ray.config import DenseFeatures, PhenomicsConfig
from isd_ray.config.patterns import named
from isd_ray.data.ingest.dense import check_dense_column, dense_rows
from isd_ray.data.ingest.sources import Source
from isd_ray.errors import InputFileError

Codes = NDArray[np.int64]
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Perturbations:
    """What wells were perturbed with, on two levels.

    Attributes
    ----------
    of_well:
        int64 (n,): index in `names`, -1 where a well has none.
    names:
        Names; of guides "gene guide", of concentrations "compound concentration".
    parents:
        int64, one for each name: index in `groups`.
    groups:
        Genes, or compounds.
    """

    of_well: Codes
    names: tuple[str, ...]
    parents: Codes
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wells:
    """The well table, n wells in the order of its file.

    Attributes
    ----------
    experiment, plate:
        int64 (n,): codes; -1 where it is not said. Plates of two experiments have different codes.
    experiments:
        Names of the experiments by code.
    is_control:
        bool (n,): unperturbed cells.
    guides, concentrations:
        Genes by guide, and compounds by concentration; controls have neither.
    """

    experiment: Codes
    plate: Codes
    experiments: tuple[str, ...]
    is_control: NDArray[np.bool_]
    guides: Perturbations
    concentrations: Perturbations

    def __len__(self) -> int:
        return len(self.experiment)


def read_wells(source: Source, config: PhenomicsConfig) -> Wells:
    """Read the well table; embeddings are left alone.

    Raises
    ------
    InputFileError
        If a column is missing, no well is a control, or there is no gene or no compound.
    """
    keys = {
        key: getattr(config, key)
        for key in ("experiment", "plate", "kind", "gene", "guide", "compound", "concentration", "control")
    }
    named = {key: column for key, column in keys.items() if column}
    for key, column in named.items():
        source.require(column, f"phenomics.{key}")
    coded = _read_codes(source, tuple(dict.fromkeys(named.values())))
    codes = {key: coded[column] for key, column in named.items()}
    n = len(codes["experiment"][0])
    constant = (np.zeros(n, np.int64), ("",))
    is_control = _is_among(codes["control"], config.controls)
    _refuse_absent(is_control, "control", codes["control"], config.controls, source)

    def perturbations(kinds: Sequence[str], group: str, member: str, key: str) -> Perturbations:
        chosen = _is_among(codes["kind"], kinds)
        _refuse_absent(chosen & ~is_control, "kind", codes["kind"], kinds, source, key)
        return _perturbations(chosen & ~is_control, codes[group], codes.get(member, constant))

    (experiment, experiments), (plate, _) = codes["experiment"], codes["plate"]
    return Wells(
        experiment,
        np.where((experiment < 0) | (plate < 0), -1, combined(experiment, plate)),
        experiments,
        is_control,
        perturbations(config.gene_kinds, "gene", "guide", "gene_kinds"),
        perturbations(config.compound_kinds, "compound", "concentration", "compound_kinds"),
    )


def combined(first: Codes, second: Codes) -> Codes:
    """Codes 0 … m - 1 of the pairs that occur, ordered by both."""
    pairs = first * (int(second.max(initial=0)) + 1) + second
    inverse: Codes = np.unique(pairs, return_inverse=True)[1].astype(np.int64)
    return inverse


def _read_codes(source: Source, columns: tuple[str, ...]) -> dict[str, tuple[Codes, tuple[str, ...]]]:
    chunks: dict[str, list[pa.Array]] = {column: [] for column in columns}
    for records in source.read(columns):
        for column, pieces in chunks.items():
            # A dictionary in each chunk at once: the texts of millions of wells are never held together.
            pieces += records.table[column].dictionary_encode().chunks
    result = {}
    for column, pieces in chunks.items():
        whole = pa.chunked_array(pieces).unify_dictionaries()
        codes = [chunk.indices.fill_null(-1).to_numpy().astype(np.int64) for chunk in whole.chunks]
        names = whole.chunk(0).dictionary.cast(pa.string()).to_pylist() if whole.num_chunks else []
        result[column] = (np.concatenate(codes), tuple(names))
    return result


def _is_among(coded: tuple[Codes, tuple[str, ...]], values: Sequence[str]) -> NDArray[np.bool_]:
    codes, names = coded
    return np.isin(codes, [place for place, name in enumerate(names) if name in values])


def _refuse_absent(
    chosen: NDArray[np.bool_],
    key: str,
    coded: tuple[Codes, tuple[str, ...]],
    values: Sequence[str],
    source: Source,
    of: str = "controls",
) -> None:
    if not chosen.any():
        shown = ", ".join(map(repr, coded[1][:_SHOWN]))
        raise InputFileError(
            f"no well has {key} {', '.join(map(repr, values))}; there are {shown} …",
            str(source.file),
            f"set phenomics.{key} and phenomics.{of}",
        )


def _perturbations(
    chosen: NDArray[np.bool_], group: tuple[Codes, tuple[str, ...]], member: tuple[Codes, tuple[str, ...]]
) -> Perturbations:
    (groups, group_names), (members, member_names) = group, member
    wells = np.flatnonzero(chosen & (groups >= 0) & (members >= 0))
    of_well = np.full(len(chosen), -1)
    of_well[wells] = combined(groups[wells], members[wells])
    first = wells[np.unique(of_well[wells], return_index=True)[1]]
    used, parents = np.unique(groups[first], return_inverse=True)
    names = [
        f"{group_names[g]} {member_names[m]}".strip()
        for g, m in zip(groups[first].tolist(), members[first].tolist(), strict=True)
    ]
    return Perturbations(of_well, tuple(names), parents.astype(np.int64), tuple(group_names[g] for g in used))


class Embeddings:
    """The embeddings of wells as a stream, in the order of their file.

    Parameters
    ----------
    source:
        Where they are.
    config:
        Names the columns.
    metadata:
        The well table where it is another file, joined by the column `config.well`; then an embedding without a line
        there is passed over.

    Raises
    ------
    InputFileError
        If columns are missing or hold no vectors or numbers, or a well occurs twice.
    """

    def __init__(self, source: Source, config: PhenomicsConfig, metadata: Source | None = None) -> None:
        self._source = source
        self._columns = _embedding_columns(source, config)
        self._at = None if metadata is None else _joined(source, metadata, config.well)
        kind = source.column_type(self._columns[0])
        self._is_vector = not (pa.types.is_floating(kind) or pa.types.is_integer(kind))
        self.width = len(self._columns)
        if self._is_vector:
            check_dense_column(kind, DenseFeatures(column=self._columns[0], width=1), str(source.file))
            head = next(iter(source.read(self._columns))).table[0]
            self.width = int(pc.max(pc.list_value_length(head)).as_py() or 1)

    def __iter__(self) -> Iterator[tuple[Codes, NDArray[np.float32]]]:
        """Indices in the well table, int64 (m,), and embeddings, float32 (m, d), NaN throughout where unusable."""
        for records in self._source.read(self._columns):
            first = records.first - 1
            wells = np.arange(first, first + len(records)) if self._at is None else self._at[first:][: len(records)]
            vectors = self._vectors(records.table)
            yield wells[wells >= 0], vectors[wells >= 0]

    def _vectors(self, table: pa.Table) -> NDArray[np.float32]:
        if self._is_vector:
            dense, reasons = dense_rows(table[0], DenseFeatures(column=self._columns[0], width=self.width))
            vectors = np.asarray(dense.values, np.float32)
            vectors[list(reasons)] = np.nan
            return vectors
        vectors = np.empty((table.num_rows, self.width), np.float32)
        for place, column in enumerate(table.columns):
            vectors[:, place] = column.to_numpy()
        vectors[~np.isfinite(vectors).all(axis=1)] = np.nan
        return vectors


def _embedding_columns(source: Source, config: PhenomicsConfig) -> tuple[str, ...]:
    names = source.column_names
    found = tuple(dict.fromkeys(n for pattern in config.embedding for n in named(pattern, names)))
    if not found:
        raise InputFileError(
            f"no column is called {', '.join(map(repr, config.embedding))}; there are "
            f"{', '.join(map(repr, names[:_SHOWN]))} …",
            str(source.file),
            "set phenomics.embedding to the column of vectors, or a pattern of columns of numbers",
        )
    kinds = [source.column_type(name) for name in found]
    numbers = [pa.types.is_floating(kind) or pa.types.is_integer(kind) for kind in kinds]
    if len(found) > 1 and not all(numbers):
        wrong = found[numbers.index(False)]
        raise InputFileError(
            f"column {wrong!r} holds no numbers",
            str(source.file),
            "let phenomics.embedding name one column of vectors, or columns of numbers only",
        )
    return found


def _joined(source: Source, metadata: Source, column: str) -> Codes:
    """Line in the well table of each embedding, -1 where there is none: int64 (n,)."""
    wells = []
    for file in (source, metadata):
        file.require(column, "phenomics.well")
        chunks = [chunk for records in file.read((column,)) for chunk in records.table[column].chunks]
        ids = pa.chunked_array(chunks).cast(pa.string()).combine_chunks()
        n_doubled = len(ids) - len(ids.unique())
        if n_doubled:
            raise InputFileError(
                f"{n_doubled} lines repeat a well of another line", str(file.file), "keep one line for each well"
            )
        wells.append(ids)
    found: Codes = pc.index_in(wells[0], value_set=wells[1]).fill_null(-1).to_numpy().astype(np.int64)
    if (found < 0).all():
        raise InputFileError(
            f"no well of the embeddings ({wells[0][0]} …) is in the well table ({wells[1][0]} …)",
            str(metadata.file),
            "set phenomics.well to the column with the ids of wells",
        )
    return found
