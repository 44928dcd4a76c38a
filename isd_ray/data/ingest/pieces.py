"""The records of a build, cut into units of work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isd_ray.data.ingest.molecules import CHUNK_ROWS, MoleculeOptions
from isd_ray.data.ingest.plan import BuildPlan, record_ids


@dataclass(frozen=True, slots=True)
class Piece:
    """Up to CHUNK_ROWS records on their way through the build."""

    file: Path
    table: pa.Table
    first: int
    """Record number of the first, in its file."""
    position: int
    """0-based position of the first in all sources together."""
    lines: NDArray[np.int64]
    problems: dict[int, str]
    ids: pa.Array
    structures: list[str | None]
    options: MoleculeOptions

    @property
    def label(self) -> str:
        """Where the records come from, for messages."""
        return f"{self.file}, records {self.first} to {self.first + len(self.lines) - 1}"


def pieces(plan: BuildPlan) -> Iterator[Piece]:
    """All records of all sources in order, in units of work."""
    position = 0
    for planned in plan.sources:
        source = planned.source
        plan.starts.append((position, source.path))
        options = MoleculeOptions(
            structure=source.structure,
            fingerprints=plan.fingerprints,
            standardise=plan.config.standardise,
            drop_single_atoms=plan.config.drop_single_atoms,
            hash_by=plan.hash_by,
        )
        for records in source.read(planned.columns):
            for start in range(0, len(records), CHUNK_ROWS):
                lines = records.lines[start : start + CHUNK_ROWS]
                table = records.table.slice(start, len(lines))
                first = records.first + start
                structures = table[planned.structure].to_pylist() if planned.structure else []
                yield Piece(
                    file=source.path,
                    table=table,
                    first=first,
                    position=position,
                    lines=lines,
                    problems={i - start: why for i, why in records.problems.items() if 0 <= i - start < len(lines)},
                    ids=record_ids(table, planned, first, len(lines)),
                    structures=[None if text is None else str(text) for text in structures],
                    options=options,
                )
                position += len(lines)
