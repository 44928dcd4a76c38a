"""Types and text of source columns: which kept column is a number, what counts as empty, ids as text."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from isd_ray.errors import InputFileError

ColumnKind: TypeAlias = Literal["int64", "float64", "string"]

NULL_WORDS = frozenset(pyarrow.csv.ConvertOptions().null_values)
"""Words that mean "no value" in a text column of numbers (pyarrow's list: empty, NA, NaN, null, …)."""
_INTEGER = r"^[+-]?(0|[1-9][0-9]{0,17})$"
_LEADING_ZERO = r"^[+-]?0[0-9]"


def is_text(kind: pa.DataType) -> bool:
    """Whether an Arrow type holds strings (dictionaries of strings included)."""
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_texts(kind: pa.DataType) -> bool:
    """Whether an Arrow type holds strings, or bytes that may be strings: some writers do not say so."""
    if pa.types.is_dictionary(kind):
        return is_texts(kind.value_type)
    is_bytes = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
    return bool(is_text(kind) or is_bytes or pa.types.is_null(kind) or pa.types.is_binary_view(kind))


def is_simple(kind: pa.DataType) -> bool:
    """Whether an Arrow type holds numbers, flags or dates, which can be written as text."""
    numbers = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    dates = pa.types.is_date(kind) or pa.types.is_timestamp(kind) or pa.types.is_time(kind)
    return bool(numbers or dates or pa.types.is_boolean(kind))


def as_text(values: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Values as strings; bytes that are not UTF-8 become null."""
    if pa.types.is_dictionary(values.type):
        values = pc.cast(values, values.type.value_type)
    if is_texts(values.type) and not is_text(values.type) and not pa.types.is_null(values.type):
        values = pc.cast(values, pa.large_binary() if pa.types.is_large_binary(values.type) else pa.binary())
        try:
            return pc.cast(values, pa.string())
        except pa.ArrowInvalid:
            return pa.array([_text_or_none(value) for value in values.to_pylist()], pa.string())
    return pc.cast(values, pa.string())


def _text_or_none(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def trimmed(values: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Strings without blanks around them; nulls stay."""
    return pc.utf8_trim_whitespace(values)


def without_null_words(values: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Trimmed strings; null where a word means "no value"."""
    values = trimmed(values)
    empty = pc.is_in(values, value_set=pa.array(sorted(NULL_WORDS), pa.string()))
    return pc.if_else(empty, pa.scalar(None, pa.string()), values)


def numbers_and_words(values: pa.Array) -> tuple[NDArray[np.float64], dict[int, str]]:
    """Strings, or numbers, as float64 by the rule of a build, NaN where null; and the words that are none, by index."""
    try:
        return np.array(pc.cast(values, pa.float64()).to_numpy(zero_copy_only=False)), {}
    except pa.ArrowInvalid:
        pass
    texts = values.to_pylist()
    number_of = {text: _number_or_none(text) for text in set(texts)}
    read = [number_of[text] for text in texts]
    words = {index: texts[index] for index, number in enumerate(read) if number is None}
    return np.array([np.nan if number is None else number for number in read]), words


def _number_or_none(text: str | None) -> float | None:
    if text is None:
        return np.nan
    try:
        number: float = pc.cast(pa.scalar(text), pa.float64()).as_py()
    except pa.ArrowInvalid:
        return None
    return number


def text_kind(values: pa.Array | pa.ChunkedArray) -> ColumnKind | None:
    """What a column of strings holds: whole numbers, numbers, or text; None when every value is empty.

    Numbers with leading zeros ("0071") are catalogue numbers and stay text.
    """
    filled = pc.drop_null(without_null_words(values))
    if not len(filled):
        return None
    if pc.any(pc.match_substring_regex(filled, _LEADING_ZERO)).as_py():
        return "string"
    if pc.all(pc.match_substring_regex(filled, _INTEGER)).as_py():
        return "int64"
    try:
        pc.cast(filled, pa.float64())
    except pa.ArrowInvalid:
        return "string"
    return "float64"


def has_leading_zero(word: str) -> bool:
    """Whether a word is text although it has only digits: a catalogue number."""
    return re.match(_LEADING_ZERO, word) is not None


def typed_kind(kind: pa.DataType, name: str, where: str) -> ColumnKind:
    """How a typed (Parquet) column is kept.

    Raises
    ------
    InputFileError
        If the column holds lists, structures or other values with no place in a library column.
    """
    if pa.types.is_dictionary(kind) and not is_text(kind):
        kind = kind.value_type
    if is_text(kind) or pa.types.is_null(kind) or pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return "string"
    if pa.types.is_uint64(kind):
        return "float64"  # half of its numbers are larger than any int64
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        return "int64"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "float64"
    raise InputFileError(
        f"column {name!r} holds {kind}, which cannot be kept",
        where,
        "keep columns of numbers or text only; feature vectors go in [library.features] with kind = 'dense'",
    )


def common_kind(first: ColumnKind | None, second: ColumnKind | None) -> ColumnKind | None:
    """The narrowest kind that holds both."""
    if first is None or second is None or first == second:
        return first or second
    return "string" if "string" in (first, second) else "float64"


def convert(values: pa.Array | pa.ChunkedArray, kind: ColumnKind) -> pa.Array | pa.ChunkedArray:
    """A source column as int64, float64 or string; empty text becomes null.

    Raises
    ------
    pyarrow.ArrowInvalid
        If a value does not fit `kind`; `text_kind` and `typed_kind` choose one that fits.
    """
    if pa.types.is_dictionary(values.type):
        values = pc.cast(values, values.type.value_type)
    if kind == "string":
        values = as_text(values)
        return pc.if_else(pc.equal(values, ""), pa.scalar(None, pa.string()), values)
    if is_text(values.type):
        values = without_null_words(pc.cast(values, pa.string()))
    # Not checked for whole numbers that no float64 is equal to: they are read as the nearest one.
    return pc.cast(values, pa.int64() if kind == "int64" else pa.float64(), safe=kind == "int64")


def ids_as_text(values: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """An id column as trimmed text; blanks become null."""
    values = trimmed(as_text(values))
    return pc.if_else(pc.equal(values, ""), pa.scalar(None, pa.string()), values)
