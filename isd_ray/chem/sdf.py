"""Writing molecules as an SDF."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rdkit import Chem

from isd_ray.chem.smiles import silenced


def write_sdf(path: Path, lines: Iterable[Mapping[str, Any]]) -> int:
    """Write one record for each line with a structure, without coordinates; returns how many.

    Parameters
    ----------
    lines:
        Each with `id` (the title) and `smiles`; every other value that is not None becomes a data item.
    """
    n_written = 0
    with silenced(), Chem.SDWriter(str(path)) as writer:
        for line in lines:
            mol = Chem.MolFromSmiles(line["smiles"] or "")
            if mol is None or mol.GetNumAtoms() == 0:
                continue
            mol.SetProp("_Name", str(line["id"]))
            for name, value in line.items():
                if value is not None and name not in ("id", "smiles"):
                    mol.SetProp(name, str(value))
            writer.write(mol)
            n_written += 1
    return n_written
