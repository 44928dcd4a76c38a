"""How many hits are left, by what random rows held and how many hits were found since: hits do not become fewer.

Errors of a model end when it learns; a hit is left until it is measured, whatever a model says of it. So every random
row of a screen is a sample of the hits that are left now and those found since it was drawn, and none of them ages.
That is of hits that no model is sure of: where many rows are predicted to be hits, a hit among the others is an error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from isd_ray.core.scored import ScoredBatch

_PRIOR_DEVIATION = 0.6
"""Of the logarithm of a forecast by ranks: those of recorded screens are off by 0.5 to 0.6 before any level."""
_FEW_PREDICTED = 0.1
"""Rows that are predicted to be hits where hits are rare, in measured hits."""
_GRID = 2000
"""Points of a posterior over the logarithm of the hits left."""
_FEWEST = 0.5
"""Least number of hits left that is thought of."""
_NEARLY = 1e-9
"""How near to 0 and 1 a share comes."""


@dataclass(frozen=True, slots=True)
class RandomHits:
    """Rows that were drawn uniformly from a set of which some have been measured since.

    Attributes
    ----------
    n_rows, n_hits:
        Rows of the sample, and hits among them (a sum of losses of panels' rows).
    n_since, hits_since:
        Rows of the set measured since the draw, the sample included, and hits among them.
    """

    n_rows: int
    n_hits: float
    n_since: int
    hits_since: float


def are_rare(n_predicted: int, n_found: int) -> bool:
    """Whether hits leave the predicted negatives by being measured and hardly by being predicted.

    So few rows that are left are predicted to be hits, among so many found ones.
    """
    return n_predicted <= _FEW_PREDICTED * n_found


def random_hits(batches: Sequence[ScoredBatch]) -> tuple[RandomHits, ...]:
    """The random rows of batches of predicted negatives, whose losses are their hits; oldest first, as they are.

    Rows that people chose are in no batch: hits that they found since a draw are looked for among those that are left.
    """
    found: list[RandomHits] = []
    n_since, hits_since = 0, 0.0
    for batch in reversed(batches):
        n_since += len(batch.loss)
        hits_since += float(batch.loss.sum())
        drawn = batch.loss[batch.is_random]
        found.append(RandomHits(len(drawn), float(drawn.sum()), n_since, hits_since))
    return tuple(reversed(found))


def hits_left(by_ranks: float, n_left: int, samples: Sequence[RandomHits]) -> float:
    """Hits among the rows left: what ranks say of it, held against the random rows.

    The posterior geometric mean of a log-normal prior about `by_ranks` and binomial likelihoods of the samples: with h
    hits left among n rows, a random row that was drawn when n_since rows and hits_since hits more were there was a hit
    with probability (h + hits_since) / (n + n_since). For planning: the samples are without replacement, and a choice
    of rows that a model makes after a draw is taken not to depend on it.
    """
    logs = np.linspace(math.log(_FEWEST), math.log(max(n_left, 1.0)), _GRID)
    h = np.exp(logs)
    posterior = -0.5 * np.square((logs - math.log(max(by_ranks, _FEWEST))) / _PRIOR_DEVIATION)
    for sample in samples:
        share = np.clip((h + sample.hits_since) / (n_left + sample.n_since), _NEARLY, 1.0 - _NEARLY)
        posterior += sample.n_hits * np.log(share) + (sample.n_rows - sample.n_hits) * np.log1p(-share)
    weights = np.exp(posterior - posterior.max())
    return float(math.exp(weights @ logs / weights.sum()))
