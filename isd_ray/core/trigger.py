"""Forecasts of a new model's errors on the inference set: they plan when an audit is worth its wells.

Planning only. Nothing here touches the validity of a stop, which the audit alone decides (`isd_ray.core.certify`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isd_ray.core.hits_left import RandomHits, hits_left, random_hits
from isd_ray.core.penalised import logistic_fit, poisson_level, sigmoid
from isd_ray.core.scored import ScoredBatch, UncertaintyHistogram

_Floats = NDArray[np.float64]

_FORGETTING = 4.0
"""A batch weighs (n_observed then / n_observed now) to this power; measured over the scenarios of the benchmark."""
_GROWTH_PRIOR = (np.array([0.0, 0.0, 0.0, 1.0]), np.array([30.0, 3.0, 10.0, 1.0]))
"""Means and standard deviations of the coefficients of `_rank_features`. All but the last only keep a fit finite when
all rows are right, or all wrong; the last says that errors fall about as fast as the training set grows."""
_HITS_PRIOR = (np.array([0.0, 0.0, 1.0]), np.array([30.0, 3.0, 1.0]))
"""Of the coefficients of `_rates_by_hits`; the last as that of `_GROWTH_PRIOR`."""
_HITS_DECAY = 0.6
"""Weight of a batch relative to the next, where hits are looked for."""
_LEVEL_ERRORS = 6.0
"""Errors of random rows that the fit's own level counts for."""
_TREND_BATCHES = 8
"""Batches from which the shape of the error rate over ranks is learnt."""
_TREND_DECAY = 0.7
"""Weight of a batch relative to the next."""
_SHAPE_PRIOR = (np.array([0.0, 0.0]), np.array([30.0, 30.0]))
_LEVEL_BATCHES = 12
"""Batches from whose random rows the level is learnt."""
_LEVEL_PRIOR = (np.array([0.0, -0.1]), np.array([1.0, 0.1]))
"""Log ratio of the random rows' errors to the shape, and its change in a round: means and standard deviations."""
_PLATT_FORGETTING = 2.0
"""As `_FORGETTING`, of the random rows that the map is shifted to: they are few, and their age counts apart."""
_PLATT_ERRORS = 0.5
"""Errors of random rows that the map's own level counts for."""
_PLATT_PRIOR = (np.array([0.0, 1.0]), np.array([30.0, 3.0]))
"""Of the intercept, and of the logit or logarithm of the uncertainty."""
_BULK_AGE = (1.5, 1.0)
"""Mean and standard deviation of the age's coefficient of random rows, beyond that of the fit of all rows: on recorded
screens of QM9 and B3DB, whose random rows were drawn anew many times, forecasts without it were 1.2 to 1.4 times too
high on average."""
_KNOWN = 1e-3
"""Standard deviation of a coefficient that is given."""
_QUADRATURE = 400
"""Points of a sum over ranks."""
_SURE = 1e-12
"""Least uncertainty of which a logit is taken."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Expected errors of the present model.

    Attributes
    ----------
    errors, next_batch:
        On the inference set, and among the next batch's rows.
    edges, beyond:
        float64 (q,), ascending: numbers of most uncertain rows, and the errors expected beyond them; None if unknown.
    """

    errors: float
    next_batch: float
    edges: _Floats | None = None
    beyond: _Floats | None = None


def forecast_trend(
    batches: Sequence[ScoredBatch],
    n_observed: int,
    n_inference: int,
    n_batch: int,
    n_random: int,
    n_first: int | None = None,
) -> Forecast | None:
    """Forecast from ranks alone, which keep their meaning when a refit changes the scale of confidences.

    The geometric mean of two forecasts that err in opposite directions. On a recorded screen of QM9 the first alone is
    within a factor of 1.2 for most of the way and the second up to 1.8 times too high; in the synthetic scenarios of
    the benchmark the second certifies 2 to 4 % of the library earlier. Their mean comes near the better one in both.

    Parameters
    ----------
    batches:
        What has been learnt so far, oldest first; the present model has seen the labels of all of them.
    n_observed, n_inference:
        Rows that the present model was fitted on, and that it predicts.
    n_batch, n_random:
        Size of the next batch, and of its random part.
    n_first:
        Size of the first batch, where batches grow; None where all are of one size.

    Returns
    -------
    Forecast or None
        None before one batch has been scored.
    """
    if not batches or n_inference == 0:
        return None
    edges, middle = _slices(n_inference)
    by_level = _rates_by_level(batches, middle)
    by_growth = _rates_by_growth(batches, middle, n_observed, _apart(n_batch, n_first))
    totals = [min(float(n_inference), float(in_bulk @ np.diff(edges))) for _, in_bulk in (by_level, by_growth)]
    return _spread(math.sqrt(math.prod(totals)), (by_level[0], by_growth[0]), edges, n_batch, n_random)


