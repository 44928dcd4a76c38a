"""Drawings of compounds."""

from __future__ import annotations

import re
from itertools import groupby
from typing import Any

from rdkit import Chem
from rdkit.Chem.Draw import rdMolDraw2D

from isd_ray.chem.smiles import silenced

LABELLED, LARGEST = 60, 400
"""Heavy atoms of the largest compound whose atoms have letters, and of the largest that is drawn at all."""
_NEEDLESS = re.compile(r" class='[^']*'|fill-rule:evenodd;|;stroke-linecap:butt;stroke-linejoin:miter;stroke-opacity:1")
"""Half of a drawing: names that no style refers to, and what is the default anyway."""
_STROKE = re.compile(r"<path d='([^']*)' style='(fill:none;[^']*)' */>")
"""A line of a drawing that is drawn and not filled: what it follows, and its style."""


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
    return _joined(_NEEDLESS.sub("", str(drawing.GetDrawingText())))


def _joined(svg: str) -> str:
    """The drawing with neighbouring lines of one style as one path: a fraction of its size, and the same to see."""
    lines: list[str] = []
    for style, group in groupby(svg.splitlines(), _style):
        if style is None:
            lines += group
        else:
            drawn = " ".join(_STROKE.sub(r"\1", line) for line in group)
            lines.append(f"<path d='{drawn}' style='{style}'/>")
    return "\n".join(lines)


def _style(line: str) -> str | None:
    found = _STROKE.fullmatch(line)
    return None if found is None else found[2]
