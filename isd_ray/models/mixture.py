"""A committee of several families as one predictor: what each of its members says, and how much each counts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from isd_ray.config import Task
from isd_ray.core.features import FeatureBlocks
from isd_ray.errors import ConfigError
from isd_ray.messages import Committee
from isd_ray.models.base import Model, Predictor
from isd_ray.models.blas import one_blas_thread
from isd_ray.models.device import Placement

TOLERANCE = 1e-3
"""By how much probabilities may leave 0 to 1, and those of a row differ from 1 in sum."""


class Mixture:
    """A committee ready to score.

    Families that count nothing are opened only when their forecasts are asked for, or where numbers are predicted and a
    single member has all the weight: then nothing but its disagreement with the others says how sure it is.

    Parameters
    ----------
    committee:
        The fitted members.
    models:
        The families, by name.
    placement:
        Device, precision and threads.
    task, n_outputs, numbers:
        Of the campaign, which say what an answer is (`Predictor.outputs`).

    Attributes
    ----------
    weights:
        float64 (M,), summing to 1: of the members that `outputs` returns; None where all count the same.
    """

    def __init__(
        self,
        committee: Committee,
        models: Mapping[str, Model],
        placement: Placement,
        task: Task,
        n_outputs: int,
        numbers: tuple[bool, ...] = (),
    ) -> None:
        self._committee, self._models, self._placement = committee, models, placement
        self._task, self._n_outputs, self._numbers = task, n_outputs, numbers
        self._predictors: dict[str, Predictor] = {}
        sizes = {name: committee.families.count(name) for name in dict.fromkeys(committee.families)}
        self._counting = [name for name in sizes if committee.shares[name] > 0.0]
        if sum(sizes[name] for name in self._counting) == 1 and (task == "regression" or any(numbers)):
            self._counting = list(sizes)
        weights = np.concatenate(
            [np.full(sizes[name], committee.shares[name] / sizes[name]) for name in self._counting]
        )
        self.weights: NDArray[np.float64] | None = None if np.ptp(weights) == 0.0 else weights

    @one_blas_thread
    def outputs(self, features: FeatureBlocks) -> NDArray[np.float32]:
        """What each member that `weights` names says of a block: float32 (M, n, K), or values (M, n).

        Raises
        ------
        ConfigError
            If a family answers otherwise.
        """
        found = [self._outputs(name, features) for name in self._counting]
        return found[0] if len(found) == 1 else np.concatenate(found)

    @one_blas_thread
    def samples(self, features: FeatureBlocks, n: int, seed: int) -> NDArray[np.float32]:
        """Stochastic answers of the families that have any; shapes as `outputs`, with n answers of each member.

        Raises
        ------
        ConfigError
            If none has.
        """
        found = [self._predictor(name).samples(features, n, seed) for name in dict.fromkeys(self._committee.families)]
        there = [samples for samples in found if samples is not None]
        if not there:
            raise ConfigError(
                f"none of the families {', '.join(dict.fromkeys(self._committee.families))} answers by chance",
                "acquisition.function",
                "add 'resmlp' to model.families, or use another acquisition function",
            )
        return there[0] if len(there) == 1 else np.concatenate(there)

    @one_blas_thread
    def forecasts(self, features: FeatureBlocks) -> NDArray[np.float32]:
        """What each family says of a block, the mean of its members: float32 (F, n, K), or values (F, n).

        Raises
        ------
        ConfigError
            As `outputs`.
        """
        names = dict.fromkeys(self._committee.families)
        return np.stack([self._outputs(name, features).mean(axis=0, dtype=np.float64) for name in names]).astype(
            np.float32
        )

    def _outputs(self, name: str, features: FeatureBlocks) -> NDArray[np.float32]:
        found = self._predictor(name).outputs(features)
        shape: tuple[int, ...] = (self._committee.families.count(name), len(features))
        if self._task != "regression":
            shape = (*shape, self._n_outputs)
        if fault := _fault(found, shape, self._task, self._numbers):
            raise ConfigError(
                f"the family {name!r} gives {fault}",
                "model.families",
                "leave it out, or mend it in its package: the tests of isd_ray.testing.models find this",
            )
        return found

    def _predictor(self, name: str) -> Predictor:
        if name not in self._predictors:
            members = [
                weights
                for weights, family in zip(self._committee.members, self._committee.families, strict=True)
                if family == name
            ]
            self._predictors[name] = self._models[name].open(members, self._placement)
        return self._predictors[name]


def _fault(found: NDArray[np.float32], shape: tuple[int, ...], task: Task, numbers: tuple[bool, ...]) -> str | None:
    """What is wrong with the answers of a family, if anything: from then on nobody could tell them from right ones."""
    if found.shape != shape:
        return f"answers of shape {found.shape} in the place of {shape}"
    if not np.isfinite(found).all():
        return f"{int((~np.isfinite(found)).sum()):,} answers of {found.size:,} that are no numbers"
    shares = found[..., ~np.array(numbers)] if numbers else found
    if task == "regression" or not shares.size:
        return None
    lowest, highest = float(shares.min()), float(shares.max())
    if lowest < -TOLERANCE or highest > 1.0 + TOLERANCE:
        return f"probabilities from {lowest:.3g} to {highest:.3g}"
    if task == "panel":
        return None
    sums = found.sum(axis=-1, dtype=np.float64)
    if float(np.abs(sums - 1.0).max()) > TOLERANCE:
        return f"probabilities of a compound that sum to {float(sums.min()):.3g} up to {float(sums.max()):.3g}"
    return None