def forecast_hits(
    batches: Sequence[ScoredBatch],
    n_observed: int,
    n_inference: int,
    n_batch: int,
    n_random: int,
    n_first: int | None = None,
    *,
    first_draw: RandomHits | None = None,
) -> Forecast | None:
    """Forecast of the hits among rows that are predicted to be none; as `forecast_trend`.

    Ranks say how hits are spread. How many there are random rows say as well, and all that were ever drawn: a hit that
    nobody has found is still there, so that none of them ages (`isd_ray.core.hits_left`). The second shape is another
    than in `forecast_trend`, as hits are rare and are taken from the top: hardly one lies in the bulk of the order,
    where a regression that minds errors there finds tens of thousands, and each batch takes a good part of those that
    are left, so that what older ones held says little. On recorded screens of real assays
    (`tests/benchmarks/RESULTS.md`) it is nearer the truth than `forecast_trend`.

    Parameters
    ----------
    first_draw:
        The random rows that were measured before there was a model; None if they say nothing of these hits.
    """
    if not batches or n_inference == 0:
        return None
    edges, middle = _slices(n_inference)
    by_hits = _rates_by_hits(batches, middle, n_observed, _apart(n_batch, n_first))
    shapes = (sigmoid(_line(middle) @ _shape(batches)), by_hits)
    by_ranks = math.sqrt(math.prod(float(shape @ np.diff(edges)) for shape in shapes))
    samples = random_hits(batches) if first_draw is None else (first_draw, *random_hits(batches))
    return _spread(hits_left(by_ranks, n_inference, samples), shapes, edges, n_batch, n_random)


def _slices(n: int) -> tuple[_Floats, _Floats]:
    """Edges of slices of n ranks, narrow where they are low, and the relative ranks in their middle."""
    edges = np.exp(np.linspace(math.log(0.5), math.log(n), _QUADRATURE + 1))
    edges[0] = 0.0
    return edges, (edges[1:] + edges[:-1]) / 2.0 / n


def _spread(total: float, shapes: tuple[_Floats, _Floats], edges: _Floats, n_batch: int, n_random: int) -> Forecast:
    """So many errors, and where they are by the geometric mean of two error rates in slices of ranks."""
    n = float(edges[-1])
    n_top = min(n_batch, n) - min(n_random, n)
    top = math.sqrt(math.prod(float(shape @ np.diff(np.minimum(edges, n_top))) for shape in shapes))
    next_batch = min(total, top + total * min(1.0, n_random / n))
    return Forecast(total, next_batch, edges, _beyond(total, np.sqrt(shapes[0] * shapes[1]) * np.diff(edges)))


def _beyond(total: float, shape: _Floats) -> _Floats:
    """Errors beyond each edge, of `total` spread in proportion to `shape` from the most uncertain slice on."""
    after = np.concatenate([np.cumsum(shape[::-1])[::-1], [0.0]])
    return total * after / max(float(after[0]), _SURE)


def _rates_by_level(batches: Sequence[ScoredBatch], u: _Floats) -> tuple[_Floats, _Floats]:
    """Error rates at relative ranks u, and those brought to the level of the random rows.

    The level is a log-linear trend of the random rows' losses relative to the shape (`_shape`) over the age of the
    batches: random rows are few, but they alone are seen where most of the inference set lies, far behind the acquired
    top.
    """
    longer, shape = batches[-_LEVEL_BATCHES:], _shape(batches)
    ages = np.arange(len(longer), 0, -1, dtype=np.float64)
    expected = [sigmoid(_line(batch.relative_rank[batch.is_random]) @ shape).sum() for batch in longer]
    observed = [batch.loss[batch.is_random].sum() for batch in longer]
    rates = sigmoid(_line(u) @ shape)
    return rates, rates * poisson_level(ages, np.array(observed), np.array(expected), _LEVEL_PRIOR)


def _shape(batches: Sequence[ScoredBatch]) -> _Floats:
    """A logistic regression of the loss on log(rank / n) over recent batches: its coefficients."""
    recent = batches[-_TREND_BATCHES:]
    ages = np.arange(len(recent), 0, -1, dtype=np.float64)
    x = np.concatenate([_line(batch.relative_rank) for batch in recent])
    loss = np.concatenate([batch.loss for batch in recent])
    weights = np.repeat(_TREND_DECAY**ages, [len(batch.loss) for batch in recent])
    return logistic_fit(x, loss, weights, _SHAPE_PRIOR)


