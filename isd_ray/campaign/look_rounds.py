"""A look, or a finish, can take several rounds: its lost wells are measured once more, its audit in portions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from isd_ray.campaign.batch import Selection, join
from isd_ray.campaign.oracle import Readouts
from isd_ray.campaign.round_files import Release, RoundFiles, RoundRecord
from isd_ray.core.looks import LookPlan
from isd_ray.messages import UNJUDGED, Rows
from isd_ray.storage.addresses import within


@dataclass(frozen=True, slots=True)
class FrozenLook:
    """What a look, its further rounds and its finish go by.

    Attributes
    ----------
    frozen:
        Address of the frozen predictions.
    round:
        The round that froze them, whose seed orders equally uncertain rows of them.
    plans:
        The look, with the audit of each group, as it was declared; empty in a finish.
    """

    frozen: str
    round: int
    plans: tuple[LookPlan, ...]


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


def stored_address(address: str, root: str) -> str:
    """An address as a release or a record holds it, seen from the campaign's address."""
    return address.removeprefix(f"{root}/")


def stored_look(look: FrozenLook | None, root: str) -> RoundRecord:
    """A look as a release or a record holds it; `root` is the campaign's address."""
    if look is None:
        return {"look": None, "frozen": None}
    return {"look": [asdict(plan) for plan in look.plans] or None, "frozen": stored_address(look.frozen, root)}


def look_from(released: Release, root: str, round_number: int) -> FrozenLook | None:
    """What `stored_look` has put into a release; the release does not name the round that froze the predictions."""
    if released["frozen"] is None:
        return None
    return FrozenLook(within(root, released["frozen"]), round_number, tuple(map(plan_of, released["look"] or ())))


def plan_of(stored: Mapping[str, Any]) -> LookPlan:
    """A look as a release or a record holds it."""
    # JSON knows no tuples.
    loss = stored["expected_loss"]
    return LookPlan(**{**stored, "expected_loss": None if loss is None else tuple(loss)})


def rounds_of_look(rounds: Sequence[RoundFiles], number: int) -> list[RoundFiles]:
    """The rounds of the look, or of the finish, that round `number` goes on with, oldest first; itself the last.

    Parameters
    ----------
    rounds:
        All released rounds.
    """
    found = [rounds[number]]
    while (before := found[0].goes_on_from) is not None:
        found.insert(0, rounds[before])
    return found


def unjudged(rounds: Sequence[RoundFiles]) -> set[int]:
    """Of released rounds those of which nobody is told yet why their compounds were chosen, nor what is predicted.

    The one that is out, and those of a look that goes on before it is judged.
    """
    if not rounds:
        return set()
    last = rounds[-1]
    if last.committed is not None and last.committed["decision"] not in UNJUDGED:
        return set()
    return {files.round for files in rounds_of_look(rounds, last.round)}
