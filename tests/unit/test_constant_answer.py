"""One answer for every compound: what it would reach is said beside the claim, and warned of where that is as much."""

from __future__ import annotations

import numpy as np
import pytest

from isd_ray.campaign.store import CampaignStore
from isd_ray.core.constant import constant_answer
from isd_ray.core.goals import Goal
from isd_ray.ops.simulate import simulate
from isd_ray.report.certificate import Certificate

RARE = (np.arange(1000) < 35).astype(float)


def test_of_all_labels_the_constant_answer_is_known_exactly():
    found = constant_answer(Goal("accuracy", 0.95), RARE, 2, 1000, 0.05)
    assert (found.answer, found.low, found.high) == (0, 0.965, 0.965)
    assert found.reaches(Goal("accuracy", 0.95))
    assert found.reaches(Goal("accuracy", 0.965))
    assert not found.reaches(Goal("accuracy", 0.97))


@pytest.mark.parametrize(
    ("goal", "expected"),
    [
        (Goal("precision", 0.9), (1, 0.035, 0.035)),
        (Goal("balanced_accuracy", 0.9), (None, 0.5, 0.5)),
        (Goal("recall", 0.9), None),
        (Goal("accuracy", 0.9, is_regression=True), None),
    ],
)
def test_each_claim_has_its_own(goal, expected):
    found = constant_answer(goal, RARE, 2, 1000, 0.05)
    assert expected == (None if found is None else (found.answer, found.low, found.high))


def test_of_a_sample_it_lies_within_the_interval_as_often_as_promised():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 300).astype(float)
    labels[:150] = 1.0
    truth = (labels == 1.0).mean()
    missed = 0
    for _ in range(1000):
        found = constant_answer(Goal("accuracy", 0.9), rng.choice(labels, 40, replace=False), 3, 300, 0.1)
        missed += not found.low <= truth <= found.high
    assert missed < 100 + 3 * np.sqrt(90)


def test_a_worthless_claim_is_warned_of_and_shown_beside_the_constant_answer(make_config, tmp_path):
    stopping = {"rule": "certify", "gamma": 0.6}
    result = simulate(make_config(stopping=stopping), tmp_path / "run")
    [words] = [words for words in result.summary["warnings"] if "for every compound" in words]
    assert "'BBB+' for every compound, without any model, has accuracy" in words
    assert "a claim of 0.6 may be worth nothing" in words
    certificate = Certificate.of(CampaignStore.open(result.path))
    assert "For comparison: 'BBB+' for every compound" in str(certificate)


def test_a_claim_above_it_is_not_warned_of(make_config, tmp_path):
    result = simulate(make_config(stopping={"rule": "certify", "gamma": 0.9}), tmp_path / "run")
    assert not [words for words in result.summary["warnings"] if "for every compound" in words]
