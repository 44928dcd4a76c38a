"""The residual networks of the paper as a family of models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from isd_ray.config import FamilyConfig, ModelConfig, Task
from isd_ray.core.features import FeatureBlocks
from isd_ray.models.base import Fitted, Observed, Problem
from isd_ray.models.device import Placement
from isd_ray.models.fit import fit_member
from isd_ray.models.predict import CommitteePredictor
from isd_ray.models.resmlp import Architecture


class ResMLPFamily:
    """On-bits and dense blocks together, on a CPU or a GPU; the keys of [model] itself are its own."""

    Config: ClassVar[type[FamilyConfig]] = FamilyConfig
    tasks: ClassVar[frozenset[Task]] = frozenset({"classification", "regression", "panel"})
    learns_numbers: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: ModelConfig, problem: Problem) -> None:
        self._config = config
        self._problem = problem
        self._architecture = Architecture.for_problem(config, problem)

    def fit(self, data: Observed, *, seed: int, split_seed: int, placement: Placement) -> Fitted:
        """See `isd_ray.models.base.Model.fit`."""
        fitted = fit_member(
            data.features,
            data.labels,
            rows=data.rows,
            task=self._problem.task,
            architecture=self._architecture,
            model=self._config,
            validation=data.validation,
            seed=seed,
            split_seed=split_seed,
            external=data.external,
            placement=placement,
            output_embeddings=data.output_embeddings,
        )
        return Fitted(fitted.weights, fitted.n_train, fitted.validation_loss, fitted.epochs, fitted.n_validation)

    def open(self, members: Sequence[Mapping[str, NDArray[Any]]], placement: Placement) -> _Predictor:
        """See `isd_ray.models.base.Model.open`."""
        return _Predictor(CommitteePredictor(members, self._architecture, placement))


class _Predictor:
    def __init__(self, committee: CommitteePredictor) -> None:
        self._committee = committee

    def outputs(self, block: FeatureBlocks) -> NDArray[np.float32]:
        return self._committee.outputs(block)

    def samples(self, block: FeatureBlocks, n: int, seed: int) -> NDArray[np.float32]:
        return self._committee.dropout_outputs(block, n, seed)
