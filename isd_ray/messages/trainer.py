"""What the coordinator asks of trainers, and what they answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from isd_ray.messages.rows import Rows

Weights: TypeAlias = Mapping[str, NDArray[Any]]
"""A fitted member of any family: arrays by name, of any dtype that safetensors knows. No pickle, ever."""


@dataclass(frozen=True, slots=True)
class FitRequest:
    """Fit one committee member on the observation set.

    Attributes
    ----------
    family, member:
        Family of models, and the number of the member in it.
    feature_files:
        One Arrow file for each released batch, oldest first.
    labels:
        Of the observed rows in the order of the files: int64 class indices, float64 values, or packed bits.
    places:
        int64 (n_observed,): where the labelled rows stand among those of the files; other wells gave no readout.
    seed, split_seed:
        Seed of this member, and the seed that the members of a committee share.
    """

    round: int
    family: str
    member: int
    seed: int
    split_seed: int
    feature_files: tuple[str, ...]
    labels: NDArray[np.generic]
    places: Rows


@dataclass(frozen=True, slots=True)
class FitReport:
    """A fitted member: its weights as numpy arrays, and how the fit went.

    `validation_loss` is NaN and `epochs` 0 where a family has none. `leading` is the column that the fit leans on
    most: its block, its place there, and its share of all that columns contribute; None where a family cannot tell.
    """

    round: int
    family: str
    member: int
    weights: Weights
    validation_loss: float
    epochs: int
    n_train: int
    n_validation: int
    seconds: float
    leading: tuple[str, int, float] | None = None


@dataclass(frozen=True, slots=True)
class Committee:
    """The members of one round.

    Attributes
    ----------
    hash:
        Names their exact weights, their families and shares.
    members, families:
        Weights of each, and the family that can read them.
    shares:
        How much each family counts in the committee's answer, by name; they sum to 1.
    """

    hash: str
    members: tuple[Weights, ...]
    families: tuple[str, ...]
    shares: Mapping[str, float]
