"""Reading label columns of a file: one label for each compound id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from isd_ray.config import LabelsConfig, LibraryConfig
from isd_ray.core.censored import Number, interval, mark_of, parse_number
from isd_ray.data.commas import remedy_for_commas
from isd_ray.data.ingest.columns import (
    NULL_WORDS,
    ColumnKind,
    common_kind,
    convert,
    has_leading_zero,
    text_kind,
    trimmed,
    typed_kind,
)
from isd_ray.data.ingest.plan import PlannedSource, compounds, id_prefixes, open_sources, record_ids, require_ids
from isd_ray.data.ingest.sources import Source, open_source, resolve_source
from isd_ray.errors import InputFileError, LabelError

N_SHOWN = 5
"""Examples in a message."""


@dataclass(frozen=True, slots=True)
class LabelTable:
    """Labels of compounds as they stand in the file; each id once.

    Attributes
    ----------
    column:
        Where the labels stand.
    ids:
        Compound ids (string), m of them.
    values:
        Labels: float64, or string where they are words; null where there is none. Shape (m,).
    lines:
        int64, shape (m,): line of each in its file.
    file:
        Where they come from, for messages.
    censored:
        Of numbers: those that are bounds, as they came, by index; `values` has the number alone.
    """

    config: LabelsConfig
    column: str
    ids: pa.Array
    values: pa.Array
    lines: NDArray[np.int64]
    file: str
    censored: Mapping[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def is_numeric(self) -> bool:
        """Whether labels are numbers."""
        return bool(pa.types.is_floating(self.values.type))

    def numbers(self) -> NDArray[np.float64]:
        """Labels as float64, shape (m,); NaN where missing, and throughout for words."""
        if not self.is_numeric:
            return np.full(len(self), np.nan)
        numbers: NDArray[np.float64] = self.values.fill_null(np.nan).to_numpy(zero_copy_only=False)
        return numbers

    def ends(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Between which numbers each label lies, both included: float64, twice shape (m,); NaN as in `numbers`."""
        low, high = self.numbers().copy(), self.numbers().copy()
        for index, text in self.censored.items():
            low[index], high[index] = interval(low[index], mark_of(text))
        return low, high

    def examples(self, indices: Iterable[int]) -> str:
        """The first few labels among `indices`, with line and id, for messages."""
        shown = [int(index) for index in list(indices)[:N_SHOWN]]
        return "; ".join(
            f"line {self.lines[i]} (id {self.ids[i].as_py()!r}): {self.censored.get(i, self.values[i].as_py())!r}"
            for i in shown
        )


def as_numbers(table: LabelTable) -> LabelTable:
    """The table with numbers for words, of which some may be bounds.

    Raises
    ------
    LabelError
        If one is neither.
    """
    if table.is_numeric:
        return table
    words = table.values.dictionary_encode()
    numbers = [_number(word) for word in words.dictionary.to_pylist()]
    codes = words.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    if None in numbers:
        wrong = np.flatnonzero(np.array([number is None for number in (*numbers, Number(0.0))])[codes])
        raise LabelError(
            f"labels in column {table.column!r} are not numbers: {table.examples(wrong)}",
            table.file,
            remedy_for_commas(words := table.values.drop_null().to_pylist()) or _remedy_for_words(words),
        )
    known = [number for number in numbers if number is not None]
    values = np.array([*(number.number for number in known), np.nan])[codes]
    is_bound = np.array([*(number.mark is not None for number in known), False])[codes]
    censored = {int(index): table.values[int(index)].as_py() for index in np.flatnonzero(is_bound)}
    return replace(table, values=pa.array(values, mask=codes < 0), censored=censored)


def _number(word: str) -> Number | None:
    return None if has_leading_zero(word) else parse_number(word)  # a catalogue number


def _remedy_for_words(words: list[str]) -> str:
    """What to do about labels that are no numbers, by how they are written."""
    bounded = next((word for word in words if _number(word) is None and mark_of(word) is not None), None)
    if bounded is not None:
        return f"{bounded!r} has more than a bound: write the number alone behind its mark, and no unit"
    return "choose a numeric column; for classes named by words set task = 'classification', transform = 'none'"


def read_labels(config: LabelsConfig, library_config: LibraryConfig, base_dir: Path) -> LabelTable:
    """Read the label of every compound in a file; parameters and errors as of `read_label_columns`."""
    assert config.column is not None, "CampaignConfig: only a panel has no column"
    sources = label_sources(config, library_config, base_dir)
    return read_label_columns(config, (config.column,), library_config, sources)[0]


def label_sources(config: LabelsConfig, library_config: LibraryConfig, base_dir: Path) -> list[Source]:
    """The files with the labels, opened.

    Parameters
    ----------
    config:
        `source` None takes the library's sources.
    base_dir:
        Folder that relative paths start from.

    Raises
    ------
    InputFileError
        If a file is missing, empty, or of unknown format.
    """
    if config.source is None:
        return open_sources(library_config, base_dir)
    columns = (config.id_column or library_config.id_column, config.column, *config.columns)
    return [open_source(resolve_source(config.source, base_dir, "labels.source"), config.format, columns)]


