"""Ids that belong to two compounds, found without holding every id."""

from __future__ import annotations

from array import array

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isd_ray.data.ingest.dedupe import DuplicateIndex, hash_keys
from isd_ray.data.ingest.plan import BuildPlan, record_ids
from isd_ray.data.layout import ID
from isd_ray.data.library import Library


def repeated_ids(plan: BuildPlan, onto: Library | None = None) -> NDArray[np.uint64]:
    """Hashes of the ids that more than one record has, ascending; none when ids are record numbers.

    Of compounds that are added to a library also those that a compound of it has.

    Reads the id columns once, before the build. Most sources repeat no id, so that the build need not remember any;
    what is remembered here for a moment, 8 bytes a record, is gone before it begins.

    Raises
    ------
    InputFileError
        If a source cannot be read.
    """
    collected = array("Q")  # grows in place, where arrays would have to be joined
    for planned in plan.sources:
        if planned.id_column is not None or onto is not None:
            for records in planned.source.read((planned.id_column,) if planned.id_column else planned.columns):
                ids = record_ids(records.table, planned, records.first, len(records))
                collected.frombytes(_hashes(ids)[:, 0].tobytes())
    hashes = np.frombuffer(collected, dtype=np.uint64)
    hashes.sort()
    repeated = [hashes[1:][hashes[1:] == hashes[:-1]]]
    if onto is not None:
        for block in range(onto.n_blocks):
            known = _hashes(onto.block_table(block)[ID])[:, 0]
            repeated.append(known[_are_among(known, hashes)])
    return np.unique(np.concatenate(repeated))


def _hashes(ids: pa.Array) -> NDArray[np.uint64]:
    return hash_keys(map(str.encode, ids.drop_null().to_pylist()))


def _are_among(some: NDArray[np.uint64], ascending: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which of some hashes are among many; `numpy.isin` would sort the many again for each block of a library."""
    first, stop = (np.searchsorted(ascending, some, side) for side in ("left", "right"))
    found: NDArray[np.bool_] = first < stop
    return found


class IdIndex:
    """The rows whose ids occur more than once in the sources; an id may be repeated by duplicates and rejects only.

    Parameters
    ----------
    repeated:
        Of `repeated_ids`.
    """

    def __init__(self, repeated: NDArray[np.uint64]) -> None:
        self._repeated = repeated
        self._index = DuplicateIndex()
        self._rows = array("Q")

    def add(self, ids: pa.Array, first_row: int) -> tuple[int, int] | None:
        """Add the ids (without nulls) of consecutive rows.

        Returns
        -------
        (index, row), or None
            Index of the first of `ids` that an earlier row has, and that row.
        """
        if not len(self._repeated):
            return None
        hashes = _hashes(ids)
        suspects = np.flatnonzero(_are_among(hashes[:, 0], self._repeated))
        seen = self._index.add(hashes[suspects], len(self._rows))
        self._rows.extend((first_row + suspects[seen < 0]).tolist())
        again = np.flatnonzero(seen >= 0)
        return (int(suspects[again[0]]), self._rows[int(seen[again[0]])]) if len(again) else None
