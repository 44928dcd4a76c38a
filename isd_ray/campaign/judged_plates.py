"""How good the plates of a campaign were, by what was told of them."""

from __future__ import annotations

from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.undone import undone_events
from isd_ray.plates.quality import PlateQuality


def judged_plates(store: CampaignStore) -> dict[str, PlateQuality]:
    """The last judgement of each plate that was told, by its barcode."""
    judged: dict[str, PlateQuality] = {}
    undone = undone_events(store)
    for event in store.events():
        if "quality_sha256" in event and event["sequence"] not in undone:
            quality = PlateQuality.of(store.read_readouts(event["quality_sha256"]))
            judged |= {plate.plate: plate for plate in quality}
    return judged
