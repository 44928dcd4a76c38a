"""Rows that are unlike each other by the bits of their fingerprints."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rdkit.DataStructs import ExplicitBitVect
from rdkit.SimDivFilters.rdSimDivPickers import MaxMinPicker

from isd_ray.config.picks import BatchPick
from isd_ray.core.features import OnBits


def maxmin(features: OnBits, n: int) -> NDArray[np.int64]:
    """Places of n rows: the first, then each time the one whose nearest of those before is farthest, by Tanimoto.

    RDKit's lazy picker (Ashton et al. 2002; Sayle 2017), whose answer is that of the plain one.

    Parameters
    ----------
    features:
        The first is picked first.

    Returns
    -------
    NDArray
        int64 (n,), ascending; all places if there are no more.
    """
    if n >= len(features) or not n:
        return np.arange(len(features) if n else 0)
    fingerprints = []
    for start, end in zip(features.offsets, features.offsets[1:], strict=False):
        fingerprint = ExplicitBitVect(features.width)
        fingerprint.SetBitsFromList(features.values[start:end].tolist())
        fingerprints.append(fingerprint)
    picked = MaxMinPicker().LazyBitVectorPick(fingerprints, len(fingerprints), n, [0], 0)
    return np.sort(np.fromiter(picked, np.int64, n))


DIVERSE = BatchPick(maxmin, n_batches=3)
"""The least alike of three batches of the best rows: where many of them ask the same question."""
