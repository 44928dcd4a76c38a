"""Calibration watch: whether confident predictions are right more often than unconfident ones.

A reading for people. No stop rests on it: `certify` is valid whatever the calibration; `paper` is not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isd_ray.core.scored import ScoredBatch

CONFIDENT_SHARES = (0.1, 0.25, 0.5)
"""The alarm looks at the most confident tenth, quarter and half of the inference set."""


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Predictions of similar confidence: how sure the model was, and how often it was wrong.

    Attributes
    ----------
    low, high:
        Limits of the uncertainty.
    n, n_random:
        Rows measured, and those of them that were drawn uniformly.
    uncertainty:
        Mean stated uncertainty: for a calibrated classifier the expected error rate.
    errors, random_errors:
        Wrong predictions (sums of losses) among them.
    """

    low: float
    high: float
    n: int
    n_random: int
    uncertainty: float
    errors: float
    random_errors: float


@dataclass(frozen=True, slots=True)
class CalibrationAlarm:
    """Outcome of `calibration_alarm`.

    Attributes
    ----------
    raised:
        The order by confidence is refuted at the level asked for.
    share:
        The most confident share of the inference set that speaks against it most.
    n_confident_errors, n_errors:
        Random rows predicted wrong: within that share, and anywhere.
    pvalue:
        Corrected for the shares tried.
    """

    raised: bool
    share: float
    n_confident_errors: int
    n_errors: int
    pvalue: float


def reliability(batches: Sequence[ScoredBatch], n_bins: int = 10) -> tuple[ReliabilityBin, ...]:
    """Reliability of the rows measured so far, in bins of equal numbers of rows by stated uncertainty.

    Acquired rows are the hardest of their round, so their error rate is above that of all rows of the same uncertainty
    unless the model is calibrated; the random rows are a fair sample of it.
    """
    if not batches:
        return ()
    uncertainty = np.concatenate([batch.uncertainty for batch in batches]).astype(np.float64)
    loss = np.concatenate([batch.loss for batch in batches])
    is_random = np.concatenate([batch.is_random for batch in batches])
    edges = np.unique(np.quantile(uncertainty, np.linspace(0.0, 1.0, n_bins + 1)))
    places = np.clip(np.searchsorted(edges, uncertainty, side="right") - 1, 0, max(0, len(edges) - 2))
    bins = []
    for place in range(max(1, len(edges) - 1)):
        inside = places == place
        bins.append(
            ReliabilityBin(
                low=float(edges[place]),
                high=float(edges[min(place + 1, len(edges) - 1)]),
                n=int(inside.sum()),
                n_random=int((inside & is_random).sum()),
                uncertainty=float(uncertainty[inside].mean()) if inside.any() else 0.0,
                errors=float(loss[inside].sum()),
                random_errors=float(loss[inside & is_random].sum()),
            )
        )
    return tuple(bins)


def calibration_alarm(batches: Sequence[ScoredBatch], level: float) -> CalibrationAlarm:
    """Test whether confident rows are wrong more often than unconfident ones, on the uniformly drawn rows.

    If the error rate does not rise with confidence, the most confident share s of a round's rows holds at most the
    share s of its errors, in every round whatever its error rate; the number of random rows that are wrong and in that
    share is then at most Binomial(errors, s) (drawing without replacement makes it less spread, Hoeffding 1963).
    Bonferroni over `CONFIDENT_SHARES`. `level` is that of one call: give level / (t (t + 1)) in round t = 1, 2, … for a
    level over all rounds together.
    """
    u = [((np.asarray(batch.rank) + 0.5) / batch.n_inference)[_wrong(batch)] for batch in batches]
    wrong: NDArray[np.float64] = np.concatenate(u) if u else np.empty(0)
    best = CalibrationAlarm(False, CONFIDENT_SHARES[0], 0, len(wrong), 1.0)
    for share in CONFIDENT_SHARES:
        inside = int((wrong > 1.0 - share).sum())
        pvalue = min(1.0, len(CONFIDENT_SHARES) * _binomial_upper_tail(inside, len(wrong), share))
        if pvalue < best.pvalue:
            best = CalibrationAlarm(pvalue <= level, share, inside, len(wrong), pvalue)
    return best


def _wrong(batch: ScoredBatch) -> NDArray[np.bool_]:
    return batch.is_random & (batch.loss >= 0.5)


def _binomial_upper_tail(successes: int, n: int, p: float) -> float:
    """P(X >= successes) of Binomial(n, p)."""
    logs = [
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * math.log(p) + (n - k) * math.log1p(-p)
        for k in range(successes, n + 1)
    ]
    return min(1.0, math.fsum(math.exp(value) for value in logs))
