"""A campaign in rehearsal: everything is decided as it would be, and nothing is written."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import pyarrow as pa

from isd_ray.campaign.events import Event, actor
from isd_ray.campaign.folder import Folder
from isd_ray.campaign.store import CampaignStore


class Rehearsal(CampaignStore):
    """The directory of a campaign as it was when this was opened, with what is said from then on in memory alone.

    Its log and its readouts are all that telling, failing and closing write; rounds are not to be decided in it.
    """

    def __init__(self, folder: Folder, manifest: Mapping[str, Any]) -> None:
        super().__init__(folder, manifest)
        # Once: what others write meanwhile must not move the events that are said here.
        self._events = super().events()
        self._n_recorded = len(self._events)
        self._kept: dict[str, pa.Table] = {}

    @property
    def said(self) -> list[Event]:
        """The events that were said in the rehearsal."""
        return self._events[self._n_recorded :]

    def events(self) -> list[Event]:
        """See `CampaignStore.events`."""
        return list(self._events)

    def append_event(self, kind: str, details: Mapping[str, Any], *, after: int | None = None) -> bool:
        """See `CampaignStore.append_event`."""
        if after is not None and after != len(self._events):
            return False
        time = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self._events.append({"sequence": len(self._events), "kind": kind, "time": time, "who": actor(), **details})
        return True

    def keep(self, readouts: pa.Table) -> str:
        """See `CampaignStore.keep`; the name is no hash."""
        name = f"rehearsed-{len(self._kept)}"
        self._kept[name] = readouts
        return name

    def read_readouts(self, sha256: str) -> pa.Table:
        """See `CampaignStore.read_readouts`."""
        return self._kept[sha256] if sha256 in self._kept else super().read_readouts(sha256)
