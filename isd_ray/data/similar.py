"""Search for the most similar of many fingerprints, some queries at a time, in bounded memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from isd_ray.core.features import OnBits

_CELLS = 1 << 23
"""Pairs that are compared at a time."""


class Similar:
    """Compounds to search among.

    Parameters
    ----------
    bits:
        Fingerprints of n compounds.
    names:
        object (n,): what they are called.
    """

    def __init__(self, bits: OnBits, names: NDArray[np.object_]) -> None:
        self.names = names
        self._by_bit = _matrix(bits).T.tocsr()
        self._sizes = np.diff(bits.offsets)

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
        step = max(1, _CELLS // len(self))
        for start in range(0, len(queries), step):
            part = queries.take(np.arange(start, min(start + step, len(queries))))
            shared = _matrix(part) @ self._by_bit
            lengths = np.diff(shared.indptr)
            has_any = np.flatnonzero(lengths)
            if not len(has_any):
                continue
            sizes = np.repeat(np.diff(part.offsets), lengths)
            similarity = shared.data / (sizes + self._sizes[shared.indices] - shared.data)
            starts = shared.indptr[:-1][has_any]
            most = np.maximum.reduceat(similarity, starts)
            is_most = similarity == np.repeat(most, lengths[has_any])
            first = np.minimum.reduceat(np.where(is_most, shared.indices, len(self)), starts)
            places[start + has_any], best[start + has_any] = first, most
        return places, best


def _matrix(bits: OnBits) -> csr_matrix:
    values = bits.values[bits.offsets[0] : bits.offsets[-1]].astype(np.int32)
    return csr_matrix((np.ones(len(values), np.int32), values, bits.offsets - bits.offsets[0]), (len(bits), bits.width))
