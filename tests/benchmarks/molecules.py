"""A sample of real molecules with a computed label, built into a library as a user would build it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from isd_ray.config import LibraryConfig
from isd_ray.data.ingest.build import build_library
from isd_ray.data.library import Library

FILE = "library3m_huckel.parquet"
LABEL = "gap_pi"


def sample_library(features: str, n_rows: int, folder: Path) -> Library:
    """About `n_rows` molecules (a few are duplicates after standardisation), drawn at random, in random order."""
    if "ISD_DATA" not in os.environ:
        raise SystemExit(f"set ISD_DATA to the folder that holds {FILE}")
    source = folder / "sample.parquet"
    if not source.exists():
        table = pq.read_table(Path(os.environ["ISD_DATA"]) / FILE, columns=["smiles", LABEL]).drop_null()
        pq.write_table(table.take(pa.array(np.random.default_rng(0).permutation(table.num_rows)[:n_rows])), source)
    print(f"building a library of {n_rows} molecules with {features} features", flush=True)
    config = LibraryConfig(source=source.name, features=features, columns=(LABEL,))
    return build_library(config, folder / features, base_dir=folder)


def above_median(library: Library) -> NDArray[np.int64]:
    """The class of every row: whether its label is above the median."""
    values = library.column(LABEL)
    return (values > np.median(values)).astype(np.int64)
