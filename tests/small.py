"""Small campaigns on real compounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from isd_ray.config import CampaignConfig
from isd_ray.config_file import parse_config
from isd_ray.data.ingest.sources import resolve_source

N_COMPOUNDS = 900


def write_compounds(path: Path) -> None:
    """A CSV of 900 real compounds with a class (BBB+ or BBB-) and a number (their molecular size), from B3DB."""
    file = resolve_source("package:B3DB/B3DB_classification.tsv", Path.cwd()).path
    options = pa.csv.ParseOptions(delimiter="\t", newlines_in_values=False)
    table = pa.csv.read_csv(file, parse_options=options)
    every = table.take(pa.array(range(0, table.num_rows, table.num_rows // N_COMPOUNDS))).slice(0, N_COMPOUNDS)
    smiles = every["SMILES"].to_pylist()
    small = pa.table(
        {
            "name": [f"C{number:04d}" for number in range(len(smiles))],
            "smiles": smiles,
            "bbb": every["BBB+/BBB-"],
            "size": [float(sum(letter.isalpha() for letter in text)) for text in smiles],
        }
    )
    pa.csv.write_csv(small, path)


def small_config(compounds: Path, library: Path, /, **changes: Any) -> CampaignConfig:
    """A campaign on these compounds; tables given are merged over it."""
    data = {
        "name": "small",
        "library": {
            "source": str(compounds),
            "path": str(library),
            "id_column": "name",
            "columns": ["size"],
            "features": "ecfp4",
            "duplicates": "keep",
            "block_rows": 64,
            "part_blocks": 4,
            "workers": 1,
        },
        "labels": {"column": "bbb"},
        "model": {"families": ["resmlp"], "hidden_size": 32, "epochs": 6, "members": 2},
        "acquisition": {"batch_size": 120},
        "stopping": {"rule": "paper", "gamma": 0.9},
        "compute": {"backend": "local"},
    }
    for section, values in changes.items():
        data[section] = {**data.get(section, {}), **values} if isinstance(values, dict) else values
    return parse_config(data)
