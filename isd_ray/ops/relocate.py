"""Telling a campaign that its library, or a file of its configuration, lies somewhere else now."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from isd_ray.campaign.intake import recorded_rule
from isd_ray.campaign.manifest import RELOCATE
from isd_ray.campaign.setup import CampaignSetup, begin_or_resume
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.versions import newest, target_of
from isd_ray.campaign.watcher import Watcher
from isd_ray.config import CampaignConfig
from isd_ray.config_file import set_paths
from isd_ray.errors import ConfigError
from isd_ray.messages import WorkerSpec
from isd_ray.ops.prepare import output_embeddings, prepare
from isd_ray.ops.reconfiguring import write_config
from isd_ray.storage.addresses import absolute

LIBRARY = "library.path"


def relocate(path: str | Path, paths: Mapping[str, str]) -> str:
    """Note new places of the files and folders that a campaign reads, once they are seen to hold what it began with.

    The library is read whole and its hashes are compared; of labels and embeddings of outputs those that decisions
    rest on.

    Parameters
    ----------
    path:
        The campaign's directory, a path or URI.
    paths:
        New places by key of the configuration: ``library.path``, ``labels.source`` and so on.

    Returns
    -------
    str
        Where the target library lies.

    Raises
    ------
    LibraryChangedError, StoreError
        If something else lies there.
    IsdError
        If it cannot be read.
    """
    if not paths:
        raise ConfigError(
            "nothing is said to have moved", remedy="give --library, or --set labels.source=FILE and alike"
        )
    store = CampaignStore.open(path)
    moved = {key: absolute(place) for key, place in paths.items()}
    data = store.config
    set_paths(data, moved)
    config = CampaignConfig.from_stored(data)
    setup = (
        _in_laboratory(store, config, moved) if store.manifest["in_laboratory"] else prepare(config, path, Watcher())
    )
    library = target_of(setup.spec)
    library.verify()
    begin_or_resume(setup)  # refuses what is not what the campaign began with
    store.append_event(RELOCATE, {"library": absolute(library.address), "paths": moved})
    write_config(store)
    return store.library


def _in_laboratory(store: CampaignStore, config: CampaignConfig, moved: Mapping[str, str]) -> CampaignSetup:
    rule, version = recorded_rule(store), newest(store)
    spec = WorkerSpec(
        config,
        {"target": moved.get(LIBRARY, store.library)},
        rule.classes,
        rule.outputs,
        output_embeddings=output_embeddings(config.model, rule.outputs),
        blocks=version.blocks,
        version=version.hash,
    )
    return CampaignSetup(config, store.address, spec, rule, None, None)
