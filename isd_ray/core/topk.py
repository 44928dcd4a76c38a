"""The best k rows by (score, second score, seeded hash), in pieces that merge to the same answer in any order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from isd_ray.core.seeding import tie_keys
from isd_ray.messages import ScoredRows

_MERGE_AT = 8
"""Candidates are cut to the best k when they are this many times k rows: bounded memory, few sorts."""
_ROWS_AT_ONCE = 1 << 20
"""Rows of which keys are made at a time."""
_WIDER = 4
"""How many times more rows are looked up where too few of a group are among them."""


def empty_rows() -> ScoredRows:
    """No rows."""
    none32 = np.empty(0, np.float32)
    return ScoredRows(np.empty(0, np.int64), none32, none32, np.empty(0, np.float64), none32)


def concatenate_rows(parts: Sequence[ScoredRows]) -> ScoredRows:
    """All rows of `parts`, one after the other; a part without rows may have predictions of another shape."""
    parts = [part for part in parts if len(part.rows)] or parts[:1] or [empty_rows()]
    return ScoredRows(
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.primary for part in parts]),
        np.concatenate([part.secondary for part in parts]),
        np.concatenate([part.prediction for part in parts]),
        np.concatenate([part.uncertainty for part in parts]),
    )


def uniform_sample(candidates: ScoredRows, n: int, seed: int) -> ScoredRows:
    """A uniform sample of n candidates (all, if there are fewer): those of smallest `tie_keys`, in that random order.

    Which rows are drawn depends on the seed and the set of candidates only, so the sample of a union is the sample of
    the samples of its parts, however it is cut.
    """
    keys = tie_keys(seed, candidates.rows)
    if n < len(keys):
        candidates, keys = candidates.take(nearest := np.argpartition(keys, n)[:n]), keys[nearest]
    return candidates.take(np.argsort(keys))


def sample_of_group(
    asked: NDArray[np.bool_],
    n: int,
    seed: int,
    look_up: Callable[[NDArray[np.int64]], ScoredRows],
    is_inside: Callable[[ScoredRows], NDArray[np.bool_]],
) -> ScoredRows:
    """The `uniform_sample` of n of some rows that are inside a group, found without looking all of them up.

    Parameters
    ----------
    asked:
        bool, one for each row of the library: whether it may be inside.
    look_up:
        Ascending rows to their predictions, which say whether they are inside.
    """
    n_asked = int(np.count_nonzero(asked))
    k = min(n, n_asked)
    while True:
        # Whatever is inside and among the k smallest keys is among the smallest of the group.
        found = look_up(_of_smallest_keys(asked, k, seed))
        inside = found.take(is_inside(found))
        if len(inside.rows) >= n or k == n_asked:
            return uniform_sample(inside, n, seed)
        k = min(n_asked, _WIDER * k)


def _of_smallest_keys(asked: NDArray[np.bool_], k: int, seed: int) -> NDArray[np.int64]:
    """The k of the asked rows whose `tie_keys` are smallest, ascending; holds a few times k rows, however many ask."""
    rows, keys = np.empty(0, np.int64), np.empty(0, np.uint64)
    for first in range(0, len(asked), _ROWS_AT_ONCE):
        more = first + np.flatnonzero(asked[first : first + _ROWS_AT_ONCE])
        rows, keys = np.concatenate([rows, more]), np.concatenate([keys, tie_keys(seed, more)])
        if k < len(rows):
            nearest = np.argpartition(keys, k)[:k]
            rows, keys = rows[nearest], keys[nearest]
    return np.sort(rows)


def top_k(candidates: ScoredRows, k: int, tie_seed: int) -> ScoredRows:
    """The k best candidates, best first: larger `primary`, then larger `secondary`, then smaller `tie_keys`.

    The order is total, so the k best of a union are the k best of the k best of its parts, however it is cut.

    Raises
    ------
    ValueError
        If a score is not finite: an order with NaN would depend on how the rows were cut.
    """
    if not (np.isfinite(candidates.primary).all() and np.isfinite(candidates.secondary).all()):
        raise ValueError("scores must be finite")
    if 0 < k < len(candidates.rows):
        # One linear pass first: only rows at or above the k-th score can be among the best.
        cut = np.partition(candidates.primary, len(candidates.primary) - k)[len(candidates.primary) - k]
        candidates = candidates.take(candidates.primary >= cut)
    keys = (tie_keys(tie_seed, candidates.rows), -candidates.secondary, -candidates.primary)
    return candidates.take(np.lexsort(keys)[:k])


class RunningTopK:
    """The `top_k` of candidates that come part by part; holds a few times k rows, however many parts there are."""

    def __init__(self, k: int, tie_seed: int) -> None:
        self._k, self._tie_seed = k, tie_seed
        self._parts: list[ScoredRows] = []

    def add(self, part: ScoredRows) -> None:
        """More candidates."""
        self._parts.append(part)
        if sum(len(candidates.rows) for candidates in self._parts) > _MERGE_AT * self._k:
            self._parts = [self.rows()]

    def rows(self) -> ScoredRows:
        """The best so far, best first."""
        return top_k(concatenate_rows(self._parts), self._k, self._tie_seed)
