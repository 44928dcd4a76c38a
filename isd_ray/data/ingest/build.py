"""Building the target library from source files: every record becomes a row or a reject."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

from isd_ray.chem.smiles import rdkit_version
from isd_ray.config import LibraryConfig
from isd_ray.data.ingest.files import SourceFile
from isd_ray.data.ingest.intake import PieceIntake
from isd_ray.data.ingest.journal import Journal, Tally, unfinished
from isd_ray.data.ingest.molecules import PreparedChunk, prepare_chunks
from isd_ray.data.ingest.pieces import Piece, pieces
from isd_ray.data.ingest.plan import BuildPlan, plan_build
from isd_ray.data.ingest.progress import BuildProgress
from isd_ray.data.layout import REJECTS_FILE, SCHEMA_VERSION
from isd_ray.data.library import Library
from isd_ray.data.writer import join_rejects, write_metadata
from isd_ray.errors import InputFileError, LibraryError

_SHOWN = 5
"""Examples in a message."""
ONTO = "onto"
"""Key of what is to be added to a library: the hash of that library."""

Prepare: TypeAlias = Callable[[Iterable[Piece]], Iterator[tuple[Piece, PreparedChunk]]]
"""Does the chemistry of pieces, wherever and however many at a time, and gives them back in their order."""


def build_library(
    config: LibraryConfig,
    out: Path,
    *,
    base_dir: Path,
    progress: Callable[[BuildProgress], None] | None = None,
    prepare: Prepare | None = None,
    onto: Library | None = None,
) -> Library:
    """Build the target library of `config` in the directory `out`.

    The result depends on the sources and the configuration only, not on the number of processes. The library appears
    under its name when it is complete. Until then it grows part by part in the directory ``.NAME.building`` beside
    `out`; a build that was cut off goes on behind the last complete part when it is called again.

    Parameters
    ----------
    config:
        `source` must be set. `split` only adds its column; `split_library` divides.
    out:
        A directory that is absent or empty.
    base_dir:
        Folder that relative source paths start from.
    progress:
        Called in this process after every chunk of records, some of which wait to be taken in together.
    prepare:
        Where the chemistry is done; default: in `config.workers` processes of this machine.
    onto:
        Build what is to be added to this library (`isd_ray.data.addition`): its compounds are known, and ids, rows and
        types of columns go on with its own.

    Raises
    ------
    InputFileError
        If a source cannot be read, changes meanwhile, lacks a column, repeats an id, or holds no valid record.
    LibraryError
        If `out` is taken, another process builds it, or the unfinished build beside it is of other sources or another
        configuration; if `duplicates` is "refuse" and there are any.
    ConfigError
        If a kept column has a reserved name, or the feature column has another type than configured.
    ResourceError
        If a process of the build died.
    """
    out = Path(out)
    plan = plan_build(config, base_dir, None if onto is None else onto.metadata["columns"])
    if prepare is None:
        n_processes = (config.workers or n_cores()) if plan.has_structures else 1

        def prepare(chunks: Iterable[Piece]) -> Iterator[tuple[Piece, PreparedChunk]]:
            return prepare_chunks(chunks, n_processes)

    with unfinished(out) as folder:
        stamps = [planned.source.file.stamp for planned in plan.sources]
        sources = [_description(planned.source.file) for planned in plan.sources]
        journal = Journal(folder, _identity(plan, sources, onto))
        intake = PieceIntake(plan, journal, onto)
        before = journal.tally
        started = time.monotonic()

        def say() -> None:
            if progress is not None:
                progress(_progress(intake.tally, before, time.monotonic() - started))

        for piece, prepared in prepare(_remaining(plan, before)):
            with _blamed(journal):
                intake.take_in(piece, prepared)
            say()
        if intake.n_waiting:
            with _blamed(journal):
                intake.take_waiting()
            say()
        parts = intake.close()
        _reconcile(intake.tally, out)
        if not intake.tally.n_kept:
            raise _nothing_kept(plan, intake.tally)
        for planned, stamp in zip(plan.sources, stamps, strict=True):
            if planned.source.file.stamp != stamp:
                journal.discard()
                raise InputFileError(
                    "changed while it was read", str(planned.source.file), "build again when it is complete"
                )
        join_rejects(journal.all_rejects(), journal.library / REJECTS_FILE)
        described = _metadata(plan, intake.tally, parts, sources)
        write_metadata(journal.library, described if onto is None else {**described, ONTO: onto.hash})
        journal.finish(out)
    return Library.open(out)


def n_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _blamed(journal: Journal) -> Iterator[None]:
    """Throw a build away whose sources are to blame: going on would end here again."""
    try:
        yield
    except (InputFileError, LibraryError):
        journal.discard()
        raise


def _remaining(plan: BuildPlan, tally: Tally) -> Iterator[Piece]:
    """The records behind those that the tally counts."""
    if not tally.starts:
        return pieces(plan)
    first, _ = tally.starts[-1]
    return pieces(plan, len(tally.starts) - 1, tally.n_read - first, tally.n_read)


def _progress(tally: Tally, before: Tally, seconds: float) -> BuildProgress:
    return BuildProgress(
        n_read=tally.n_read,
        n_kept=tally.n_kept,
        n_merged=tally.n_duplicates,
        share=tally.share,
        seconds=seconds,
        n_read_before=before.n_read,
        share_before=before.share,
    )


def _description(file: SourceFile) -> dict[str, Any]:
    return {"name": file.name, "bytes": file.size, "sha256": file.sha256()}


def _options(config: LibraryConfig) -> dict[str, Any]:
    names = {"standardise", "duplicates", "duplicates_by", "drop_single_atoms", "id_column", "required", "parent"}
    names |= {"max_heavy_atoms"}
    options = config.model_dump(mode="json", include=names)
    return {**options, "smiles_column": config.smiles_column, "part_blocks": config.part_blocks}


def _identity(plan: BuildPlan, sources: list[dict[str, Any]], onto: Library | None) -> dict[str, Any]:
    """All that the parts of an unfinished build depend on."""
    config = plan.config
    return {
        "sources": sources,
        "features": config.features.model_dump(mode="json"),
        "format": config.format,
        "block_rows": config.block_rows,
        "columns": plan.columns,
        **_options(config),
        "rdkit": rdkit_version(),
        "schema_version": SCHEMA_VERSION,
        "isd_ray": version("isd_ray"),
        **({} if onto is None else {ONTO: onto.hash}),
    }


def _reconcile(tally: Tally, out: Path) -> None:
    """Refuse to finish a library whose records in are not its rows, rejects and duplicates."""
    n_out = tally.n_kept + tally.n_duplicates + sum(tally.reasons.values())
    if n_out != tally.n_read:
        raise LibraryError(
            f"{tally.n_read:,} records were read, but {tally.n_kept:,} rows, {tally.n_duplicates:,} duplicates and "
            f"{sum(tally.reasons.values()):,} rejects make {n_out:,}",
            str(out),
            "this is a fault of isd_ray: report it with the head of the source",
        )


def _nothing_kept(plan: BuildPlan, tally: Tally) -> InputFileError:
    reasons = Counter({**tally.reasons, "duplicate": tally.n_duplicates} if tally.n_duplicates else tally.reasons)
    common = ", ".join(f"{reason} ({count})" for reason, count in reasons.most_common(_SHOWN))
    is_wanted = "a new compound" if tally.n_duplicates else "valid"
    what = f"none of {tally.n_read} records is {is_wanted}: {common}" if tally.n_read else "there are no records"
    return InputFileError(
        what,
        ", ".join(str(planned.source.file) for planned in plan.sources),
        "check smiles_column, id_column and format",
    )


def _metadata(
    plan: BuildPlan, tally: Tally, parts: list[dict[str, Any]], sources: list[dict[str, Any]]
) -> dict[str, Any]:
    config = plan.config
    return {
        "n_rows": tally.n_kept,
        "features": config.features.model_dump(mode="json"),
        "width": config.features.width,
        "block_rows": config.block_rows,
        "parts": parts,
        "sources": sources,
        "counts": {
            "read": tally.n_read,
            "kept": tally.n_kept,
            "duplicates": tally.n_duplicates,
            "rejected": dict(sorted(tally.reasons.items())),
            "changed": dict(sorted(tally.changes.items())),
        },
        "columns": plan.columns,
        "options": _options(config),
        "rdkit": rdkit_version(),
    }
