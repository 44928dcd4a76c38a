"""Parsing and standardisation say what they did, and the shortcuts change nothing."""

from __future__ import annotations

import csv
import importlib.util
import sys
from pathlib import Path

import pytest
from rdkit import Chem
from rdkit.Chem.MolStandardize import rdMolStandardize

from isd_ray.chem import parents
from isd_ray.chem.parents import STEPS
from isd_ray.chem.smiles import Prepared, prepare, prepare_mol_block, silenced
from isd_ray.errors import ConfigError


def canonical(smiles, standardise=True):
    result = prepare(smiles, standardise=standardise, drop_single_atoms=False)
    assert isinstance(result, Prepared)
    return result.canonical


@pytest.mark.parametrize(
    ("smiles", "reason"),
    [(None, "empty SMILES"), ("", "empty SMILES"), ("  ", "empty SMILES"), ("C1CC", "does not parse")],
)
def test_bad_smiles_are_reasons_not_errors(smiles, reason):
    with silenced():
        assert prepare(smiles, standardise=True, drop_single_atoms=False) == reason


def test_one_compound_written_two_ways_has_one_canonical_smiles():
    assert canonical("OCC") == canonical("C(O)C") == "CCO"


def test_standardisation_keeps_the_largest_fragment_neutral():
    assert canonical("[Na+].CC(=O)[O-]") == "CC(=O)O"
    assert canonical("C[NH3+]") == "CN"
    assert canonical("[Na+].CC(=O)[O-]", standardise=False) == "CC(=O)[O-].[Na+]"


def test_charges_that_sanitisation_makes_are_seen():
    # A nitro group without any sign in its text has charges after parsing; written either way it is one compound.
    assert canonical("CN(=O)=O") == canonical("C[N+](=O)[O-]")


@pytest.mark.parametrize(
    ("smiles", "kept"),
    [
        ("CC1=C[C-](OC1=[NH2+])C#N", "CC1=CC(C#N)OC1=N"),  # the ring is aromatic by its charge only
        ("[Na+].c1cc[cH-]c1", "C1=CCC=C1"),
        ("[Fe+2].c1cc[cH-]c1.c1cc[cH-]c1", "[Fe+2].c1cc[cH-]c1.c1cc[cH-]c1"),
        ("[SbH6+3]", "[SbH6+3]"),  # neutral it would have nine bonds
    ],
)
def test_what_standardisation_writes_can_be_read(smiles, kept):
    with silenced():
        result = prepare(smiles, standardise=True, drop_single_atoms=False)
        assert isinstance(result, Prepared)
        assert result.canonical == kept == Chem.MolToSmiles(Chem.MolFromSmiles(kept)) == Chem.MolToSmiles(result.mol)


def test_what_no_form_can_be_read_of_is_a_reason(monkeypatch):
    read = Chem.MolFromSmiles
    monkeypatch.setattr(Chem, "MolFromSmiles", lambda text: read(text) if "." in text else None)
    reason = prepare("C[NH3+].[Cl-]", standardise=True, drop_single_atoms=False)
    assert reason == "cannot be standardised: RDKit does not read the SMILES that it writes"


def test_single_atoms_are_counted_after_standardisation():
    assert prepare("[Na+].[Cl-]", standardise=True, drop_single_atoms=True) == "single atom"
    assert isinstance(prepare("[Na+].[Cl-]", standardise=False, drop_single_atoms=True), Prepared)
    assert prepare("O", standardise=False, drop_single_atoms=True) == "single atom"
    assert isinstance(prepare("O", standardise=False, drop_single_atoms=False), Prepared)


def test_mol_blocks_give_the_same_molecule_as_smiles():
    block = Chem.MolToMolBlock(Chem.MolFromSmiles("c1ccccc1C(=O)[O-].[Na+]"))
    result = prepare_mol_block(block, standardise=True, drop_single_atoms=False)
    assert isinstance(result, Prepared)
    assert result.canonical == canonical("OC(=O)c1ccccc1")
    assert prepare_mol_block(" ", standardise=True, drop_single_atoms=False) == "empty mol block"


def test_silence_ends_with_its_block(capfd):
    with silenced():
        Chem.MolFromSmiles("C1CC")
    assert "unclosed ring" not in capfd.readouterr().err
    Chem.MolFromSmiles("C1CC")
    assert "unclosed ring" in capfd.readouterr().err


def test_skipped_steps_change_nothing_on_real_molecules():
    pytest.importorskip("B3DB")
    folder = Path(importlib.util.find_spec("B3DB").submodule_search_locations[0])
    with (folder / "B3DB_classification.tsv").open(encoding="utf-8", newline="") as stream:
        smiles = [row["SMILES"] for row in csv.DictReader(stream, delimiter="\t")]
    awkward = [text for text in smiles if "." in text or "+" in text or "-" in text]
    chooser, uncharger = rdMolStandardize.LargestFragmentChooser(), rdMolStandardize.Uncharger()
    n_compared = 0
    with silenced():
        for text in smiles[::20] + awkward[::8]:
            mol = Chem.MolFromSmiles(text)
            if mol is not None:
                n_compared += 1
                assert canonical(text) == Chem.MolToSmiles(uncharger.uncharge(chooser.choose(mol)))
    assert n_compared > 400


def test_chembls_parent_is_offered_where_its_package_is_installed(monkeypatch):
    pytest.importorskip("chembl_structure_pipeline", reason="pip install 'isd_ray[chembl]'")

    def parent(smiles):
        found = prepare(smiles, standardise=True, drop_single_atoms=False, parent="chembl")
        assert isinstance(found, Prepared)
        return found.canonical, [word for bit, word in STEPS.items() if found.steps & bit]

    assert parent("CCN.Cl") == ("CCN", ["salt removed"])
    assert parent("CCO") == ("CCO", [])
    assert parent("N.N.Cl[Pt]Cl") == ("N.N.[Cl][Pt][Cl]", ["excluded from ChEMBL's parents, kept whole"])


def test_chembls_parent_without_its_package_is_an_error_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "chembl_structure_pipeline", None)
    parents._chembl.cache_clear()
    with pytest.raises(ConfigError, match=r"isd_ray\[chembl\]"):
        parents.require_chembl()


def test_enhanced_stereo_groups_are_kept_through_salts_and_charges_and_read_back():
    texts = [
        "C[C@H](F)[NH3+].[Cl-] |&1:1|",
        "C[C@H](F)N |&1:1|",
        "C[C@@H](F)N |&1:1|",
        "C[C@H](F)N |o1:1|",
        "C[C@H](F)N",
    ]
    found = [canonical(text) for text in texts]
    assert found[0] == found[1] == found[2]
    assert len(set(found)) == 3
    assert [canonical(text) for text in found] == found
    assert canonical("C[C@H](F)N |a:1|") == found[4]


def test_atom_maps_make_no_centres_and_no_other_compound():
    assert canonical("[CH3:1][CH2:2][OH:3]") == canonical("CCO") == canonical("[CH3:7]CO", standardise=False)
    assert canonical("[CH3:1][C@H:2]([CH3:3])O") == canonical("CC(C)O")
    assert canonical("[CH3:1][C@H:2](F)O") == canonical("C[C@H](F)O")
