"""How alike compounds are by the bits of their fingerprints."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isd_ray.core.features import OnBits


def tanimoto(queries: OnBits, others: OnBits) -> NDArray[np.float32]:
    """Shared bits over all bits of each pair, float32 (n_queries, n_others); 0 for two compounds without a bit."""
    sizes, result = np.diff(others.offsets), np.zeros((len(queries), len(others)), np.float32)
    places, values = others.offsets - others.offsets[0], others.values[others.offsets[0] : others.offsets[-1]]
    before = np.zeros(len(values) + 1, np.int32)
    for query in range(len(queries)):
        bits = queries.values[queries.offsets[query] : queries.offsets[query + 1]]
        has_bit = np.zeros(queries.width, np.bool_)
        has_bit[bits] = True
        np.cumsum(has_bit[values], out=before[1:])
        shared = before[places[1:]] - before[places[:-1]]
        together = len(bits) + sizes - shared
        np.divide(shared, together, out=result[query], where=together > 0, casting="unsafe")
    return result
