"""GDSC as two target sets of the same labels: pairs of a drug and a cell line, and drugs with a row of cell lines.

    python examples/paper/gdsc.py --n-lines 300 --out runs/gdsc     # ISD_DATA names the folder with gdsc_ic50.parquet

A pair is sensitive if its ln IC50 is in the lowest quarter of its drug's over all cell lines. A cut common to all drugs
would ask how potent the drug is, which its mean tells: the drug's own cut asks which cell lines respond to it, and a
quarter, unlike a z-score, needs no normal distribution, which drugs that kill few lines do not have. A laboratory
would take the cut of each drug from earlier screens.

Drugs without a structure are left out, and cell lines on which few drugs were measured, or none or all were sensitive;
of several screens of one structure the one with most cell lines is kept. Needs pandas, which `isd_ray[demo]` brings.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import pandas as pd

FILE = "gdsc_ic50.parquet"
SENSITIVE_SHARE = 0.25
"""Share of a drug's cell lines that count as sensitive."""
MIN_DRUGS = 100
"""Drugs that a cell line was screened with at least."""


def pairs(table: pd.DataFrame, n_lines: int | None = None, min_drugs: int = MIN_DRUGS, seed: int = 0) -> pd.DataFrame:
    """A line for each measured pair, ordered by drug: id, smiles, drug, cell_line, ln_ic50, sensitive (0 or 1).

    Parameters
    ----------
    table:
        As the file has it: drug_id, drug, smiles, cell_line, ln_ic50.
    n_lines:
        Cell lines to keep, drawn at random; default all.
    """
    table = table[table["smiles"].notna()]
    sizes = table.groupby(["smiles", "drug_id"], as_index=False).size()
    largest = sizes.sort_values(["size", "drug_id"], ascending=[False, True]).drop_duplicates("smiles")["drug_id"]
    table = table[table["drug_id"].isin(largest)]
    cut = table.groupby("drug_id")["ln_ic50"].transform(lambda values: values.quantile(SENSITIVE_SHARE))
    table = table.assign(
        sensitive=(table["ln_ic50"] < cut).astype(np.int8),
        drug=table["drug_id"].map("D{:04d}".format) + " " + table["drug"],
    )
    by_line = table.groupby("cell_line")["sensitive"].agg(["size", "mean"])
    lines = by_line.index[
        (by_line["size"] >= min_drugs) & by_line["mean"].between(0, 1, inclusive="neither")
    ].to_numpy()
    if n_lines is not None:
        lines = np.random.default_rng(seed).choice(lines, n_lines, replace=False)
    table = table[table["cell_line"].isin(lines)].sort_values(["drug", "cell_line"], ignore_index=True)
    table.insert(0, "id", table["drug"] + "|" + table["cell_line"])
    return table[["id", "smiles", "drug", "cell_line", "ln_ic50", "sensitive"]]


def rows(pairs: pd.DataFrame) -> pd.DataFrame:
    """The same labels with a line for each drug, and a column ``line NAME`` for each cell line, null if unmeasured."""
    wide = pairs.pivot(index=["drug", "smiles"], columns="cell_line", values="sensitive").astype("Int8")
    return wide.add_prefix("line ").rename_axis(columns=None).reset_index()


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("ISD_DATA", ".")))
    parser.add_argument("--n-lines", type=int)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    made = pairs(pd.read_parquet(options.data / FILE), options.n_lines)
    made.to_parquet(options.out / "pairs.parquet", index=False)
    rows(made).to_parquet(options.out / "rows.parquet", index=False)


if __name__ == "__main__":
    main()
