"""Which part of a record is the compound: salts and solvents by a list, metals by rules, the rest by size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rdkit import Chem
from rdkit.Chem.MolStandardize import rdMolStandardize
from rdkit.Chem.rdMolDescriptors import CalcExactMolWt

from isd_ray.errors import ConfigError

SALT, LARGEST, CHARGE, METAL, MAPS, CHEMBL, CHEMBL_EXCLUDED = (1 << place for place in range(7))
STEPS = {
    SALT: "salt removed",
    LARGEST: "largest fragment kept",
    CHARGE: "charge neutralised",
    METAL: "metal complex kept whole",
    MAPS: "atom maps removed",
    CHEMBL: "ChEMBL's parent",
    CHEMBL_EXCLUDED: "excluded from ChEMBL's parents, kept whole",
}
"""What standardisation did to a structure, as bits, and the words for it."""
STRIPS = SALT | LARGEST | CHARGE | CHEMBL
"""Steps that can make one compound of two."""

COUNTER_IONS = (
    # acids: mineral
    "F", "Cl", "Br", "I", "O[N+](=O)[O-]", "OS(=O)(=O)O", "OS(=O)O", "OP(=O)(O)O", "OP(O)O", "[O-]Cl(=O)(=O)=O",
    "OC(=O)O", "OB(O)O", "F[B-](F)(F)F", "F[P-](F)(F)(F)(F)F", "F[Sb-](F)(F)(F)(F)F", "F[As-](F)(F)(F)(F)F",
    "SC#N", "C#N", "S", "F[Si-2](F)(F)(F)(F)F", "OCl(=O)(=O)=O", "[O-][Cl+3]([O-])([O-])O",
    # acids: carboxylic
    "OC=O", "CC(=O)O", "OC(=O)C(F)(F)F", "CCC(=O)O", "CCCC(=O)O", "OC(=O)C(=O)O", "OC(=O)CC(=O)O",
    "OC(=O)CCC(=O)O", "OC(=O)CCCCC(=O)O", "OC(=O)C=CC(=O)O", "OC(=O)CC(O)C(=O)O", "OC(=O)C(O)C(O)C(=O)O",
    "OC(=O)CC(O)(CC(=O)O)C(=O)O", "CC(O)C(=O)O", "OCC(=O)O", "OC(=O)c1ccccc1", "OC(=O)c1ccccc1O",
    "OC(=O)C(O)c1ccccc1", "OCC(O)C(O)C(O)C(O)C(=O)O", "OCC(O)C(O)C(O)C(O)C(O)C(=O)O", "OC1OC(C(=O)O)C(O)C(O)C1O",
    "OCC(O)C1OC(=O)C(O)=C1O", "NC(CC(=O)O)C(=O)O", "NC(CCC(=O)O)C(=O)O", "OC(=O)c1ccc2ccccc2c1O",
    "OC(=O)c1cc2ccccc2c(Cc2c(O)c(cc3ccccc23)C(=O)O)c1O", "CCCCCCCCCCCC(=O)O", "CCCCCCCCCCCCCCCC(=O)O",
    "CCCCCCCCCCCCCCCCCC(=O)O", "CCCCCCCCC=CCCCCCCCC(=O)O", "O=C1CCC(C(=O)O)N1", "OC(=O)CNC(=O)c1ccccc1",
    "CC(=O)NCC(=O)O", "O=C(O)CC(=O)C(=O)O", "CC(=O)CCC(=O)O", "OC(=O)c1cccnc1", "O=C1NC(=O)NC(=O)C1C(=O)O",
    "OC(=O)c1cc(=O)[nH]c(=O)[nH]1", "OC(=O)C(Cl)Cl", "OC(=O)C(Cl)(Cl)Cl",
    # acids: sulfonic, phenolic
    "CS(=O)(=O)O", "CCS(=O)(=O)O", "Cc1ccc(cc1)S(=O)(=O)O", "OS(=O)(=O)c1ccccc1", "OS(=O)(=O)C(F)(F)F",
    "OCCS(=O)(=O)O", "OS(=O)(=O)CCS(=O)(=O)O", "CC1(C)C2CCC1(CS(=O)(=O)O)C(=O)C2", "COS(=O)(=O)O", "CCOS(=O)(=O)O",
    "OS(=O)(=O)c1ccc2ccccc2c1", "OS(=O)(=O)c1cccc2c(cccc12)S(=O)(=O)O", "OS(=O)(=O)c1ccc(Cl)cc1", "NS(=O)(=O)O",
    "CCCCCCCCCCCCOS(=O)(=O)O", "OC1CCCCC1NS(=O)(=O)O", "O=S(=O)(O)NC1CCCCC1",
    "Oc1c(cc(cc1[N+](=O)[O-])[N+](=O)[O-])[N+](=O)[O-]", "O=C1NS(=O)(=O)c2ccccc12",
    # bases
    "N", "CN", "CNC", "CN(C)C", "CCN", "CCNCC", "CCN(CC)CC", "CC(C)N", "CC(C)(C)N", "NCCN", "NCCO", "OCCNCCO",
    "OCCN(CCO)CCO", "CN(C)CCO", "CCN(CC)CCO", "OCC(N)(CO)CO", "CNCC(O)C(O)C(O)C(O)CO", "C[N+](C)(C)CCO",
    "C1CNCCN1", "C1CCNCC1", "C1COCCN1", "C1CCNC1", "C1CCC(CC1)NC1CCCCC1", "NC(CCCCN)C(=O)O",
    "NC(CCCNC(N)=N)C(=O)O", "NCC(=O)O", "CCCCN(CCCC)CCCC", "CCN(C(C)C)C(C)C", "CC(C)(C)NCCO", "NCCc1ccccc1",
    "C[N+](C)(C)C", "CC[N+](CC)(CC)CC", "CCCC[N+](CCCC)(CCCC)CCCC", "n1ccccc1", "C(NCc1ccccc1)CNCc1ccccc1",
    "OCCN1CCCC1", "NC(N)=N", "c1c[nH]cn1",
    # solvents
    "O", "CO", "CCO", "CCCO", "CC(C)O", "CCCCO", "CC(C)(C)O", "OCCO", "CC(O)CO", "OCC(O)CO", "CC(C)=O", "CC#N",
    "CS(C)=O", "CN(C)C=O", "CC(=O)N(C)C", "CN1CCCC1=O", "CCOC(C)=O", "COC(C)=O", "C1CCOC1", "C1COCCO1", "CCOCC",
    "COC(C)(C)C", "ClCCl", "ClC(Cl)Cl", "ClC(Cl)(Cl)Cl", "ClCCCl", "c1ccccc1", "Cc1ccccc1", "Clc1ccccc1", "C1CCCCC1",
    "CCCCCC", "CCCCC", "CCCCCCC", "CC(C)=O", "CCC(C)=O", "OO", "NC(N)=O", "NC=O", "O=O",
)  # fmt: skip
"""Acids, bases and solvents that compounds are sold with; stereo centres and charges do not count."""
_BARE_METALS = frozenset({3, 11, 12, 13, 19, 20, 30, 37, 38, 55, 56})
"""Metals whose ions are counter-ions where nothing is bound to them: Li, Na, Mg, Al, K, Ca, Zn, Rb, Sr, Cs, Ba."""
_STRONG_BASES = frozenset({11, 19, 37, 55})
"""Of these, those that carbanions are salts of and no organometallic compounds with: Na, K, Rb, Cs."""
_N_ELEMENTS = 118
_NO_METALS = frozenset({0, 1, 2, 5, 6, 7, 8, 9, 10, 14, 15, 16, 17, 18, 33, 34, 35, 36, 52, 53, 54, 85, 86})


@dataclass(frozen=True, slots=True)
class _Tools:
    uncharger: rdMolStandardize.Uncharger
    metal: Chem.Mol
    carbanion: Chem.Mol


def largest_parent(mol: Chem.Mol) -> tuple[Chem.Mol, int]:
    """The compound of a record with several fragments, and the steps that led to it.

    A metal that is bound, or that is no ion of a salt, makes the record a complex, which stays whole: cisplatin is no
    ammonia, and ferrocene no nickelocene. Else counter-ions and solvents go by `COUNTER_IONS`, and of what is left the
    fragment with most heavy atoms stays.
    """
    tools = _tools()
    fragments = list(Chem.GetMolFrags(mol, asMols=True))
    organic = fragments
    if mol.HasSubstructMatch(tools.metal):
        bare = [fragment for fragment in fragments if _is_bare_metal(fragment)]
        organic = [fragment for fragment in fragments if not _is_bare_metal(fragment)]
        has_carbanion = any(fragment.HasSubstructMatch(tools.carbanion) for fragment in organic)
        is_salt = not has_carbanion or all(f.GetAtomWithIdx(0).GetAtomicNum() in _STRONG_BASES for f in bare)
        if not is_salt or any(has_metal(fragment) for fragment in organic):
            return mol, METAL
    if not organic:
        return _heaviest(fragments), LARGEST
    others = [fragment for fragment in organic if _neutral_smiles(fragment) not in _counter_ions()]
    if not others:
        # Salts of two of the list, as ammonium acetate, and solvents by themselves.
        return _heaviest(organic), SALT
    if len(others) == 1:
        return others[0], SALT
    n_kinds = len({_neutral_smiles(fragment) for fragment in others})
    return _heaviest(others), LARGEST if n_kinds > 1 else SALT


def chembl_parent(mol: Chem.Mol) -> tuple[Chem.Mol, int]:
    """The parent by the rules of ChEMBL (its package chembl_structure_pipeline), and the steps that led to it.

    Raises
    ------
    ConfigError
        If the package is not installed.
    """
    standardiser = _chembl()
    parent, is_excluded = standardiser.get_parent_mol(standardiser.standardize_mol(mol))
    if is_excluded or parent.GetNumAtoms() == 0:
        return mol, CHEMBL_EXCLUDED
    Chem.SanitizeMol(parent)
    return parent, 0


def require_chembl() -> None:
    """Raise ConfigError unless the package with ChEMBL's rules is installed."""
    _chembl()


