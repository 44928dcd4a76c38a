"""Our own acquisition functions pass the tests that we ship for those of others, and wrong ones do not."""

from __future__ import annotations

import numpy as np
import pytest

from isd_ray.core.acquisition import BUILT_IN, AcquisitionFunction, least_confidence
from isd_ray.testing.acquisition import AcquisitionConformance

for _name, _function in BUILT_IN.items():
    globals()[f"Test_{_name}"] = type(f"Test_{_name}", (AcquisitionConformance,), {"function": _function})

RANDOM = np.random.default_rng(0)


def double(candidates):
    return tuple(scores.astype(np.float64) for scores in least_confidence(candidates))


def infinite(candidates):
    first, second = least_confidence(candidates)
    return np.log(first), second


def drawn(candidates):
    return RANDOM.random(len(candidates.rows), np.float32), least_confidence(candidates)[1]


def ranked(candidates):
    first, second = least_confidence(candidates)
    return first.argsort().argsort().astype(np.float32), second


def of_the_first_member(candidates):
    return candidates.outputs[0].max(axis=-1), least_confidence(candidates)[1]


def writing(candidates):
    candidates.outputs[...] = 0.5
    return least_confidence(candidates)


def single(candidates):
    return least_confidence(candidates)[0]


BROKEN = {
    "test_scores_are_two_finite_numbers_of_each_row": (double, single),
    "test_scores_are_the_same_each_time": (drawn, writing),
    "test_a_row_is_scored_whatever_is_around_it": (ranked,),
    "test_members_have_no_order": (of_the_first_member,),
}
CASES = [(test, score) for test, scores in BROKEN.items() for score in scores]


def run(test: str, score, **changes) -> None:
    suite = AcquisitionConformance()
    suite.function = AcquisitionFunction("broken", score, ("classification",), **changes)
    getattr(suite, test)()


@pytest.mark.parametrize(("test", "score"), CASES, ids=[f"{score.__name__}" for _, score in CASES])
def test_what_is_wrong_is_found(test, score):
    run(test, least_confidence)
    with pytest.raises((AssertionError, ValueError)):
        run(test, score)


@pytest.mark.filterwarnings("ignore:divide by zero")
def test_scores_that_are_not_finite_are_found():
    with pytest.raises(AssertionError, match="not finite"):
        run("test_scores_are_two_finite_numbers_of_each_row", infinite)


@pytest.mark.parametrize("changes", [{"tasks": ()}, {"tasks": ("ranking",)}, {"needs": "luck"}, {"min_members": 0}])
def test_a_function_of_nothing_is_found(changes):
    suite = AcquisitionConformance()
    suite.function = AcquisitionFunction(**{"name": "x", "score": least_confidence, "tasks": ("panel",), **changes})
    with pytest.raises(AssertionError):
        suite.test_it_says_what_it_is()
