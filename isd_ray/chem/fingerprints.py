"""On-bits of stacked RDKit fingerprints in one vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from isd_ray.config import Fingerprint, OnBitFeatures
from isd_ray.core.features import OnBits

UINT16_WIDTH = 1 << 16
"""Widest vocabulary whose bits fit uint16."""


def on_bit_dtype(width: int) -> np.dtype[Any]:
    """The smallest dtype for bits of a vocabulary: uint16 up to 65,536 columns, else uint32."""
    return np.dtype(np.uint16 if width <= UINT16_WIDTH else np.uint32)


def on_bits(mols: Sequence[Chem.Mol], spec: OnBitFeatures) -> OnBits:
    """Set bits of every molecule under a stack of fingerprints.

    Each fingerprint owns `Fingerprint.width` columns, in the order of the stack. A Morgan fingerprint with count levels
    is a thermometer: a bit seen n times sets ``bit + size * (level - 1)`` for level = 1 … min(n, count_levels). The
    others are RDKit's `GetFingerprint` with its defaults (counts are simulated for torsions and atom pairs).

    Parameters
    ----------
    mols:
        Sanitised molecules; n of them.

    Returns
    -------
    OnBits
        n rows, bits ascending within each row.
    """
    n_mols, width = len(mols), spec.width
    keys: list[NDArray[np.int64]] = []
    start = 0
    for fingerprint in spec.fingerprints:
        generator = _generator(fingerprint)
        if not n_mols:
            break
        if fingerprint.count_levels > 1:
            rows, bits = _thermometer(generator.GetCountFingerprints(mols), fingerprint)
        else:
            rows, bits = _set_bits(generator.GetFingerprints(mols), fingerprint.size)
        keys.append(rows * width + bits + start)
        start += fingerprint.width
    # One key orders by row, then by bit; sorting it costs less than keeping every part in order.
    merged = np.sort(np.concatenate(keys)) if keys else np.zeros(0, dtype=np.int64)
    rows = merged // width
    offsets = np.zeros(n_mols + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows, minlength=n_mols), out=offsets[1:])
    return OnBits((merged - rows * width).astype(on_bit_dtype(width)), offsets, width)


@lru_cache(maxsize=32)
def _generator(fingerprint: Fingerprint) -> Any:
    size = fingerprint.size
    if fingerprint.kind == "morgan":
        return rdFingerprintGenerator.GetMorganGenerator(radius=fingerprint.radius, fpSize=size)
    if fingerprint.kind == "torsion":
        return rdFingerprintGenerator.GetTopologicalTorsionGenerator(fpSize=size)
    if fingerprint.kind == "atom_pair":
        return rdFingerprintGenerator.GetAtomPairGenerator(fpSize=size)
    return rdFingerprintGenerator.GetRDKitFPGenerator(maxPath=fingerprint.max_path, fpSize=size)


def _set_bits(vectors: Sequence[Any], size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the set bits of RDKit bit vectors."""
    n_bytes = (size + 7) // 8
    packed = np.frombuffer(b"".join([DataStructs.BitVectToBinaryText(vector) for vector in vectors]), dtype=np.uint8)
    # Most bytes are zero: only the others are unpacked.
    filled = np.flatnonzero(packed)
    hits = np.flatnonzero(np.unpackbits(packed[filled], bitorder="little").view(np.bool_))
    where = filled[hits >> 3]
    rows = where // n_bytes
    return rows, (where - rows * n_bytes) * 8 + (hits & 7)


def _thermometer(vectors: Sequence[Any], fingerprint: Fingerprint) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the unfolded counts of RDKit count vectors."""
    counts = [vector.GetNonzeroElements() for vector in vectors]
    lengths = np.fromiter(map(len, counts), dtype=np.int64, count=len(counts))
    total = int(lengths.sum())
    bits = np.fromiter(chain.from_iterable(counts), dtype=np.int64, count=total)
    seen = np.fromiter(chain.from_iterable(count.values() for count in counts), dtype=np.int64, count=total)
    levels = np.minimum(seen, fingerprint.count_levels)
    ends = np.cumsum(levels)
    level = np.arange(ends[-1] if total else 0) - np.repeat(ends - levels, levels)
    rows = np.repeat(np.repeat(np.arange(len(counts)), lengths), levels)
    return rows, np.repeat(bits, levels) + fingerprint.size * level
