"""Finding equal keys in a stream of millions, at 14 bytes a kept row."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from isd_ray.core.features import Dense, Features
from isd_ray.errors import ResourceError

HASH_BYTES = 16
_PARTITION_BITS = 6
"""Old keys lie in 64 partitions, so that a merge never copies more than 1/64 of them at a time."""
_N_RECENT = 1 << 16
"""New keys are collected up to this number before they are dealt out to the partitions."""
_MAX_ROWS = 1 << 32
_KEY_BYTES = 14
_OWN_PAGES_BYTES = 1 << 16


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


class _Run:
    """Keys sorted by `high`: the first 80 bits of their hashes, and the row of each.

    80 bits: with 10^9 keys the chance of any false match is 4 in 10^7. 14 bytes a key leave room, within 16 bytes a
    row, for the copies that merging makes.

    Parameters
    ----------
    high, tag, row:
        uint64, uint16, uint32, shape (n,): first 64 bits, next 16 bits, row; copied.
    order:
        int64, shape (n,): order in which to take them.
    """

    __slots__ = ("high", "row", "tag")

    def __init__(
        self, high: NDArray[np.uint64], tag: NDArray[np.uint16], row: NDArray[np.uint32], order: NDArray[np.int64]
    ) -> None:
        n = len(order)
        # Runs that live long get pages of their own: from the heap they would leave holes of every size behind.
        nbytes = n * _KEY_BYTES
        memory = mmap.mmap(-1, nbytes) if nbytes >= _OWN_PAGES_BYTES else bytearray(nbytes)
        self.high = np.frombuffer(memory, np.uint64, n)
        self.row = np.frombuffer(memory, np.uint32, n, offset=8 * n)
        self.tag = np.frombuffer(memory, np.uint16, n, offset=12 * n)
        # mode: without one numpy would make a copy of `out` first.
        np.take(high, order, out=self.high, mode="clip")
        np.take(row, order, out=self.row, mode="clip")
        np.take(tag, order, out=self.tag, mode="clip")

    def __len__(self) -> int:
        return len(self.high)

    @property
    def nbytes(self) -> int:
        return self.high.nbytes + self.tag.nbytes + self.row.nbytes

    def find(self, high: NDArray[np.uint64], tag: NDArray[np.uint16]) -> NDArray[np.int64]:
        """Rows of keys, -1 for those not here."""
        found = np.full(len(high), -1, dtype=np.int64)
        at = np.searchsorted(self.high, high)
        pending = np.flatnonzero(at < len(self))
        while len(pending):  # more than one pass only where 64 bits agree and the tag does not
            pending = pending[self.high[at[pending]] == high[pending]]
            hit = self.tag[at[pending]] == tag[pending]
            found[pending[hit]] = self.row[at[pending[hit]]]
            pending = pending[~hit]
            at[pending] += 1
            pending = pending[at[pending] < len(self)]
        return found


class DuplicateIndex:
    """The keys seen so far, with the row of the first record that had each.

    Sorted runs that are merged when they are of like size (a log-structured merge), whatever the order of keys, and
    every step vectorised.
    """

    def __init__(self) -> None:
        self._recent: list[_Run] = []
        self._partitions: list[list[_Run]] = [[] for _ in range(1 << _PARTITION_BITS)]

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(run.nbytes for runs in [self._recent, *self._partitions] for run in runs)

    def add(self, hashes: NDArray[np.uint64], first_row: int) -> NDArray[np.int64]:
        """Add keys, in input order; those not seen before become rows, numbered on from `first_row`.

        Parameters
        ----------
        hashes:
            uint64, shape (n, 2), of `hash_keys`.

        Returns
        -------
        int64, shape (n,)
            Row of the first record with the same key, -1 where the key is new.

        Raises
        ------
        ResourceError
            If rows exceed 2^32.
        """
        if first_row + len(hashes) > _MAX_ROWS:
            raise ResourceError(
                f"more than {_MAX_ROWS:,} rows cannot be told apart",
                remedy='divide the sources, or duplicates = "keep"',
            )
        tags = (hashes[:, 1] >> np.uint64(48)).astype(np.uint16)
        order = np.lexsort((tags, hashes[:, 0]))  # stable: the first record of a key stays in front
        high, tag = hashes[order, 0], tags[order]
        leads = np.ones(len(order), dtype=bool)
        leads[1:] = (high[1:] != high[:-1]) | (tag[1:] != tag[:-1])
        leaders = np.flatnonzero(leads)
        rows = self._find(high[leaders], tag[leaders])
        new = np.flatnonzero(rows < 0)
        rows[new[np.argsort(order[leaders[new]])]] = first_row + np.arange(len(new))
        added = leaders[new]
        if len(new):
            self._insert(_Run(high[added], tag[added], rows[new].astype(np.uint32), np.arange(len(new))))
        first = np.empty(len(order), dtype=np.int64)
        first[order] = rows[np.cumsum(leads) - 1]
        first[order[added]] = -1
        return first

    def _find(self, high: NDArray[np.uint64], tag: NDArray[np.uint16]) -> NDArray[np.int64]:
        """Rows of distinct keys in ascending order of `high`."""
        found = np.full(len(high), -1, dtype=np.int64)
        for run in self._recent:
            np.maximum(found, run.find(high, tag), out=found)
        cuts = _partition_cuts(high)
        for runs, (start, stop) in zip(self._partitions, pairwise(cuts), strict=True):
            if start < stop:
                for run in runs:
                    np.maximum(found[start:stop], run.find(high[start:stop], tag[start:stop]), out=found[start:stop])
        return found

    def _insert(self, new: _Run) -> None:
        _merge_in(self._recent, new)
        if len(self._recent[0]) < _N_RECENT:
            return
        dealt, self._recent = self._recent, []
        for run in dealt:
            for runs, (start, stop) in zip(self._partitions, pairwise(_partition_cuts(run.high)), strict=True):
                if start < stop:
                    _merge_in(runs, _Run(run.high, run.tag, run.row, np.arange(start, stop)))


def _partition_cuts(high: NDArray[np.uint64]) -> list[int]:
    """Where the keys of each partition begin, and the end."""
    partitions = (high >> np.uint64(64 - _PARTITION_BITS)).astype(np.int64)
    cuts: list[int] = np.searchsorted(partitions, np.arange((1 << _PARTITION_BITS) + 1)).tolist()
    return cuts


def _merge_in(runs: list[_Run], new: _Run) -> None:
    while runs and len(runs[-1]) <= 2 * len(new):
        old = runs.pop()
        high = np.concatenate([old.high, new.high])
        order = np.argsort(high, kind="stable")
        new = _Run(high, np.concatenate([old.tag, new.tag]), np.concatenate([old.row, new.row]), order)
    runs.append(new)
