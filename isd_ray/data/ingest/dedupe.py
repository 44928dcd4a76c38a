"""Finding equal keys in a stream of millions, at 16 bytes a kept row."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from isd_ray.core.features import Dense, Features

HASH_BYTES = 16
_POSITION_BITS = 40
"""Room for a position in the input: 10^12 records. The other 88 bits of an entry are hash: with 10^9 keys the chance of
any false match is 2 in 10^9."""
_POSITION_MASK = np.uint64((1 << _POSITION_BITS) - 1)
_PARTITION_BITS = 6
"""Entries are kept in 64 partitions, so that a merge never copies more than 1/64 of them at a time."""
_ENTRY = np.dtype([("high", np.uint64), ("low", np.uint64)])


def hash_keys(keys: Iterable[bytes]) -> NDArray[np.uint64]:
    """BLAKE2b hashes of byte strings, 128 bits each: uint64, shape (n, 2)."""
    digests = b"".join([hashlib.blake2b(key, digest_size=HASH_BYTES).digest() for key in keys])
    return np.frombuffer(digests, dtype="<u8").reshape(-1, 2).astype(np.uint64)


def hash_features(features: Features) -> NDArray[np.uint64]:
    """Hashes of the rows of a feature container: uint64, shape (n, 2)."""
    if isinstance(features, Dense):
        return hash_keys(row.tobytes() for row in np.ascontiguousarray(features.values))
    bounds = (features.offsets * features.values.itemsize).tolist()
    data = features.values.tobytes()
    return hash_keys(data[start:stop] for start, stop in pairwise(bounds))


class DuplicateIndex:
    """The keys seen so far, with the position of the first record that had each.

    Sorted runs that are merged when they are of like size (a log-structured merge): 16 bytes a key, whatever the order
    of keys, and every step vectorised.
    """

    def __init__(self) -> None:
        self._runs: list[list[NDArray[np.void]]] = [[] for _ in range(1 << _PARTITION_BITS)]

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(run.nbytes for runs in self._runs for run in runs)

    def add(self, hashes: NDArray[np.uint64], positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Add keys, in input order; a key seen before is not added.

        Parameters
        ----------
        hashes:
            uint64, shape (n, 2), of `hash_keys`.
        positions:
            int64, shape (n,), ascending and above all added before.

        Returns
        -------
        int64, shape (n,)
            Position of the first record with the same key, -1 where the key is new.
        """
        first = np.full(len(hashes), -1, dtype=np.int64)
        entries = np.empty(len(hashes), dtype=_ENTRY)
        entries["high"] = hashes[:, 0]
        entries["low"] = (hashes[:, 1] & ~_POSITION_MASK) | positions.astype(np.uint64)
        # Positions are the low bits: sorting puts the first record of a key in front of its repetitions.
        order = np.lexsort((entries["low"], entries["high"]))
        entries = entries[order]
        tags = entries["low"] & ~_POSITION_MASK
        repeated = np.zeros(len(entries), dtype=bool)
        repeated[1:] = (entries["high"][1:] == entries["high"][:-1]) & (tags[1:] == tags[:-1])
        leader = np.maximum.accumulate(np.where(repeated, 0, np.arange(len(entries))))
        leaders = np.flatnonzero(~repeated)
        seen = np.full(len(entries), -1, dtype=np.int64)
        seen[leaders] = self._find_and_add(entries[leaders])
        original = (entries["low"] & _POSITION_MASK).astype(np.int64)
        first[order] = np.where(repeated & (seen[leader] < 0), original[leader], seen[leader])
        return first

    def _find_and_add(self, entries: NDArray[np.void]) -> NDArray[np.int64]:
        """Positions of distinct sorted entries, -1 for new ones, which are added."""
        found = np.full(len(entries), -1, dtype=np.int64)
        partitions = (entries["high"] >> np.uint64(64 - _PARTITION_BITS)).astype(np.int64)
        cuts = np.searchsorted(partitions, np.arange((1 << _PARTITION_BITS) + 1))
        for partition in np.unique(partitions).tolist():
            part = slice(cuts[partition], cuts[partition + 1])
            for run in self._runs[partition]:
                np.maximum(found[part], _find(run, entries[part]), out=found[part])
            new = entries[part][found[part] < 0]
            if len(new):
                _insert(self._runs[partition], new)
        return found


def _find(run: NDArray[np.void], entries: NDArray[np.void]) -> NDArray[np.int64]:
    at = np.searchsorted(run["high"], entries["high"])
    found = np.full(len(entries), -1, dtype=np.int64)
    candidates = np.flatnonzero(run["high"][np.minimum(at, len(run) - 1)] == entries["high"])
    for index in candidates.tolist():  # duplicates only: few, or worth the time
        tag, high = entries["low"][index] & ~_POSITION_MASK, entries["high"][index]
        place = int(at[index])
        while place < len(run) and run["high"][place] == high:
            if run["low"][place] & ~_POSITION_MASK == tag:
                found[index] = int(run["low"][place] & _POSITION_MASK)
                break
            place += 1
    return found


def _insert(runs: list[NDArray[np.void]], new: NDArray[np.void]) -> None:
    while runs and len(runs[-1]) <= 2 * len(new):
        merged = np.concatenate([runs.pop(), new])
        new = merged[np.argsort(merged["high"], kind="stable")]
    runs.append(new)


class RejectedPositions:
    """Positions of records that did not become rows; turns a position into the row it became."""

    def __init__(self) -> None:
        self._positions = np.empty(1024, dtype=np.int64)
        self._n = 0

    def add(self, positions: NDArray[np.int64]) -> None:
        """Append positions, ascending and above all added before."""
        needed = self._n + len(positions)
        if needed > len(self._positions):
            grown = np.empty(max(needed, 2 * len(self._positions)), dtype=np.int64)
            grown[: self._n] = self._positions[: self._n]
            self._positions = grown
        self._positions[self._n : needed] = positions
        self._n = needed

    def rows_of(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of kept positions: as many fewer as records were rejected before them."""
        return positions - np.searchsorted(self._positions[: self._n], positions)
