"""Going on with what was cut off."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from isd_ray.campaign.released import Batch
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.watcher import Watcher
from isd_ray.config import CampaignConfig
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.results import withdraw_failed
from isd_ray.ops.simulate import simulate


def resume(path: Path, watcher: Watcher | None = None) -> Batch | Mapping[str, Any]:
    """Go on with the campaign or simulation in a folder: to the summary, or the batch that a laboratory is to measure.

    Raises
    ------
    IsdError
        If there is none, or it cannot go on.
    """
    store = CampaignStore.open(path)
    if store.manifest["in_laboratory"]:
        campaign = Campaign(store, watcher)
        batch = campaign.ask()
        return campaign.summary() if batch is None else batch
    if store.is_delivered():
        withdraw_failed(store)
    config = CampaignConfig.from_stored(store.config)
    return simulate(config, path, watcher).summary
