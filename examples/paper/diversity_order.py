"""An order of QM9's target set by diversity, as a column for the in-order agent.

    python examples/paper/diversity_order.py "$ISD_DATA/qm9.parquet" --n-picks 5000 --out runs/qm9-diverse.parquet

MaxMin (Ashton et al. 2002): the next molecule is the one whose largest Tanimoto similarity to those picked before is
the smallest, on ECFP4. No labels and no model enter, so picks batch by batch are those of one order, made here once.
RDKit's lazy picker keeps one bound a molecule and no matrix of distances; target molecules beyond `--n-picks` follow by
chance, and held-out ones last.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator
from rdkit.SimDivFilters.rdSimDivPickers import MaxMinPicker

TARGET = 0
"""`repo_split` of the target set."""


def diversity_ranks(smiles: list[str], n_picks: int, seed: int) -> NDArray[np.int64]:
    """Place of each molecule in the order, int64 (n,); the first is drawn by chance."""
    make = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048).GetFingerprint
    fingerprints = [make(Chem.MolFromSmiles(text)) for text in smiles]
    picks = MaxMinPicker().LazyBitVectorPick(fingerprints, len(smiles), min(n_picks, len(smiles)), seed=seed)
    rest = np.random.default_rng(seed).permutation(np.setdiff1d(np.arange(len(smiles)), picks))
    ranks = np.empty(len(smiles), np.int64)
    ranks[np.concatenate([np.array(picks, np.int64), rest])] = np.arange(len(smiles))
    return ranks


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--n-picks", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    table = pq.read_table(options.source)
    target = np.flatnonzero(table["repo_split"].to_numpy() == TARGET)
    ranks = np.full(len(table), len(target))
    ranks[target] = diversity_ranks(table["smiles"].take(target).to_pylist(), options.n_picks, options.seed)
    pq.write_table(table.append_column("diversity_rank", pa.array(ranks)), options.out, compression="zstd")


if __name__ == "__main__":
    main()
