"""On-bits are RDKit's own fingerprints, at their offsets."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator

from isd_ray.chem.fingerprints import on_bits
from isd_ray.config import Fingerprint, LibraryConfig, OnBitFeatures

SMILES = ["C", "CCCCCCCCCCCC", "c1ccccc1C(=O)NCCCCC", "CC(C)Cc1ccc(cc1)C(C)C(=O)O", "[Na+].[Cl-]", "N#CC1(CC1)C(F)(F)F"]
MOLS = [Chem.MolFromSmiles(text) for text in SMILES]


def spec_of(preset):
    return LibraryConfig(source="unused", features=preset).features


def as_matrix(bits):
    matrix = np.zeros((len(bits), bits.width), dtype=np.uint8)
    for row in range(len(bits)):
        matrix[row, bits.values[bits.offsets[row] : bits.offsets[row + 1]]] = 1
    return matrix


def rdkit_bits(generator):
    return np.stack([generator.GetFingerprintAsNumPy(mol) for mol in MOLS])


def thermometer(levels):
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    counts = np.stack([generator.GetCountFingerprintAsNumPy(mol) for mol in MOLS])
    return np.concatenate([counts >= level for level in range(1, levels + 1)], axis=1).astype(np.uint8)


def test_ecfp4_is_rdkits_morgan_fingerprint():
    expected = rdkit_bits(rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048))
    np.testing.assert_array_equal(as_matrix(on_bits(MOLS, spec_of("ecfp4"))), expected)


def test_rich_is_its_four_fingerprints_side_by_side_with_counts_as_a_thermometer():
    expected = np.concatenate(
        [
            thermometer(4),
            rdkit_bits(rdFingerprintGenerator.GetTopologicalTorsionGenerator(fpSize=2048)),
            rdkit_bits(rdFingerprintGenerator.GetAtomPairGenerator(fpSize=2048)),
            rdkit_bits(rdFingerprintGenerator.GetRDKitFPGenerator(maxPath=4, fpSize=2048)),
        ],
        axis=1,
    )
    bits = on_bits(MOLS, spec_of("rich"))
    assert bits.width == 14336
    np.testing.assert_array_equal(as_matrix(bits), expected)
    assert expected[:, 2048:8192].any(), "no bit is seen twice: the sample does not test the thermometer"


def test_bits_ascend_within_a_molecule_and_are_not_repeated():
    bits = on_bits(MOLS, spec_of("standard"))
    for start, stop in zip(bits.offsets[:-1], bits.offsets[1:], strict=True):
        assert (np.diff(bits.values[start:stop].astype(np.int64)) > 0).all()


@pytest.mark.parametrize(("size", "dtype"), [(1 << 16, np.uint16), (1 << 17, np.uint32)])
def test_bits_are_uint16_while_the_vocabulary_fits(size, dtype):
    spec = OnBitFeatures(fingerprints=(Fingerprint(kind="morgan", size=size),))
    bits = on_bits(MOLS, spec)
    assert bits.values.dtype == dtype
    expected = rdkit_bits(rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=size))
    np.testing.assert_array_equal(as_matrix(bits), expected)


def test_sizes_that_are_no_multiple_of_eight_work():
    spec = OnBitFeatures(fingerprints=(Fingerprint(kind="morgan", size=100), Fingerprint(kind="rdkit_path", size=77)))
    expected = np.concatenate(
        [
            rdkit_bits(rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=100)),
            rdkit_bits(rdFingerprintGenerator.GetRDKitFPGenerator(maxPath=4, fpSize=77)),
        ],
        axis=1,
    )
    np.testing.assert_array_equal(as_matrix(on_bits(MOLS, spec)), expected)


def test_no_molecules_are_no_rows():
    bits = on_bits([], spec_of("standard"))
    assert len(bits) == 0
    assert bits.values.dtype == np.uint16
