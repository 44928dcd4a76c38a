"""Reading earlier readouts, wide or long, into measurements of compounds by assay."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from isd_ray.config import HistoryConfig, LibraryConfig
from isd_ray.config.patterns import chosen, idle, shown
from isd_ray.data.blocks.broken import BrokenRecords
from isd_ray.data.blocks.numbers import matching_in_all, no_column, require_plain, text_or_numbers
from isd_ray.data.ingest.columns import as_text, ids_as_text
from isd_ray.data.ingest.plan import PlannedSource, id_prefixes, open_sources, record_ids, require_ids, require_text
from isd_ray.data.ingest.records import Records, Source, closest
from isd_ray.data.ingest.sdf import TITLE_COLUMN
from isd_ray.data.ingest.sources import open_source, resolve_sources
from isd_ray.errors import InputFileError

KEY = "library.history"


@dataclass(slots=True)
class Measurements:
    """Of one assay, in the order of the files.

    Attributes
    ----------
    file:
        The first that holds some.
    compounds:
        int64 (m,) in chunks: indices of compounds among the keys.
    values:
        float64 or string (m,) in chunks, without nulls.
    lines:
        int64 (m,) in chunks.
    """

    name: str
    file: str
    compounds: list[NDArray[np.int64]] = field(default_factory=list)
    values: list[pa.Array] = field(default_factory=list)
    lines: list[NDArray[np.int64]] = field(default_factory=list)

    def numbers(self) -> NDArray[np.float64] | None:
        """All values as float64; None where one is a word."""
        try:
            chunks = [pc.cast(values, pa.float64()).to_numpy(zero_copy_only=False) for values in self.values]
        except pa.ArrowInvalid:
            return None
        return np.concatenate(chunks)

    def words(self) -> list[str]:
        """All values as text."""
        return [text for values in self.values for text in pc.cast(values, pa.string()).to_pylist()]


@dataclass(slots=True)
class AssayReadouts:
    """Measurements of all assays.

    Attributes
    ----------
    keys:
        Compounds that have some: ids or structures, each once.
    names:
        Of these, for messages: of a mol block its title, or the number of its record.
    assays:
        By name; of a wide table in the order of its columns, of a long one sorted.
    broken:
        Records that cannot be read.
    """

    by_structure: bool
    keys: list[str]
    names: list[str]
    assays: dict[str, Measurements]
    sources: list[Source]
    column: str
    broken: BrokenRecords


def history_sources(config: HistoryConfig, library: LibraryConfig | None, base_dir: Path) -> list[Source]:
    """The files with the readouts, opened (raises InputFileError)."""
    if config.source is None:
        if library is None:
            raise InputFileError("no file with earlier readouts is named", f"{KEY}.source", "name one")
        return open_sources(library, base_dir)
    paths = [config.source] if isinstance(config.source, str) else list(config.source)
    files = [file for path in paths for file in resolve_sources(path, base_dir, f"{KEY}.source")]
    asked = (config.id_column, config.smiles_column, config.assay_column, config.value_column, *config.columns)
    return [open_source(file, config.format, asked) for file in files]


def read_readouts(
    config: HistoryConfig, sources: list[Source], id_column: str | None, known: Collection[str] | None = None
) -> AssayReadouts:
    """Read the readouts of all assays; memory grows with their number.

    Parameters
    ----------
    id_column:
        The library's own, where the configuration names neither ids nor structures; None for record numbers.
    known:
        Of a held-out set, or of compounds that are added: the assays that the block has, which alone are read, whatever
        `config` excludes.

    Raises
    ------
    InputFileError
        If a file cannot be read or lacks a column, a pattern matches nothing, or there is no readout.
    """
    where = ", ".join(str(source.file) for source in sources)
    by_structure = config.smiles_column is not None
    ids = None if by_structure else config.id_column or id_column
    if not by_structure and ids is None and config.source is not None:
        raise InputFileError(
            "which column holds the ids of the compounds?",
            where,
            f"set {KEY}.id_column (of the command: --id-column), or smiles_column to match by structure",
        )
    prefixes = id_prefixes(sources) if not by_structure and ids is None else [""] * len(sources)
    columns_of, excluded = readout_columns(config, sources, ids, known)
    place_of: dict[str, int] = {}
    called: dict[str, str] = {}
    broken = BrokenRecords()
    assays: dict[str, Measurements] = {}
    for source, prefix, columns in zip(sources, prefixes, columns_of, strict=True):
        structure = source.structure_column(config.smiles_column)
        title = _title_of(source) if by_structure else None
        names = tuple(dict.fromkeys(name for name in (structure, title, ids, *columns) if name is not None))
        planned = PlannedSource(source, names, structure, ids, prefix)
        for records in source.read(names):
            broken.note(records, source.file)
            keys = _keys(records, planned, by_structure=by_structure)
            if by_structure and source.structure == "mol_block":
                called |= _titles(records, keys, title)
            for name, which, values in _by_assay(config, records, columns, excluded):
                here = np.flatnonzero(values.is_valid().to_numpy(zero_copy_only=False))
                rows = which[here]
                texts = keys.take(pa.array(rows)).to_pylist()
                named = [index for index, text in enumerate(texts) if text is not None]
                if not named:
                    continue
                compounds = [place_of.setdefault(texts[index], len(place_of)) for index in named]
                assay = assays.setdefault(name, Measurements(name, str(source.file)))
                assay.compounds.append(np.array(compounds, np.int64))
                assay.values.append(values.take(pa.array(here[named])))
                assay.lines.append(records.lines[rows[named]])
    broken.refuse_all(where)
    if not assays:
        of = "any assay" if known is None else f"an assay of the library: {shown(known)}"
        raise InputFileError(f"there is no readout of {of}", where, f"check the columns and the `exclude` of {KEY}")
    ordered = sorted(assays) if config.assay_column is not None else list(assays)
    column = config.smiles_column or ids or "record number"
    keys_of = list(place_of)
    shown_as = [called.get(key, key) for key in keys_of]
    by_name = {name: assays[name] for name in ordered}
    return AssayReadouts(by_structure, keys_of, shown_as, by_name, sources, column, broken)


def readout_columns(
    config: HistoryConfig, sources: Sequence[Source], ids: str | None, known: Collection[str] | None = None
) -> tuple[list[list[str]], set[str]]:
    """Check that all columns that are needed are there, and what is excluded, before any readout is read.

    Parameters
    ----------
    known:
        As `read_readouts` takes them.

    Returns
    -------
    list, set
        The columns with readouts of each source; and the assays that are left out.

    Raises
    ------
    InputFileError
        If a column is not there, or holds neither numbers nor text; or a pattern excludes nothing.
    """
    own: set[str | None] = {ids}
    for source in sources:
        for name, key in ((config.assay_column, "assay_column"), (config.value_column, "value_column")):
            if name is not None:
                source.require(name, f"{KEY}.{key}")
        if config.assay_column is not None:
            require_ids(source, config.assay_column, f"{KEY}.assay_column")
        structure = source.structure_column(config.smiles_column)
        own.add(structure)
        if structure is not None and structure == config.smiles_column:
            source.require(structure, f"{KEY}.smiles_column")
            require_text(source, structure, f"{KEY}.smiles_column")
        if ids is not None:
            source.require(ids, f"{KEY}.id_column")
            require_ids(source, ids, f"{KEY}.id_column")
        if config.assay_column is not None and config.value_column is not None:
            require_plain(source, config.value_column)
    excluded = _excluded(config, sources, known)
    if config.assay_column is not None and config.value_column is not None:
        return [[config.assay_column, config.value_column] for _ in sources], excluded
    found = matching_in_all(config.columns, sources, f"{KEY}.columns", own)
    kept = [[name for name in names if name not in excluded] for names in found]
    for source, names in zip(sources, kept, strict=True):
        for name in names:
            require_plain(source, name)
    return kept, excluded


def _excluded(config: HistoryConfig, sources: Sequence[Source], known: Collection[str] | None) -> set[str]:
    """Assays, or columns, that are left out; an assay with a slip in its name would stay, and is refused."""
    if known is not None:
        return set(_assay_names(config, sources)).difference(known)
    if not config.exclude:
        return set()
    names = _assay_names(config, sources)
    if (pattern := idle(config.exclude, names)) is not None:
        raise no_column(pattern, names, f"{KEY}.exclude", ", ".join(str(source.file) for source in sources))
    return set(chosen(config.exclude, names))


def _assay_names(config: HistoryConfig, sources: Sequence[Source]) -> list[str]:
    """Names of all assays, or columns, that `exclude` may mean (raises InputFileError)."""
    column = config.assay_column
    if column is None:
        return list(dict.fromkeys(name for source in sources for name in source.column_names))
    names: dict[str, None] = {}
    for source in sources:
        for records in source.read([column]):
            names.update(dict.fromkeys(ids_as_text(records.table[column]).unique().drop_null().to_pylist()))
    return list(names)


def require_dates(config: HistoryConfig, assays: Sequence[str]) -> None:
    """Refuse days of assays that there are not, excluded ones aside.

    Raises
    ------
    InputFileError
        Naming the assays that there are.
    """
    dated = [pattern for pattern in config.dates if not chosen(config.exclude, [pattern])]
    if (pattern := idle(dated, assays)) is not None:
        raise InputFileError(
            f"no assay matches {pattern!r}; there are {shown(assays)}",
            f"{KEY}.dates",
            closest(pattern.strip("*"), assays) or "name one of them, or leave the day out",
        )


def _keys(records: Records, planned: PlannedSource, *, by_structure: bool) -> pa.Array:
    """Ids or structures of records, null where there is none."""
    if not by_structure:
        return record_ids(records.table, planned, records.first, len(records))
    assert planned.structure is not None  # by_structure
    texts = ids_as_text(records.table[planned.structure])
    if planned.source.structure == "mol_block":  # whose first line, the title, may be blank
        texts = pc.if_else(texts.is_valid(), as_text(records.table[planned.structure]), None)
    return texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts


def _title_of(source: Source) -> str | None:
    """The column with the titles of mol blocks, where there is one."""
    return TITLE_COLUMN if source.structure == "mol_block" and TITLE_COLUMN in source.column_names else None


def _titles(records: Records, keys: pa.Array, title: str | None) -> dict[str, str]:
    """What messages call mol blocks: their titles, or the numbers of their records."""
    titles = [None] * len(records) if title is None else records.table[title].to_pylist()
    return {
        key: name or f"record {number}"
        for number, (key, name) in enumerate(zip(keys.to_pylist(), titles, strict=True), records.first)
        if key is not None
    }


def _by_assay(
    config: HistoryConfig, records: Records, columns: Sequence[str], excluded: Collection[str]
) -> Iterator[tuple[str, NDArray[np.int64], pa.Array]]:
    """Name of each assay with readouts, indices of their records, and the readouts: float64 or string, or null."""
    everything = np.arange(len(records))
    if config.assay_column is None:
        for name in columns:
            yield name, everything, text_or_numbers(records.table[name])
        return
    names = ids_as_text(records.table[config.assay_column]).combine_chunks()
    values = text_or_numbers(records.table[config.value_column])
    encoded = names.dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    for code, name in enumerate(encoded.dictionary.to_pylist()):
        if name not in excluded:
            which = np.flatnonzero(codes == code)
            yield name, which, values.take(pa.array(which))
