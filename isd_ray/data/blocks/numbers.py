"""Columns of a user's file as numbers: found by name, read with the line of what is none."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from isd_ray.config.patterns import chosen, idle, shown
from isd_ray.data.ingest.columns import NULL_WORDS, convert, is_text, without_null_words
from isd_ray.data.ingest.files import SourceFile
from isd_ray.data.ingest.records import Records, Source, closest
from isd_ray.errors import InputFileError


def described(files: Sequence[SourceFile]) -> list[dict[str, Any]]:
    """What tells files apart: name, bytes, sha256 (raises InputFileError)."""
    return [{"name": file.name, "bytes": file.size, "sha256": file.sha256()} for file in files]


def matching(patterns: Sequence[str], source: Source, key: str, without: Collection[str | None] = ()) -> list[str]:
    """Columns of a source that patterns mean, in the order of the source.

    Parameters
    ----------
    key:
        Where the patterns stand, for messages.
    without:
        Columns of ids and structures, which no pattern means.

    Raises
    ------
    InputFileError
        If a pattern means no column, or a column that is meant stands there twice.
    """
    return matching_in_all(patterns, [source], key, without)[0]


def matching_in_all(
    patterns: Sequence[str], sources: Sequence[Source], key: str, without: Collection[str | None] = ()
) -> list[list[str]]:
    """As `matching`, of several sources, any of which may have the columns that a pattern means."""
    names = [name for source in sources for name in source.column_names if name not in without]
    if (pattern := idle(patterns, names)) is not None:
        raise no_column(pattern, names, key, str(sources[0].file), [name for name in without if name is not None])
    meant = set(chosen(patterns, names))
    found = [[name for name in dict.fromkeys(source.column_names) if name in meant] for source in sources]
    for source, columns in zip(sources, found, strict=True):
        for name in columns:
            source.require(name, key)
    return found


def no_column(pattern: str, names: Sequence[str], key: str, where: str, without: Sequence[str] = ()) -> InputFileError:
    """A pattern means none of the columns that there are to choose from."""
    if pattern in without:
        what, remedy = f"{pattern!r} is the column of ids or structures, which are left out of the choice", ""
    else:
        what, remedy = f"no column matches {pattern!r}", closest(pattern.strip("*"), names)
    there = shown(dict.fromkeys(names))
    return InputFileError(f"{key}: {what}; to choose from there are {there}", where, remedy or "name one of them")


@dataclass(frozen=True, slots=True)
class NumberColumn:
    """A column of numbers, or of vectors of one length.

    Attributes
    ----------
    width:
        Length of its vectors; 1 for numbers.
    """

    name: str
    width: int
    is_vector: bool

    @property
    def names(self) -> tuple[str, ...]:
        """Of each of its numbers."""
        return tuple(f"{self.name}[{place}]" for place in range(self.width)) if self.is_vector else (self.name,)


def number_column(source: Source, name: str) -> NumberColumn:
    """A column of numbers or vectors of a source.

    Raises
    ------
    InputFileError
        If it holds neither, or vectors only that are missing.
    """
    kind = source.column_type(name)
    if pa.types.is_fixed_size_list(kind):
        width, inner = kind.list_size, kind.value_type
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        width, inner = _length(source, name), kind.value_type
    else:
        width, inner = 1, kind
    is_vector = inner is not kind
    if not is_vector:
        require_plain(source, name)
    elif not _is_number_type(inner):
        raise InputFileError(
            f"column {name!r} holds {kind}, not vectors of numbers", str(source.file), "name columns of numbers"
        )
    return NumberColumn(name, width, is_vector)


def require_plain(source: Source, name: str) -> None:
    """Raise InputFileError unless a column holds numbers, true and false, or text, which is read as numbers."""
    kind = source.column_type(name)
    if not (_is_number_type(kind) or is_text(kind) or pa.types.is_boolean(kind)):
        raise InputFileError(f"column {name!r} holds {kind}, not numbers", str(source.file), "name columns of numbers")


def _is_number_type(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _length(source: Source, name: str) -> int:
    """Length of the first vector of a column that is not empty."""
    for records in source.read([name]):
        lengths = pc.list_value_length(records.table[name]).drop_null()
        if len(filled := lengths.filter(pc.greater(lengths, 0))):
            return int(filled[0].as_py())
    raise InputFileError(f"column {name!r} holds no vector", str(source.file), "name columns with values")


def read_numbers(
    column: NumberColumn, records: Records, which: NDArray[np.int64], ids: Sequence[str | None], file: SourceFile
) -> NDArray[np.float64]:
    """Numbers of some records.

    Parameters
    ----------
    which:
        int64, shape (m,): indices of the records.
    ids:
        Of these m, for messages.

    Returns
    -------
    float64, shape (m, width)
        NaN where a value, or a whole vector, is missing.

    Raises
    ------
    InputFileError
        If a value is no number or infinite, or a vector has another length; with column, id and line.
    """
    values = records.table[column.name].take(pa.array(which)).combine_chunks()

    def refuse(at: int, what: str) -> InputFileError:
        return InputFileError(
            f"column {column.name!r} {what} of id {ids[at]!r} (line {int(records.lines[which[at]])})",
            str(file),
            "correct it, or leave the value out where it is missing",
        )

    if not column.is_vector:
        numbers = _scalars(values)
        if isinstance(numbers, int):
            raise refuse(numbers, f"holds {values[numbers].as_py()!r}, no number,")
        found = numbers.reshape(-1, 1)
    else:
        present = values.is_valid().to_numpy(zero_copy_only=False)
        if not pa.types.is_fixed_size_list(values.type):
            lengths = pc.list_value_length(values).fill_null(column.width).to_numpy(zero_copy_only=False)
            if len(wrong := np.flatnonzero(lengths != column.width)):
                raise refuse(int(wrong[0]), f"has a vector of {lengths[wrong[0]]} instead of {column.width} values")
        flat = convert(values.drop_null().flatten(), "float64").fill_null(np.nan)
        found = np.full((len(which), column.width), np.nan)
        found[present] = flat.to_numpy(zero_copy_only=False).reshape(-1, column.width)
    if len(infinite := np.flatnonzero(np.isinf(found).any(axis=1))):
        raise refuse(int(infinite[0]), "is infinite in the record")
    return found


def _scalars(values: pa.Array) -> NDArray[np.float64] | int:
    """Values as float64, or the index of the first that is no number."""
    try:
        numbers = convert(values.cast(pa.int8()) if pa.types.is_boolean(values.type) else values, "float64")
    except pa.ArrowInvalid:
        return next(index for index, value in enumerate(values.to_pylist()) if not is_number(value))
    found: NDArray[np.float64] = pc.cast(numbers, pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False)
    return found


def is_number(value: Any) -> bool:
    """Whether a value of a column is read as a number, or as missing."""
    if value is None or str(value).strip() in NULL_WORDS:
        return True
    try:
        pc.cast(pa.array([str(value).strip()]), pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def text_or_numbers(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """A column as strings where it is text, else as float64; null where a value is missing.

    True and false are the numbers 1 and 0. `require_plain` refuses columns that hold something else.
    """
    values = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if pa.types.is_dictionary(values.type):
        values = pc.cast(values, values.type.value_type)
    if is_text(values.type):
        return without_null_words(pc.cast(values, pa.string()))
    numbers = convert(pc.cast(values, pa.int8()) if pa.types.is_boolean(values.type) else values, "float64")
    return pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers)
