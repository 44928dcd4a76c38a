"""Screens so small that everything that may happen to them can be listed: what claims are tried on.

A screen has measured some compounds, and predicts the others. Rows that are predicted alike are a stratum; what a row
is, predicted and in truth, and whether its well will be lost, is its kind. A *state* says how many rows are of each
kind: nobody knows it, and a claim has to be safe in every one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isd_ray.config import Task
from isd_ray.core.goals import Asked, Goal
from isd_ray.core.look_evidence import ScreenCounts
from isd_ray.core.panels import pack_labels, without_readout
from isd_ray.messages import LabelArray

N_OUTPUTS = 3
CLIP, TOLERANCE = 2.0, 1.0
TOLERANCES = (1.0, 0.5, 4.0)
"""Of a panel of numbers."""
NUMBERS = "numbers"
"""Screens of a panel of numbers, beside those of tasks."""
_LEVELS = (0.6, 0.8, 0.9)
_ERROR_LEVELS = (0.1, 0.25, 0.5)
"""Of the largest error that counts."""
State = tuple[int, ...]
"""Rows of each kind."""


@dataclass(frozen=True)
class SmallScreen:
    """A screen before a look.

    Attributes
    ----------
    said, true:
        Labels of each kind as predicted, and in truth; as `Goal` takes them.
    lost:
        Whether a well of the kind gives no readout, bool.
    strata:
        For each prediction its kinds, and how many rows are left of it.
    known:
        Labels of the measured rows.
    """

    said: LabelArray
    true: LabelArray
    lost: NDArray[np.bool_]
    strata: tuple[tuple[tuple[int, ...], int], ...]
    known: LabelArray

    @property
    def n_kinds(self) -> int:
        """Kinds of rows."""
        return len(self.lost)

    def told(self) -> LabelArray:
        """What a well of each kind shows."""
        return without_readout(self.true, self.lost)

    def groups(self, goal: Goal) -> NDArray[np.int64]:
        """Group of each kind."""
        return goal.groups(goal.as_prediction(self.said))

    def losses(self, goal: Goal) -> NDArray[np.float64]:
        """Loss of each kind if it were measured."""
        return goal.losses(goal.as_prediction(self.said), self.true)

    def left(self, goal: Goal, state: State) -> tuple[int, ...]:
        """Rows left in each group."""
        return tuple(np.bincount(self.groups(goal), state, goal.n_groups).astype(int).tolist())

    def states(self, kinds: NDArray[np.bool_], *, pure: bool = False) -> Iterator[State]:
        """States of the strata whose kinds are asked for, bool (kinds,); the others have no rows.

        All, or those in which all rows of a stratum are of one kind.
        """
        strata = [(which, n) for which, n in self.strata if kinds[list(which)].any()]
        for parts in itertools.product(*(compositions(n, len(which)) for which, n in strata)):
            if pure and any(max(part) < sum(part) for part in parts):
                continue
            state = np.zeros(self.n_kinds, np.int64)
            for (which, _), part in zip(strata, parts, strict=True):
                state[list(which)] = part
            yield tuple(state.tolist())

    def delivered(self, state: State, measured: State) -> tuple[LabelArray, LabelArray]:
        """What the screen says of every compound, and the truth, once so many rows of each kind are measured."""
        rest = np.subtract(state, measured)
        parts = np.repeat(np.arange(self.n_kinds), measured), np.repeat(np.arange(self.n_kinds), rest)
        delivered = np.concatenate([self.known, self.true[parts[0]], self.said[parts[1]]])
        return delivered, np.concatenate([self.known, self.true[parts[0]], self.true[parts[1]]])

    def measuring(self, rows: State) -> SmallScreen:
        """The screen once so many rows of each kind were measured; they are no rows of it any more."""
        known = np.concatenate([self.known, self.true[np.repeat(np.arange(self.n_kinds), rows)]])
        return SmallScreen(self.said, self.true, self.lost, self.strata, known)


def counts_of(goal: Goal, known: LabelArray, left: tuple[int, ...]) -> ScreenCounts:
    """Sizes that the claim depends on (`isd_ray.campaign.history.History.counts`)."""
    hits = goal.count_hits(known)
    return ScreenCounts(len(known) + sum(left), sum(hits), len(known) - sum(hits), left, (), hits)


def compositions(n: int, parts: int) -> Iterator[tuple[int, ...]]:
    """All ways in which n rows are of so many kinds."""
    if parts == 1:
        yield (n,)
        return
    for first in range(n + 1):
        for rest in compositions(n - first, parts - 1):
            yield (first, *rest)


def goals_of(kind: type[Goal], task: Task) -> Iterator[Goal]:
    """The goal at several levels; of a panel in a simulation and in a laboratory."""
    levels = [part * kind.largest(CLIP) for part in _ERROR_LEVELS] if kind.is_error else _LEVELS
    for level in levels:
        for n_expected in (None, N_OUTPUTS) if task == "panel" else (None,):
            asked = Asked(
                level,
                tolerance=TOLERANCE,
                clip=CLIP,
                n_outputs=N_OUTPUTS * (task == "panel"),
                n_expected=n_expected,
                tolerances=TOLERANCES if kind.is_of_numbers else (),
            )
            yield kind.asked(asked)


def kind_of_screens(task: Task, goal: Goal) -> str:
    """Whose screens a goal is tried on."""
    return NUMBERS if goal.is_of_numbers else task


def screens_of(task: str, *, lost: bool = True) -> Iterator[SmallScreen]:
    """The screens of a task, or of `NUMBERS`; without kinds whose wells are lost, if asked."""
    for strata, known in itertools.product(_STRATA[task], _MEASURED[task]):
        kinds = [(said, true, is_lost) for said, rows, _ in strata for true, is_lost in rows if lost or not is_lost]
        places = [tuple(i for i, kind in enumerate(kinds) if kind[0] == said) for said, _, _ in strata]
        yield SmallScreen(
            said=_labels(task, [said for said, _, _ in kinds]),
            true=_labels(task, [true for _, true, _ in kinds]),
            lost=np.array([is_lost for _, _, is_lost in kinds]),
            strata=tuple((which, n) for which, (_, _, n) in zip(places, strata, strict=True)),
            known=_labels(task, list(known)),
        )


def _labels(task: str, labels: list[Any]) -> LabelArray:
    if task == NUMBERS:
        return np.array(labels, np.float64).reshape(len(labels), N_OUTPUTS)
    if task == "panel":
        return pack_labels(np.array(labels, np.int8).reshape(len(labels), N_OUTPUTS))
    return np.array(labels, np.float64)


_NONE, _ONE, _ALL = (0, 0, 0), (1, 0, 0), (1, 1, 1)
_NEAR, _FAR = (1.5, 0.5, 0.0), (9.0, 9.0, 9.0)
_OTHERS = (0, ((0, False), (1, False), (1, True)), 12)
_PREDICTED_HITS = (1, ((1, False), (0, False), (0, True)), 12)
_STRATA: dict[str, tuple[tuple[tuple[Any, tuple[tuple[Any, bool], ...], int], ...], ...]] = {
    "classification": (
        (_OTHERS,),
        (_PREDICTED_HITS,),
        # Two classes of others, so that a wrong class is not always a missed hit; and beside others, which a look that
        # measures its predicted hits audits, false ones of these that nothing puts right.
        ((0, ((0, False), (1, False), (2, False)), 6), (1, ((1, False), (0, False), (0, True)), 3)),
    ),
    "regression": (((0.0, ((0.0, False), (1.5, False), (5.0, False), (5.0, True)), 7),),),
    NUMBERS: (((_NONE, ((_NONE, False), (_NEAR, False), (_FAR, False), (_FAR, True)), 7),),),
    "panel": (
        ((_NONE, ((_NONE, False), (_ONE, False), (_ALL, False), (_ALL, True)), 7),),
        ((_NONE, ((_NONE, False), (_ALL, False)), 6), (_ONE, ((_ONE, False), (_NONE, False), (_NONE, True)), 3)),
        # Predicted hits of one output that nothing puts right, and that are missed hits of the others.
        ((_NONE, ((_NONE, False), (_ALL, False)), 6), (_ONE, ((_ONE, False), (_ALL, True)), 6)),
    ),
}
"""Screens of each task by their strata: a prediction, what its rows may be and whether wells are lost, how many."""
_MEASURED: dict[str, tuple[tuple[Any, ...], ...]] = {
    "classification": ((), (0, 0, 0, 1), (0, 0, 1, 1, 1, 1, 1, 1)),
    "regression": ((), (0.0, 3.0, 1.0)),
    "panel": ((), (_ONE, _NONE, _ALL, _ALL, _ALL)),
    NUMBERS: ((), (_ONE, _NONE, _FAR)),
}
"""Labels of the rows that were measured before."""
