"""The stages of a round: each step of the loop takes one and returns the next, so none can come out of turn.

Begun -> Trained -> Chosen -> Released -> Measured -> Decided, and from there to the next round, to a further round of a
look (Finishing, Continuing, or Chosen, where lost wells are measured once more), to the end (Final), or nowhere (Done).
Nothing of a stage changes: what a step finds out is in the stage that it returns.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from isd_ray.campaign.batch import Selection
from isd_ray.campaign.look_rounds import Earlier, FrozenLook
from isd_ray.campaign.oracle import Readouts
from isd_ray.campaign.round_files import Attempt, RoundRecord
from isd_ray.campaign.states import LoopState
from isd_ray.messages import Committee, Rows


@dataclass(frozen=True, slots=True)
class Begun:
    """A round that begins; `started` is on the clock of `time.perf_counter`, in seconds."""

    state: ClassVar[LoopState] = LoopState.FIT
    number: int
    started: float


@dataclass(frozen=True, slots=True)
class Trained:
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
    """A batch with all that came back, corrections included; its details name the table without them."""

    state: ClassVar[LoopState] = LoopState.DECIDE
    released: Released
    readouts: Readouts
    details: RoundRecord

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


Stage: TypeAlias = Begun | Trained | Finishing | Continuing | Chosen | Released | Measured | Decided | Final | Done
FurtherRound: TypeAlias = Finishing | Continuing | Chosen
"""What a round can be that goes on with the look of the one before."""
