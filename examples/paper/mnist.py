"""MNIST as the paper changes it: images, their upper third, and labels of which growing shares are shuffled.

    python examples/paper/mnist.py --out runs/mnist.parquet     # ISD_DATA names the folder with mnist.parquet

One line an image: `image` (784 bytes), `top` (the upper 9 of 28 lines, 252 bytes), `digit`, and `part` (0 target: the
60,000 training images; 1 validation and 2 test: half of the test images each). Then for each way of shuffling the
labels, and whether a label is among the shuffled ones: `label_689` and `noisy_689` (digits 6, 8 and 9, Fig. 3c),
`label_20` … `label_80` and `noisy_20` … `noisy_80` (the highest 2, 4, 6 and 8 digits, Fig. 4).
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FILE = "mnist.parquet"
TOP_BYTES = 9 * 28
SHUFFLED = {"689": (6, 8, 9)} | {f"{10 * n}": tuple(range(10 - n, 10)) for n in (2, 4, 6, 8)}
"""Digits whose labels are shuffled, by the suffix of their columns."""
VALIDATION, TEST = 1, 2


def variations(table: pa.Table, seed: int, n_target: int | None = None) -> pa.Table:
    """The images with all labels of the experiments; of so many training images, and test images to match.

    It is the labelling function that is noisy, so held-out labels are shuffled as well; each part among itself, which
    keeps the digits' frequencies.
    """
    rng = np.random.default_rng(seed)
    if n_target is not None:
        of_set = [np.flatnonzero(table["is_test"].to_numpy() == flag) for flag in (0, 1)]
        share = n_target / len(of_set[0])
        table = table.take(np.concatenate([rng.permutation(rows)[: round(share * len(rows))] for rows in of_set]))
    digits = table["label"].to_numpy().astype(np.int64)
    parts = np.zeros(len(digits), np.int64)
    held_out = rng.permutation(np.flatnonzero(table["is_test"].to_numpy() == 1))
    parts[held_out] = np.where(np.arange(len(held_out)) < len(held_out) // 2, VALIDATION, TEST)
    images = table["image"].to_pylist()
    columns = {
        "image": pa.array(images, pa.binary()),
        "top": pa.array([image[:TOP_BYTES] for image in images], pa.binary()),
        "digit": digits,
        "part": parts,
    }
    for suffix, chosen in SHUFFLED.items():
        noisy, labels = np.isin(digits, chosen), digits.copy()
        for part in range(3):
            rows = np.flatnonzero(noisy & (parts == part))
            labels[rows] = digits[rng.permutation(rows)]
        columns |= {f"label_{suffix}": labels, f"noisy_{suffix}": noisy}
    return pa.table(columns)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("ISD_DATA", ".")))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--n-target", type=int, help="Take so many of the 60,000 training images.")
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    made = variations(pq.read_table(options.data / FILE), options.seed, options.n_target)
    pq.write_table(made, options.out, compression="zstd")


if __name__ == "__main__":
    main()
