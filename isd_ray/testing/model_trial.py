"""How a family of models is tried: made, fitted and asked as a campaign does it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from isd_ray.core.features import FeatureBlocks
from isd_ray.core.panels import are_values
from isd_ray.core.seeding import derive_seed
from isd_ray.models.base import Fitted, Model, Observed, Predictor, Problem
from isd_ray.models.blas import one_blas_thread
from isd_ray.models.device import Placement, configure_threads
from isd_ray.testing.campaigns import TRIED
from isd_ray.testing.model_checks import assert_arrays
from isd_ray.testing.problems import KINDS, USUAL, Rows, make_rows, problem_of

SEED, SPLIT_SEED = derive_seed(0, "member", 1), derive_seed(0, "split")
"""As campaigns give them: of 63 bits."""
CLEARLY_BETTER = 0.85
"""Share of the constant answer's loss that a model must stay under."""

every_kind = pytest.mark.parametrize("kind", KINDS)


class ModelTrial:
    """A family on trial: how it is made, fitted and asked. See `ModelConformance` for the attributes."""

    model: ClassVar[type[Model]]
    config: ClassVar[Mapping[str, Any]] = {}
    tolerance: ClassVar[float] = 0.0
    thread_tolerance: ClassVar[float] = 1e-6
    n_rows: ClassVar[int] = 400
    many_rows: ClassVar[int] = 20_000

    # --- what a family whose keys stand elsewhere overrides ----------------------------------------------------------

    def make_config(self) -> Any:
        """The configuration of the family."""
        return self.model.Config.model_validate(dict(self.config))

    def campaign_tables(self) -> dict[str, Any]:
        """[model] of a campaign in which the family is alone."""
        return {"families": [TRIED], TRIED: {**self.config, "members": 2}}

    # --- helpers ----------------------------------------------------------------------------------------------------

    @pytest.fixture(autouse=True)
    def _one_thread(self) -> Iterator[None]:
        configure_threads(1)
        with one_blas_thread:
            yield
        configure_threads(1)

    def blocks(self, blocks: Sequence[str] = USUAL) -> tuple[str, ...]:
        """Blocks that the family gets where a campaign uses the given ones."""
        return (*blocks, *self.model.needs)

    def problem(self, kind: str, blocks: Sequence[str] = USUAL) -> Problem:
        """The problem of a kind; skips where the family does not learn its task."""
        problem = problem_of(kind, self.blocks(blocks))
        if problem.task not in self.model.tasks:
            pytest.skip(f"{self.model.__name__} does not learn a {problem.task}")
        if problem.numbers and not getattr(self.model, "learns_numbers", False):
            pytest.skip(f"{self.model.__name__} does not learn panels with numbers")
        return problem

    def rows(self, kind: str, n: int = 0, seed: int = 1, blocks: Sequence[str] = USUAL) -> Rows:
        """Rows to fit on (seed 1), or others to predict."""
        return make_rows(kind, n or self.n_rows, seed, self.blocks(blocks))

    def fit(self, problem: Problem, data: Observed, seed: int = SEED, threads: int = 1) -> Fitted:
        """A member, fitted by a model of its own; its weights are arrays, or the test ends here and says so."""
        configure_threads(threads)
        model = self.model(self.make_config(), problem)
        fitted = model.fit(data, seed=seed, split_seed=SPLIT_SEED, placement=Placement(threads=threads))
        assert_arrays(fitted.weights)
        return fitted

    def open(self, problem: Problem, *members: Mapping[str, NDArray[Any]]) -> Predictor:
        """A predictor by a model that has not fitted them, as scorers do; the arrays are read-only."""
        configure_threads(1)
        for member in members:
            for array in member.values():
                array.setflags(write=False)
        return self.model(self.make_config(), problem).open(members, Placement())

    def answers(self, problem: Problem, fitted: Fitted, features: FeatureBlocks) -> NDArray[np.float32]:
        """What one member says."""
        return self.open(problem, fitted.weights).outputs(features)[0]

    def assert_equal(
        self, found: NDArray[Any], expected: NDArray[Any], labels: NDArray[Any], tolerance: float, what: str
    ) -> None:
        """Answers are as expected, within a tolerance in the unit of the labels."""
        unit: Any = float(labels.std()) or 1.0 if labels.ndim == 1 and labels.dtype.kind == "f" else 1.0
        if are_values(labels):
            unit = np.array([column.std() or 1.0 for column in np.nan_to_num(labels).T])
        if found.shape != expected.shape:
            raise AssertionError(f"{what}: shape {found.shape} in the place of {expected.shape}")
        difference = float((np.abs(found.astype(np.float64) - expected) / unit).max(initial=0.0))
        if not (np.array_equal(found, expected) if tolerance == 0.0 else difference <= tolerance):
            raise AssertionError(f"{what}: answers differ by up to {difference:.3g}; allowed are {tolerance:g}")
