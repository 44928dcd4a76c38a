"""What a family of models answers is looked at before anything follows from it."""

from __future__ import annotations

import numpy as np
import pytest

from isd_ray.core.features import Dense, FeatureBlocks
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
