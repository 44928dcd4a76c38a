"""Names of wells: ``A01`` with a 1-based row and column; rows beyond Z are AA to AF."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from types import MappingProxyType

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isd_ray.config import PlateFormat
from isd_ray.errors import LabelError

SHAPES: Mapping[PlateFormat, tuple[int, int]] = MappingProxyType({96: (8, 12), 384: (16, 24), 1536: (32, 48)})
"""Rows and columns of a plate by its number of wells."""
_SPELLING = re.compile(r"([A-Za-z]{1,2})[ :_-]?0{0,3}([1-9][0-9]?)")
NO_WELL = -1
"""Index of a name that is no well of the format."""


def row_letters(row: int) -> str:
    """Letters of a 0-based row: A to Z, then AA, AB and so on."""
    first, last = divmod(row, 26)
    return (chr(ord("A") + first - 1) if first else "") + chr(ord("A") + last)


@cache
def names_of(plate_format: PlateFormat, *, padded: bool = True) -> tuple[str, ...]:
    """Names of all wells of a plate, row by row: ``A01``, or ``A1`` without padding."""
    n_rows, n_columns = SHAPES[plate_format]
    return tuple(
        f"{row_letters(row)}{column:0{2 if padded else 1}d}"
        for row in range(n_rows)
        for column in range(1, n_columns + 1)
    )


@cache
def _indices(plate_format: PlateFormat) -> Mapping[str, int]:
    """Index of every name without padding."""
    return MappingProxyType({name: index for index, name in enumerate(names_of(plate_format, padded=False))})


def well_index(text: str, plate_format: PlateFormat) -> int | None:
    """0-based index of a well by any of its spellings, ``A1``, ``a01``, ``A001``, ``A-1``, ``A:01`` or ``AA 5``."""
    found = _SPELLING.fullmatch(text.strip())
    return None if found is None else _indices(plate_format).get(f"{found[1].upper()}{int(found[2])}")


def well_indices(names: Iterable[str | None], plate_format: PlateFormat) -> NDArray[np.int64]:
    """0-based indices of wells, counted row by row.

    Parameters
    ----------
    names:
        ``A01``, ``A1``, ``a01``, ``AA1`` …, n of them; blanks around them do not matter.

    Returns
    -------
    int64, shape (n,); `NO_WELL` where a name is no well of the format.
    """
    found = (well_index(name, plate_format) if name else None for name in names)
    return np.array([NO_WELL if index is None else index for index in found], np.int64)


def well_names(indices: NDArray[np.integer], plate_format: PlateFormat, *, padded: bool = True) -> pa.Array:
    """Names of wells.

    Parameters
    ----------
    indices:
        Shape (n,): 0-based, counted row by row.
    padded:
        ``A01`` as names are stored; False gives ``A1``, as some instruments want them.

    Returns
    -------
    string, length n.

    Raises
    ------
    LabelError
        If an index is outside the format.
    """
    outside = (indices < 0) | (indices >= plate_format)
    if outside.any():
        raise LabelError(
            f"a plate of {plate_format} wells has no well of index {indices[outside][0]}",
            remedy=f"give indices from 0 to {plate_format - 1}",
        )
    return pa.array(names_of(plate_format, padded=padded), pa.string()).take(pa.array(indices))


def parse_well(text: str, plate_format: PlateFormat, where: str = "") -> int:
    """0-based index of one well, counted row by row.

    Parameters
    ----------
    where:
        File, line or plate that names the well, for the message.

    Raises
    ------
    LabelError
        If it is no well of the format.
    """
    index = well_index(text, plate_format)
    if index is None:
        raise LabelError(no_such_well(text, plate_format), where, "correct the well, or the format of the plates")
    return index


def no_such_well(text: str, plate_format: PlateFormat) -> str:
    """What is wrong with a name that is no well of the format."""
    names = names_of(plate_format)
    return f"{text!r} is no well of a {plate_format}-well plate ({names[0]} to {names[-1]})"
