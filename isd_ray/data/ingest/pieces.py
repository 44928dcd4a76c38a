"""The records of a build, cut into units of work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isd_ray.data.ingest.columns import ColumnKind, as_text, convert
from isd_ray.data.ingest.contexts import ContextEncoder
from isd_ray.data.ingest.files import SourceFile
from isd_ray.data.ingest.molecules import CHUNK_ROWS, MoleculeOptions
from isd_ray.data.ingest.plan import BuildPlan, PlannedSource, record_ids
from isd_ray.data.ingest.records import Records


@dataclass(frozen=True, slots=True)
class Piece:
    """Up to CHUNK_ROWS records on their way through the build."""

    source: int
    """Index of the source."""
    file: SourceFile
    table: pa.Table
    first: int
    """Record number of the first, in its file."""
    position: int
    """0-based position of the first in all sources together."""
    lines: NDArray[np.int64]
    problems: dict[int, str]
    ids: pa.Array
    structures: list[str | None]
    contexts: NDArray[np.int64]
    """On-bits of the contexts, shape (n, contexts); -1 in a record with a problem."""
    options: MoleculeOptions
    share: float
    """Share of the bytes of all sources that lies before the end of this piece."""

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def label(self) -> str:
        """Where the records come from, for messages."""
        return f"{self.file}, records {self.first} to {self.first + len(self) - 1}"


def pieces(plan: BuildPlan, source: int = 0, n_done: int = 0, position: int = 0) -> Iterator[Piece]:
    """The records of all sources in order, in units of work.

    Parameters
    ----------
    source, n_done, position:
        Where to begin: the source, how many of its records are done, and how many of all sources together.
    """
    sizes = [planned.source.file.size for planned in plan.sources]
    total, before = max(1, sum(sizes)), sum(sizes[:source])
    required = {name: plan.kept[name] for name in plan.config.required}
    encoder = plan.contexts
    for index, planned in list(enumerate(plan.sources))[source:]:
        options = _options(plan, planned)
        share = 0.0
        for records in planned.source.read(planned.columns):
            done = min(len(records), max(0, n_done + 1 - records.first))
            for start in range(done, len(records), CHUNK_ROWS):
                stop = min(start + CHUNK_ROWS, len(records))
                read = share + (records.share - share) * stop / len(records)
                share_read = (before + read * sizes[index]) / total
                piece = _cut(index, planned, records, start, stop, position, options, share_read, required, encoder)
                position += len(piece)
                yield piece
            share = records.share
        before += sizes[index]
        n_done = 0


def _options(plan: BuildPlan, planned: PlannedSource) -> MoleculeOptions:
    return MoleculeOptions(
        structure=planned.source.structure,
        fingerprints=plan.fingerprints,
        standardise=plan.config.standardise,
        drop_single_atoms=plan.config.drop_single_atoms,
        hash_by=plan.hash_by,
        descriptors=plan.config.descriptor_columns,
        parent=plan.config.parent,
        max_heavy_atoms=plan.config.max_heavy_atoms,
    )


def _cut(
    source: int,
    planned: PlannedSource,
    records: Records,
    start: int,
    stop: int,
    position: int,
    options: MoleculeOptions,
    share: float,
    required: Mapping[str, ColumnKind],
    encoder: ContextEncoder,
) -> Piece:
    table = records.table.slice(start, stop - start)
    structures = as_text(table[planned.structure]).to_pylist() if planned.structure else []
    problems = {i - start: why for i, why in records.problems.items() if start <= i < stop}
    for name, kind in required.items():
        for i in np.flatnonzero(convert(table[name], kind).is_null().to_numpy(zero_copy_only=False)).tolist():
            problems.setdefault(i, f"no value in required column {name}")
    contexts, without = encoder.encode(table)
    problems = without | problems
    if structures:
        # No chemistry for what is rejected anyway.
        for i in problems:
            structures[i] = None
    first = records.first + start
    return Piece(
        source=source,
        file=planned.source.file,
        table=table,
        first=first,
        position=position,
        lines=records.lines[start:stop],
        problems=problems,
        ids=record_ids(table, planned, first, stop - start),
        structures=structures,
        contexts=contexts,
        options=options,
        share=share,
    )
