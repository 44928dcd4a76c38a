"""The families of models of a campaign, each with the feature blocks that it sees."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase
from glob import escape

import numpy as np
from numpy.typing import NDArray

from isd_ray.config import RESMLP, CampaignConfig, DenseFeatures, LabelsConfig, ModelConfig, Strings
from isd_ray.config.model import family_class
from isd_ray.config.patterns import idle, literal, shown
from isd_ray.core.features import Dense, FeatureBlocks
from isd_ray.data.blocks.assays import HIT, assays_of
from isd_ray.data.blocks.description import TEXTS
from isd_ray.data.ingest.records import closest
from isd_ray.data.library import Library
from isd_ray.errors import ConfigError
from isd_ray.messages import WorkerSpec
from isd_ray.models.base import BlockShape, Model, Problem, family


def block_hashes(model: ModelConfig, answers: Sequence[str], library: Library) -> dict[str, str]:
    """The feature blocks that a campaign uses, in the library's order, with their hashes.

    Parameters
    ----------
    answers:
        The column of labels, or the outputs of a panel (`answers_of`): no model may see a column that is called so.

    Raises
    ------
    ConfigError
        If one is named that the library does not have, or a column holds what is to be predicted.
    """
    named = {f"model.{family_name}.blocks": table.get("blocks", ()) for family_name, table in model.options.items()}
    asked = []
    for key, names in {"model.blocks": model.blocks, **named}.items():
        for name in names:
            if name not in library.block_names:
                raise ConfigError(
                    f"the library has no block {name!r}; it has {', '.join(library.block_names)}",
                    key,
                    "name one of these, or add it: isd library add-block",
                )
        asked += names
    hidden = _hidden(model, library)
    used = [name for name in library.block_names if not model.blocks or name in asked]
    for name in used:
        columns = [column for column in library.block_columns(name) if column not in hidden]
        if told := [column for column in columns if column in answers]:
            raise ConfigError(
                f"the block {name!r} has the column {told[0]!r}, which is what models are to predict",
                "model.exclude",
                f"leave it out, and all that was read from the same wells: model.exclude = {[*model.exclude, *told]}",
            )
    kept = {name for name in used if (places := _kept(library.block_columns(name), hidden)) is None or len(places)}
    for key, names in {"model.blocks": used, **named}.items():
        if names and not kept.intersection(names):
            raise ConfigError(
                f"it leaves no column of {', '.join(map(repr, names))}, and {key} names no other block",
                "model.exclude",
                f"exclude less, or name more blocks in {key}",
            )
    return {name: library.block_hash(name) for name in used}


def check_exclude(exclude: Sequence[str], library: Library) -> None:
    """Refuse a pattern that excludes nothing: a column with a slip in its name would stay, and tell the answer.

    Raises
    ------
    ConfigError
        Naming the columns that there are.
    """
    columns = _columns(library)
    if (pattern := idle(exclude, columns)) is not None:
        raise ConfigError(
            f"no column of the library matches {pattern!r}; there are {shown(columns)}",
            "model.exclude",
            closest(pattern.strip("*"), columns) or "name one of them, or remove it",
        )


def answers_of(labels: LabelsConfig, outputs: Sequence[str]) -> tuple[str, ...]:
    """What models are to predict, as columns may be called: the outputs of a panel, or the column of labels."""
    return tuple(outputs) or (() if labels.column is None else (labels.column,))


def with_assays_excluded(config: CampaignConfig, library: Library) -> CampaignConfig:
    """A configuration that excludes all columns of the assays whose names it excludes, each by its name.

    So the stored configuration of a campaign says all, and one that was begun with less goes on with what it saw: the
    columns that wildcards mean, which were all that an earlier version knew (`literal`).
    """
    exclude = literal(config.model.exclude, _columns(library))
    model = config.model.model_copy(update={"exclude": exclude})
    assays = [assay for block in library.added_blocks for assay in assays_of(block)]
    hidden = _hidden(model, library)
    columns = [name for assay in assays if assay.name in hidden for name in assay.columns]
    more = literal([name for name in columns if name not in hidden], columns)
    return config.model_copy(update={"model": model.model_copy(update={"exclude": (*exclude, *more)})})


def excluded_as_begun(said: ModelConfig, began: ModelConfig) -> Strings:
    """What a campaign excludes: as it began, where that is what is said now and `with_assays_excluded` of it."""
    exclude, more = began.exclude[: len(said.exclude)], began.exclude[len(said.exclude) :]
    assays = [name.removesuffix(HIT) for name in more if name.endswith(HIT)]
    follows = len(assays) == len(more) and all(name in exclude or _is_meant(name, exclude) for name in assays)
    is_said = all(name in (mark, escape(mark)) for name, mark in zip(exclude, said.exclude, strict=False))
    return began.exclude if len(exclude) == len(said.exclude) and is_said and follows else said.exclude


class SeenBlocks:
    """The feature blocks of a library as the models of a campaign see them: those in use, without excluded columns.

    Parameters
    ----------
    model:
        Families, and the columns that they do not see.
    blocks:
        Names of the blocks that it uses, in the order in which models see them; empty for the library's main one.
    library:
        Its target library, or one with the same blocks.

    Attributes
    ----------
    names:
        In that order; SMILES last, if a family reads them.
    """

    def __init__(self, model: ModelConfig, blocks: Iterable[str], library: Library) -> None:
        self._library = library
        used = tuple(blocks) or library.block_names[:1]
        needs_text = any(TEXTS in family_class(name).needs for name in model.families)
        hidden = _hidden(model, library)
        self._kept = {name: _kept(library.block_columns(name), hidden) for name in used}
        self.names = tuple(name for name in used if (kept := self._kept[name]) is None or len(kept))
        self.names += (TEXTS,) if needs_text else ()

    def block(self, index: int) -> FeatureBlocks:
        """The rows of a block of the grid."""
        return self.without_excluded(self._library.feature_blocks(index, self.names))

    def rows(self, rows: NDArray[np.int64]) -> FeatureBlocks:
        """Scattered rows, in the given order."""
        return self.without_excluded(self._library.features_of(rows, self.names))

    def without_excluded(self, features: FeatureBlocks) -> FeatureBlocks:
        """Blocks as the library has them, less the columns that no model sees."""
        if all(kept is None for kept in self._kept.values()):
            return features
        blocks = {}
        for name, block in features.blocks.items():
            kept = self._kept.get(name)
            blocks[name] = Dense(block.values[:, kept]) if kept is not None and isinstance(block, Dense) else block
        return FeatureBlocks(blocks)

    def columns(self, name: str) -> tuple[str, ...]:
        """Names of the columns of a block; none of the main one."""
        names, kept = self._library.block_columns(name), self._kept.get(name)
        return names if kept is None else tuple(names[place] for place in kept)

    def shape(self, name: str) -> BlockShape:
        """What a model may know of a block."""
        library = self._library
        if name == TEXTS:
            return BlockShape(name, "texts", 1)
        if name != library.block_names[0]:
            kept = self._kept.get(name)
            width = library.block_width(name) if kept is None else len(kept)
            return BlockShape(name, "dense", width, standardised=True)
        spec = library.spec
        return BlockShape(name, spec.kind, spec.width, spec.scale if isinstance(spec, DenseFeatures) else 1.0)


def _columns(library: Library) -> list[str]:
    """Of all blocks."""
    return [column for name in library.block_names for column in library.block_columns(name)]


def _hidden(model: ModelConfig, library: Library) -> frozenset[str]:
    """Columns that no model sees, by wildcards alone: what is named stands in the configuration as `literal` has it."""
    return frozenset(name for name in _columns(library) if _is_meant(name, model.exclude))


def _is_meant(name: str, marks: Sequence[str]) -> bool:
    return any(fnmatchcase(name, mark) for mark in marks)


def _kept(columns: Sequence[str], hidden: Collection[str]) -> NDArray[np.int64] | None:
    """Places of the columns that are not excluded; None for all."""
    kept = [place for place, name in enumerate(columns) if name not in hidden]
    return None if len(kept) == len(columns) else np.array(kept, np.int64)


def read_by(family_name: str, model: ModelConfig, names: Sequence[str]) -> tuple[str, ...]:
    """The blocks that a family reads, of those that the campaign uses (`SeenBlocks.names`)."""
    own = [block for block in model.options.get(family_name, {}).get("blocks", ()) if block in names]
    asked = own or [block for block in names if block != TEXTS]
    return tuple(dict.fromkeys((*asked, *family_class(family_name).needs)))


def models_of(spec: WorkerSpec, seen: SeenBlocks) -> dict[str, Model]:
    """The families by name, in the order of the configuration."""
    config = spec.config
    models, numbers = {}, config.labels.are_numbers(spec.outputs)
    for name in config.model.families:
        found = family_class(name)
        table = config.model if name == RESMLP else found.Config.model_validate(config.model.options[name])
        shapes = tuple(map(seen.shape, read_by(name, config.model, seen.names)))
        models[name] = family(name, table, Problem(config.task, spec.n_outputs, shapes, numbers))
    return models
