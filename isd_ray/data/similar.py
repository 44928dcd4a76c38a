"""Search for the most similar of many fingerprints, one query after the other, in bounded memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isd_ray.core.features import OnBits

_FREQUENT = 32
"""A bit that one in so many compounds has is a column of bytes, which adds up faster than a list of places."""
_GROUP = 255
"""Bits that are counted in one byte."""


class Similar:
    """Compounds to search among: below a millisecond a query and 100,000 compounds on a core.

    Parameters
    ----------
    bits:
        Fingerprints of n compounds.
    names:
        object (n,): what they are called.
    """

    def __init__(self, bits: OnBits, names: NDArray[np.object_]) -> None:
        self.names = names
        lengths = np.diff(bits.offsets)
        self._sizes = lengths.astype(np.float32)
        values = bits.values[bits.offsets[0] : bits.offsets[-1]]
        owners = np.repeat(np.arange(len(bits), dtype=np.int32), lengths)[np.argsort(values, kind="stable")]
        counts = np.bincount(values, minlength=bits.width)
        self._with_bit = np.split(owners, np.cumsum(counts)[:-1])
        self._columns: dict[int, NDArray[np.uint8]] = {}
        for bit in np.flatnonzero(counts * _FREQUENT > len(bits)).tolist():
            self._columns[bit] = np.zeros(len(bits), np.uint8)
            self._columns[bit][self._with_bit[bit]] = 1

    def __len__(self) -> int:
        return len(self.names)

    def nearest(self, queries: OnBits) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The most similar compound of each query, and their Tanimoto similarity (0 to 1).

        Returns
        -------
        int64 (m,), float32 (m,)
            Of equally similar ones the first; -1 and 0 for a query that shares no bit with any.
        """
        places, best = np.full(len(queries), -1, np.int64), np.zeros(len(queries), np.float32)
        for query in range(len(queries)):
            bits = queries.values[queries.offsets[query] : queries.offsets[query + 1]].tolist()
            shared = self._shared(bits)
            together = self._sizes + np.float32(len(bits)) - shared
            similarity = np.divide(shared, together, out=together, where=together > 0.0)
            place = int(similarity.argmax())
            if shared[place] > 0.0:
                places[query], best[query] = place, similarity[place]
        return places, best

    def _shared(self, bits: list[int]) -> NDArray[np.float32]:
        """How many of some bits each compound has."""
        shared = np.zeros(len(self), np.float32)
        for start in range(0, len(bits), _GROUP):
            counted = np.zeros(len(self), np.uint8)
            for bit in bits[start : start + _GROUP]:
                column = self._columns.get(bit)
                if column is None:
                    counted[self._with_bit[bit]] += 1
                else:
                    counted += column
            shared += counted
        return shared
