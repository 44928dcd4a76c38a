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
        found = _standardise(mol) if standardise else Prepared(mol, Chem.MolToSmiles(mol))
    except (ValueError, RuntimeError) as error:  # RDKit's sanitisation and invariant errors
        return f"cannot be standardised: {str(error).strip().splitlines()[0] if str(error).strip() else 'RDKit failed'}"
    if found is None:
        return "cannot be standardised: RDKit does not read the SMILES that it writes"
    if drop_single_atoms and found.mol.GetNumHeavyAtoms() < 2:
        return "single atom"
    return found


def _standardise(mol: Chem.Mol) -> Prepared | None:
    """Largest fragment, then neutral; None if no form of it has a SMILES that can be read.

    The two steps cost as much as parsing and the canonical SMILES, and most molecules have one fragment and no charge:
    then there is nothing to choose or to neutralise, so the step is skipped. Charges are looked for on the parsed
    atoms, not in the text, since sanitisation makes some of its own (a nitro group written N(=O)=O).

    Only of charged molecules is the SMILES read again: nothing else here can break it, and to read all again would cost
    more than half of what the rest of this module costs.
    """
    chooser, uncharger, charged = _standardisers()
    if len(Chem.GetMolFrags(mol)) > 1:
        mol = chooser.choose(mol)
    if not mol.HasSubstructMatch(charged):
        return Prepared(mol, Chem.MolToSmiles(mol))
    for form in _neutral_forms(mol, uncharger):
        canonical = Chem.MolToSmiles(form)
        if Chem.MolFromSmiles(canonical) is not None:
            return Prepared(form, canonical)
    return None


def _neutral_forms(mol: Chem.Mol, uncharger: rdMolStandardize.Uncharger) -> Iterator[Chem.Mol]:
    """What may stand for a charged molecule, the best first; the next is asked for where one cannot be read."""
    neutral = uncharger.uncharge(mol)
    yield neutral
    # RDKit leaves a ring marked as aromatic that was so by a charge only (a cyclopentadienyl anion).
    if Chem.SanitizeMol(neutral, catchErrors=True) == Chem.SanitizeFlags.SANITIZE_NONE:
        yield neutral
    yield mol


@lru_cache(maxsize=1)
def _standardisers() -> tuple[rdMolStandardize.LargestFragmentChooser, rdMolStandardize.Uncharger, Chem.Mol]:
    return (
        rdMolStandardize.LargestFragmentChooser(),
        rdMolStandardize.Uncharger(),
        Chem.MolFromSmarts("[!+0]"),
    )
