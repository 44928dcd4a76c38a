"""A fixed list of two-dimensional descriptors, all of them by RDKit's compiled functions.

`rdkit.Chem.Descriptors.descList` has more, and costs four times as much: it goes atom by atom in Python.
"""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors

from isd_ray.chem.descriptor_sets import DescriptorSet
from isd_ray.chem.smiles import silenced

_PROPERTIES = (
    *("exactmw", "amw", "lipinskiHBA", "lipinskiHBD", "NumHBD", "NumHBA", "NumHeavyAtoms"),
    *("NumAtoms", "NumHeteroatoms", "NumAmideBonds", "FractionCSP3", "NumRings", "NumAromaticRings"),
    *("NumAliphaticRings", "NumSaturatedRings", "NumHeterocycles", "NumAromaticHeterocycles"),
    *("NumSaturatedHeterocycles", "NumAliphaticHeterocycles", "NumSpiroAtoms", "NumBridgeheadAtoms"),
    *("NumAtomStereoCenters", "NumUnspecifiedAtomStereoCenters", "labuteASA", "tpsa", "CrippenClogP", "CrippenMR"),
    *("chi0v", "chi1v", "chi2v", "chi0n", "chi1n", "chi2n"),
    *("hallKierAlpha", "kappa1", "kappa2", "Phi"),
)
"""Named here, and not asked of RDKit: another version may have others. Left out are the dear ones: chi3, chi4 and
kappa3, which find all paths of three or four bonds anew, and NumRotatableBonds, which the MQN count as well."""
_SURFACES = (
    ("SlogP_VSA", 12, rdMolDescriptors.SlogP_VSA_),
    ("SMR_VSA", 10, rdMolDescriptors.SMR_VSA_),
    ("PEOE_VSA", 14, rdMolDescriptors.PEOE_VSA_),
    ("MQN", 42, rdMolDescriptors.MQNs_),
)
"""Families of descriptors: name, how many, and the function that gives all of a family at once."""
_COUNTS = ("FormalCharge", "NumAromaticAtoms", "LargestRing")
RDKIT2D = (*_PROPERTIES, *(f"{name}{i + 1}" for name, n, _ in _SURFACES for i in range(n)), *_COUNTS)
"""Names of the descriptors, in their order: 118."""
RDKIT2D_VERSION = 1
"""Raised when a descriptor comes to mean something else under its old name."""


def rdkit2d(smiles: list[str | None]) -> NDArray[np.float64]:
    """The descriptors of molecules given as canonical SMILES.

    1.0 ms a screening compound (26 heavy atoms) on a core of a shared server (AMD EPYC), 1.3 ms where all cores are
    overcommitted, 0.4 ms a molecule of QM9. Parsing is an eighth of it, Crippen's contributions are a quarter.

    Returns
    -------
    float64, shape (n, 118)
        In the order of `RDKIT2D`; NaN where RDKit cannot tell a value, as throughout for a text that does not parse.
    """
    values = np.full((len(smiles), len(RDKIT2D)), np.nan)
    with silenced():
        for row, text in zip(values, smiles, strict=True):
            mol = Chem.MolFromSmiles(text) if text else None
            if mol is not None:
                _describe(mol, row)
    return values


def _describe(mol: Chem.Mol, row: NDArray[np.float64]) -> None:
    start = 0
    for n, compute in ((len(_PROPERTIES), _properties().ComputeProperties), *((n, made) for _, n, made in _SURFACES)):
        with suppress(ValueError, RuntimeError):  # RDKit's invariant errors: these are missing
            row[start : start + n] = compute(mol)
        start += n
    rings = mol.GetRingInfo().AtomRings()
    row[start:] = (
        Chem.GetFormalCharge(mol),
        len(mol.GetAromaticAtoms()),
        max(map(len, rings), default=0),
    )


@lru_cache(maxsize=1)
def _properties() -> rdMolDescriptors.Properties:
    return rdMolDescriptors.Properties(list(_PROPERTIES))


DESCRIPTOR_SET = DescriptorSet(RDKIT2D, RDKIT2D_VERSION, rdkit2d)
