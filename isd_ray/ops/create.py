"""Beginning a campaign in a laboratory."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from isd_ray.campaign.before import tell_known
from isd_ray.campaign.setup import CampaignSetup, begin_or_resume, check
from isd_ray.campaign.source_places import unplaced_warning
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.watcher import Watcher
from isd_ray.config import CampaignConfig
from isd_ray.config_file import differences
from isd_ray.data.ingest.plan import library_columns
from isd_ray.data.library import Library
from isd_ray.errors import ConfigError, StoreError
from isd_ray.ops.beforehand import say_beforehand
from isd_ray.ops.prepare import prepare
from isd_ray.ops.reconfiguring import in_force, write_config
from isd_ray.storage.addresses import absolute


def begun(path: str | Path, config: CampaignConfig, watcher: Watcher) -> CampaignStore:
    """The store of a new campaign, or of the one that was begun there with this configuration.

    Raises
    ------
    IsdError
        See `isd_ray.ops.campaign.Campaign.create`.
    """
    if config.library.source is not None:  # before a build, which may take hours
        _refuse_lost_sources(config, (*library_columns(config.library), *config.library.descriptor_columns))
    setup = prepare(config, path, watcher, in_laboratory=True)
    library = Library.open(setup.spec.libraries["target"])
    _refuse_lost_sources(config, library.column_names)
    for warning in (*check(config, library), unplaced_warning(config, library)):
        if warning is not None:
            watcher.message(f"warning: {warning}")
    say_beforehand(setup, watcher)
    store = begin_or_resume(setup)
    config = in_force(store, setup.config)
    _refuse_other_place(store, setup)
    if (words := tell_known(store, setup.config, setup.rule)) is not None:
        watcher.message(words)
    _say_without_effect(store, config, watcher)
    write_config(store)
    return store


def _say_without_effect(store: CampaignStore, config: CampaignConfig, watcher: Watcher) -> None:
    """Say what of a configuration has no effect on the campaign, which goes on as it began.

    Its library is the same, wherever that was said to come from.
    """
    stored = CampaignConfig.from_stored(store.config)
    before, now = (one.model_dump(mode="json", exclude={"library"}) for one in (stored, config))
    if changed := differences(before, now):
        watcher.message(
            f"warning: this campaign was begun before, and goes on as it began: what is said now of "
            f"{', '.join(changed)} has no effect; choose another folder for a campaign with it"
        )


def _refuse_lost_sources(config: CampaignConfig, kept: Collection[str]) -> None:
    """Refuse a pick list that could not be written: the first batch could not be handed out.

    Raises
    ------
    ConfigError
        If the library does not keep a column of it, or no volume is set.
    """
    plates = config.plates
    for key in ("source_plate_column", "source_well_column"):
        column = None if plates is None else getattr(plates, key)
        if column is not None and column not in kept:
            raise ConfigError(
                f"{column!r} is no column that the library keeps, so no pick list can be written",
                f"plates.{key}",
                "add it to `library.columns`",
            )
    if plates is not None and plates.source_well_column is not None and plates.transfer_volume is None:
        raise ConfigError(
            "a pick list needs the volume to transfer", "plates.transfer_volume", 'set it with its unit, as "25 nL"'
        )


def _refuse_other_place(store: CampaignStore, setup: CampaignSetup) -> None:
    """Refuse a configuration that names another copy of the library than the campaign knows.

    Raises
    ------
    StoreError
        If it does: nothing would read that copy.
    """
    named = absolute(setup.spec.libraries["target"])
    if named != store.library:
        raise StoreError(
            f"the campaign knows its library at {store.library}, not at {named}",
            store.address,
            f"if it has moved, say so: isd relocate {store.address} --library {named}",
        )
