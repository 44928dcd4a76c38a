"""What is being worked on between two commits."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from isd_ray.campaign.oracle import Readouts
from isd_ray.campaign.round_files import Attempt, Release, RoundRecord, details_of
from isd_ray.campaign.selection import Selection, join
from isd_ray.core.looks import LookPlan
from isd_ray.messages import Committee, Rows
from isd_ray.storage.addresses import within


@dataclass(frozen=True, slots=True)
class Earlier:
    """What the rounds before have measured of a look, or of its finish, that is not judged yet.

    Attributes
    ----------
    record:
        Of the last of them.
    selection, readouts:
        All that was released, and what came back; of wells that were lost and measured once more, the second time.
    repeated:
        int64, ascending: rows that were released twice.
    n_amendments:
        How many corrections were on record when the first of it was released.
    n_fitted, sizes:
        Rows that its model was fitted on, and sizes of the groups that its rows were ranked among.
    """

    record: RoundRecord
    selection: Selection
    readouts: Readouts
    repeated: Rows
    n_amendments: int
    n_fitted: int
    sizes: list[int]

    def twice(self, rows: Rows) -> Rows:
        """The rows that were released twice, once `rows` are as well; int64, ascending."""
        return np.union1d(self.repeated, np.intersect1d(rows, self.selection.scored.rows))

    def n_known(self, rows: Rows) -> int:
        """How many rows were released before."""
        return int(np.isin(rows, self.selection.scored.rows).sum())

    def with_next(self, selection: Selection, readouts: Readouts) -> tuple[Selection, Readouts]:
        """All of it with the next round: what was measured once more in its place, the rest behind, as it was drawn."""
        known = self.selection.scored.rows
        again = np.isin(selection.scored.rows, known)
        order = np.argsort(known)
        places = order[np.searchsorted(known, selection.scored.rows[again], sorter=order)]
        replaced = self.readouts.replaced(places, readouts.take(np.flatnonzero(again)))
        new = np.flatnonzero(~again)
        if not len(new):
            return self.selection, replaced
        return join([self.selection, selection.take(new)]), replaced.joined(readouts.take(new))


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
        Of a finish, of wells that are measured once more and of a further portion: the round of their look, which
        orders the frozen predictions.
    earlier:
        What the rounds before have measured of the same look or finish, where it goes on in this one.
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
    earlier: Earlier | None = None
    committee_hash: str | None = None
    details: RoundRecord = field(default_factory=lambda: RoundRecord())

    @property
    def look_round(self) -> int:
        """The round whose seed orders equally uncertain rows of the frozen predictions."""
        return self.number if self.ranked_in is None else self.ranked_in

    def reference(self, root: str) -> RoundRecord:
        """The look and the place of the frozen predictions, for JSON; as seen from the campaign's address."""
        return {
            "look": [asdict(plan) for plan in self.look] or None,
            "frozen": self.frozen.removeprefix(f"{root}/") if self.frozen else None,
        }

    def take_over(self, released: Release, root: str) -> None:
        """Take back from a release what `reference` and the details had put there."""
        self.look = tuple(plan_of(stored) for stored in released["look"] or ())
        self.frozen = within(root, released["frozen"]) if released["frozen"] else None
        self.committee_hash = released["committee_hash"]
        self.details = details_of(released)


def plan_of(stored: Mapping[str, Any]) -> LookPlan:
    """A look as a release or a record holds it."""
    # JSON knows no tuples.
    loss = stored["expected_loss"]
    return LookPlan(**{**stored, "expected_loss": None if loss is None else tuple(loss)})
