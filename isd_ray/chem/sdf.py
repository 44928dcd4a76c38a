"""Writing molecules as an SDF."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rdkit import Chem

from isd_ray.chem.smiles import silenced


def write_sdf(path: Path, lines: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
    """Write one record for each line, without coordinates; returns how many, and how many of them lack a structure.

    Parameters
    ----------
    lines:
        Each with `id` (the title) and `smiles`; every other value that is not None becomes a data item. Where there is
        no structure, or RDKit cannot read it, the record has no atoms, and `smiles` is a data item too.
    """
    n_written = n_empty = 0
    with silenced(), Chem.SDWriter(str(path)) as writer:
        for line in lines:
            mol = Chem.MolFromSmiles(line["smiles"] or "")
            is_empty = mol is None or mol.GetNumAtoms() == 0
            if is_empty:
                mol = Chem.Mol()
            mol.SetProp("_Name", str(line["id"]))
            for name, value in line.items():
                if value is not None and name != "id" and (is_empty or name != "smiles"):
                    mol.SetProp(name, str(value))
            writer.write(mol)
            n_written += 1
            n_empty += is_empty
    return n_written, n_empty
