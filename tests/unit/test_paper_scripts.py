"""The scripts of examples/paper prepare what they say."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

SMILES = ["CCO", "CCCO", "CCCCO", "c1ccccc1", "c1ccccc1C", "CC(=O)O", "CC#N", "C1CCNCC1", "C1CCOCC1", "FC(F)F"]


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    pixels = [bytes(row) for row in rng.integers(0, 256, (700, 784), dtype=np.uint8)]
    is_test = (np.arange(700) >= 600).astype(np.uint8)
    return pa.table({"image": pixels, "label": rng.integers(0, 10, 700).astype(np.uint8), "is_test": is_test})


def test_shuffling_moves_labels_of_the_chosen_digits_only_and_within_their_part(paper_script, images):
    made = paper_script("mnist").variations(images, seed=0)
    digit, part, noisy, label = (made[name].to_numpy() for name in ("digit", "part", "noisy_689", "label_689"))
    assert np.bincount(part).tolist() == [600, 50, 50]
    assert (part[:600] == 0).all()
    assert (noisy == np.isin(digit, (6, 8, 9))).all()
    assert (label[~noisy] == digit[~noisy]).all()
    assert 0.5 < (label[noisy] != digit[noisy]).mean() < 0.8
    for place in range(3):
        assert sorted(label[part == place]) == sorted(digit[part == place])


def test_growing_shares_are_shuffled(paper_script, images):
    made = paper_script("mnist").variations(images, seed=0)
    shares = [made[f"noisy_{share}"].to_numpy().mean() for share in (20, 40, 60, 80)]
    assert shares == pytest.approx([0.2, 0.4, 0.6, 0.8], abs=0.06)


def test_a_smaller_target_set_has_a_smaller_test_set_and_no_image_twice(paper_script, images):
    made = paper_script("mnist").variations(images, seed=0, n_target=300)
    assert np.bincount(made["part"].to_numpy()).tolist() == [300, 25, 25]
    assert len(set(made["image"].to_pylist())) == 350
    assert [image[: 9 * 28] for image in made["image"].to_pylist()] == made["top"].to_pylist()


def test_the_diversity_order_is_that_of_the_farthest_point(paper_script):
    make = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048).GetFingerprint
    fingerprints = [make(Chem.MolFromSmiles(text)) for text in SMILES]
    similarity = np.array([DataStructs.BulkTanimotoSimilarity(fp, fingerprints) for fp in fingerprints])
    ranks = paper_script("diversity_order").diversity_ranks(SMILES, 6, seed=1)
    order = np.argsort(ranks)
    for n_picked in range(1, 6):
        nearest = similarity[:, order[:n_picked]].max(axis=1)
        rest = order[n_picked:]
        assert nearest[order[n_picked]] == pytest.approx(nearest[rest].min())
    assert sorted(ranks) == list(range(len(SMILES)))
