"""Molecules from SMILES and MDL mol blocks: parse, standardise, canonical SMILES."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

from rdkit import Chem, rdBase
from rdkit.Chem.MolStandardize import rdMolStandardize

StructureFormat: TypeAlias = Literal["smiles", "mol_block"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A molecule that passed: the RDKit molecule and its canonical SMILES."""

    mol: Chem.Mol
    canonical: str


def rdkit_version() -> str:
    """Version of the RDKit that makes the features, to be stored with them."""
    return str(rdBase.rdkitVersion)


@contextmanager
def silenced() -> Iterator[None]:
    """Hold back RDKit's own log lines inside the ``with`` block only; what fails is told in our reasons."""
    blocker = rdBase.BlockLogs()
    try:
        yield
    finally:
        del blocker


def prepare(smiles: str | None, *, standardise: bool, drop_single_atoms: bool) -> Prepared | str:
    """Parse one SMILES.

    Parameters
    ----------
    smiles:
        The structure; None and blanks are rejected, not raised.
    standardise:
        Keep the largest fragment and neutralise charges (RDKit's `LargestFragmentChooser` and `Uncharger`).
    drop_single_atoms:
        Reject molecules with fewer than two heavy atoms, counted after standardisation.

    Returns
    -------
    Prepared, or str
        The molecule, or the reason why it is rejected.
    """
    text = (smiles or "").strip()
    if not text:
        return "empty SMILES"
    mol = Chem.MolFromSmiles(text)
    if mol is None:
        return "does not parse"
    return _finish(mol, standardise, drop_single_atoms)


def prepare_mol_block(block: str | None, *, standardise: bool, drop_single_atoms: bool) -> Prepared | str:
    """Parse one MDL mol block (the structure of an SDF record); otherwise like `prepare`."""
    if not (block or "").strip():
        return "empty mol block"
    mol = Chem.MolFromMolBlock(block)
    if mol is None:
        return "does not parse"
    return _finish(mol, standardise, drop_single_atoms)


def _finish(mol: Chem.Mol, standardise: bool, drop_single_atoms: bool) -> Prepared | str:
    if mol.GetNumAtoms() == 0:
        return "empty SMILES"
    try:
        if standardise:
            mol = _standardise(mol)
        canonical = Chem.MolToSmiles(mol)
    except (ValueError, RuntimeError) as error:  # RDKit's sanitisation and invariant errors
        return f"cannot be standardised: {str(error).strip().splitlines()[0] if str(error).strip() else 'RDKit failed'}"
    if drop_single_atoms and mol.GetNumHeavyAtoms() < 2:
        return "single atom"
    return Prepared(mol, canonical)


def _standardise(mol: Chem.Mol) -> Chem.Mol:
    """Largest fragment, then neutral.

    The two steps cost as much as parsing and the canonical SMILES, and most molecules have one fragment and no charge:
    then there is nothing to choose or to neutralise, so the step is skipped. Charges are looked for on the parsed
    atoms, not in the text, since sanitisation makes some of its own (a nitro group written N(=O)=O).
    """
    chooser, uncharger, charged = _standardisers()
    if len(Chem.GetMolFrags(mol)) > 1:
        mol = chooser.choose(mol)
    if mol.HasSubstructMatch(charged):
        mol = uncharger.uncharge(mol)
    return mol


@lru_cache(maxsize=1)
def _standardisers() -> tuple[rdMolStandardize.LargestFragmentChooser, rdMolStandardize.Uncharger, Chem.Mol]:
    return (
        rdMolStandardize.LargestFragmentChooser(),
        rdMolStandardize.Uncharger(),
        Chem.MolFromSmarts("[!+0]"),
    )
