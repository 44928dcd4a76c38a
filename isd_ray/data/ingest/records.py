"""Records of a source file, chunk by chunk, and what every kind of source offers."""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isd_ray.data.ingest.files import SourceFile
from isd_ray.errors import InputFileError


@dataclass(frozen=True, slots=True)
class Records:
    """Consecutive records of one source.

    Attributes
    ----------
    table:
        One row a record, the columns asked for; nulls throughout where the record could not be read.
    first:
        1-based number of the first record in its file; the others follow without a gap.
    lines:
        int64, shape (n,): 1-based line where each record begins (Parquet has no lines: the record number).
    share:
        Share of the file that has been read when these records are given out, 0 to 1.
    problems:
        Why a record could not be read, by its index in `table`.
    """

    table: pa.Table
    first: int
    lines: NDArray[np.int64]
    share: float
    problems: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.lines)


class Source(ABC):
    """A file of compounds, read in order as a stream."""

    structure: ClassVar[Literal["smiles", "mol_block"]] = "smiles"
    typed: ClassVar[bool] = False
    """Whether columns have types of their own; else all are text."""

    def __init__(self, file: SourceFile) -> None:
        self.file = file

    @property
    @abstractmethod
    def column_names(self) -> list[str]:
        """Names of the columns (SDF: of the data items), in order."""

    @abstractmethod
    def read(self, columns: Sequence[str]) -> Iterator[Records]:
        """All records in order, with the given columns.

        Raises
        ------
        InputFileError
            If the file cannot be read on: truncated, not of its format.
        """

    def structure_column(self, smiles_column: str | None) -> str | None:
        """The column that holds the structure; formats with a fixed place for it ignore the configured name."""
        return smiles_column

    def column_type(self, name: str) -> pa.DataType:
        """Arrow type of a column."""
        return pa.string()

    def require(self, name: str, role: str) -> None:
        """Raise InputFileError unless exactly one column is called `name`; `role` is the key that asked for it."""
        names = self.column_names
        if names.count(name) == 1:
            return
        if name in names:
            raise InputFileError(
                f"{role} = {name!r} is the name of {names.count(name)} columns", str(self.file), "rename all but one"
            )
        raise InputFileError(
            f"{role} = {name!r} is no column of this file; it has {', '.join(map(repr, names)) or 'none'}",
            str(self.file),
            closest(name, names) or f"set {role} to one of them",
        )


@dataclass(frozen=True, slots=True)
class Format:
    """A format of source files.

    Attributes
    ----------
    open:
        From a file, and the columns that will be asked for as far as they are known, to its source; raises
        InputFileError if the head of the file is not of the format.
    endings:
        Of the names of such files, in lower case, as ``.csv``; of compressed ones the ending before.
    """

    open: Callable[[SourceFile, Sequence[str]], Source]
    endings: tuple[str, ...]


def closest(name: str, names: Sequence[str]) -> str:
    """A remedy naming the most similar column, or an empty string."""
    folded = {other.casefold(): other for other in names}
    matches = difflib.get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.5)
    if matches:
        return f"did you mean {folded[matches[0]]!r}?"
    if len(names) == 1:
        separator = next((mark for mark in (";", "\t", "|") if mark in names[0]), None)
        if separator:
            return f"the fields seem to be separated by {separator!r}: save the file with commas, or as .tsv with tabs"
    return ""
