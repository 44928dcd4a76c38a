"""Building the target library from source files: every record becomes a row or a reject."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isd_ray.chem.smiles import rdkit_version
from isd_ray.config import DenseFeatures, LibraryConfig
from isd_ray.core.features import Dense
from isd_ray.data.ingest.columns import convert
from isd_ray.data.ingest.dedupe import DuplicateIndex, RejectedPositions, hash_features, hash_keys
from isd_ray.data.ingest.dense import dense_rows
from isd_ray.data.ingest.molecules import PreparedChunk, prepare_chunks
from isd_ray.data.ingest.pieces import Piece, pieces
from isd_ray.data.ingest.plan import BuildPlan, plan_build
from isd_ray.data.layout import FEATURES, ID, RECORD, SMILES, features_to_arrow, sha256_file
from isd_ray.data.library import Library
from isd_ray.data.writer import LibraryWriter, RejectsWriter, staging, write_metadata
from isd_ray.errors import InputFileError, LibraryError

_SHOWN = 5
"""Examples in a message."""
_NO_ID = "no id"


@dataclass(frozen=True, slots=True)
class BuildProgress:
    """How far a build is: records read, rows kept, rejects (duplicates included), seconds since its start."""

    n_read: int
    n_kept: int
    n_rejected: int
    seconds: float


@dataclass(slots=True)
class _State:
    """What is remembered from chunk to chunk; all that grows with the rows is 16 bytes a key."""

    compounds: DuplicateIndex = field(default_factory=DuplicateIndex)
    ids: DuplicateIndex = field(default_factory=DuplicateIndex)
    rejected: RejectedPositions = field(default_factory=RejectedPositions)
    n_read: int = 0
    n_kept: int = 0
    n_duplicates: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


def build_library(
    config: LibraryConfig,
    out: Path,
    *,
    base_dir: Path,
    progress: Callable[[BuildProgress], None] | None = None,
) -> Library:
    """Build the target library of `config` in the directory `out`.

    The result depends on the sources and the configuration only, not on the number of processes. The library appears
    under its name when it is complete, and not at all after an error.

    Parameters
    ----------
    config:
        `source` must be set. `split` only adds its column; `split_library` divides.
    out:
        A directory that is absent or empty.
    base_dir:
        Folder that relative source paths start from.
    progress:
        Called in this process after every chunk of records.

    Raises
    ------
    InputFileError
        If a source cannot be read, lacks a column, repeats an id, or holds no valid record.
    LibraryError
        If `out` is taken; if `duplicates` is "refuse" and there are any.
    ConfigError
        If a kept column has a reserved name, or the feature column has another type than configured.
    ResourceError
        If a process of the build died.
    """
    started = time.monotonic()
    out = Path(out)
    plan = plan_build(config, base_dir)
    with staging(out) as folder:
        writer = LibraryWriter(folder, config.block_rows, config.part_blocks)
        rejects = RejectsWriter(folder)
        state = _State()
        n_processes = (config.workers or _n_cores()) if plan.has_structures else 1
        for piece, prepared in prepare_chunks(pieces(plan), n_processes):
            _take_in(piece, prepared, plan, state, writer, rejects)
            if progress is not None:
                n_rejected = state.n_read - state.n_kept
                progress(BuildProgress(state.n_read, state.n_kept, n_rejected, time.monotonic() - started))
        rejects.close()
        if not state.n_kept:
            raise _nothing_kept(plan, state)
        parts = writer.close()
        write_metadata(folder, _metadata(plan, state, parts))
    return Library.open(out)


def _n_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _take_in(
    piece: Piece,
    prepared: PreparedChunk,
    plan: BuildPlan,
    state: _State,
    writer: LibraryWriter,
    rejects: RejectsWriter,
) -> None:
    """Sort the records of one piece into rows and rejects."""
    n = len(piece.lines)
    dense: Dense | None = None
    reasons: dict[int, str] = {}
    if isinstance(plan.config.features, DenseFeatures):
        dense, reasons = dense_rows(piece.table[plan.config.features.column], plan.config.features)
    reasons.update(prepared.reasons)
    reasons.update(dict.fromkeys(np.flatnonzero(piece.ids.is_null().to_numpy(zero_copy_only=False)).tolist(), _NO_ID))
    reasons.update(piece.problems)
    valid = np.setdiff1d(np.arange(n), np.fromiter(reasons, dtype=np.int64, count=len(reasons)))

    # Place of each valid record among those that passed chemistry; without structures every record passes.
    among_passed = np.searchsorted(prepared.passed, valid) if plan.has_structures else valid
    first_seen = np.full(len(valid), -1, dtype=np.int64)
    if plan.hash_by is not None:
        hashes = prepared.hashes
        if hashes is None:
            assert dense is not None  # plan: on-bits are hashed with the chemistry
            hashes, among = hash_features(dense.take(valid)), np.arange(len(valid))
        else:
            among = among_passed
        first_seen = state.compounds.add(hashes[among], piece.position + valid)
    duplicate = first_seen >= 0
    if duplicate.any() and plan.config.duplicates == "refuse":
        raise _duplicates_refused(piece, plan, valid[duplicate], first_seen[duplicate])
    kept = valid[~duplicate]
    gone = np.setdiff1d(np.arange(n), kept)
    state.rejected.add(piece.position + gone)
    _check_ids(piece, plan, state, kept)

    merged_into = dict(
        zip(valid[duplicate].tolist(), state.rejected.rows_of(first_seen[duplicate]).tolist(), strict=True)
    )
    for index in gone.tolist():
        row = merged_into.get(index)
        reason = reasons[index] if row is None else f"duplicate of row {row}"
        rejects.add(
            file=piece.file.name,
            line=int(piece.lines[index]),
            record=piece.first + index,
            id=piece.ids[index].as_py(),
            smiles=piece.structures[index] if plan.has_structures and piece.options.structure == "smiles" else None,
            reason=reason,
            row=row,
        )
        if row is None:
            state.reasons[reason.split(":", 1)[0]] += 1
    state.n_read += n
    state.n_kept += len(kept)
    state.n_duplicates += len(merged_into)
    if len(kept):
        writer.append(_rows(piece, prepared, plan, dense, kept, among_passed[~duplicate]))


def _rows(
    piece: Piece,
    prepared: PreparedChunk,
    plan: BuildPlan,
    dense: Dense | None,
    kept: NDArray[np.int64],
    among_passed: NDArray[np.int64],
) -> pa.Table:
    take = pa.array(kept)
    smiles = [prepared.canonical[i] for i in among_passed.tolist()] if plan.has_structures else [None] * len(kept)
    columns: dict[str, Any] = {
        ID: piece.ids.take(take),
        SMILES: pa.array(smiles, pa.string()),
        RECORD: pa.array(piece.first + kept),
    }
    for name, kind in plan.kept.items():
        values = convert(piece.table[name].take(take), kind)
        columns[name] = values
    features = dense.take(kept) if dense is not None else None
    if features is None:
        assert prepared.features is not None  # plan: without a dense column there are fingerprints
        columns[FEATURES] = features_to_arrow(prepared.features.take(among_passed))
    else:
        columns[FEATURES] = features_to_arrow(features)
    return pa.table(columns)


def _check_ids(piece: Piece, plan: BuildPlan, state: _State, kept: NDArray[np.int64]) -> None:
    if plan.config.id_column is None:
        return  # record numbers
    ids = piece.ids.take(pa.array(kept)).to_pylist()
    positions = piece.position + kept
    seen = state.ids.add(hash_keys(text.encode() for text in ids), positions)
    repeated = np.flatnonzero(seen >= 0)
    if len(repeated):
        index = int(repeated[0])
        file, record = plan.place_of(int(seen[index]))
        first = f"record {record}" if file == piece.file else f"record {record} of {file}"
        raise InputFileError(
            f"id {ids[index]!r} belongs to two compounds: {first} and record {piece.first + int(kept[index])} "
            f"(line {int(piece.lines[kept[index]])})",
            str(piece.file),
            f"make the ids of column {plan.config.id_column!r} unique, or leave id_column out to number the records",
        )


def _duplicates_refused(
    piece: Piece, plan: BuildPlan, indices: NDArray[np.int64], positions: NDArray[np.int64]
) -> LibraryError:
    shown = []
    for index, position in list(zip(indices.tolist(), positions.tolist(), strict=True))[:_SHOWN]:
        file, record = plan.place_of(position)
        of_file = "" if file == piece.file else f" of {file.name}"
        shown.append(f"line {int(piece.lines[index])} (record {piece.first + index}) repeats record {record}{of_file}")
    return LibraryError(
        f"duplicate compounds: {'; '.join(shown)}",
        str(piece.file),
        'remove them, or set duplicates = "merge" to keep the first of each, or "keep" to keep all',
    )


def _nothing_kept(plan: BuildPlan, state: _State) -> InputFileError:
    common = ", ".join(f"{reason} ({count})" for reason, count in state.reasons.most_common(_SHOWN))
    what = f"none of {state.n_read} records is valid: {common}" if state.n_read else "there are no records"
    return InputFileError(
        what,
        ", ".join(str(planned.source.path) for planned in plan.sources),
        "check smiles_column, id_column and format",
    )


def _metadata(plan: BuildPlan, state: _State, parts: list[dict[str, Any]]) -> dict[str, Any]:
    config = plan.config
    options = config.model_dump(
        mode="json", include={"standardise", "duplicates", "duplicates_by", "drop_single_atoms", "id_column"}
    )
    paths = [planned.source.path for planned in plan.sources]
    return {
        "n_rows": state.n_kept,
        "features": config.features.model_dump(mode="json"),
        "width": config.features.width,
        "block_rows": config.block_rows,
        "parts": parts,
        "sources": [{"name": p.name, "bytes": p.stat().st_size, "sha256": sha256_file(p)} for p in paths],
        "counts": {
            "read": state.n_read,
            "kept": state.n_kept,
            "duplicates": state.n_duplicates,
            "rejected": dict(sorted(state.reasons.items())),
        },
        "columns": plan.kept,
        "options": {**options, "smiles_column": config.smiles_column, "part_blocks": config.part_blocks},
        "rdkit": rdkit_version(),
    }
