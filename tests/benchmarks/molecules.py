"""A sample of real molecules with a computed label, built into a library as a user would build it."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from isd_ray.config import LibraryConfig
from isd_ray.data.blocks.description import BlockDescription
from isd_ray.data.ingest.build import build_library
from isd_ray.data.library import Library
from isd_ray.data.writer import write_metadata

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


def repeated_library(library: Library, n_rows: int, folder: Path) -> Library:
    """At least `n_rows` rows: the full parts of a library again and again, each time in files of their own.

    For times and memory of many rows, where chemistry for each would take hours: answers repeat as the rows do.
    """
    parts = library.metadata["parts"]
    full = [place for place, part in enumerate(parts) if part["n_rows"] == parts[0]["n_rows"]]
    part_rows = parts[0]["n_rows"]
    places = [full[place % len(full)] for place in range(-(-n_rows // part_rows))]
    shutil.rmtree(folder, ignore_errors=True)

    def again(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
        made = []
        for number, place in enumerate(places):
            file = Path(parts[place]["file"]).with_name(f"part-{number:05d}.arrow")
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(library.path / parts[place]["file"], folder / file)
            made.append({**parts[place], "file": str(file), "first_row": number * part_rows})
        return made

    size = len(places) * part_rows
    kept = {name: value for name, value in library.metadata.items() if name not in ("schema_version", "hash", "blocks")}
    metadata = {**kept, "n_rows": size, "parts": again(parts)}
    write_metadata(folder, metadata)
    identity, blocks = Library.describe(folder).hash, []
    for data in library.metadata.get("blocks", []):
        block = BlockDescription.from_json(data)
        blocks.append(replace(block, library=identity, parts=tuple(again(data["parts"]))).to_json())
    write_metadata(folder, {**metadata, "blocks": blocks})
    return Library.open(folder)
