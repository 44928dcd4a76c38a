"""Putting compounds that were built beside a library behind its rows: the next version of it.

All files are in place before the description names them, and the description is replaced at once: whoever is cut off
leaves the old version or the new one.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from isd_ray.data.blocks.description import BlockDescription, part_name
from isd_ray.data.changing import replace_description
from isd_ray.data.layout import BLOCKS_DIRECTORY, METADATA_FILE, PARTS_DIRECTORY, REJECTS_FILE, content_hash
from isd_ray.data.library import Library
from isd_ray.data.versions import VERSIONS, noted_versions, version_file
from isd_ray.data.writer import sync
from isd_ray.storage.files import sync_directory


def put_behind(library: Library, addition: Library) -> Library:
    """Make the rows of `addition` the next version of a library; both with the same blocks.

    Parameters
    ----------
    addition:
        Built onto the library (`isd_ray.data.ingest.build.build_library`), its blocks like the library's.

    Returns
    -------
    Library
        Opened again.
    """
    before, added = library.metadata, addition.metadata
    parts = [*before["parts"], *_renumbered(library, added["parts"], _main_name)]
    n_rows = library.n_rows + addition.n_rows
    hashes = [part["sha256"] for part in parts]
    sha256 = content_hash(before["features"], n_rows, library.block_rows, hashes)
    versions = noted_versions(before)
    own = {"hash": sha256, "n_rows": n_rows, **{name: added[name] for name in ("sources", "counts", "rdkit")}}
    described = {
        **before,
        "hash": sha256,
        "n_rows": n_rows,
        "parts": parts,
        "sources": [*before["sources"], *added["sources"]],
        "counts": _summed(before["counts"], added["counts"]),
        VERSIONS: [*versions, own],
    }
    theirs = {block.name: block for block in addition.added_blocks}
    blocks = [_joined(library, block, theirs[block.name], sha256) for block in library.added_blocks]
    if blocks:
        described["blocks"] = [block.to_json() for block in blocks]
    _put(addition.path / REJECTS_FILE, library.path / rejects_file(len(versions) + 1))
    for part, new in zip(added["parts"], parts[library.n_parts :], strict=True):
        _put(addition.path / part["file"], library.path / new["file"])
    for block in blocks:
        for part, new in zip(theirs[block.name].parts, block.parts[library.n_parts :], strict=True):
            _put(addition.path / part["file"], library.path / new["file"])
    _put(library.path / METADATA_FILE, version_file(library.path, library.hash))
    for folder in (PARTS_DIRECTORY, VERSIONS, *(f"{BLOCKS_DIRECTORY}/{block.name}" for block in blocks), "."):
        sync_directory(library.path / folder)
    replace_description(library.path, described)
    return Library.open(library.path)


def rejects_file(number: int) -> str:
    """Where the records stand that did not become rows of a version."""
    return REJECTS_FILE if number == 1 else f"rejects-{number:05d}.parquet"


def _main_name(part: int) -> str:
    return f"{PARTS_DIRECTORY}/part-{part:05d}.arrow"


def _renumbered(library: Library, parts: Any, name_of: Any) -> Iterator[dict[str, Any]]:
    for index, part in enumerate(parts, library.n_parts):
        yield {**part, "file": name_of(index), "first_row": library.n_rows + part["first_row"]}


def _summed(before: Mapping[str, Any], added: Mapping[str, Any]) -> dict[str, Any]:
    """Counts of records of both; those by reason are summed by reason."""
    total: dict[str, Any] = {}
    for name in dict.fromkeys((*before, *added)):
        first, second = before.get(name), added.get(name)
        if isinstance(first, dict) or isinstance(second, dict):
            total[name] = dict(sorted((Counter(first or {}) + Counter(second or {})).items()))
        else:
            total[name] = (first or 0) + (second or 0)
    return total


def _joined(library: Library, block: BlockDescription, added: BlockDescription, sha256: str) -> BlockDescription:
    """A block with the values of the added rows behind its own, by the statistics that it had."""
    definition = dict(block.definition)
    if "sources" in definition:
        definition["sources"] = [*definition["sources"], *added.definition.get("sources", ())]
    parts = _renumbered(library, added.parts, lambda index: part_name(block.name, index))
    return replace(
        block,
        library=sha256,
        parts=(*block.parts, *parts),
        n_missing=block.n_missing + added.n_missing,
        definition=definition,
        found=_found(block.found, added.found),
    )


def _found(before: Mapping[str, Any], added: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of a block as a whole: counts are summed, of each assay too."""
    total = dict(before)
    for name, value in added.items():
        if name == "assays":
            of = {assay["name"]: assay for assay in value}
            total[name] = [
                {**assay, **{key: assay[key] + of[assay["name"]][key] for key in ("n", "n_hits")}}
                for assay in before[name]
            ]
        elif isinstance(value, int):
            total[name] = before.get(name, 0) + value
        else:
            total.setdefault(name, value)
    return total


def _put(file: Path, target: Path) -> None:
    """Have a file at another place, too, whole or not at all."""
    target.parent.mkdir(exist_ok=True)
    new = target.with_name(f".{target.name}.new")
    new.unlink(missing_ok=True)
    shutil.copyfile(file, new)
    sync(new)
    os.replace(new, target)
