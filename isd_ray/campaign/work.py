"""What is being worked on between two commits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from isd_ray.campaign.oracle import Readouts
from isd_ray.campaign.record import ROUND_SCHEMA
from isd_ray.campaign.selection import Selection
from isd_ray.campaign.store import Attempt
from isd_ray.core.certify import LookPlan
from isd_ray.messages import Committee

_KEPT = ("predictions", "audit_seed", "forecast_errors", *ROUND_SCHEMA.names)
"""Details of a release that its commit repeats."""


@dataclass(slots=True)
class RoundWork:
    """A round on its way from fit to commit.

    Attributes
    ----------
    look:
        The look whose audit is the batch of this round.
    frozen:
        Folder of the frozen predictions that a look and its finish go by.
    committee_hash:
        What the release of a restored round says of its model.
    details:
        What the record of the round will hold beside its counts and its decision.
    """

    number: int
    started: float
    committee: Committee | None = None
    look: LookPlan | None = None
    selection: Selection | None = None
    attempt: Attempt | None = None
    readouts: Readouts | None = None
    frozen: Path | None = None
    committee_hash: str | None = None
    details: dict[str, Any] = field(default_factory=dict)

    def reference(self, root: Path) -> dict[str, Any]:
        """The look and the place of the frozen predictions, for JSON; paths from the campaign's folder."""
        return {
            "look": asdict(self.look) if self.look else None,
            "frozen": str(self.frozen.relative_to(root)) if self.frozen else None,
        }

    def take_over(self, released: Mapping[str, Any], root: Path) -> None:
        """Take back from a release what `reference` and the details had put there."""
        stored = released["look"]
        if stored is not None:
            # JSON knows no tuples.
            loss = stored["expected_loss"]
            stored = {**stored, "expected_loss": tuple(loss) if loss is not None else None}
        self.look = LookPlan(**stored) if stored else None
        self.frozen = root / released["frozen"] if released["frozen"] else None
        self.committee_hash = released["committee_hash"]
        self.details = {name: released[name] for name in _KEPT if name in released}
