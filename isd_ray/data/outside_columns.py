"""Columns of a block as they stand in a file of compounds outside the library: found by name, read line by line."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isd_ray.data.blocks.description import BlockDescription
from isd_ray.data.blocks.numbers import number_column, text_or_numbers
from isd_ray.data.ingest.columns import numbers_and_words
from isd_ray.data.ingest.records import Source

_VECTOR = re.compile(r"(?P<column>.+)\[(?P<place>\d+)\]")
"""How a block names the numbers of a column of vectors."""


@dataclass(frozen=True, slots=True)
class OutsideColumn:
    """A column of a file of which a block is made.

    Attributes
    ----------
    places:
        int64 (width,): where in the block each number goes, -1 for nowhere.
    """

    places: NDArray[np.int64]
    is_vector: bool


def block_columns(block: BlockDescription, seen: Collection[str], source: Source) -> dict[str, OutsideColumn]:
    """The columns of a source that a block is made of, by name; a number is one of itself, not of a vector.

    Parameters
    ----------
    seen:
        Columns of the block that are wanted; others are not read.

    Raises
    ------
    InputFileError
        If a column stands there twice, or holds neither numbers nor vectors of them.
    """
    vectors: dict[str, dict[int, int]] = {}
    plain = {}
    for place, column in enumerate(block.columns):
        wanted = place if column.name in seen else -1
        if column.name in source.column_names:
            plain[column.name] = wanted
        elif (vector := _VECTOR.fullmatch(column.name)) and vector["column"] in source.column_names:
            vectors.setdefault(vector["column"], {})[int(vector["place"])] = wanted
    found = {}
    for name in dict.fromkeys((*plain, *vectors)):
        if max((plain.get(name, -1), *vectors.get(name, {}).values())) < 0:
            continue
        source.require(name, f"column of block {block.name!r}")
        is_vector = _is_vector(source, name)
        if is_vector and name in vectors:
            places = [vectors[name].get(number, -1) for number in range(max(vectors[name]) + 1)]
        elif plain.get(name, -1) >= 0:
            places = [plain[name]]
        else:
            continue
        found[name] = OutsideColumn(np.array(places, np.int64), is_vector)
    return found


def _is_vector(source: Source, name: str) -> bool:
    kind = source.column_type(name)
    if pa.types.is_null(kind) or (pa.types.is_list(kind) and pa.types.is_null(kind.value_type)):
        return not pa.types.is_null(kind)  # without a single value
    return number_column(source, name).is_vector


def read_block(
    table: pa.Table, columns: Mapping[str, OutsideColumn], width: int
) -> tuple[NDArray[np.float64], dict[int, str]]:
    """Raw values of a block (n, width), NaN where missing; and which records hold what is no number, by index."""
    values, wrong = np.full((len(table), width), np.nan), dict[int, str]()
    for name, column in columns.items():
        is_wanted = column.places >= 0
        if not column.is_vector:
            values[:, column.places[0]], words = numbers_and_words(text_or_numbers(table[name]))
            wrong |= {index: f"column {name} holds {word!r}, no number" for index, word in words.items()}
            continue
        for index, vector in enumerate(table[name].to_pylist()):
            if vector is not None and len(vector) != len(is_wanted):
                wrong[index] = f"column {name} has a vector of {len(vector)} instead of {len(is_wanted)} values"
            elif vector is not None:
                numbers = np.array([np.nan if number is None else number for number in vector], np.float64)
                values[index, column.places[is_wanted]] = numbers[is_wanted]
    for index in np.flatnonzero(np.isinf(values).any(axis=1)).tolist():
        wrong.setdefault(index, "an infinite value")
    return values, wrong
