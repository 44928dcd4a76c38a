"""Beginning a campaign in a laboratory."""

from __future__ import annotations

from pathlib import Path

from isd_ray.campaign.before import tell_known
from isd_ray.campaign.setup import begin_or_resume, check, refuse_other_place
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.watcher import Watcher
from isd_ray.config import CampaignConfig
from isd_ray.config_file import to_toml
from isd_ray.data.library import Library
from isd_ray.ops.beforehand import say_beforehand
from isd_ray.ops.prepare import prepare


def begun(path: str | Path, config: CampaignConfig, watcher: Watcher) -> CampaignStore:
    """The store of a new campaign, or of the one that was begun there with this configuration.

    Raises
    ------
    IsdError
        See `isd_ray.ops.campaign.Campaign.create`.
    """
    setup = prepare(config, path, watcher, in_laboratory=True)
    for warning in check(config, Library.open(setup.spec.libraries["target"])):
        watcher.message(f"warning: {warning}")
    say_beforehand(setup, watcher)
    store = begin_or_resume(setup)
    refuse_other_place(store, setup)
    if (words := tell_known(store, setup.config, setup.rule)) is not None:
        watcher.message(words)
    store.write_text("config.toml", to_toml(setup.config))
    return store
