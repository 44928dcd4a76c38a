"""What every acquisition function must do, as tests to inherit: see `AcquisitionConformance`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, get_args

import numpy as np
from numpy.typing import NDArray

from isd_ray.config import Task
from isd_ray.core.acquisition import AcquisitionFunction, Candidates, Scores, mean_over_outputs

N_ROWS, N_CLASSES, N_OUTPUTS, N_MEMBERS = 200, 3, 9, 4


class AcquisitionConformance:
    """Tests of one acquisition function, for pytest.

    A package inherits from it in a test file of its own, and needs no more::

        from isd_ray.testing.acquisition import AcquisitionConformance
        from my_package import my_function


        class TestMyFunction(AcquisitionConformance):
            function = my_function

    Attributes
    ----------
    function:
        The function.
    tolerance:
        By how much scores may differ where the members stand in another order.
    """

    function: ClassVar[AcquisitionFunction]
    tolerance: ClassVar[float] = 1e-5

    def score(self, task: Task, candidates: Candidates) -> Scores:
        """Scores as a campaign of the task asks for them."""
        if task == "panel" and "panel" not in self.function.tasks:
            return mean_over_outputs(self.function.score)(candidates)
        return self.function.score(candidates)

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Tasks that the function is for; one of classes scores panels too."""
        tasks = self.function.tasks
        return tuple(dict.fromkeys((*tasks, "panel"))) if "classification" in tasks else tasks

    def candidates(self, task: Task, n: int = N_ROWS) -> Candidates:
        """N rows, the same for the same task; among them some that every member is sure of."""
        rng = np.random.default_rng(0)
        if task == "regression":
            outputs = rng.normal(50.0, 10.0, (N_MEMBERS, N_ROWS))
            outputs[:, :5] = 50.0
        elif task == "panel":
            outputs = rng.random((N_MEMBERS, N_ROWS, N_OUTPUTS))
            outputs[:, :5], outputs[:, 5:9] = 0.0, 1.0
        else:
            outputs = rng.dirichlet(np.ones(N_CLASSES), (N_MEMBERS, N_ROWS))
            outputs[:, :5] = np.eye(N_CLASSES)[0]
        if self.function.needs == "nothing":
            outputs = np.empty((0, N_ROWS))
        hit = 1 if task == "classification" else None
        rows = np.sort(rng.permutation(10 * N_ROWS)[:N_ROWS]).astype(np.int64)
        found = Candidates(rows, outputs.astype(np.float32), rng.normal(size=N_ROWS), hit=hit)
        return found if n == N_ROWS else take(found, np.arange(n))

    def test_it_says_what_it_is(self) -> None:
        """An `AcquisitionFunction` with tasks that there are."""
        function = self.function
        assert isinstance(function, AcquisitionFunction), f"it is a {type(function).__name__}"
        known = set(get_args(Task))
        assert function.tasks, "`tasks` is empty"
        assert set(function.tasks) <= known, f"tasks={function.tasks} are not of {known}"
        needs = ("members", "dropout", "nothing")
        assert function.needs in needs, f"needs={function.needs!r} is none of {needs}"
        assert function.min_members >= 1, f"min_members={function.min_members}"

    def test_scores_are_two_finite_numbers_of_each_row(self) -> None:
        """float32, also for one row and where all members are sure."""
        for task in self.tasks:
            for n in (1, 2, N_ROWS):
                for scores in _pair(self.score(task, self.candidates(task, n))):
                    assert isinstance(scores, np.ndarray), f"scores are a {type(scores).__name__}, no numpy array"
                    assert scores.dtype == np.float32, f"scores are {scores.dtype}, no float32"
                    assert scores.shape == (n,), f"scores have shape {scores.shape} in the place of {(n,)}"
                    assert np.isfinite(scores).all(), (
                        f"{int((~np.isfinite(scores)).sum())} of {n} scores are not finite"
                    )

    def test_scores_are_the_same_each_time(self) -> None:
        """What is random comes from the campaign, not from the function; what it is given it leaves as it is."""
        for task in self.tasks:
            candidates = self.candidates(task)
            before = [np.array(array) for array in _arrays(candidates)]
            for array in _arrays(candidates):
                array.setflags(write=False)
            first, again = _pair(self.score(task, candidates)), _pair(self.score(task, candidates))
            assert all(map(np.array_equal, first, again)), "the same rows have other scores the second time"
            after = _arrays(candidates)
            assert all(map(np.array_equal, after, before)), "the function wrote into the arrays that it was given"

    def test_a_row_is_scored_whatever_is_around_it(self) -> None:
        """The same bits in other blocks and in another order: a screen does not depend on how its library is cut."""
        for task in self.tasks:
            for weights in (None, np.array([0.1, 0.2, 0.3, 0.4])):
                candidates = self.candidates(task)
                if len(candidates.outputs):
                    candidates = replace(candidates, weights=weights)
                whole = _pair(self.score(task, candidates))
                for piece in (np.arange(1), np.arange(3, 50), np.random.default_rng(1).permutation(N_ROWS)):
                    part = _pair(self.score(task, take(candidates, piece)))
                    same = all(
                        np.array_equal(found, expected[piece]) for found, expected in zip(part, whole, strict=True)
                    )
                    assert same, f"{len(piece)} of {N_ROWS} rows have other scores by themselves"

    def test_members_have_no_order(self) -> None:
        """Nor does it matter whether equal weights are said or not."""
        for task in self.tasks:
            candidates = self.candidates(task)
            expected = _pair(self.score(task, candidates))
            if not len(candidates.outputs):
                continue
            turned = replace(candidates, outputs=np.ascontiguousarray(candidates.outputs[::-1]))
            even = replace(candidates, weights=np.full(N_MEMBERS, 1.0 / N_MEMBERS))
            for what, other in (("members in another order", turned), ("equal weights that are said", even)):
                for found, scores in zip(_pair(self.score(task, other)), expected, strict=True):
                    off = float(np.abs(found.astype(np.float64) - scores).max() / max(1.0, float(np.abs(scores).max())))
                    assert off <= self.tolerance, f"{what} change scores by up to {off:.3g}"


def take(candidates: Candidates, rows: NDArray[np.integer]) -> Candidates:
    """The given rows, in the given order."""
    return replace(
        candidates,
        rows=candidates.rows[rows],
        outputs=candidates.outputs[:, rows],
        column=candidates.column[rows],
    )


def _arrays(candidates: Candidates) -> list[Any]:
    return [candidates.rows, candidates.outputs, candidates.column]


def _pair(scores: Any) -> Scores:
    assert isinstance(scores, tuple), "scores are no pair: a score, and one that orders equals"
    first, second = scores
    return first, second
