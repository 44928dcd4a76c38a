"""The verbs by which a batch is measured, whoever does them: a campaign of this process, or a coordinator's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from isd_ray.campaign.released import Batch
from isd_ray.campaign.status import Status
from isd_ray.ops.telling import Told


class Verbs(Protocol):
    """What `isd_ray.ops.campaign.Campaign` and `isd_ray.remote.attached.AttachedCampaign` have in common here."""

    def ask(self) -> Batch | None:
        """The batch that is out; None at the end."""

    def tell(self, readouts: Any) -> Told:
        """Take in readouts."""

    def told_files(self) -> set[str]:
        """SHA-256 of the files that were told."""

    def is_dispatched(self, round_number: int) -> bool:
        """Whether the files of a batch were handed out."""

    def dispatch(self, folder: Path) -> list[Path]:
        """Hand out the files of the batch that is out."""

    def status(self) -> Status:
        """Where the campaign stands."""

    def summary(self) -> Mapping[str, Any]:
        """What an ended screen comes to."""
