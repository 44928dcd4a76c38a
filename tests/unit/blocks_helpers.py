"""Libraries with blocks of features beside the main ones, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from isd_ray.config import LibraryConfig
from isd_ray.data.blocks.add import add_block
from isd_ray.data.blocks.description import BlockSource
from isd_ray.data.blocks.spool import Spool
from isd_ray.data.ingest.build import build_library
from isd_ray.data.library import Library

N = 75
SETTINGS = {"id_column": "name", "features": "light", "block_rows": 16, "part_blocks": 2, "workers": 1}
"""Five blocks in three parts."""


def smiles_of(i: int) -> str:
    return f"{'C' * (i % 9 + 1)}N{'C' * (i // 9 + 10)}"


def build(folder, n: int = N, out: str = "library", **options: Any) -> Library:
    """A library of n chains with ids c0, c1, …"""
    source = folder / "x.csv"
    if not source.exists():
        source.write_text("smiles,name\n" + "".join(f"{smiles_of(i)},c{i}\n" for i in range(n)))
    config = LibraryConfig.model_validate({"source": str(source), **SETTINGS, **options})
    return build_library(config, folder / out, base_dir=folder)


class Values:
    """A maker of given values, (n_rows, width); `fill` stops where `stop_at` says, as a process that is killed."""

    def __init__(self, name: str, values: np.ndarray, columns: Sequence[str] = (), takes_logs: bool = True) -> None:
        self.name = name
        self.source: BlockSource = "table"
        self.columns = tuple(columns) or tuple(f"v{i}" for i in range(values.shape[1]))
        self.definition: dict[str, Any] = {"given": name}
        self.takes_logs = takes_logs
        self.rdkit = ""
        self.filled: list[int] = []
        self.stop_at: int | None = None
        self._values = values

    def fill(self, spool: Spool, library: Library) -> None:
        for part in spool.missing:
            if part == self.stop_at:
                raise KeyboardInterrupt
            first, stop = spool.rows[part]
            spool.write(part, 0, self._values[first:stop])
            spool.complete(part)
            self.filled.append(part)

    def found(self) -> dict[str, Any]:
        return {}


def add_values(library: Library, name: str, values: np.ndarray, columns: Sequence[str] = ()) -> Library:
    """Put raw values (n_rows, width) beside the main features as a block."""
    return add_block(library, Values(name, values, columns))
