"""Earlier readouts of compounds outside a library, by the assays and statistics of the library's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isd_ray.data.blocks.assays import Assay, hits
from isd_ray.data.blocks.description import BlockDescription
from isd_ray.data.blocks.history import CLIP_Z
from isd_ray.data.ingest.columns import NULL_WORDS, ids_as_text
from isd_ray.data.ingest.molecules import CHUNK_ROWS, MoleculeOptions, prepare_chunk
from isd_ray.data.ingest.records import Source
from isd_ray.data.library import Library
from isd_ray.errors import InputFileError


def assays_of(block: BlockDescription) -> tuple[Assay, ...]:
    """The assays of a block of history, in the order of its columns."""
    return tuple(Assay.from_json(data) for data in block.found["assays"])


def assay_values(
    assays: Sequence[Assay], there: Mapping[str, Sequence[Any]], n: int, wrong: dict[int, str] | None = None
) -> NDArray[np.float64]:
    """What a block of history holds of raw readouts, float64 (n, width); NaN where there is none.

    Parameters
    ----------
    there:
        For some assays a number, a text or None of each of n compounds.
    wrong:
        Takes the reason where one is no number, by index.
    """
    columns = []
    for assay in assays:
        column = np.full(n, np.nan)
        for index, value in enumerate(there.get(assay.name, ())):
            text = "" if value is None else f"{value:g}" if isinstance(value, float) else str(value).strip()
            if text in NULL_WORDS:
                continue
            if assay.kind == "binary":
                column[index] = float(text in assay.ones or _as_number(text) in assay.ones)
                continue
            number = np.nan
            with suppress(ValueError):
                number = float(value if isinstance(value, float) else text)
            if not np.isfinite(number):
                if wrong is not None:
                    wrong[index] = f"assay {assay.name} holds {text!r}, no finite number"
                continue
            column[index] = (number - assay.centre) / assay.scale
        columns.append(np.clip(column, -CLIP_Z, CLIP_Z))
        if assay.kind == "numbers":
            columns.append(hits(columns[-1]))
    return np.column_stack(columns)


def _as_number(text: str) -> str:
    """A number as the library has written those of two values: 1.0 as 1."""
    with suppress(ValueError):
        return f"{float(text):g}"
    return text


class EarlierReadouts:
    """A file of earlier readouts, a column an assay: its compounds are found by id, or else by structure.

    Of a compound that stands there twice the first readout counts.

    Parameters
    ----------
    library:
        Its description, for how structures are prepared.
    id_column, smiles_column:
        Names in the file; the first that it has is what compounds are found by.

    Attributes
    ----------
    names:
        Assays that the file has.
    by_structure:
        Whether compounds are found by canonical SMILES, and not by id.

    Raises
    ------
    InputFileError
        If it has neither ids nor structures, or no assay of the library.
    """

    def __init__(
        self,
        library: Library,
        assays: Sequence[Assay],
        source: Source,
        id_column: str | None,
        smiles_column: str | None,
    ) -> None:
        self.names = [assay.name for assay in assays if assay.name in source.column_names]
        structure = source.structure_column(smiles_column)
        has_structure = source.structure == "mol_block" or structure in source.column_names
        self.by_structure = id_column is None or id_column not in source.column_names
        if self.by_structure and not has_structure:
            raise InputFileError(
                f"it has neither ids ({id_column!r}) nor structures ({smiles_column!r})",
                str(source.file),
                "give earlier readouts with one of these columns, named as in the file of compounds",
            )
        if not self.names:
            raise InputFileError(
                "it holds no assay of the library",
                str(source.file),
                f"name the columns as there: {', '.join(assay.name for assay in assays)}",
            )
        self._told: dict[str, list[Any]] = {}
        key = structure if self.by_structure else id_column
        assert key is not None, "one of them is there"
        for records in source.read([key, *self.names]):
            keys = records.table[key].to_pylist() if self.by_structure else ids_as_text(records.table[key]).to_pylist()
            if self.by_structure:
                keys = _canonical(library, source, keys)
            cells = [records.table[name].to_pylist() for name in self.names]
            for index, name in enumerate(keys):
                if name is not None and index not in records.problems:
                    self._told.setdefault(name, [column[index] for column in cells])

    def of(self, keys: Sequence[str | None]) -> dict[str, list[Any]]:
        """Raw readouts of compounds by assay."""
        nothing = [None] * len(self.names)
        lines = [nothing if key is None else self._told.get(key, nothing) for key in keys]
        return {name: [line[place] for line in lines] for place, name in enumerate(self.names)}


def _canonical(library: Library, source: Source, texts: list[str | None]) -> list[str | None]:
    options = library.metadata["options"]
    wanted = MoleculeOptions(source.structure, None, options["standardise"], drop_single_atoms=False, hash_by=None)
    found: list[str | None] = []
    for at in range(0, len(texts), CHUNK_ROWS):
        part = texts[at : at + CHUNK_ROWS]
        prepared = prepare_chunk(part, wanted)
        names: list[str | None] = [None] * len(part)
        for place, text in zip(prepared.passed.tolist(), prepared.canonical, strict=True):
            names[place] = text
        found += names
    return found
