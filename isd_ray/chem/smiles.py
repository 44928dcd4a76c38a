"""Molecules from SMILES and MDL mol blocks: parse, standardise, canonical SMILES."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

from rdkit import Chem, rdBase
from rdkit.Chem import rdMolHash
from rdkit.Chem.MolStandardize import rdMolStandardize

from isd_ray.chem.parents import CHARGE, CHEMBL, MAPS, METAL, SALT, chembl_parent, has_metal, largest_parent
from isd_ray.config.limits import MAX_SMILES_CHARS

StructureFormat: TypeAlias = Literal["smiles", "mol_block"]
Parent: TypeAlias = Literal["largest", "chembl"]
MAX_HEAVY_ATOMS = 1000
"""Where nothing else is said."""
_ATOM_MAP = re.compile(r":\d+\]")
_V3000_COUNTS = re.compile(r"^M  V30 COUNTS +(\d+)", re.MULTILINE)
_POLYMERS = frozenset({"SRU", "MON", "MER", "COP", "CRO", "MOD", "GRA"})
"""Groups of atoms that stand for repeating units."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A molecule that passed: the RDKit molecule, its canonical SMILES, and what was done to it (`parents.STEPS`).

    Of a molecule with enhanced stereo groups the SMILES is a CXSMILES, ``C[C@H](O)F |&1:1|``.
    """

    mol: Chem.Mol
    canonical: str
    steps: int = 0


@dataclass(frozen=True, slots=True)
class Standards:
    """What is made of a parsed structure.

    Attributes
    ----------
    standardise:
        Keep the parent and neutralise charges.
    parent:
        Which fragment that is: see `isd_ray.chem.parents`.
    drop_single_atoms:
        Reject molecules with fewer than two heavy atoms, counted after standardisation.
    max_heavy_atoms:
        Reject larger structures, counted before it.
    """

    standardise: bool = True
    parent: Parent = "largest"
    drop_single_atoms: bool = False
    max_heavy_atoms: int = MAX_HEAVY_ATOMS


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


def prepare(
    smiles: str | None,
    *,
    standardise: bool,
    drop_single_atoms: bool,
    parent: Parent = "largest",
    max_heavy_atoms: int = MAX_HEAVY_ATOMS,
) -> Prepared | str:
    """Parse one SMILES or CXSMILES.

    Parameters
    ----------
    smiles:
        The structure; None and blanks are rejected, not raised.
    standardise, drop_single_atoms, parent, max_heavy_atoms:
        As of `Standards`.

    Returns
    -------
    Prepared, or str
        The molecule, or the reason why it is rejected.
    """
    text = (smiles or "").strip()
    if not text:
        return "empty SMILES"
    if len(text) > MAX_SMILES_CHARS:
        return f"more than {MAX_SMILES_CHARS:,} characters"
    mol = Chem.MolFromSmiles(text) if text.isprintable() else None
    if mol is None:
        return "does not parse"
    return _finish(mol, Standards(standardise, parent, drop_single_atoms, max_heavy_atoms))


def prepare_mol_block(
    block: str | None,
    *,
    standardise: bool,
    drop_single_atoms: bool,
    parent: Parent = "largest",
    max_heavy_atoms: int = MAX_HEAVY_ATOMS,
) -> Prepared | str:
    """Parse one MDL mol block (the structure of an SDF record); otherwise like `prepare`."""
    if not (block or "").strip():
        return "empty mol block"
    assert block is not None
    counts = _V3000_COUNTS.search(block)
    if counts is not None and int(counts[1][:_MOST_DIGITS]) > _ATOMS_FOR_EACH_HEAVY * max_heavy_atoms:
        return _too_large(max_heavy_atoms)
    mol = Chem.MolFromMolBlock(block)
    if mol is None:
        return "does not parse"
    return _finish(mol, Standards(standardise, parent, drop_single_atoms, max_heavy_atoms))


_MOST_DIGITS = 9
_ATOMS_FOR_EACH_HEAVY = 4
"""Hydrogens included, more than any compound has."""


def _too_large(max_heavy_atoms: int) -> str:
    return f"more than {max_heavy_atoms:,} heavy atoms"


def tautomer_hash(mol: Chem.Mol) -> str:
    """One text for all tautomers and protonation states of a molecule (RDKit's HetAtomTautomerv2)."""
    text = str(rdMolHash.MolHash(mol, rdMolHash.HashFunction.HetAtomTautomerv2))
    groups = _stereo_groups(mol)
    return f"{text} {Chem.MolToCXSmiles(mol, *_cx())}" if groups else text


def tautomer_hash_of(canonical: str) -> str:
    """The same of a canonical SMILES that `prepare` wrote."""
    with silenced():
        mol = Chem.MolFromSmiles(canonical)
        return canonical if mol is None else tautomer_hash(mol)


def tautomer_key(prepared: Prepared) -> str:
    """`tautomer_hash` of a prepared molecule, by way of its SMILES: the same whoever asks for it."""
    return tautomer_hash_of(prepared.canonical)


def _finish(mol: Chem.Mol, standards: Standards) -> Prepared | str:
    if mol.GetNumAtoms() == 0:
        return "empty SMILES"
    if mol.GetNumAtoms() > standards.max_heavy_atoms and mol.GetNumHeavyAtoms() > standards.max_heavy_atoms:
        return _too_large(standards.max_heavy_atoms)
    if reason := _no_compound(mol):
        return reason
    try:
        found = _standardise(mol, standards.parent) if standards.standardise else _written(mol)
        if found is not None and _ATOM_MAP.search(found.canonical):
            found = _without_maps(found)
    except (ValueError, RuntimeError) as error:  # RDKit's sanitisation and invariant errors
        return f"cannot be standardised: {str(error).strip().splitlines()[0] if str(error).strip() else 'RDKit failed'}"
    if found is None:
        return "cannot be standardised: RDKit does not read the SMILES that it writes"
    if standards.drop_single_atoms and found.mol.GetNumHeavyAtoms() < 2:
        return "single atom"
    return found


def _no_compound(mol: Chem.Mol) -> str:
    """Why a structure stands for many compounds, or for none that can be bought; else nothing."""
    if mol.HasSubstructMatch(_tools().dummy):
        return "wildcard atom or R group"
    if mol.HasQuery():
        return "query atoms or bonds"
    if any(group.HasProp("TYPE") and group.GetProp("TYPE") in _POLYMERS for group in Chem.GetMolSubstanceGroups(mol)):
        return "polymer"
    return ""


def _stereo_groups(mol: Chem.Mol) -> list[Chem.StereoGroup]:
    """Groups of centres whose configuration is relative or racemic."""
    absolute = Chem.StereoGroupType.STEREO_ABSOLUTE
    return [group for group in mol.GetStereoGroups() if group.GetGroupType() != absolute]


def _cx() -> tuple[Chem.SmilesWriteParams, int]:
    return Chem.SmilesWriteParams(), int(Chem.CXSmilesFields.CX_ENHANCEDSTEREO)


def _canonical(mol: Chem.Mol) -> str:
    n_groups = len(mol.GetStereoGroups())
    groups = _stereo_groups(mol) if n_groups else []
    if not groups:
        return str(Chem.MolToSmiles(mol))
    if len(groups) < n_groups:
        mol = _with_groups(mol, groups)
    return str(Chem.MolToCXSmiles(mol, *_cx()))


def _written(mol: Chem.Mol, steps: int = 0) -> Prepared:
    return Prepared(mol, _canonical(mol), steps)


def _without_maps(prepared: Prepared) -> Prepared:
    """Without atom maps, which say nothing of the compound but make centres of atoms that are none without them."""
    mol = Chem.Mol(prepared.mol)
    for atom in mol.GetAtoms():
        atom.SetAtomMapNum(0)
    Chem.AssignStereochemistry(mol, cleanIt=True, force=True)
    # Perceived anew: hydrogens that were written for a map only are none of the molecule.
    again = Chem.MolFromSmiles(_canonical(mol))
    return _written(mol if again is None else again, prepared.steps | MAPS)


def _standardise(mol: Chem.Mol, parent: Parent) -> Prepared | None:
    """The parent, then neutral; None if no form of it has a SMILES that can be read.

    The two steps cost as much as parsing and the canonical SMILES, and most molecules have one fragment and no charge:
    then there is nothing to choose or to neutralise, so the step is skipped. Charges are looked for on the parsed
    atoms, not in the text, since sanitisation makes some of its own (a nitro group written N(=O)=O).

    Only of charged molecules is the SMILES read again: nothing else here can break it, and to read all again would cost
    more than half of what the rest of this module costs.
    """
    if parent == "chembl":
        return _chembl_parent(mol)
    steps = 0
    if len(Chem.GetMolFrags(mol)) > 1:
        mol, steps = largest_parent(mol)
    if not mol.HasSubstructMatch(_tools().charged):
        return _written(mol, steps)
    if steps & METAL or has_metal(mol):
        found = _written(mol, steps)
        return found if Chem.MolFromSmiles(found.canonical) is not None else None
    for form in _neutral_forms(mol, _tools().uncharger):
        canonical = _canonical(form)
        if Chem.MolFromSmiles(canonical) is not None:
            return Prepared(form, canonical, steps | (CHARGE if _n_charges(form) != _n_charges(mol) else 0))
    return None


def _chembl_parent(mol: Chem.Mol) -> Prepared | None:
    chosen, steps = chembl_parent(mol)
    found = _written(chosen, steps)
    if Chem.MolFromSmiles(found.canonical) is None:
        return None
    if steps:
        return found
    n_before, n_after = len(Chem.GetMolFrags(mol)), len(Chem.GetMolFrags(chosen))
    if n_after < n_before:
        return Prepared(chosen, found.canonical, SALT)
    return Prepared(chosen, found.canonical, CHEMBL if found.canonical != _canonical(mol) else 0)


def _n_charges(mol: Chem.Mol) -> int:
    return sum(atom.GetFormalCharge() != 0 for atom in mol.GetAtoms())


def _neutral_forms(mol: Chem.Mol, uncharger: rdMolStandardize.Uncharger) -> Iterator[Chem.Mol]:
    """What may stand for a charged molecule, the best first; the next is asked for where one cannot be read."""
    neutral = uncharger.uncharge(mol)
    groups = mol.GetStereoGroups()
    if len(groups) and not len(neutral.GetStereoGroups()) and neutral.GetNumAtoms() == mol.GetNumAtoms():
        neutral = _with_groups(neutral, groups)  # RDKit forgets them
    yield neutral
    # RDKit leaves a ring marked as aromatic that was so by a charge only (a cyclopentadienyl anion).
    if Chem.SanitizeMol(neutral, catchErrors=True) == Chem.SanitizeFlags.SANITIZE_NONE:
        yield neutral
    yield mol


def _with_groups(mol: Chem.Mol, groups: list[Chem.StereoGroup]) -> Chem.Mol:
    editable = Chem.RWMol(mol)
    editable.SetStereoGroups(
        [
            Chem.CreateStereoGroup(group.GetGroupType(), editable, [atom.GetIdx() for atom in group.GetAtoms()])
            for group in groups
        ]
    )
    return editable.GetMol()


@dataclass(frozen=True, slots=True)
class _Tools:
    uncharger: rdMolStandardize.Uncharger
    charged: Chem.Mol
    dummy: Chem.Mol


@lru_cache(maxsize=1)
def _tools() -> _Tools:
    return _Tools(rdMolStandardize.Uncharger(), Chem.MolFromSmarts("[!+0]"), Chem.MolFromSmarts("[#0]"))
