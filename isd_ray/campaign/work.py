"""What is being worked on between two commits."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from isd_ray.campaign.oracle import Readouts
from isd_ray.campaign.record import ROUND_SCHEMA
from isd_ray.campaign.selection import Selection
from isd_ray.campaign.store import Attempt
from isd_ray.core.looks import LookPlan
from isd_ray.data.mirror import within
from isd_ray.messages import Committee, Rows

_FROM_RELEASE = (
    "predictions",
    "n_amendments",
    "audit_seed",
    "reserve_seed",
    "group_sizes",
    "group_losses",
    "output_wrong",
    "output_entries",
    "outlook",
    "passed",
    "needed",
    "n_events",
    "external_sha256",
    "forecasts_sha256",
    "leading",
    "repeats",
    "n_filling",
)
_KEPT = (*_FROM_RELEASE, *ROUND_SCHEMA.names)
"""Details of a release that its commit repeats."""


@dataclass(frozen=True, slots=True)
class FirstTry:
    """The batch of a look, or of its finish, of which lost wells are released once more before it is judged.

    Attributes
    ----------
    record:
        Of its round, which decided nothing but that.
    selection, readouts:
        The whole batch, and what came back.
    n_amendments:
        How many corrections were on record when it was released.
    """

    record: Mapping[str, Any]
    selection: Selection
    readouts: Readouts
    n_amendments: int

    def with_repeated(self, rows: Rows, readouts: Readouts) -> Readouts:
        """The readouts of the whole batch with those of `rows`, which were measured once more, in their places."""
        order = np.argsort(self.selection.scored.rows)
        places = order[np.searchsorted(self.selection.scored.rows, rows, sorter=order)]
        return self.readouts.replaced(places, readouts)


@dataclass(slots=True)
class RoundWork:
    """A round on its way from fit to commit.

    Attributes
    ----------
    look:
        The look of this round, with the audit of each group; empty if there is none.
    frozen:
        Address of the frozen predictions that a look and its finish go by.
    ranked_in:
        Of a finish and of wells that are measured once more: the round of their look, which orders the frozen
        predictions.
    first:
        What came back before, where this round measures its lost wells once more.
    saving:
        Writes of the models that are under way.
    wanted:
        Rows to be measured whatever the model says.
    committee_hash:
        What the release of a restored round says of its model.
    details:
        What the record of the round will hold beside its counts and its decision.
    """

    number: int
    started: float
    committee: Committee | None = None
    look: tuple[LookPlan, ...] = ()
    selection: Selection | None = None
    attempt: Attempt | None = None
    saving: list[Future[None]] = field(default_factory=list)
    wanted: Rows = field(default_factory=lambda: np.empty(0, np.int64))
    readouts: Readouts | None = None
    frozen: str | None = None
    ranked_in: int | None = None
    first: FirstTry | None = None
    committee_hash: str | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def look_round(self) -> int:
        """The round whose seed orders equally uncertain rows of the frozen predictions."""
        return self.number if self.ranked_in is None else self.ranked_in

    def reference(self, root: str) -> dict[str, Any]:
        """The look and the place of the frozen predictions, for JSON; as seen from the campaign's address."""
        return {
            "look": [asdict(plan) for plan in self.look] or None,
            "frozen": self.frozen.removeprefix(f"{root}/") if self.frozen else None,
        }

    def take_over(self, released: Mapping[str, Any], root: str) -> None:
        """Take back from a release what `reference` and the details had put there."""
        self.look = tuple(plan_of(stored) for stored in released["look"] or ())
        self.frozen = within(root, released["frozen"]) if released["frozen"] else None
        self.committee_hash = released["committee_hash"]
        self.details = {name: released[name] for name in _KEPT if name in released}


def plan_of(stored: Mapping[str, Any]) -> LookPlan:
    """A look as a release or a record holds it."""
    # JSON knows no tuples.
    loss = stored["expected_loss"]
    return LookPlan(**{**stored, "expected_loss": None if loss is None else tuple(loss)})
