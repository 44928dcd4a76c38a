"""What a family of models answers is looked at before anything follows from it."""

from __future__ import annotations

import numpy as np
import pytest

from isd_ray.core.features import Dense, FeatureBlocks
from isd_ray.core.predictions import predict
from isd_ray.errors import ConfigError
from isd_ray.messages import Committee
from isd_ray.models.base import MemberByMember
from isd_ray.models.device import Placement
from isd_ray.models.mixture import Mixture

N = 4
FEATURES = FeatureBlocks({"values": Dense(np.zeros((N, 2), np.float32))})


class Fixed:
    """A family whose members answer what they were given."""

    def open(self, members, placement):
        return MemberByMember([lambda block, given=member["given"]: given for member in members])


def mixture(task, n_outputs, *given, numbers=()) -> Mixture:
    members = tuple({"given": np.asarray(array)} for array in given)
    committee = Committee("hash", members, ("own",) * len(members), {"own": 1.0})
    return Mixture(committee, {"own": Fixed()}, Placement(), task, n_outputs, numbers)


def same(row) -> np.ndarray:
    return np.tile(np.array(row, np.float32), (N, 1))


@pytest.mark.parametrize(
    ("task", "n_outputs", "given"),
    [
        ("classification", 2, [same([0.25, 0.75]), same([1.0, 0.0])]),
        ("classification", 3, [same([0.2, 0.3, 0.5004])]),
        ("panel", 3, [same([0.9, 0.9, 0.0])]),
        ("regression", 1, [np.full(N, -1e6)]),
    ],
)
def test_answers_of_their_task_are_taken_as_they_are(task, n_outputs, given):
    found = mixture(task, n_outputs, *given)
    np.testing.assert_array_equal(found.outputs(FEATURES), np.stack(given).astype(np.float32))
    assert found.forecasts(FEATURES).shape[:2] == (1, N)


@pytest.mark.parametrize(
    ("task", "n_outputs", "given", "words"),
    [
        # scikit-learn's predict_proba has no column for a class that was not measured yet: the others would move
        ("classification", 3, same([0.5, 0.5]), r"answers of shape \(1, 4, 2\) in the place of \(1, 4, 3\)"),
        ("classification", 2, np.full(N, 0.5), r"answers of shape \(1, 4\) in the place of \(1, 4, 2\)"),
        ("classification", 2, same([np.nan, 0.5]), "4 answers of 8 that are no numbers"),
        ("classification", 2, same([-2.0, 3.0]), "probabilities from -2 to 3"),
        ("classification", 2, same([0.9, 0.8]), "probabilities of a compound that sum to 1.7 up to 1.7"),
        ("panel", 2, same([0.9, 1.8]), "probabilities from 0.9 to 1.8"),
        ("regression", 1, same([1.0]), r"answers of shape \(1, 4, 1\) in the place of \(1, 4\)"),
        ("regression", 1, np.full(N, np.inf), "4 answers of 4 that are no numbers"),
    ],
)
@pytest.mark.parametrize("asked", ["outputs", "forecasts"])
def test_other_answers_are_refused_by_the_name_of_their_family(task, n_outputs, given, words, asked):
    with pytest.raises(ConfigError, match=f"the family 'own' gives {words}"):
        getattr(mixture(task, n_outputs, given), asked)(FEATURES)


def test_of_a_panel_only_outputs_that_are_classes_have_probabilities():
    numbers = (False, True)
    found = mixture("panel", 2, same([0.5, -40.0]), numbers=numbers).outputs(FEATURES)
    np.testing.assert_array_equal(found[0], same([0.5, -40.0]))
    with pytest.raises(ConfigError, match=r"the family 'own' gives probabilities from 1\.5 to 1\.5"):
        mixture("panel", 2, same([1.5, 0.5]), numbers=numbers).outputs(FEATURES)
    with pytest.raises(ConfigError, match="4 answers of 8 that are no numbers"):
        mixture("panel", 2, same([0.5, np.nan]), numbers=numbers).outputs(FEATURES)


def raced(task, shares, *given, numbers=()) -> Mixture:
    """A family for each share, with the members that it was given."""
    named = [(f"family {place}", {"given": np.asarray(array)}) for place, own in enumerate(given) for array in own]
    committee = Committee(
        "hash",
        tuple(member for _, member in named),
        tuple(name for name, _ in named),
        {f"family {place}": share for place, share in enumerate(shares)},
    )
    models = dict.fromkeys(committee.shares, Fixed())
    return Mixture(committee, models, Placement(), task, given[0][0].shape[-1] if numbers else 1, numbers)


def said(found: Mixture, task, tolerances=()):
    return predict(found.outputs(FEATURES), task, found.weights, tolerances)


ONE, THREE, SEVEN = (np.full(N, value, np.float32) for value in (1.0, 3.0, 7.0))


@pytest.mark.parametrize("place", [0, 1])
def test_a_lone_member_with_all_weight_predicts_and_is_as_unsure_as_the_others_disagree(place):
    given, shares = [[ONE], [THREE, SEVEN]], [1.0, 0.0]
    order = [place, 1 - place]
    found = raced("regression", [shares[at] for at in order], *[given[at] for at in order])
    prediction, uncertainty = said(found, "regression")
    assert prediction.tolist() == [1.0] * N
    assert uncertainty == pytest.approx(np.sqrt((0.0 + 2.0**2 + 6.0**2) / 3))


def test_so_it_is_of_the_numbers_of_a_panel():
    lone, other = same([0.25, 1.0]), same([0.75, 3.0])
    found = raced("panel", [1.0, 0.0], [lone], [other], numbers=(False, True))
    prediction, uncertainty = said(found, "panel", (None, 1.0))
    np.testing.assert_array_equal(prediction, same([0.0, 1.0]))
    # (0² + 2²) / 2 squared tolerances, by Cantelli's bound; and of the class one minus its probability
    assert uncertainty == pytest.approx((2.0 / 3.0 + 0.25) / 2)


@pytest.mark.parametrize(
    ("task", "given", "n_members"),
    [
        ("regression", [[THREE, SEVEN], [ONE]], 2),
        ("classification", [[same([1.0])], [same([1.0])]], 1),
    ],
)
def test_families_that_count_nothing_are_not_asked_where_the_others_have_an_uncertainty(task, given, n_members):
    found = raced(task, [1.0, 0.0], *given)
    assert len(found.outputs(FEATURES)) == n_members
    assert found.weights is None
