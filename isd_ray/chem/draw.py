"""Drawings of compounds."""

from __future__ import annotations

from typing import Any

from rdkit import Chem
from rdkit.Chem.Draw import rdMolDraw2D

from isd_ray.chem.smiles import silenced

LARGEST = 100
"""Heavy atoms of the largest compound that is drawn."""


def draw_svg(smiles: str | None, width: int = 240, height: int = 180) -> str | None:
    """A compound as an SVG document of `width` x `height` pixels on no background.

    None if there is no structure, or too large a one (`LARGEST`) to be recognised, and for its file to be small.
    """
    with silenced():
        mol = Chem.MolFromSmiles(smiles or "")
        if mol is None or not 0 < mol.GetNumHeavyAtoms() <= LARGEST:
            return None
        drawing = rdMolDraw2D.MolDraw2DSVG(width, height)
        options: Any = drawing.drawOptions()
        options.clearBackground = False
        try:
            rdMolDraw2D.PrepareAndDrawMolecule(drawing, mol)
        except (ValueError, RuntimeError):  # of valence, conformation or RDKit's invariants
            return None
    drawing.FinishDrawing()
    return str(drawing.GetDrawingText())
