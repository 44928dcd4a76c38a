"""A random sample of a Parquet file's lines, in their order.

python examples/paper/sample.py "$ISD_DATA/library3m_huckel.parquet" -n 12000 --out runs/molecules3d-12k.parquet
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("-n", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--complete", metavar="COLUMN", help="Only lines with a value in this column.")
    options = parser.parse_args()
    table = pq.read_table(options.source)
    if options.complete:
        table = table.filter(table[options.complete].is_valid())
    rows = np.random.default_rng(options.seed).permutation(len(table))[: options.n]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.take(np.sort(rows)), options.out, compression="zstd")


if __name__ == "__main__":
    main()
