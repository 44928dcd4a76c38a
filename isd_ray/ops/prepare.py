"""From a configuration to a campaign that is ready to run: libraries, labels, resources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isd_ray.campaign.before import id_column_of, known_rows
from isd_ray.campaign.families import answers_of, with_assays_excluded
from isd_ray.campaign.manifest import OWN_LIBRARY
from isd_ray.campaign.setup import CampaignSetup, as_begun, blocks_for
from isd_ray.campaign.stock import prices_of
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.versions import newest, open_library
from isd_ray.campaign.watcher import Watcher
from isd_ray.config import (
    CampaignConfig,
    ComputeConfig,
    HeldOutConfig,
    LabelsConfig,
    LibraryConfig,
    ModelConfig,
    SplitConfig,
    Task,
)
from isd_ray.core.acquisition import acquisition_for
from isd_ray.core.conditions import affordable, bought, no_prices
from isd_ray.core.goals import goal_for
from isd_ray.data.hit_class import hit_class, needs_hit
from isd_ray.data.ingest.plan import library_columns
from isd_ray.data.ingest.sources import resolve_sources
from isd_ray.data.label_rule import is_pattern
from isd_ray.data.label_table import label_sources, require_label_columns
from isd_ray.data.labels import (
    LabelRule,
    Labels,
    LabelTable,
    as_readouts,
    classes_of,
    labels_for,
    read_labels,
    rule_beforehand,
)
from isd_ray.data.library import Library
from isd_ray.data.output_embeddings import read_output_embeddings
from isd_ray.data.panel_labels import panel_columns, read_panel
from isd_ray.data.split import PART_NAMES, blocks_of, split_library
from isd_ray.errors import ConfigError, LibraryError
from isd_ray.messages import LabelArray, WorkerSpec
from isd_ray.ops.blocks import with_blocks
from isd_ray.ops.build import build_library
from isd_ray.ops.memory import check_memory
from isd_ray.plates.layout import initial_size
from isd_ray.storage.addresses import address_of, is_uri, within, without_secrets, working_folder
from isd_ray.storage.copies import local_path
from isd_ray.storage.output_files import refuse_file_as_folder


def prepare(config: CampaignConfig, out: str | Path, watcher: Watcher, *, in_laboratory: bool = False) -> CampaignSetup:
    """Build or open the libraries, read the labels, and check that all fits together and into memory.

    Parameters
    ----------
    out:
        The campaign's directory, a path or URI; a library without a place of its own lies in it.
    in_laboratory:
        Labels are not known but will be told.

    Raises
    ------
    IsdError
        If anything is missing, inconsistent or too large.
    """
    if not is_uri(address_of(out)):
        refuse_file_as_folder(Path(out))
    beforehand = _checked_beforehand(config, out, in_laboratory=in_laboratory)
    libraries = _libraries(config, out, watcher)
    target = libraries["target"]
    if config.compute.address is None:  # else other machines have the memory
        outputs = panel_outputs(config.task, config.labels, config.library)
        check_memory(
            config.compute,
            config.model,
            _most_measured(config, target),
            target,
            len(outputs),
            has_numbers=bool(config.labels.numbers),
        )
    for library in libraries.values():
        library.verify()
    if beforehand is not None:
        return _prepare_laboratory(config, out, libraries, beforehand)
    reader = _LabelReader(config.task, config.labels, config.library)
    labels = reader.labels(target)
    config = _as_it_begins(config, labels.classes, target, out)
    # Refuses claims about outputs that there are not.
    goal_for(config.stopping, config.task, labels.classes, labels.rule.outputs, config.labels.numbers)
    if labels.n_unused and len(libraries) == 1:
        belong = "label belongs" if labels.n_unused == 1 else "labels belong"
        watcher.message(f"{labels.n_unused:,} {belong} to no compound of the target set (merged or refused)")
    if labels.n_contradicting:
        watcher.message(
            f"warning: {labels.n_contradicting:,} merged duplicates are of another class than the compound that stands "
            "for them"
        )
    external = config.validation.source == "external"
    validation = reader.held_out(libraries["validation"], config.validation, labels) if external else None
    test = reader.held_out(libraries["test"], config.test, labels) if "test" in libraries else None
    spec = WorkerSpec(
        config=config,
        libraries={name: library.address for name, library in libraries.items()},
        classes=labels.classes,
        outputs=labels.rule.outputs,
        validation_labels=validation,
        output_embeddings=output_embeddings(config.model, labels.rule.outputs),
        blocks=blocks_for(config, answers_of(config.labels, labels.rule.outputs), target, out),
        version=target.hash,
    )
    known = known_rows(config.known, id_column_of(config.labels, config.library), target)
    return CampaignSetup(config, out, spec, labels.rule, labels, test, known)


def _checked_beforehand(config: CampaignConfig, out: str | Path, *, in_laboratory: bool) -> LabelRule | None:
    """Refuse what needs no library to be seen, before one is built, which takes long; the rule of told labels."""
    acquisition_for(
        config.acquisition_name,
        config.task,
        config.model,
        config.acquisition.column,
        has_numbers=bool(config.labels.numbers),
        mixes_hits=config.stopping.mixes_hits,
    )
    initial_size(config.acquisition, config.plates)
    if in_laboratory:
        rule = rule_beforehand(config.labels, config.task, by_plates=config.hits is not None)
        with_hit(config, rule.classes, out)
        goal_for(config.stopping, config.task, rule.classes, rule.outputs, config.labels.numbers)
        return rule
    labels = config.labels
    if labels.source is None and config.library.source is None:
        return None  # whether that is a library without a source, or none at all, is seen when it is opened
    sources = label_sources(labels, config.library, working_folder())
    if labels.column is None:
        panel_columns(labels, config.library, sources)
    else:
        require_label_columns(labels, (labels.column,), config.library, sources)
    if needs_hit(config.stopping, config.task, config.acquisition_name):
        with_hit(config, classes_of(read_labels(labels, config.library, working_folder()), config.task), out)
    return None


def with_hit(config: CampaignConfig, classes: tuple[str, ...], out: str | Path) -> CampaignConfig:
    """The configuration with the class of hits named; of the campaign in `out`, if it has begun, as it began.

    One that an earlier version began without naming the class goes on with the last one.

    Raises
    ------
    ConfigError
        As `isd_ray.data.hit_class.hit_class`.
    """
    if CampaignStore.exists(out):
        return as_begun(config, CampaignStore.open(out))
    stopping, by_plates = config.stopping, config.hits is not None
    positive = hit_class(stopping, config.task, config.acquisition_name, classes, by_plates=by_plates)
    return config.model_copy(update={"stopping": stopping.model_copy(update={"positive": positive})})


def _as_it_begins(config: CampaignConfig, classes: tuple[str, ...], target: Library, out: str | Path) -> CampaignConfig:
    """`with_hit`, with all columns of excluded assays named; a campaign in `out` goes on as it began."""
    config = with_hit(config, classes, out)
    return config if CampaignStore.exists(out) else with_assays_excluded(config, target)


def _prepare_laboratory(
    config: CampaignConfig, out: str | Path, libraries: Mapping[str, Library], rule: LabelRule
) -> CampaignSetup:
    for name in ("validation", "test"):
        if name in libraries:
            raise ConfigError(
                f"there is a {name} set, whose labels nobody has told", f"{name}, library.split", "remove it"
            )
    addresses = {name: library.address for name, library in libraries.items()}
    config = _as_it_begins(config, rule.classes, libraries["target"], out)
    spec = WorkerSpec(
        config=config,
        libraries=addresses,
        classes=rule.classes,
        outputs=rule.outputs,
        output_embeddings=output_embeddings(config.model, rule.outputs),
        blocks=blocks_for(config, answers_of(config.labels, rule.outputs), libraries["target"], out),
        version=libraries["target"].hash,
    )
    return CampaignSetup(config, out, spec, rule, None, None)


def library_address(config: LibraryConfig, out: str | Path) -> str:
    """Where the library of a run in `out` lies, or will: a path or URI."""
    return config.path or within(out, OWN_LIBRARY)


def _most_measured(config: CampaignConfig, target: Library) -> int:
    """Compounds that may be measured at most, were the cheapest bought."""
    prices = prices_of(config.stopping, config.acquisition, config.replicates, target)
    paid = no_prices if prices is None else bought(np.sort(prices))
    return affordable(config.stopping, 0, 0, target.n_rows, paid)


def _libraries(config: CampaignConfig, out: str | Path, watcher: Watcher) -> dict[str, Library]:
    """The target library, and held-out ones from the split or from files of their own."""
    address = library_address(config.library, out)
    # What is made of a library behind a URI goes into the campaign's folder.
    root = Path(address) if not is_uri(address) else local_path(address_of(out)) / "library"
    split_folder = root.with_name(f"{root.name}-split")
    store = CampaignStore.open(out) if CampaignStore.exists(out) else None
    version = None
    if store is not None:  # a library that has grown since is opened as it was
        is_split = config.library.split is not None
        version = _split_from(split_folder) if is_split else str(store.manifest["library_hash"])
    whole = open_or_build(config.library, config.compute, address, watcher, version=version)
    if store is not None and config.library.split is None:
        whole = open_library(store, newest(store)) if newest(store).hash != whole.hash else whole
    libraries = {"target": whole}
    has_held_out = config.library.split is not None or config.validation.file or config.test.file
    if has_held_out and is_uri(address_of(out)):
        raise ConfigError(
            "held-out sets of a campaign on an object store would lie on one machine only",
            "library.split, validation.file, test.file",
            "run it in a folder that all machines share, or leave them out",
        )
    if config.library.split is not None:
        libraries = _open_or_split(whole, config.library.split, split_folder)
    for name, held_out in (("validation", config.validation), ("test", config.test)):
        if held_out.file is not None:
            # Contexts by the target's values: what it has never seen has no place in the vocabulary.
            update = {"source": held_out.file, "split": None, "features": whole.spec}
            settings = config.library.model_copy(update=update)
            folder = root.with_name(f"{root.name}-{name}")
            libraries[name] = open_or_build(settings, config.compute, folder, watcher, like=whole)
    if config.validation.source == "external" and "validation" not in libraries:
        raise LibraryError("the split leaves no validation rows", "library.split", "give validation a share")
    return libraries


def _split_from(folder: Path) -> str | None:
    """The version of the library that its parts in `folder` were taken from; None where there are none."""
    target = folder / PART_NAMES[0]
    return str(Library.describe(target).metadata["parent"]["hash"]) if Library.exists(target) else None


def open_or_build(
    config: LibraryConfig,
    compute: ComputeConfig,
    address: str | Path,
    watcher: Watcher,
    like: Library | None = None,
    version: str | None = None,
) -> Library:
    """The library of a configuration at a path or URI; built if there is none, and given the blocks that it lacks.

    Parameters
    ----------
    like:
        The target set, for held-out sets: its statistics standardise their blocks.
    version:
        Hash of the version that a campaign began with, of a library which may have grown; default: the last.

    Raises
    ------
    LibraryError
        If another library lies there, or none and there is no source; or one with other blocks of the same names.
    IsdError
        As `build`.
    """
    if Library.exists(address):
        library = _checked(config, Library.open(address, version), is_in_use=version is not None)
        return with_blocks(library, config, compute, say=watcher.message, progress=watcher.building, like=like)
    if config.source is None:
        raise LibraryError(
            "there is no library here, and no source to build one from",
            without_secrets(str(address)),
            "build it with `isd library build`, or set library.source",
        )
    return build_library(config, address, compute, watcher.building, say=watcher.message, like=like)


def _checked(config: LibraryConfig, library: Library, *, is_in_use: bool) -> Library:
    """Refuse a library that is not the one of the configuration."""
    if config.source is not None:
        _check_built_from(config, library, is_in_use=is_in_use)
    if not config.asks_for(library.spec):
        raise LibraryError(
            f"the library was built with other features than the configuration asks for: {library.spec}",
            str(library.path),
            "set library.features and context_columns to those of the library, or build another in another folder",
        )
    return library


def _check_built_from(config: LibraryConfig, library: Library, *, is_in_use: bool) -> None:
    """Refuse a library that was built from other files or with other options than the configuration says.

    One that a campaign in use rests on is never to be removed.
    """
    options = library.metadata["options"]
    asked = config.model_dump(mode="json", include=set(options))
    changed = [f"library.{key}" for key, value in options.items() if asked[key] != value]
    names = [config.source] if isinstance(config.source, str) else list(config.source or ())
    files = [file for name in names for file in resolve_sources(name, working_folder(), "library.source")]
    if [(file.name, file.size) for file in files] != [
        (source["name"], source["bytes"]) for source in library.metadata["sources"]
    ]:
        changed.append("library.source")
    columns = [*library_columns(config), *config.descriptor_columns]
    changed += [f"library.columns ({name})" for name in columns if name not in library.column_names]
    if changed and is_in_use:
        raise LibraryError(
            f"a campaign was begun here with another library; the configuration differs in {', '.join(changed)}",
            str(library.path),
            "choose another folder for a new campaign, or restore sources and configuration to go on with this one",
        )
    if changed:
        raise LibraryError(
            f"the library was built otherwise than the configuration asks for: {', '.join(changed)}",
            str(library.path),
            "remove it, or name a folder that is not there yet (library.path): the run builds it as is asked for here; "
            "or build it with the same keys (--set of isd library build; isd_ray.build_library takes config.library)",
        )


def _open_or_split(whole: Library, config: SplitConfig, folder: Path) -> dict[str, Library]:
    """The parts of a library in a folder, by their names; as `open_or_build`."""
    if folder.is_dir():
        parts = {name: Library.open(folder / name) for name in PART_NAMES if (folder / name).is_dir()}
        made = [part.metadata["parent"] for part in parts.values()]
        asked = (whole.hash, config.model_dump(mode="json"), blocks_of(whole))
        if "target" in parts and all(
            (parent["hash"], parent["split"], parent.get("blocks", {})) == asked for parent in made
        ):
            return parts
        raise LibraryError(
            "this split was made from another library, or with other settings or blocks",
            str(folder),
            "remove the folder, so that it is made again, or set library.path to another one",
        )
    return split_library(whole, config, folder)


class _LabelReader:
    """Reads the labels of the campaign's libraries; a file with one label a compound is read once for all of them."""

    def __init__(self, task: Task, labels: LabelsConfig, library: LibraryConfig) -> None:
        self._task = task
        self._settings = labels
        self._library = library
        self._tables: dict[str | None, LabelTable] = {}

    def labels(self, library: Library, file: str | None = None, rule: LabelRule | None = None) -> Labels:
        """Labels of a library from the configured file or another one."""
        settings = self._settings
        if file is not None:
            settings = settings.model_copy(update={"source": file, "format": "auto"})
        if self._task == "panel":
            return read_panel(settings, self._library, working_folder(), library, rule)
        if file not in self._tables:
            self._tables[file] = read_labels(settings, self._library, working_folder())
        return labels_for(self._tables[file], library, self._task, rule=rule)

    def held_out(self, library: Library, config: HeldOutConfig, target: Labels) -> LabelArray:
        """Labels of a held-out library, by the target's classes and cuts."""
        return as_readouts(self.labels(library, config.file, target.rule).labels)


def known_labels(config: CampaignConfig, library: Library) -> Labels:
    """The labels of the rows of a library. Raises as `isd_ray.data.labels.labels_for`."""
    return _LabelReader(config.task, config.labels, config.library).labels(library)


def output_embeddings(model: ModelConfig, outputs: Sequence[str]) -> NDArray[np.float32] | None:
    """Embeddings of a panel's outputs, float32 (K, d), if its head takes them."""
    file = model.output_embeddings
    return None if file is None else read_output_embeddings(file, outputs, working_folder())


def panel_outputs(task: Task, labels: LabelsConfig, library: LibraryConfig) -> tuple[str, ...]:
    """Names of a panel's outputs; none for other tasks."""
    if task != "panel":
        return ()
    if not any(map(is_pattern, labels.columns)):
        # No file need be there yet: a laboratory names its outputs.
        return labels.columns
    return panel_columns(labels, library, label_sources(labels, library, working_folder()))
