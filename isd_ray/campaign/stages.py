"""The stages of a round: each step of the loop takes one and returns the next, so none can come out of turn.

Opened -> Fitted -> Chosen -> Released -> Measured -> Decided, and from there to the next round, to a further round of a
look (Finishing, Continuing, or Chosen, where lost wells are measured once more), to the end (Final), or nowhere (Done).
Nothing of a stage changes: what a step finds out is in the stage that it returns.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np

from isd_ray.campaign.batch import Selection, join
from isd_ray.campaign.oracle import Readouts
from isd_ray.campaign.round_files import Attempt, Release, RoundRecord
from isd_ray.campaign.states import LoopState
from isd_ray.core.looks import LookPlan
from isd_ray.data.mirror import within
from isd_ray.messages import Committee, Rows


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


@dataclass(frozen=True, slots=True)
class Opened:
    """A round that begins; `started` is on the clock of `time.perf_counter`, in seconds."""

    state: ClassVar[LoopState] = LoopState.FIT
    number: int
    started: float


@dataclass(frozen=True, slots=True)
class Fitted:
    """What people have said is taken in, and the committee is fitted.

    Attributes
    ----------
    committee:
        None where there is nothing to fit one on.
    saving:
        Writes of the models that are under way.
    wanted:
        int64: rows to be measured whatever the model says.
    details:
        Of this and of the later stages: what the record of the round will hold beside its counts and its decision.
    """

    state: ClassVar[LoopState] = LoopState.SCORE
    number: int
    started: float
    attempt: Attempt
    committee: Committee | None
    saving: tuple[Future[None], ...]
    wanted: Rows
    details: RoundRecord


@dataclass(frozen=True, slots=True)
class Finishing:
    """A round for the finish of the look that was just passed, by the model of the look."""

    state: ClassVar[LoopState] = LoopState.FINISH
    number: int
    started: float
    committee: Committee | None
    look: FrozenLook
    details: RoundRecord


@dataclass(frozen=True, slots=True)
class Continuing:
    """A round for the next portion of an audit."""

    state: ClassVar[LoopState] = LoopState.PORTION
    number: int
    started: float
    committee: Committee | None
    look: FrozenLook
    earlier: Earlier
    details: RoundRecord


@dataclass(frozen=True, slots=True)
class Chosen:
    """A batch that nobody has seen yet.

    Attributes
    ----------
    committee:
        The model that chose it, or that of its look; None before there is one.
    look:
        None where the round has no look and belongs to none.
    earlier:
        What the rounds before have measured of the same look or finish, where it goes on in this one.
    attempt, saving:
        Where something of the round is written already, and writes that are under way.
    """

    state: ClassVar[LoopState] = LoopState.RELEASE
    number: int
    started: float
    selection: Selection
    committee: Committee | None
    look: FrozenLook | None
    earlier: Earlier | None
    details: RoundRecord
    attempt: Attempt | None = None
    saving: tuple[Future[None], ...] = ()


@dataclass(frozen=True, slots=True)
class Released:
    """A batch that may be measured; of a round that is open in the store, as that says.

    Attributes
    ----------
    committee:
        None where it is not in memory (`isd_ray.campaign.screen.Screen.committee_of`).
    committee_hash:
        Of the model of the round; None without one.
    """

    state: ClassVar[LoopState] = LoopState.MEASURE
    number: int
    started: float
    attempt: Attempt
    selection: Selection
    committee: Committee | None
    committee_hash: str | None
    look: FrozenLook | None
    earlier: Earlier | None
    details: RoundRecord


@dataclass(frozen=True, slots=True)
class Measured:
    """A batch with all that came back, corrections included; `readouts_sha256` names the table without them."""

    state: ClassVar[LoopState] = LoopState.DECIDE
    released: Released
    readouts: Readouts
    readouts_sha256: str

    @property
    def number(self) -> int:
        """The round."""
        return self.released.number

    @property
    def all_of_look(self) -> tuple[Selection, Readouts]:
        """All that was released of the look, or of its finish, up to this round, and what came back."""
        batch = self.released
        if batch.earlier is None:
            return batch.selection, self.readouts
        return batch.earlier.with_next(batch.selection, self.readouts)


@dataclass(frozen=True, slots=True)
class Decided:
    """A committed round. As a stage of the loop: the one that stopped the screen, which is to be delivered."""

    state: ClassVar[LoopState] = LoopState.DELIVER
    measured: Measured
    record: RoundRecord

    @property
    def number(self) -> int:
        """The round."""
        return self.measured.number


@dataclass(frozen=True, slots=True)
class Final:
    """A screen that has stopped, with all that it delivers frozen: the predictions of its last model.

    Attributes
    ----------
    number:
        The round that stopped it.
    frozen:
        Address of the predictions.
    predictions:
        Hashes of their files by name; empty where an earlier round has frozen them.
    """

    state: ClassVar[LoopState] = LoopState.DELIVER
    number: int
    committee: Committee | None
    frozen: str
    predictions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing follows; `number` is the last round."""

    state: ClassVar[LoopState] = LoopState.DONE
    number: int


Stage: TypeAlias = Opened | Fitted | Finishing | Continuing | Chosen | Released | Measured | Decided | Final | Done
FurtherRound: TypeAlias = Finishing | Continuing | Chosen
"""What a round can be that goes on with the look of the one before."""


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
