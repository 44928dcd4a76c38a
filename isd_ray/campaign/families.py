"""The families of models of a campaign, each with the feature blocks that it sees."""

from __future__ import annotations

from collections.abc import Mapping

from isd_ray.config import RESMLP, CampaignConfig, DenseFeatures
from isd_ray.config.model import family_class
from isd_ray.data.blocks.description import TEXTS
from isd_ray.data.library import Library
from isd_ray.errors import ConfigError, LibraryChangedError
from isd_ray.messages import WorkerSpec
from isd_ray.models.base import BlockShape, Model, Problem, family


def block_hashes(config: CampaignConfig, library: Library) -> dict[str, str]:
    """The feature blocks that a campaign uses, in the library's order, with their hashes.

    Raises
    ------
    ConfigError
        If one is named that the library does not have.
    """
    asked = [*config.model.blocks, *(name for table in config.model.options.values() for name in table["blocks"])]
    for name in asked:
        if name not in library.block_names:
            raise ConfigError(
                f"the library has no block {name!r}; it has {', '.join(library.block_names)}",
                "model.blocks",
                "name one of these, or add it: isd library add-block",
            )
    used = [name for name in library.block_names if not config.model.blocks or name in asked]
    return {name: library.block_hash(name) for name in used}


def check_blocks(blocks: Mapping[str, str], library: Library) -> None:
    """Refuse a library whose blocks are not those that a campaign began with.

    Raises
    ------
    LibraryChangedError
        Naming the block.
    """
    for name, sha256 in blocks.items():
        if name not in library.block_names or library.block_hash(name) != sha256:
            raise LibraryChangedError(
                f"the block {name!r} of the library is gone or another one than when the campaign began",
                str(library.path),
                "restore the library, or begin a new campaign in another folder",
            )


def blocks_read(spec: WorkerSpec, library: Library) -> tuple[str, ...]:
    """All blocks that some family reads, in order; SMILES last."""
    used = tuple(spec.blocks) or library.block_names[:1]
    needs_text = any(TEXTS in family_class(name).needs for name in spec.config.model.families)
    return (*used, TEXTS) if needs_text else used


def models_of(spec: WorkerSpec, library: Library) -> dict[str, Model]:
    """The families by name, in the order of the configuration."""
    config, used = spec.config, blocks_read(spec, library)
    models = {}
    for name in config.model.families:
        table = config.model if name == RESMLP else family_class(name).Config.model_validate(config.model.options[name])
        needs = family_class(name).needs
        seen = table.blocks or tuple(block for block in used if block != TEXTS)
        shapes = tuple(_shape(library, block) for block in dict.fromkeys((*seen, *needs)))
        models[name] = family(name, table, Problem(config.task, spec.n_outputs, shapes))
    return models


def _shape(library: Library, name: str) -> BlockShape:
    if name == TEXTS:
        return BlockShape(name, "texts", 1)
    if name != library.block_names[0]:
        return BlockShape(name, "dense", library.block_width(name), standardised=True)
    spec = library.spec
    return BlockShape(name, spec.kind, spec.width, spec.scale if isinstance(spec, DenseFeatures) else 1.0)
