"""Putting a batch together from random rows and the best-scored ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from isd_ray.core.goals import Goal
from isd_ray.core.topk import concatenate_rows
from isd_ray.core.trigger import ranks_from_histogram
from isd_ray.messages import ROLES, Role, Rows, ScoredRows, ScoreReport

Ranks: TypeAlias = Callable[[ScoredRows], NDArray[np.float64]]
Pick: TypeAlias = Callable[[Rows, int], NDArray[np.int64]]
"""Which so many of some rows, best first, are taken: their places, ascending."""


def first_of(rows: Rows, n: int) -> NDArray[np.int64]:
    """The n best."""
    return np.arange(min(n, len(rows)))


def ranks_by(goal: Goal, histogram: NDArray[np.int64]) -> Ranks:
    """Ranks of rows in their groups, read off the groups' histograms of uncertainty, (groups, bins)."""

    def ranks(scored: ScoredRows) -> NDArray[np.float64]:
        found = np.empty(len(scored.rows))
        groups = goal.groups(scored.prediction)
        for group, counts in enumerate(histogram):
            found[groups == group] = ranks_from_histogram(counts, scored.uncertainty[groups == group])
        return found

    return ranks


@dataclass(frozen=True, slots=True)
class Selection:
    """A batch.

    Attributes
    ----------
    scored:
        Its rows with scores and predictions.
    roles:
        int8 (n,): the role of each as an index into `ROLES`.
    ranks:
        float64 (n,): about how many rows of its group were more uncertain; NaN where no model had scored the row.
    """

    scored: ScoredRows
    roles: NDArray[np.int8]
    ranks: NDArray[np.float64]

    @classmethod
    def of(cls, scored: ScoredRows, role: Role, ranks: Ranks | None = None) -> Selection:
        """Rows that share one role."""
        n = len(scored.rows)
        known = np.full(n, np.nan) if ranks is None else ranks(scored)
        return cls(scored, np.full(n, ROLES.index(role), np.int8), known)

    def take(self, places: NDArray[np.int64]) -> Selection:
        """The rows at some places."""
        return Selection(self.scored.take(places), self.roles[places], self.ranks[places])


def random_count(batch_size: int, random_share: float) -> int:
    """How many rows of a batch are drawn uniformly: the share rounded half up."""
    return math.floor(random_share * batch_size + 0.5)


def unscored(rows: NDArray[np.int64]) -> ScoredRows:
    """Rows chosen before any model existed: scores 0, predictions NaN."""
    zeros = np.zeros(len(rows), np.float32)
    return ScoredRows(rows, zeros, zeros, np.full(len(rows), np.nan), np.full(len(rows), np.nan, np.float32))


def join(parts: Sequence[Selection]) -> Selection:
    """One batch of several."""
    return Selection(
        concatenate_rows([part.scored for part in parts]),
        np.concatenate([part.roles for part in parts]),
        np.concatenate([part.ranks for part in parts]),
    )


def choose(
    report: ScoreReport,
    n_batch: int,
    random: Rows,
    wanted: Rows,
    reserve: Rows,
    ranks: Ranks,
    within: Callable[[Rows], int] = len,
    pick: Pick = first_of,
) -> tuple[Selection, Rows]:
    """The random rows, which were drawn first from the whole inference set, the wanted, then the best of the rest.

    Parameters
    ----------
    report:
        `top` holds the best n_batch + len(reserve) rows or more, so that enough are left when some are random or
        reserved.
    random, wanted:
        Rows that were drawn, and others that people ask for: at most n_batch together.
    reserve:
        Measured rows that are scored like all others but not acquired, ascending.
    ranks:
        About how many rows of its group are more uncertain than each.
    within:
        How many of the rows of a batch, in this order, can be paid; not fewer than the random ones.
    pick:
        Which of the best that are neither random, wanted nor reserved.

    Returns
    -------
    tuple
        The batch, and the reserved rows that its best rows passed over.
    """
    watched = report.watched
    rest = report.top.take(~np.isin(report.top.rows, [*random, *wanted]))
    is_reserved = np.isin(rest.rows, reserve)
    free = np.flatnonzero(~is_reserved)
    places = free[pick(rest.rows[free], n_batch - len(random) - len(wanted))]
    n_paid = within(np.concatenate([random, wanted, rest.rows[places]]))
    wanted, places = wanted[: n_paid - len(random)], places[: max(0, n_paid - len(random) - len(wanted))]
    passed = rest.rows[: places[-1]][is_reserved[: places[-1]]] if len(places) else np.empty(0, np.int64)
    chosen = join(
        [
            Selection.of(watched.take(np.isin(watched.rows, random)), "random", ranks),
            Selection.of(watched.take(np.isin(watched.rows, wanted)), "wanted", ranks),
            Selection.of(rest.take(places), "top", ranks),
        ]
    )
    return chosen, passed