@lru_cache(maxsize=1)
def _chembl() -> Any:
    try:
        from chembl_structure_pipeline import standardizer
    except ImportError as error:
        raise ConfigError(
            "the package chembl_structure_pipeline is not installed",
            "library.parent",
            "pip install 'isd_ray[chembl]', or parent = \"largest\"",
        ) from error
    return standardizer


def has_metal(mol: Chem.Mol) -> bool:
    """Whether a molecule has an atom of a metal."""
    return bool(mol.HasSubstructMatch(_tools().metal))


def _is_bare_metal(mol: Chem.Mol) -> bool:
    return mol.GetNumAtoms() == 1 and mol.GetAtomWithIdx(0).GetAtomicNum() in _BARE_METALS


def _heaviest(mols: list[Chem.Mol]) -> Chem.Mol:
    """The one with most heavy atoms; of several the heaviest, then the first by SMILES."""
    return min(mols, key=lambda mol: (-mol.GetNumHeavyAtoms(), -CalcExactMolWt(mol), Chem.MolToSmiles(mol)))


def _neutral_smiles(mol: Chem.Mol) -> str:
    return str(Chem.MolToSmiles(_tools().uncharger.uncharge(mol), isomericSmiles=False))


@lru_cache(maxsize=1)
def _counter_ions() -> frozenset[str]:
    return frozenset(_neutral_smiles(Chem.MolFromSmiles(text)) for text in COUNTER_IONS)


@lru_cache(maxsize=1)
def _tools() -> _Tools:
    metals = [f"#{number}" for number in range(1, _N_ELEMENTS + 1) if number not in _NO_METALS]
    return _Tools(
        uncharger=rdMolStandardize.Uncharger(),
        metal=Chem.MolFromSmarts(f"[{','.join(metals)}]"),
        carbanion=Chem.MolFromSmarts("[#6-;!$([#6-]#[#7,#8+]);!$([#6-]~[+])]"),
    )
