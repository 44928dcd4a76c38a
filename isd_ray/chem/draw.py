"""Drawings of compounds."""

from __future__ import annotations

import re
from typing import Any

from rdkit import Chem
from rdkit.Chem.Draw import rdMolDraw2D

from isd_ray.chem.smiles import silenced

LABELLED, LARGEST = 60, 400
"""Heavy atoms of the largest compound whose atoms have letters, and of the largest that is drawn at all."""
_NEEDLESS = re.compile(r" class='[^']*'|fill-rule:evenodd;|;stroke-linecap:butt;stroke-linejoin:miter;stroke-opacity:1")
"""Half of a drawing: names that no style refers to, and what is the default anyway."""


def draw_svg(smiles: str | None, width: int = 240, height: int = 180) -> str | None:
    """A compound as an SVG document of `width` x `height` pixels on no background.

    None if there is no structure, or too large a one (`LARGEST`). Of large ones (above `LABELLED`) bonds have the
    colours of their atoms, but atoms no letters, which nobody could read.
    """
    with silenced():
        mol = Chem.MolFromSmiles(smiles or "")
        if mol is None or not 0 < mol.GetNumHeavyAtoms() <= LARGEST:
            return None
        drawing = rdMolDraw2D.MolDraw2DSVG(width, height)
        options: Any = drawing.drawOptions()
        options.clearBackground = False
        options.noAtomLabels = mol.GetNumHeavyAtoms() > LABELLED
        try:
            rdMolDraw2D.PrepareAndDrawMolecule(drawing, mol)
        except (ValueError, RuntimeError):  # of valence, conformation or RDKit's invariants
            return None
    drawing.FinishDrawing()
    return _NEEDLESS.sub("", str(drawing.GetDrawingText()))
