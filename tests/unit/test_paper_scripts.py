"""The scripts of examples/paper prepare what they say."""

from __future__ import annotations

import numpy as np
import pandas as pd
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


@pytest.fixture
def screens():
    """Three drugs on eight cell lines, each potent to another degree; one screened again, one without a structure."""
    sensitive = {"1": "AB", "2": "BC", "3": "CD", "4": "ABCDEFGH", "5": "A"}
    smiles = {"1": "CCO", "2": "CCN", "3": "CCS", "4": None, "5": "CCO"}
    lines = [
        {"drug_id": int(d), "drug": f"drug {d}", "smiles": smiles[d], "cell_line": c, "ln_ic50": value}
        for d in smiles
        for place, c in enumerate("ABCDEFGH" if d != "5" else "ABC")
        if (d, c) != ("3", "A")
        for value in [10.0 * int(d) + place - 20 * (c in sensitive[d])]
    ]
    return pd.DataFrame(lines)


def test_sensitive_is_the_lowest_quarter_of_each_drug_however_potent_it_is(paper_script, screens):
    made = paper_script("gdsc").pairs(screens, min_drugs=2)
    assert set(made["id"][made["sensitive"] == 1]) == {
        "D0001 drug 1|A", "D0001 drug 1|B", "D0002 drug 2|B", "D0002 drug 2|C", "D0003 drug 3|C", "D0003 drug 3|D",
    }  # fmt: skip
    assert made["id"].is_unique
    assert sorted(set(made["cell_line"])) == list("ABCD"), "the others are sensitive to no drug"
    assert len(paper_script("gdsc").pairs(screens, min_drugs=3)) == 9, "A was screened with two drugs only"


def test_rows_hold_the_labels_of_the_pairs(paper_script, screens):
    gdsc = paper_script("gdsc")
    made = gdsc.pairs(screens, n_lines=2, min_drugs=2)
    wide = gdsc.rows(made)
    assert made["cell_line"].nunique() == 2
    assert wide["smiles"].tolist() == ["CCO", "CCN", "CCS"]
    long = wide.melt(["drug", "smiles"]).dropna()
    found = {f"{drug}|{line.removeprefix('line ')}": value for drug, _, line, value in long.itertuples(index=False)}
    assert found == dict(zip(made["id"], made["sensitive"], strict=True))
    assert wide.isna().to_numpy().any() == ("A" in set(made["cell_line"]))
