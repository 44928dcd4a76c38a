"""What a model said of rows before their readouts came, and of a whole inference set: what forecasts learn from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]
N_BINS = 1 << 15
"""Bins of `uncertainty_bins`."""


@dataclass(frozen=True, slots=True)
class ScoredBatch:
    """Readouts of one batch beside what the model had said before it saw them.

    Of every acquisition batch that a committee scored, and of the audit of every failed look (all its rows are random).

    Attributes
    ----------
    n_inference:
        Size of the inference set that was scored, the batch included; of one of its groups if the batch is.
    n_observed:
        Rows that the model was fitted on.
    uncertainty:
        float32 (k,): the model's uncertainty, in any unit; for `forecast_platt` of shares in [0, 1].
    rank:
        float64 or int64 (k,): how many rows of the inference set were more uncertain (0 is the most uncertain row).
        Ranks read off a histogram are good enough (`ranks_from_histogram`).
    loss:
        float64 (k,): 1 where the prediction was wrong, else 0; a panel row's loss may lie between.
    is_random:
        bool (k,): drawn uniformly from the whole inference set.
    outcomes:
        Of a panel with a claim about each output, (k, K) as `isd_ray.core.goals.by_output.Column`; else None.
    is_audit:
        The audit of a failed look.
    """

    n_inference: int
    n_observed: int
    uncertainty: NDArray[np.float32]
    rank: NDArray[np.generic]
    loss: _Floats
    is_random: NDArray[np.bool_]
    outcomes: NDArray[np.int8] | NDArray[np.float64] | None = None
    is_audit: bool = False

    @property
    def relative_rank(self) -> NDArray[np.float64]:
        """float64 (k,): the rank as a share of the inference set, in (0, 1)."""
        return (np.asarray(self.rank, np.float64) + 0.5) / self.n_inference


@dataclass(frozen=True, slots=True)
class UncertaintyHistogram:
    """Uncertainties of a whole inference set, counted in bins; counts of shards add up.

    Attributes
    ----------
    centres:
        float64 (n_bins,), ascending: the uncertainty that stands for a bin.
    counts:
        int64 (n_bins,).
    """

    centres: _Floats
    counts: NDArray[np.int64]


def uncertainty_bins(uncertainty: NDArray[np.float32]) -> NDArray[np.int64]:
    """Bin of each uncertainty, in 0 … `N_BINS` - 1: the leading 16 bits of its float32.

    For non-negative numbers the bits ascend with the value, so bins are 0.4 to 0.8 % wide at every scale, and shards
    need not agree on a range. Negative zero counts as zero.
    """
    return (np.abs(uncertainty).astype(np.float32).view(np.uint32) >> np.uint32(16)).astype(np.int64)


def bin_centres() -> _Floats:
    """The uncertainty in the middle of each bin of `uncertainty_bins`, float64 (N_BINS,); infinite where none is."""
    bits = (np.arange(N_BINS, dtype=np.uint32) << np.uint32(16)) + np.uint32(1 << 15)
    values = bits.view(np.float32)
    return np.where(np.isnan(values), np.float32(np.inf), values).astype(np.float64)


def ranks_from_histogram(counts: NDArray[np.int64], uncertainty: NDArray[np.float32]) -> _Floats:
    """About how many rows are more uncertain, for each uncertainty: rows of higher bins and half of its own."""
    above = np.cumsum(counts[::-1])[::-1]
    bins = uncertainty_bins(uncertainty)
    return above[bins] - 0.5 * counts[bins] - 0.5
