"""Cosine similarities of genes and compounds, cut into labels gene by gene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isd_ray.core.panels import n_bytes

_CELLS = 1 << 25
"""Similarities held at a time: 128 MiB."""
_COMPOUNDS = 1 << 10


@dataclass(frozen=True, slots=True)
class Similarities:
    """Which compounds each of G genes is similar to.

    Attributes
    ----------
    bits:
        uint8 (G, ceil(C / 8)): packed, a bit for each of C compounds.
    threshold, activity:
        float32 (G,): the least cosine of a similar compound; the share of compounds that are similar.
    """

    bits: NDArray[np.uint8]
    threshold: NDArray[np.float32]
    activity: NDArray[np.float32]


def similarities(
    genes: NDArray[np.float32], doses: NDArray[np.float32], compound_of_dose: NDArray[np.int64], siqr_steps: float
) -> Similarities:
    """Compare every gene with every compound at its best concentration (paper, Section 4.3), in blocks of genes.

    A gene's threshold is taken over its similarities to every compound at every concentration, as median + `siqr_steps`
    · (upper quartile - median). The paper does not say over which; over the best concentrations only, no gene could be
    similar to more than a quarter of the compounds, the least activity that it keeps.

    Parameters
    ----------
    genes:
        float32 (G, d), aggregated embeddings.
    doses:
        float32 (D, d), of every compound at every concentration.
    compound_of_dose:
        int64 (D,), ascending: 0 … C - 1, each at least once.
    """
    doses, genes = _directions(doses), _directions(genes)
    starts = np.flatnonzero(np.diff(compound_of_dose, prepend=-1))
    n_genes, n_compounds = len(genes), len(starts)
    bits = np.empty((n_genes, n_bytes(n_compounds)), np.uint8)
    threshold, activity = np.empty(n_genes, np.float32), np.empty(n_genes, np.float32)
    step = max(1, _CELLS // len(doses))
    for start in range(0, n_genes, step):
        block = slice(start, min(start + step, n_genes))
        cosines = genes[block] @ doses.T
        best = np.maximum.reduceat(cosines, starts, axis=1)
        median, upper = np.quantile(cosines, [0.5, 0.75], axis=1, overwrite_input=True)
        threshold[block] = median + siqr_steps * (upper - median)
        is_similar = best > threshold[block, None]
        bits[block] = np.packbits(is_similar, axis=1)
        activity[block] = is_similar.mean(axis=1)
    return Similarities(bits, threshold, activity)


def _directions(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1.0), np.float32)


def panel_bits(bits: NDArray[np.uint8], n_compounds: int) -> NDArray[np.uint8]:
    """Bits by gene, uint8 (K, ceil(C / 8)), as bits by compound, uint8 (C, ceil(K / 8))."""
    turned = np.empty((n_compounds, n_bytes(len(bits))), np.uint8)
    for start in range(0, n_compounds, _COMPOUNDS):
        stop = min(start + _COMPOUNDS, n_compounds)
        cells = np.unpackbits(bits[:, start // 8 : n_bytes(stop)], axis=1, count=stop - start)
        turned[start:stop] = np.packbits(cells.T, axis=1)
    return turned
