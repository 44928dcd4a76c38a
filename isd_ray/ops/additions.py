"""Adding compounds to a library that is there: its next version."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from isd_ray.config import ComputeConfig, HistoryConfig, LibraryConfig
from isd_ray.config.features import DESCRIPTORS
from isd_ray.config_file import parse_section
from isd_ray.data.addition import put_behind
from isd_ray.data.blocks.add import remove_block
from isd_ray.data.blocks.columns import COLUMNS_BLOCK
from isd_ray.data.blocks.description import BlockDescription
from isd_ray.data.blocks.history import HISTORY_BLOCK
from isd_ray.data.blocks.numbers import described
from isd_ray.data.changing import locked, refuse_published
from isd_ray.data.ingest.build import ONTO
from isd_ray.data.ingest.plan import open_sources
from isd_ray.data.ingest.progress import BuildProgress
from isd_ray.data.library import Library
from isd_ray.data.versions import added_files, is_grown_from
from isd_ray.errors import ConfigError, LibraryError
from isd_ray.ops.blocks import add_like
from isd_ray.ops.build import build_rows
from isd_ray.storage.addresses import working_folder

_STAGING = ".adding"
"""Folder in the library of an addition that is not complete."""
_OF_FILES = ("format", "smiles_column", "id_column", "workers")
"""Keys that say where compounds stand in a file; all others are what the library is."""
_OF_VALUES = ("table", "history")
"""Sources of blocks whose values may be given."""
_HERE = ComputeConfig()


def add_compounds(
    path: str | Path,
    files: Sequence[str],
    overrides: Sequence[str] = (),
    *,
    values: Mapping[str, Sequence[str]] | None = None,
    compute: ComputeConfig = _HERE,
    progress: Callable[[BuildProgress], None] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Library:
    """Put the new compounds of some files behind the rows of a library, as its next version.

    They are standardised, fingerprinted and described as the library was; their blocks take its statistics. What is in
    the library already is a duplicate, treated as the library treats duplicates. Rows and files that are there stay as
    they are, and so does every campaign on an earlier version. Given again the same command goes on where it was cut
    off, and changes nothing once it is done.

    Parameters
    ----------
    path:
        Folder of the library.
    files:
        As `library.source`.
    overrides:
        ``KEY=VALUE`` of `[library]` that say where compounds stand in these files: format, smiles_column, id_column;
        and workers.
    values:
        Files with the values of these compounds for blocks that were made of tables or earlier readouts, by the name
        of the block; without they are missing.
    say:
        Told what people should know.

    Returns
    -------
    Library
        The new version.

    Raises
    ------
    ConfigError
        If another key is given.
    LibraryError
        If the library is published or a part of a split, another process adds to it, an unfinished addition of other
        files lies in it, duplicates are refused and there are some, or `values` names no block of that kind.
    InputFileError
        As `isd_ray.data.ingest.build.build_library`; if no compound is new; if an id belongs to another compound of
        the library, or a column holds what the library's cannot.
    """
    library = Library.open(path)
    remedy = "add to the folder that it was published from, and publish that at another address"
    refuse_published(library, "compounds", remedy)
    with locked(library.path):
        library = Library.open(path)
        config = _config_like(library, files, overrides, values or {})
        sources = described([source.file for source in open_sources(config, working_folder())])
        if sources in added_files(library.metadata):
            shutil.rmtree(library.path / _STAGING, ignore_errors=True)
            say(f"{', '.join(source['name'] for source in sources)}: these compounds are in {library.path} already")
            return library
        if (made := library.metadata["rdkit"]) != (now := _rdkit_version()):
            say(f"warning: the library was made by RDKit {made}, these compounds are by {now}: see that they agree")
        addition = _built(library, config, sources, compute, progress)
        for block in library.added_blocks:
            if _is_made(addition, block):
                continue
            if block.name in addition.block_names:  # of a run that was cut off
                remove_block(addition.path, block.name)
                addition = Library.open(addition.path)
            say(f"{library.path.name}: block {block.name} of the new compounds")
            addition = add_like(addition, block, config, (values or {}).get(block.name, ()), compute, progress, say)
        grown = put_behind(library, addition)
        shutil.rmtree(library.path / _STAGING, ignore_errors=True)
    return grown


def _is_made(addition: Library, block: BlockDescription) -> bool:
    """Whether an addition that was cut off has a block as it is asked for now: others may be given values this time."""
    made = {one.name: one for one in addition.added_blocks}.get(block.name)
    return made is not None and block.source not in _OF_VALUES and made.columns == block.columns


def _rdkit_version() -> str:
    from isd_ray.chem.smiles import rdkit_version

    return rdkit_version()


def _built(
    library: Library,
    config: LibraryConfig,
    sources: Sequence[Mapping[str, Any]],
    compute: ComputeConfig,
    progress: Callable[[BuildProgress], None] | None,
) -> Library:
    """The rows to be added, in a folder of their own; those that were complete when an addition was cut off."""
    out = library.path / _STAGING / "library"
    if out.is_dir():
        addition = Library.open(out)
        if addition.metadata[ONTO] == library.hash and addition.metadata["sources"] == sources:
            return addition
        if addition.metadata[ONTO] == library.hash or not is_grown_from(library.metadata, addition.metadata[ONTO]):
            raise LibraryError(
                "an unfinished addition of other files lies here",
                str(out.parent),
                "remove this directory to begin anew, or finish that addition with its own files",
            )
        shutil.rmtree(out.parent)  # cut off when it was in place
    try:
        return build_rows(config, compute, out, progress, library)
    except BaseException:
        if out.parent.is_dir() and not any(out.parent.iterdir()):
            out.parent.rmdir()
        raise


def _config_like(
    library: Library, files: Sequence[str], overrides: Sequence[str], values: Mapping[str, Sequence[str]]
) -> LibraryConfig:
    """The configuration by which more compounds become rows like those of a library."""
    metadata, blocks = library.metadata, {block.name: block for block in library.added_blocks}
    if "parent" in metadata:
        raise LibraryError("is a part of a split", str(library.path), "add to the whole library, and split it again")
    for name, given in values.items():
        if name not in blocks or blocks[name].source not in _OF_VALUES:
            raise LibraryError(
                f"there is no block {name!r} that was made of a table or of earlier readouts",
                str(library.path),
                f"name one of {', '.join(blocks) or 'none'}; values of the others come from the compounds themselves",
            )
        if blocks[name].source == "table" and len(given) > 1:
            raise LibraryError(f"block {name!r} takes its values of one table", str(library.path), "join the files")
    for override in overrides:
        if (key := override.partition("=")[0].strip()) not in _OF_FILES:
            raise ConfigError(
                f"a library goes on as it began, and {key!r} would change it",
                f"library.{key}",
                f"set one of {', '.join(_OF_FILES)}, or build a new library",
            )
    options = dict(metadata["options"])
    contexts = list(library.spec.context_columns) if library.spec.kind == "on_bits" else []
    sets = [name for name, block in blocks.items() if block.source == "descriptors"]
    table = {
        **options,
        "source": list(files),
        "smiles_column": options["smiles_column"] or "",
        "features": metadata["features"],
        "block_rows": library.block_rows,
        "columns": [name for name in metadata["columns"] if name not in (*DESCRIPTORS, *contexts)],
        "context_columns": contexts,
        "descriptors": [*(name for name in metadata["columns"] if name in DESCRIPTORS), *sets],
    }
    if COLUMNS_BLOCK in blocks:
        table["dense_columns"] = blocks[COLUMNS_BLOCK].definition["columns"]
    if HISTORY_BLOCK in blocks and (history := _history_of(library, blocks[HISTORY_BLOCK], values)) is not None:
        table["history"] = history
    return parse_section(LibraryConfig, table, overrides)


def _history_of(
    library: Library, block: BlockDescription, values: Mapping[str, Sequence[str]]
) -> dict[str, Any] | None:
    """Where earlier readouts of the added compounds stand: in files of their own, or beside the compounds."""
    settings = HistoryConfig.model_validate({**block.definition["history"]}).model_dump(mode="json")
    if given := values.get(HISTORY_BLOCK):
        return {**settings, "source": list(given)}
    own = [source["sha256"] for source in library.metadata["sources"]]
    is_own = all(source["sha256"] in own for source in block.definition["sources"])
    return {**settings, "source": None} if is_own else None
