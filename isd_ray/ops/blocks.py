"""The blocks of features that a configuration asks for, put into its library where they are missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isd_ray.config import ComputeConfig, DescriptorSet, LibraryConfig
from isd_ray.data.blocks.add import BlockMaker, add_block
from isd_ray.data.blocks.description import BlockDescription
from isd_ray.data.blocks.descriptors import Descriptors, MoleculeRows, describe, descriptors_definition
from isd_ray.data.filesystem import is_uri
from isd_ray.data.ingest.build import n_cores
from isd_ray.data.ingest.progress import BuildProgress
from isd_ray.data.library import Library
from isd_ray.errors import LibraryError
from isd_ray.ops.connect import ray_session

Say = Callable[[str], None]
OnProgress = Callable[[BuildProgress], None]


def with_blocks(
    library: Library,
    config: LibraryConfig,
    compute: ComputeConfig,
    *,
    say: Say,
    progress: OnProgress | None = None,
    like: Library | None = None,
) -> Library:
    """A library with all blocks that its configuration asks for; those it lacks are made.

    Parameters
    ----------
    say:
        Told of each block that is made, and of what people should know of it.
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
    for name, definition in _asked(config, library).items():
        model = models.get(name)
        if name in there:
            _check(there[name], definition, model, library)
            continue
        if is_uri(library.address):
            raise LibraryError(
                f"the published library lacks block {name!r}, which the configuration asks for",
                library.address,
                "publish a library that was built with it at another address, or leave it out of the configuration",
            )
        say(f"{library.path.name}: adding block {name}")
        with ExitStack() as stack:
            maker = _maker(name, config, library, compute, stack, progress, model)
            library = add_block(library, maker, model)
        for words in found_words(library.added_blocks[-1]):
            say(f"{library.path.name}: {words}")
    return library


def add_descriptors(
    library: Library, name: DescriptorSet, compute: ComputeConfig, progress: OnProgress | None = None
) -> Library:
    """Put the block of a set of descriptors into a library (raises as `add_block`)."""
    with ExitStack() as stack:
        return add_block(library, _descriptors(name, None, compute, stack, progress))


def found_words(block: BlockDescription) -> Iterator[str]:
    """What people should know of a block, in words."""
    if n_infinite := block.found.get("n_infinite"):
        yield f"{n_infinite:,} values of block {block.name} are infinite, and count as missing"


def _asked(config: LibraryConfig, library: Library) -> dict[str, dict[str, Any]]:
    """Definitions of the blocks of a configuration, by name, in the order in which they are added."""
    return {name: descriptors_definition(name) for name in config.descriptor_sets}


def _maker(
    name: str,
    config: LibraryConfig,
    library: Library,
    compute: ComputeConfig,
    stack: ExitStack,
    progress: OnProgress | None,
    like: BlockDescription | None,
) -> BlockMaker:
    return _descriptors("rdkit2d", config.workers, compute, stack, progress)


def _descriptors(
    name: DescriptorSet, workers: int | None, compute: ComputeConfig, stack: ExitStack, progress: OnProgress | None
) -> Descriptors:
    """Computed where the chemistry of a build is: on the cores of this machine, or on a Ray cluster."""
    if compute.address is None:
        return Descriptors(name, workers or n_cores(), progress=progress)
    from isd_ray.actors.chemistry import done_on_ray
    from isd_ray.actors.failure import FailurePolicy

    policy = FailurePolicy(compute.lost_actor_retries)

    def run(chunks: Iterable[MoleculeRows]) -> Iterator[tuple[MoleculeRows, NDArray[np.float64]]]:
        return done_on_ray(describe, chunks, policy, compute.call_timeout_s)

    stack.enter_context(ray_session(compute))
    return Descriptors(name, run=run, progress=progress)


def _check(
    block: BlockDescription, definition: dict[str, Any], like: BlockDescription | None, library: Library
) -> None:
    """Refuse a block that is there under the name of another one."""
    remedy = f"drop it, so that it is made again: isd library remove-block {library.address} {block.name}"
    if block.definition != definition:
        asked = sorted(key for key in definition if block.definition.get(key) != definition[key])
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
