"""Ranks of audited rows, counted block by block of the inference set."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def count_preceding(
    audit_uncertainty: NDArray[np.float32],
    audit_keys: NDArray[np.uint64],
    uncertainty: NDArray[np.float32],
    keys: NDArray[np.uint64],
) -> NDArray[np.int64]:
    """How many of the given rows come before each audited row: larger uncertainty first, then smaller key.

    Summed over all blocks of the inference set this is the audited rows' exact rank, for any cut into blocks.

    Parameters
    ----------
    audit_uncertainty, audit_keys:
        Shape (m,): of the audited rows, in any order; `keys` by `isd_ray.core.seeding.tie_keys`.
    uncertainty, keys:
        Shape (n,): of the block's inference rows, which may contain audited ones.

    Returns
    -------
    ndarray
        int64 (m,).
    """
    order = np.lexsort((audit_keys, -audit_uncertainty))
    wanted = -audit_uncertainty[order]
    values = -uncertainty
    left = np.searchsorted(wanted, values, side="left")
    tied = np.searchsorted(wanted, values, side="right") > left
    # A row before the audited row at `left` is before all the later ones.
    first_after = left
    if tied.any():
        sorted_keys = np.sort(audit_keys)
        n_keys = len(sorted_keys) + 1
        group = np.searchsorted(wanted, wanted)
        own = group * n_keys + np.searchsorted(sorted_keys, audit_keys[order])
        # `right` of an equal key: a row does not precede itself.
        place = left[tied] * n_keys + np.searchsorted(sorted_keys, keys[tied], side="right")
        first_after = left.copy()
        first_after[tied] = np.searchsorted(own, place, side="left")
    counts = np.cumsum(np.bincount(first_after, minlength=len(wanted) + 1)[: len(wanted)])
    ranks = np.empty(len(wanted), np.int64)
    ranks[order] = counts
    return ranks
