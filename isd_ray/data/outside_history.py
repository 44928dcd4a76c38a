"""Earlier readouts of compounds outside a library, by the assays and statistics of the library's own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isd_ray.config import HistoryConfig
from isd_ray.data.blocks.assays import Assay, assay_of, hits
from isd_ray.data.blocks.history import CLIP_Z, canonical_keys
from isd_ray.data.blocks.numbers import text_or_numbers
from isd_ray.data.blocks.readouts import read_readouts
from isd_ray.data.ingest.plan import require_ids, require_text
from isd_ray.data.ingest.records import Source
from isd_ray.data.library import Library
from isd_ray.errors import InputFileError


def own_scores(assays: Sequence[Assay], table: pa.Table, wrong: dict[int, str]) -> dict[str, NDArray[np.float64]]:
    """Of the assays that are columns of n records: robust z scores, or 0 and 1, float64 (n,), NaN where missing.

    Parameters
    ----------
    wrong:
        Takes the reason where a readout is none of the assay, by index.
    """
    scores = {}
    for assay in assays:
        if assay.name in table.column_names:
            values, reasons = assay.read(text_or_numbers(table[assay.name]))
            scores[assay.name] = assay.z(values)
            wrong |= {index: f"assay {assay.name} {why}" for index, why in reasons.items()}
    return scores


def block_values(assays: Sequence[Assay], scores: Mapping[str, NDArray[np.float64]], n: int) -> NDArray[np.float64]:
    """What a block of history holds of scores of n compounds, float64 (n, width); NaN where there is none."""
    columns = []
    for assay in assays:
        columns.append(np.clip(scores.get(assay.name, np.full(n, np.nan)), -CLIP_Z, CLIP_Z))
        if assay.kind == "numbers":
            columns.append(hits(columns[-1]))
    return np.column_stack(columns)


class EarlierReadouts:
    """A file of earlier readouts, a column an assay: its compounds are found by id, or else by structure.

    It is read as the library reads such a file: of a compound that stands there several times the median counts.

    Parameters
    ----------
    library:
        Its description, for how structures are prepared.
    wanted:
        Names of the assays to read.
    id_column, smiles_column:
        Names in the file; the first that it has is what compounds are found by.

    Attributes
    ----------
    names:
        Assays that the file has, of those wanted.
    by_structure:
        Whether compounds are found by canonical SMILES, and not by id.
    n_found:
        Compounds asked for so far of which it has a readout.

    Raises
    ------
    InputFileError
        If it has neither ids nor structures, no assay of the library, or no readout; one is none of its assay; or a
        column stands there twice, or holds what it cannot.
    LibraryError
        If compounds are to be found by structures that the library does not have.
    """

    def __init__(
        self,
        library: Library,
        assays: Sequence[Assay],
        wanted: Collection[str],
        source: Source,
        id_column: str | None,
        smiles_column: str | None,
    ) -> None:
        there = [assay for assay in assays if assay.name in source.column_names]
        structure = source.structure_column(smiles_column)
        has_structure = source.structure == "mol_block" or structure in source.column_names
        self.by_structure = id_column is None or id_column not in source.column_names
        if self.by_structure and not has_structure:
            raise InputFileError(
                f"it has neither ids ({id_column!r}) nor structures ({smiles_column!r})",
                str(source.file),
                "give earlier readouts with one of these columns, named as in the file of compounds",
            )
        if not there:
            raise InputFileError(
                "it holds no assay of the library",
                str(source.file),
                f"name the columns as there: {', '.join(assay.name for assay in assays)}",
            )
        read = [assay for assay in there if assay.name in wanted]
        self.names = [assay.name for assay in read]
        self.n_found = 0
        self._place_of: dict[str, int] = {}
        self._scores: dict[str, NDArray[np.float64]] = {}
        column = structure if self.by_structure else id_column
        assert column is not None, "one of them is there"
        if read:
            # A mol block is no column: of such a file any name is taken.
            self._read(library, read, source, column, smiles_column or column)

    def _read(self, library: Library, assays: Sequence[Assay], source: Source, column: str, asked: str) -> None:
        # A mol block is no column.
        for name in self.names if self.by_structure and source.structure == "mol_block" else (column, *self.names):
            source.require(name, "--history: column")
        if self.by_structure and source.structure == "smiles":
            require_text(source, column, "--smiles-column")
        elif not self.by_structure:
            require_ids(source, column, "--id-column")
        by: dict[str, Any] = {"smiles_column": asked} if self.by_structure else {"id_column": column}
        config = HistoryConfig(source=str(source.file), columns=tuple(self.names), **by)
        readouts = read_readouts(config, [source], None)
        names, places = readouts.keys, np.arange(len(readouts.keys))
        if self.by_structure:
            keys, places = canonical_keys(library, readouts, None, str(source.file))
            names = keys.to_pylist()
        self._place_of = {name: place for place, name in enumerate(names)}
        for assay in assays:
            self._scores[assay.name] = scores = np.full(len(names), np.nan)
            if (measured := readouts.assays.get(assay.name)) is not None:
                codes = places[np.concatenate(measured.compounds)]
                _, compounds, values = assay_of(measured, codes, codes >= 0, readouts.names, assay)
                scores[compounds] = values

    def of(self, keys: Sequence[str | None]) -> dict[str, NDArray[np.float64]]:
        """Scores of n compounds by assay, float64 (n,): robust z, or 0 and 1; NaN where there is none."""
        places = np.array([-1 if key is None else self._place_of.get(key, -1) for key in keys], np.int64)
        self.n_found += int(np.count_nonzero(places >= 0))
        return {name: np.append(scores, np.nan)[places] for name, scores in self._scores.items()}