def read_label_columns(
    config: LabelsConfig, columns: Sequence[str], library_config: LibraryConfig, sources: Sequence[Source]
) -> list[LabelTable]:
    """Read some label columns in one pass over their files.

    Parameters
    ----------
    config:
        `id_column` None takes the library's, or record numbers.
    columns:
        Which columns; one table for each.
    sources:
        The files (`label_sources`).

    Raises
    ------
    InputFileError
        If a file cannot be read or lacks the id column.
    LabelError
        If a label column is missing, no compound has a label in it, or an id has two different labels.
    """
    id_column = config.id_column or library_config.id_column
    prefixes = id_prefixes(sources) if id_column is None else [""] * len(sources)
    chunks: dict[str, list[pa.Array]] = {column: [] for column in columns}
    kinds: dict[str, ColumnKind | None] = dict.fromkeys(columns)
    ids: list[pa.Array] = []
    lines: list[NDArray[np.int64]] = []
    require_label_columns(config, columns, library_config, sources)
    for source, prefix in zip(sources, prefixes, strict=True):
        for column in columns:
            if source.typed:
                kinds[column] = common_kind(
                    kinds[column], typed_kind(source.column_type(column), column, str(source.file))
                )
        structure = None
        if config.source is None and not source.typed and source.structure == "smiles":
            structure = source.structure_column(library_config.smiles_column)
            structure = structure if structure in source.column_names else None
        wanted = tuple(dict.fromkeys(name for name in (*columns, id_column, structure) if name is not None))
        planned = PlannedSource(source, wanted, None, id_column, prefix)
        for records in source.read(wanted):
            is_compound = pa.array(compounds(records, id_column, structure))
            for column in columns:
                values = records.table[column]
                if not source.typed:
                    values = pc.if_else(is_compound, values, pa.scalar(None, pa.string()))
                    kinds[column] = common_kind(kinds[column], text_kind(values))
                chunks[column].extend(values.chunks)
            ids.append(record_ids(records.table, planned, records.first, len(records)))
            lines.append(records.lines)
    file = ", ".join(str(source.file) for source in sources)
    if not ids:
        raise LabelError("there are no records", file, "check that its export was finished")
    all_ids, all_lines, tables = _concatenated(ids), np.concatenate(lines), []
    for column, kind in kinds.items():
        if kind is None:
            remedy = f"name another column in labels.{_key(config)}"
            raise LabelError(f"column {column!r} holds no label", file, remedy)
        values = _concatenated([_label_chunk(chunk, kind == "string", config) for chunk in chunks.pop(column)])
        if values.null_count == len(values):
            raise LabelError(f"column {column!r} holds no label", file, f"name another column in labels.{_key(config)}")
        tables.append(_each_id_once(LabelTable(config, column, all_ids, values, all_lines, file)))
    return tables


def require_label_columns(
    config: LabelsConfig, columns: Sequence[str], library_config: LibraryConfig, sources: Sequence[Source]
) -> None:
    """Refuse files that lack a label column or the id column, without reading them; parameters as `read_label_columns`.

    Raises
    ------
    InputFileError
        If the id column is missing.
    LabelError
        If a label column is missing.
    """
    id_column = config.id_column or library_config.id_column
    for source in sources:
        try:
            for column in columns:
                source.require(column, f"labels.{_key(config)}")
        except InputFileError as error:
            raise LabelError(error.what, error.where, error.remedy) from error
        if id_column is not None:
            source.require(id_column, "labels.id_column")
            require_ids(source, id_column, "labels.id_column")


def _key(config: LabelsConfig) -> str:
    return "columns" if config.columns else "column"


def _concatenated(arrays: list[pa.Array]) -> pa.Array:
    # 32-bit offsets of a string array end at 2 GiB; labels are held whole, so they get 64-bit ones where needed.
    if pa.types.is_string(arrays[0].type) and sum(array.nbytes for array in arrays) >= (1 << 31):
        arrays = [array.cast(pa.large_string()) for array in arrays]
    return pa.concat_arrays(arrays)


def _label_chunk(values: pa.Array, as_words: bool, config: LabelsConfig) -> pa.Array:
    if not as_words:
        numbers = convert(values, "float64")
        return pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers)
    words = trimmed(convert(values, "string"))
    null_words = sorted(NULL_WORDS - set(config.classes))
    return pc.if_else(pc.is_in(words, value_set=pa.array(null_words)), pa.scalar(None, pa.string()), words)


def _each_id_once(table: LabelTable) -> LabelTable:
    """Drop records without an id and repetitions of a label; refuse contradictions."""
    named = np.flatnonzero(table.ids.is_valid().to_numpy(zero_copy_only=False))
    if len(named) < len(table.ids):
        table = _rows(table, named)
    encoded = table.ids.dictionary_encode()
    if len(encoded.dictionary) == len(table):
        return table
    codes = encoded.indices.to_numpy()
    missing = table.values.is_null().to_numpy(zero_copy_only=False)
    labels = table.values.dictionary_encode().indices.fill_null(-1).to_numpy()
    order = np.lexsort((np.arange(len(codes)), missing, codes))
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    leader = np.repeat(order[starts], np.diff([*starts, len(order)]))
    conflicts = np.flatnonzero(~missing[order] & (labels[order] != labels[leader]))
    if len(conflicts):
        shown = [
            f"{table.ids[int(leader[i])].as_py()!r} is {table.values[int(leader[i])].as_py()!r} in line "
            f"{table.lines[leader[i]]} and {table.values[int(order[i])].as_py()!r} in line {table.lines[order[i]]}"
            for i in conflicts[:N_SHOWN].tolist()
        ]
        raise LabelError(
            f"{len(conflicts)} labels contradict an earlier one of the same id: {'; '.join(shown)}",
            table.file,
            "keep one label for each id (an aggregate of replicates, for instance)",
        )
    return _rows(table, np.sort(order[starts]))


def _rows(table: LabelTable, rows: NDArray[np.int64]) -> LabelTable:
    take = pa.array(rows)
    return replace(table, ids=table.ids.take(take), values=table.values.take(take), lines=table.lines[rows])
