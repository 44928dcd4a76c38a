"""Samples of QM9 for examples that are run at a small size."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

N_SAMPLE = 900


def qm9_sample(data, folder, columns, seed):
    """Some molecules as a file in `folder`; by their names, and settings of examples that take them and are cheap."""
    table = pq.read_table(data / "qm9.parquet").filter(pc.field("n_atoms") > 0)
    rows = np.sort(np.random.default_rng(seed).permutation(len(table))[:N_SAMPLE])
    names = pa.array([f"M{row}" for row in rows])
    sample = table.take(rows).select(["smiles", *columns]).append_column("name", names)
    pq.write_table(sample, folder / "qm9.parquet")
    settings = [
        f'library.source="{folder}/qm9.parquet"',
        'library.id_column="name"',
        'library.features="ecfp4"',
        "library.workers=1",
        "model.members=2",
        "model.boosted.trees=40",
        'compute.backend="local"',
        "acquisition.batch_size=150",
    ]
    return {line["name"]: line for line in sample.to_pylist()}, settings
