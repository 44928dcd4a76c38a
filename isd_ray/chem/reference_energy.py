"""Energies of atoms, by a linear fit of total energies to how many atoms of each element there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

from isd_ray.chem.smiles import silenced

HYDROGEN = 1
N_ELEMENTS = 119
"""Atomic numbers, and 0 for a dummy atom."""


@dataclass(frozen=True, slots=True)
class ReferenceEnergies:
    """Energies of atoms.

    Attributes
    ----------
    energies:
        float64 (119,), by atomic number, in the unit of the total energies; NaN of elements that the sample lacks.
    """

    energies: NDArray[np.float64]

    def by_element(self) -> dict[str, float]:
        """The energies that are known, by symbol, in the order of atomic numbers (as the paper's Table 2)."""
        table = Chem.GetPeriodicTable()
        known = np.flatnonzero(~np.isnan(self.energies)).tolist()
        return {table.GetElementSymbol(number): float(self.energies[number]) for number in known}

    def of(self, counts: NDArray[np.uint16]) -> NDArray[np.float64]:
        """Sum over the atoms of each molecule, float64 (n,); NaN where the energy of one of them is not known."""
        unknown = np.isnan(self.energies)
        sums = counts @ np.where(unknown, 0.0, self.energies)
        return np.where(counts[:, unknown].any(axis=1) | ~counts.any(axis=1), np.nan, sums)


def atom_counts(smiles: Sequence[str | None]) -> NDArray[np.uint16]:
    """Atoms of each molecule by atomic number, implicit hydrogens with them.

    Returns
    -------
    numpy.ndarray
        uint16 (n, 119); zeros where the SMILES is missing or does not parse.
    """
    counts = np.zeros((len(smiles), N_ELEMENTS), np.uint16)
    with silenced():
        for row, text in enumerate(smiles):
            mol = Chem.MolFromSmiles(text) if text else None
            if mol is None:
                continue
            for number, n in Counter(atom.GetAtomicNum() for atom in mol.GetAtoms()).items():
                counts[row, number] = n
            counts[row, HYDROGEN] += sum(atom.GetTotalNumHs() for atom in mol.GetAtoms())
    return counts


def fit_reference_energies(counts: NDArray[np.uint16], energies: NDArray[np.float64]) -> ReferenceEnergies:
    """Least squares without a constant (paper, Appendix C).

    Parameters
    ----------
    counts:
        uint16 (n, 119), from `atom_counts`.
    energies:
        float64 (n,): total energies, finite.
    """
    present = np.flatnonzero(counts.any(axis=0))
    solution, *_ = np.linalg.lstsq(counts[:, present].astype(np.float64), energies, rcond=None)
    found = np.full(N_ELEMENTS, np.nan)
    found[present] = solution
    return ReferenceEnergies(found)
