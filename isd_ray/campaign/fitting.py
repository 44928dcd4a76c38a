"""Fitting a committee member on the observation set: what a trainer does, with or without Ray."""

from __future__ import annotations

from isd_ray.core.features import Stack, stack
from isd_ray.data.features_file import read_features
from isd_ray.data.library import Library
from isd_ray.data.mirror import fetched
from isd_ray.messages import FitReport, FitRequest, WorkerSpec
from isd_ray.models.device import Placement
from isd_ray.models.fit import fit_member
from isd_ray.models.resmlp import Architecture


class MemberTrainer:
    """Fits members from the batches' own feature files; keeps what it has read, and reads only new rounds.

    Parameters
    ----------
    spec:
        The campaign's configuration and libraries.
    placement:
        Device and precision of the network.
    """

    def __init__(self, spec: WorkerSpec, placement: Placement) -> None:
        self._spec = spec
        self._placement = placement
        target = Library.open(spec.libraries["target"])
        self._main, self._width = target.block_names[0], target.width
        self._architecture = Architecture.from_config(
            spec.config.model, target.spec, spec.n_outputs, is_panel=bool(spec.outputs)
        )
        self._files: tuple[str, ...] = ()
        self._observed: Stack | None = None
        self._external: Stack | None = None

    def fit(self, request: FitRequest) -> FitReport:
        """Fit one member from scratch on all observed rows."""
        config = self._spec.config
        external = None
        if self._spec.validation_labels is not None:
            external = (self._validation_features(), self._spec.validation_labels)
        fitted = fit_member(
            self._observed_features(request.feature_files),
            request.labels,
            rows=request.places,
            task=config.task,
            architecture=self._architecture,
            model=config.model,
            validation=config.validation,
            seed=request.seed,
            split_seed=request.split_seed,
            external=external,
            placement=self._placement,
            output_embeddings=self._spec.output_embeddings,
        )
        return FitReport(
            round=request.round,
            member=request.member,
            weights=fitted.weights,
            validation_loss=fitted.validation_loss,
            epochs=fitted.epochs,
            n_train=fitted.n_train,
            n_validation=fitted.n_validation,
            seconds=fitted.seconds,
        )

    def _observed_features(self, files: tuple[str, ...]) -> Stack:
        known = len(self._files)
        if self._observed is None or files[:known] != self._files:
            self._observed, known = None, 0
        parts = [] if self._observed is None else list(self._observed.parts)
        for file in files[known:]:
            read = read_features(fetched(file), {self._main: self._width}, self._main)
            parts += [blocks[self._main] for blocks in read]
        self._observed, self._files = stack(parts), files
        return self._observed

    def _validation_features(self) -> Stack:
        if self._external is None:
            library = Library.open(self._spec.libraries["validation"])
            self._external = stack([library.block(block) for block in range(library.n_blocks)])
        return self._external