def _rates_by_growth(
    batches: Sequence[ScoredBatch], u: _Floats, n_observed: int, n_apart: int
) -> tuple[_Floats, _Floats]:
    """Error rates at relative ranks u, by one regression over all batches and their ages, and those of random rows.

    Age is the growth of the observation set since, log(n_observed now / then): errors fall with the size of the
    training set rather than with the number of rounds. Older batches weigh less. Most rows are of the acquired top, so
    far behind it the fit is a guess, and random rows say how far off it is (`_odds_of_bulk`).
    """
    ranks = np.concatenate([batch.relative_rank for batch in batches])
    age = _ages(batches, n_observed, n_apart)
    weights = np.exp(-_FORGETTING * age)
    design = _rank_features(ranks, age)
    coefficients = logistic_fit(design, np.concatenate([batch.loss for batch in batches]), weights, _GROWTH_PRIOR)
    present = _rank_features(u, np.zeros(len(u))) @ coefficients
    return sigmoid(present), sigmoid(
        present + _odds_of_bulk(batches, weights, design @ coefficients, age, _LEVEL_ERRORS)
    )


def _rates_by_hits(batches: Sequence[ScoredBatch], u: _Floats, n_observed: int, n_apart: int) -> _Floats:
    """Rates of hits at relative ranks u, by the logarithm of the rank and the age alone; weights fall by the round."""
    recent = batches[-_TREND_BATCHES:]
    ranks = np.concatenate([batch.relative_rank for batch in recent])
    loss = np.concatenate([batch.loss for batch in recent])
    rounds = np.repeat(np.arange(len(recent), 0, -1), [len(batch.loss) for batch in recent])
    design = np.column_stack([_line(ranks), _ages(recent, n_observed, n_apart)])
    coefficients = logistic_fit(design, loss, np.float64(_HITS_DECAY) ** rounds, _HITS_PRIOR)
    return sigmoid(_line(u) @ coefficients[:2])


def _odds_of_bulk(
    batches: Sequence[ScoredBatch], weights: _Floats, fitted: _Floats, age: _Floats, n_errors: float
) -> float:
    """How far the log odds of random rows' errors lie above what a fit says of them, `fitted`; drawn towards 0.

    Their age counts apart: most rows of a fit are of the acquired top, which stays hard whatever is learnt, while
    models get better in the bulk behind it. What is believed of it before a look has failed is of recorded screens
    (`_BULK_AGE`), the less the fewer batches there are; a failed look says that it is not so here. Losses of values and
    of panels vary less than errors, which are 0 or 1: where each row tells so much a fit of them is nearly right in the
    bulk as well, and as much less is believed.
    """
    is_random = np.concatenate([batch.is_random for batch in batches])
    loss = np.concatenate([batch.loss for batch in batches])
    rates = sigmoid(fitted)
    variance = float(weights @ (rates * (1.0 - rates)))
    dispersion = min(1.0, float(weights @ np.square(loss - rates)) / max(variance, _SURE))
    mean, deviation = (dispersion * belief for belief in _BULK_AGE)
    mean *= 0.0 if any(batch.is_audit for batch in batches) else 1.0 - 1.0 / len(batches)
    prior = (np.array([0.0, mean, 1.0]), np.array([n_errors**-0.5, max(deviation, _KNOWN), _KNOWN]))
    design = np.stack([np.ones_like(age), age, fitted], axis=1)
    return float(logistic_fit(design[is_random], loss[is_random], weights[is_random], prior)[0])


def _apart(n_batch: int, n_first: int | None) -> int:
    """Rows more on both sides of an age, a first batch: so the first rounds of a campaign are not ages apart."""
    return n_batch if n_first is None else min(n_batch, n_first)


def _ages(batches: Sequence[ScoredBatch], n_observed: int, n_apart: int) -> _Floats:
    """For each row the growth of the observation set since: log(n_observed now / then), with `_apart` on both sides.

    Rows of audits do not count: they are random ones, most of them easy, and teach little.
    """

    def chosen(n: int) -> int:
        audited = sum(int(batch.is_random.sum()) for batch in batches if batch.is_audit and batch.n_observed < n)
        return n - audited + n_apart

    growth = [math.log(chosen(n_observed) / chosen(batch.n_observed)) for batch in batches]
    return np.repeat(growth, [len(batch.loss) for batch in batches])


