"""On-bits of stacked RDKit fingerprints in one vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from isd_ray.config import Fingerprint, OnBitFeatures
from isd_ray.core.features import OnBits

UINT16_WIDTH = 1 << 16
"""Widest vocabulary whose bits fit uint16."""
_COUNTS_HEADER = 16
_COUNTS = np.dtype([("bit", "<u4"), ("count", "<i4")])
"""RDKit's binary form of a count vector: version, size of an index, length and number of entries (32 bits each), and
the entries."""


def on_bit_dtype(width: int) -> np.dtype[Any]:
    """The smallest dtype for bits of a vocabulary: uint16 up to 65,536 columns, else uint32."""
    return np.dtype(np.uint16 if width <= UINT16_WIDTH else np.uint32)


def on_bits(mols: Iterable[Chem.Mol], spec: OnBitFeatures) -> OnBits:
    """Set bits of every molecule under a stack of fingerprints; see `OnBitsMaker`."""
    maker = OnBitsMaker(spec)
    for mol in mols:
        maker.add(mol)
    return maker.finish()


class OnBitsMaker:
    """Collects the set bits of one molecule after another under a stack of fingerprints.

    Each fingerprint owns `Fingerprint.width` columns, in the order of the stack. A Morgan fingerprint with count levels
    is a thermometer: a bit seen n times sets ``bit + size * (level - 1)`` for level = 1 … min(n, count_levels). The
    others are RDKit's `GetFingerprint` with its defaults (counts are simulated for torsions and atom pairs).

    Made one by one, while the molecule that was just parsed is still in the processor's cache: RDKit's bulk calls over
    a thousand molecules cost a fifth more.
    """

    def __init__(self, spec: OnBitFeatures) -> None:
        self._spec = spec
        self._makers = [_maker(fingerprint) for fingerprint in spec.fingerprints]
        self._made: list[list[bytes]] = [[] for _ in spec.fingerprints]

    def add(self, mol: Chem.Mol) -> None:
        """Add a sanitised molecule."""
        new = [make(mol) for make in self._makers]  # all of them, or an error and none
        for made, data in zip(self._made, new, strict=True):
            made.append(data)

    def finish(self) -> OnBits:
        """All molecules in the order in which they were added; bits ascend within each row."""
        n_mols, width = len(self._made[0]), self._spec.width
        keys = [np.zeros(0, dtype=np.int64)]
        start = 0
        for fingerprint, made in zip(self._spec.fingerprints, self._made, strict=True):
            if n_mols:
                unfold = _thermometer if fingerprint.count_levels > 1 else _set_bits
                rows, bits = unfold(made, fingerprint)
                keys.append(rows * width + bits + start)
            start += fingerprint.width
        # One key orders by row, then by bit; sorting it costs less than keeping every part in order.
        merged = np.sort(np.concatenate(keys))
        rows = merged // width
        offsets = np.zeros(n_mols + 1, dtype=np.int64)
        np.cumsum(np.bincount(rows, minlength=n_mols), out=offsets[1:])
        return OnBits((merged - rows * width).astype(on_bit_dtype(width)), offsets, width)


def _maker(fingerprint: Fingerprint) -> Callable[[Chem.Mol], bytes]:
    """What turns a molecule into the bytes that `_set_bits` or `_thermometer` unfolds."""
    generator = _generator(fingerprint)
    if fingerprint.count_levels > 1:
        return lambda mol: generator.GetCountFingerprint(mol).ToBinary()
    to_bytes = DataStructs.BitVectToBinaryText
    return lambda mol: to_bytes(generator.GetFingerprint(mol))


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


def _set_bits(made: list[bytes], fingerprint: Fingerprint) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the set bits of RDKit bit vectors."""
    packed = np.frombuffer(b"".join(made), dtype=np.uint8)
    hits = np.flatnonzero(np.unpackbits(packed, bitorder="little").view(np.bool_))
    n_bits = 8 * ((fingerprint.size + 7) // 8)
    rows = hits // n_bits
    return rows, hits - rows * n_bits


def _thermometer(made: list[bytes], fingerprint: Fingerprint) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the unfolded counts of RDKit count vectors."""
    pairs = np.frombuffer(b"".join([data[_COUNTS_HEADER:] for data in made]), dtype=_COUNTS)
    lengths = (np.fromiter(map(len, made), dtype=np.int64, count=len(made)) - _COUNTS_HEADER) // _COUNTS.itemsize
    levels = np.minimum(pairs["count"], fingerprint.count_levels).astype(np.int64)
    ends = np.cumsum(levels)
    level = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - levels, levels)
    rows = np.repeat(np.repeat(np.arange(len(made)), lengths), levels)
    return rows, np.repeat(pairs["bit"].astype(np.int64), levels) + fingerprint.size * level
