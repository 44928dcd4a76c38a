"""The blocks of features that a configuration asks for, put into its library where they are missing."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isd_ray.config import ComputeConfig, HistoryConfig, LibraryConfig
from isd_ray.data.blocks.add import BlockMaker, add_block
from isd_ray.data.blocks.broken import FIRST_BROKEN, N_BROKEN
from isd_ray.data.blocks.columns import COLUMNS_BLOCK, SourceColumns, columns_definition
from isd_ray.data.blocks.description import BlockDescription
from isd_ray.data.blocks.descriptors import N_INFINITE, Descriptors, MoleculeRows, describe, descriptors_definition
from isd_ray.data.blocks.history import HISTORY_BLOCK, AssayHistory, Structures, check_history, history_definition
from isd_ray.data.blocks.missing import MissingValues
from isd_ray.data.blocks.table import N_UNMATCHED, UNMATCHED, TableColumns
from isd_ray.data.ingest.build import n_cores
from isd_ray.data.ingest.molecules import Do, PreparedChunk, ResultT, WorkT, done, prepare_chunk
from isd_ray.data.ingest.progress import BuildProgress
from isd_ray.data.library import Library
from isd_ray.errors import ConfigError, LibraryError
from isd_ray.ops.connect import ray_session
from isd_ray.storage.addresses import is_uri, working_folder

Say = Callable[[str], None]
OnProgress = Callable[[BuildProgress], None]


def with_blocks(
    library: Library,
    config: LibraryConfig,
    compute: ComputeConfig,
    *,
    say: Say | None,
    progress: OnProgress | None = None,
    like: Library | None = None,
) -> Library:
    """A library with all blocks that its configuration asks for; those it lacks are made.

    Parameters
    ----------
    say:
        Told of each block that is made, and of what people should know of it; without it broken records are a warning.
    like:
        The target set, for held-out sets: its statistics standardise their values.

    Raises
    ------
    LibraryError
        If a block of the name has another definition, or the library is published and lacks one.
    IsdError
        As `add_block`, and what makers raise.
    """
    there = {block.name: block for block in library.added_blocks}
    models = {} if like is None else {block.name: block for block in like.added_blocks}
    for name, definition in _asked(config).items():
        model = models.get(name)
        if name in there:
            _check(there[name], definition, model, library)
            continue
        if is_uri(library.address):
            raise LibraryError(
                f"the published library lacks block {name!r}, which the configuration asks for",
                library.address,
                "build the library with it at another address (isd library build --out URI), or leave it out",
            )
        if say is not None:
            say(f"{library.path.name}: adding block {name}")
        with ExitStack() as stack:
            maker = _maker(name, config, library, compute, stack, progress, model)
            library = add_block(library, maker, model)
        _told(library, say, f"{library.path.name}: ")
    return library


def check_blocks(config: LibraryConfig) -> None:
    """Refuse blocks that can never be made, before the library is built, which takes long.

    Raises
    ------
    InputFileError
        If files of dense columns or of earlier readouts are missing, or lack a column.
    """
    if config.dense_columns:
        SourceColumns(config, working_folder())
    check_history(config, working_folder())


def add_descriptors(
    library: Library,
    name: str,
    compute: ComputeConfig,
    progress: OnProgress | None = None,
    *,
    say: Say | None = None,
) -> Library:
    """Put the block of a set of descriptors into a library (raises as `add_block`)."""
    with ExitStack() as stack:
        return _told(add_block(library, _descriptors(name, None, compute, stack, progress)), say)


def add_table(
    library: Library,
    file: str,
    columns: Sequence[str],
    *,
    id_column: str | None = None,
    name: str | None = None,
    say: Say | None = None,
) -> Library:
    """Put numbers of a table into a library as a block of features, joined by ids, and standardise them.

    Records that cannot be read are left out, with a `UserWarning` that counts them and names the first.

    Parameters
    ----------
    file:
        CSV or Parquet, with a column of ids. Embeddings are a column of lists in Parquet, or a column for each number.
    columns:
        Names; wildcards allowed.
    id_column:
        Default: the library's.
    name:
        Of the block; default: as the file.
    say:
        Told what people should know of the block, in the place of the warning.

    Raises
    ------
    IsdError
        As `add_block` and `TableColumns`.
    """
    name = name or re.sub(r"[^A-Za-z0-9_-]", "_", Path(file).name.split(".", 1)[0])
    return _told(add_block(library, TableColumns(library, name, file, columns, working_folder(), id_column)), say)


def add_history(library: Library, config: HistoryConfig, compute: ComputeConfig, *, say: Say | None = None) -> Library:
    """Put earlier readouts into a library, as `add_table` (raises as `add_block` and `AssayHistory`)."""
    with ExitStack() as stack:
        return _told(add_block(library, _history(library, config, None, None, compute, stack, None)), say)


def add_like(
    addition: Library,
    block: BlockDescription,
    config: LibraryConfig,
    files: Sequence[str],
    compute: ComputeConfig,
    progress: OnProgress | None,
    say: Say,
) -> Library:
    """Give compounds that are to be added to a library one of its blocks, with the statistics that it has there.

    Parameters
    ----------
    block:
        Of the library.
    config:
        That the addition was built with.
    files:
        Where the values of a table, or of earlier readouts, of these compounds stand; without any they are missing.

    Raises
    ------
    LibraryError
        If a set of descriptors is another one than the block was made of.
    IsdError
        As `add_block`, and what makers raise.
    """
    with ExitStack() as stack:
        maker: BlockMaker
        if block.source == "table":
            one, columns = "".join(files), block.definition["columns"]
            ids = config.id_column or block.definition["id_column"]
            known = TableColumns(addition, block.name, one, columns, working_folder(), ids) if files else None
            maker = known or MissingValues(block)
        elif config.history is None and block.source == "history":
            maker = MissingValues(block)
        else:
            maker = _maker(block.name, config, addition, compute, stack, progress, block)
            if block.source == "descriptors" and maker.definition != block.definition:
                raise LibraryError(
                    f"block {block.name!r} was made by {block.definition}, and now {maker.definition} is installed",
                    addition.address,
                    "install the version that made it, or drop the block and add it again when the library has grown",
                )
        made = add_block(addition, maker, block)
    for words in _broken_words(made.added_blocks[-1]):
        say(words)
    return made


def found_words(block: BlockDescription) -> Iterator[str]:
    """What people should know of a block, in words."""
    if n_infinite := block.found.get(N_INFINITE):
        yield f"{n_infinite:,} values of block {block.name} are infinite, and count as missing"
    yield from _broken_words(block)
    if n_unmatched := block.found.get(N_UNMATCHED):
        shown = ", ".join(map(repr, block.found[UNMATCHED]))
        more = ", …" if n_unmatched > len(block.found[UNMATCHED]) else ""
        yield f"{n_unmatched:,} compounds of block {block.name} are not in the library: {shown}{more}"


def _broken_words(block: BlockDescription) -> Iterator[str]:
    if n_broken := block.found.get(N_BROKEN):
        are = "record is" if n_broken == 1 else "records are"
        yield f"{n_broken:,} {are} broken, and left out of block {block.name}; the first: {block.found[FIRST_BROKEN]}"


def _told(library: Library, say: Say | None, before: str = "") -> Library:
    """Say of the last block what people should know, or at least warn of what is broken."""
    block = library.added_blocks[-1]
    if say is None:
        for words in _broken_words(block):
            warnings.warn(before + words, stacklevel=3)
    else:
        for words in found_words(block):
            say(before + words)
    return library


def _asked(config: LibraryConfig) -> dict[str, dict[str, Any]]:
    """Definitions of the blocks of a configuration, by name, in the order in which they are added."""
    if taken := sorted({COLUMNS_BLOCK, HISTORY_BLOCK}.intersection(config.descriptor_sets)):
        raise ConfigError(
            f"the set of descriptors {taken[0]!r} has the name of another block",
            "library.descriptors",
            "ask the package that adds it for another name",
        )
    asked: dict[str, dict[str, Any]] = {name: descriptors_definition(name) for name in config.descriptor_sets}
    if config.dense_columns:
        asked[COLUMNS_BLOCK] = columns_definition(config)
    if config.history is not None:
        asked[HISTORY_BLOCK] = history_definition(config, working_folder())
    return asked


def _maker(
    name: str,
    config: LibraryConfig,
    library: Library,
    compute: ComputeConfig,
    stack: ExitStack,
    progress: OnProgress | None,
    like: BlockDescription | None,
) -> BlockMaker:
    if name == COLUMNS_BLOCK:
        return SourceColumns(config, working_folder())
    if name == HISTORY_BLOCK and config.history is not None:
        return _history(library, config.history, config, config.workers, compute, stack, like)
    return _descriptors(name, config.workers, compute, stack, progress)


def _descriptors(
    name: str, workers: int | None, compute: ComputeConfig, stack: ExitStack, progress: OnProgress | None
) -> Descriptors:
    def run(chunks: Iterable[MoleculeRows]) -> Iterator[tuple[MoleculeRows, NDArray[np.float64]]]:
        return _done(describe, chunks, workers, compute, stack)

    return Descriptors(name, run, progress)


def _history(
    library: Library,
    config: HistoryConfig,
    library_config: LibraryConfig | None,
    workers: int | None,
    compute: ComputeConfig,
    stack: ExitStack,
    like: BlockDescription | None,
) -> AssayHistory:
    def run(chunks: Iterable[Structures]) -> Iterator[tuple[Structures, PreparedChunk]]:
        return _done(prepare_chunk, chunks, workers, compute, stack)

    return AssayHistory(library, config, library_config, working_folder(), run, like)


def _done(
    do: Do[ResultT], work: Iterable[WorkT], workers: int | None, compute: ComputeConfig, stack: ExitStack
) -> Iterator[tuple[WorkT, ResultT]]:
    """Done where the chemistry of a build is: on the cores of this machine, or on a Ray cluster."""
    if compute.address is None:
        return done(do, work, workers or n_cores())
    from isd_ray.actors.chemistry import done_on_ray
    from isd_ray.actors.failure import FailurePolicy

    stack.enter_context(ray_session(compute))
    return done_on_ray(do, work, FailurePolicy(compute.lost_actor_retries), compute.call_timeout_s)


def _check(
    block: BlockDescription, definition: dict[str, Any], like: BlockDescription | None, library: Library
) -> None:
    """Refuse a block that is there under the name of another one."""
    remedy = f"drop it, so that it is made again: isd library remove-block {library.address} {block.name}"
    made = _without_hashes(block.definition)
    if made != definition:
        asked = sorted(key for key in definition if made.get(key) != definition[key])
        raise LibraryError(
            f"block {block.name!r} was made otherwise than the configuration asks for: {', '.join(asked) or 'more'}",
            library.address,
            remedy,
        )
    if like is not None and block.columns != like.columns:
        raise LibraryError(
            f"block {block.name!r} was standardised by other statistics than those of the target set",
            library.address,
            remedy,
        )


def _without_hashes(definition: dict[str, Any]) -> dict[str, Any]:
    """Files by name and size, as those of libraries are compared: to hash them takes long."""
    if "sources" not in definition:
        return definition
    plain = [{key: file[key] for key in ("name", "bytes")} for file in definition["sources"]]
    return {**definition, "sources": plain}
