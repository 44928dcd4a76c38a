"""Putting a batch together from random rows and the best-scored ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isd_ray.core.topk import concatenate_rows
from isd_ray.core.trigger import ranks_from_histogram
from isd_ray.messages import ROLES, Role, ScoredRows, ScoreReport


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
        float64 (n,): about how many rows of the inference set were more uncertain; NaN where no model had scored them.
    """

    scored: ScoredRows
    roles: NDArray[np.int8]
    ranks: NDArray[np.float64]

    @classmethod
    def of(cls, scored: ScoredRows, role: Role, histogram: NDArray[np.int64] | None = None) -> Selection:
        """Rows that share one role; ranks by the histogram of the inference set's uncertainties."""
        n = len(scored.rows)
        ranks = np.full(n, np.nan) if histogram is None else ranks_from_histogram(histogram, scored.uncertainty)
        return cls(scored, np.full(n, ROLES.index(role), np.int8), ranks)


def random_count(batch_size: int, random_share: float) -> int:
    """How many rows of a batch are drawn uniformly: the share rounded half up."""
    return math.floor(random_share * batch_size + 0.5)


def unscored(rows: NDArray[np.int64]) -> ScoredRows:
    """Rows chosen before any model existed: scores 0, predictions NaN."""
    zeros = np.zeros(len(rows), np.float32)
    return ScoredRows(rows, zeros, zeros, np.full(len(rows), np.nan), np.full(len(rows), np.nan, np.float32))


def choose(report: ScoreReport, n_batch: int) -> Selection:
    """The random rows, which were drawn first from the whole inference set, then the best of the rest.

    `report.top` holds the n_batch best rows, so that enough are left when some of them are among the random ones.
    """
    rest = report.top.take(~np.isin(report.top.rows, report.watched.rows))
    top = rest.take(np.arange(n_batch - len(report.watched.rows)))
    random = Selection.of(report.watched, "random", report.histogram)
    best = Selection.of(top, "top", report.histogram)
    return Selection(
        concatenate_rows([random.scored, best.scored]),
        np.concatenate([random.roles, best.roles]),
        np.concatenate([random.ranks, best.ranks]),
    )