def forecast_blend(
    batches: Sequence[ScoredBatch],
    histogram: UncertaintyHistogram,
    n_observed: int,
    n_batch: int,
    n_random: int,
    n_first: int | None = None,
    *,
    is_share: bool = True,
) -> Forecast | None:
    """The geometric mean of `forecast_trend` and `forecast_platt`, whose arguments it takes.

    Ranks say too much where errors end well before the last rank (digits: 16 times too many at the look), confidences
    too little where a few batches happened to be right; together they are nearer the truth than either in most
    scenarios of the benchmark.
    """
    n_inference = int(histogram.counts.sum())
    by_rank = forecast_trend(batches, n_observed, n_inference, n_batch, n_random, n_first)
    by_confidence = forecast_platt(batches, histogram, n_observed, n_batch, n_random, n_first, is_share=is_share)
    if by_rank is None or by_confidence is None:
        return None
    errors = math.sqrt(by_rank.errors * by_confidence.errors)
    next_batch = math.sqrt(by_rank.next_batch * by_confidence.next_batch)
    if by_rank.beyond is None:
        return Forecast(errors, next_batch)
    beyond = by_rank.beyond * (errors / max(by_rank.errors, _SURE))
    return Forecast(errors, next_batch, by_rank.edges, beyond)


def forecast_platt(
    batches: Sequence[ScoredBatch],
    histogram: UncertaintyHistogram,
    n_observed: int,
    n_batch: int,
    n_random: int,
    n_first: int | None = None,
    *,
    is_share: bool = True,
) -> Forecast | None:
    """Forecast from confidences: their Platt map, shifted to the random rows' errors.

    What a batch taught ages, as later models err less: batches weigh the less the more was observed since, and the
    random rows' errors have an age (`_odds_of_bulk`).

    Parameters
    ----------
    batches, n_observed, n_batch, n_random, n_first:
        As in `forecast_trend`.
    histogram:
        Uncertainties of the inference set under the present model.
    is_share:
        Uncertainties are shares, in [0, 1], whose scale refits change little, and go in by their logit: it shows that a
        refit is a bad one, less sure of all rows. Not so across the audit of a failed look, whose many easy rows make
        trees a quarter surer of all others, nor for others, as the variances of predicted values, whose scale changes
        by orders of magnitude where a race drops members: there what a batch taught counts for the present uncertainty
        of its relative rank.

    Returns
    -------
    Forecast or None
        None before one batch has been scored, or if the histogram is empty.
    """
    n_inference = int(histogram.counts.sum())
    if not batches or n_inference == 0:
        return None
    n_apart = _apart(n_batch, n_first)
    filled = histogram.counts > 0
    centres, counts = histogram.centres[filled], histogram.counts[filled].astype(np.float64)
    n_by_rank = len(batches)
    if is_share:
        present = _logit(centres)
        n_by_rank = max((place + 1 for place, batch in enumerate(batches) if batch.is_audit), default=0)
    else:
        logs = _log(centres / centres[-1])  # of any unit
        present = logs - np.average(logs, weights=counts)
    by_rank = [_at_ranks(present, counts, batch) for batch in batches[:n_by_rank]]
    x = np.concatenate([*by_rank, *(_logit(batch.uncertainty) for batch in batches[n_by_rank:])])
    age = _ages(batches, n_observed, n_apart)
    weights = np.exp(-_FORGETTING * age)
    design = np.stack([np.ones_like(x), x], axis=1)
    coefficients = logistic_fit(design, np.concatenate([batch.loss for batch in batches]), weights, _PLATT_PRIOR)
    fitted = coefficients[0] + coefficients[1] * present
    odds = _odds_of_bulk(batches, np.exp(-_PLATT_FORGETTING * age), design @ coefficients, age, _PLATT_ERRORS)
    rates = sigmoid(fitted)
    total = min(float(n_inference), float(sigmoid(fitted + odds) @ counts))
    n_top = min(n_batch, n_inference) - min(n_random, n_inference)
    # The most uncertain rows are in the last bins.
    edges = np.concatenate([[0.0], np.cumsum(counts[::-1])])
    top = float(rates[::-1] @ np.diff(np.minimum(edges, n_top)))
    next_batch = min(total, top + total * min(1.0, n_random / n_inference))
    return Forecast(total, next_batch, edges, _beyond(total, (rates * counts)[::-1]))


def _at_ranks(present: _Floats, counts: _Floats, batch: ScoredBatch) -> _Floats:
    """What the bins that hold rows, in ascending order, have at the relative ranks of a batch."""
    above = np.cumsum(counts[::-1])
    bins = np.searchsorted(above, batch.relative_rank * above[-1])
    return present[::-1][np.minimum(bins, len(present) - 1)]


def _line(u: _Floats) -> _Floats:
    return np.stack([np.ones_like(u), np.log(u)], axis=1)


def _rank_features(u: _Floats, age: _Floats) -> _Floats:
    """Intercept; the steep top and the bulk of the order; age."""
    return np.stack([np.ones_like(u), np.log(u), u, age], axis=1)


def _logit(p: NDArray[np.floating[Any]]) -> _Floats:
    p = np.clip(np.asarray(p, np.float64), _SURE, 1.0 - 1e-7)
    return np.log(p) - np.log1p(-p)


def _log(x: _Floats) -> _Floats:
    return np.log(np.maximum(x, _SURE))
