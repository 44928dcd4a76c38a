"""Going on with what was cut off."""

from __future__ import annotations

from pathlib import Path

from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.watcher import Watcher
from isd_ray.config import CampaignConfig
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.simulate import simulate


def resume(path: Path, watcher: Watcher | None = None) -> str:
    """Go on with the campaign or simulation in a folder; says in words where it stands then.

    A simulation runs to its end; a campaign in a laboratory until readouts are missing.

    Raises
    ------
    IsdError
        If there is none, or it cannot go on.
    """
    store = CampaignStore.open(path)
    if store.manifest["in_laboratory"]:
        batch = Campaign(store, watcher).ask()
        return "the screen has ended" if batch is None else f"round {batch.round}: {len(batch):,} compounds to measure"
    config = CampaignConfig.model_validate(store.manifest["config"])
    return str(simulate(config, path, watcher).summary["stop_reason"])
