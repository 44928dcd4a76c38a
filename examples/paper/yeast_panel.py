"""The yeast matrix as a panel: a line for each compound, a column for each deletion strain, empty where not measured.

    python examples/paper/yeast_panel.py --out runs/yeast/panel.parquet     # ISD_DATA names the folder with the file

Chemical-genetic z-scores of Wildenhain et al. (2015, doi:10.1016/j.cels.2015.12.003), turned round: an inhibition of 4
is a z-score of -4. Repetitions of a compound and strain are averaged.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FILE = "yeast_chemgen_wildenhain.parquet"


def panel(table: pa.Table) -> pa.Table:
    """From z-scores one below the other to inhibitions side by side, ``strain <name>`` each."""
    compounds, strains = (table[name].combine_chunks().dictionary_encode() for name in ("smiles", "strain"))
    shape = (len(compounds.dictionary), len(strains.dictionary))
    cells = compounds.indices.to_numpy().astype(np.int64) * shape[1] + strains.indices.to_numpy()
    n = np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape)
    sums = np.bincount(cells, -table["z"].to_numpy(), minlength=shape[0] * shape[1]).reshape(shape)
    inhibition = np.where(n, sums / np.maximum(n, 1), np.nan).astype(np.float32)
    columns = {
        f"strain {name}": pa.array(inhibition[:, place], from_pandas=True)
        for place, name in enumerate(strains.dictionary.to_pylist())
    }
    ids = [f"Y{place:04d}" for place in range(shape[0])]
    return pa.table({"id": ids, "smiles": compounds.dictionary, **columns})


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("ISD_DATA", ".")))
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(panel(pq.read_table(options.data / FILE)), options.out)


if __name__ == "__main__":
    main()
