"""Fitting a committee member on the observation set: what a trainer does, with or without Ray."""

from __future__ import annotations

import time

from isd_ray.campaign.families import SeenBlocks, models_of
from isd_ray.campaign.versions import target_of
from isd_ray.core.features import FeatureBlocks, Stack, stack
from isd_ray.data.features_file import read_features
from isd_ray.data.library import Library
from isd_ray.messages import FitReport, FitRequest, WorkerSpec
from isd_ray.models.base import Observed
from isd_ray.models.blas import one_blas_thread
from isd_ray.models.device import Placement
from isd_ray.storage.copies import fetched


class MemberTrainer:
    """Fits members from the batches' own feature files; keeps what it has read, and reads only new rounds.

    Parameters
    ----------
    spec:
        The campaign's configuration and libraries.
    placement:
        Device, precision and threads.
    """

    def __init__(self, spec: WorkerSpec, placement: Placement) -> None:
        self._spec = spec
        self._placement = placement
        target = target_of(spec)
        seen = SeenBlocks(spec.config.model, spec.blocks, target)
        self._main = target.block_names[0]
        self._widths = {name: seen.shape(name).width for name in seen.names}
        self._models = models_of(spec, seen)
        self._files: tuple[str, ...] = ()
        self._observed: Stack[FeatureBlocks] | None = None
        self._external: Stack[FeatureBlocks] | None = None

    @one_blas_thread
    def fit(self, request: FitRequest) -> FitReport:
        """Fit one member from scratch on all observed rows."""
        started = time.perf_counter()
        external = None
        if self._spec.validation_labels is not None:
            external = (self._validation_features(), self._spec.validation_labels)
        data = Observed(
            features=self._observed_features(request.feature_files),
            rows=request.places,
            labels=request.labels,
            validation=self._spec.config.validation,
            external=external,
            output_embeddings=self._spec.output_embeddings,
        )
        model = self._models[request.family]
        fitted = model.fit(data, seed=request.seed, split_seed=request.split_seed, placement=self._placement)
        return FitReport(
            round=request.round,
            family=request.family,
            member=request.member,
            weights=fitted.weights,
            validation_loss=fitted.validation_loss,
            epochs=fitted.epochs,
            n_train=fitted.n_train,
            n_validation=fitted.n_validation,
            leading=fitted.leading,
            seconds=time.perf_counter() - started,
        )

    def _observed_features(self, files: tuple[str, ...]) -> Stack[FeatureBlocks]:
        known = len(self._files)
        if self._observed is None or files[:known] != self._files:
            self._observed, known = None, 0
        parts = [] if self._observed is None else list(self._observed.parts)
        for file in files[known:]:
            parts += read_features(fetched(file), self._widths, self._main)
        self._observed, self._files = stack(parts), files
        return self._observed

    def _validation_features(self) -> Stack[FeatureBlocks]:
        if self._external is None:
            library = Library.open(self._spec.libraries["validation"])
            seen = SeenBlocks(self._spec.config.model, self._spec.blocks, library)
            self._external = stack([seen.block(block) for block in range(library.n_blocks)])
        return self._external
