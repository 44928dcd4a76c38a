"""Acquisition functions score what they say, against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from isd_ray import plugins
from isd_ray.config_file import parse_config
from isd_ray.core import acquisition
from isd_ray.core.acquisition import (
    AcquisitionFunction,
    Candidates,
    acquisition_for,
    find_acquisition,
    hits_or_doubts,
    scored_by,
)
from isd_ray.errors import ConfigError


def candidates(outputs, column=None) -> Candidates:
    outputs = np.asarray(outputs, np.float32)
    n = outputs.shape[1]
    return Candidates(np.arange(n), outputs, np.asarray(column if column is not None else np.arange(n), np.float64))


TWO_MEMBERS = [[[0.9, 0.1], [0.4, 0.6]], [[0.7, 0.3], [0.8, 0.2]]]
"""Mean probabilities (0.8, 0.2) and (0.6, 0.4)."""


def test_least_confidence_is_one_minus_the_mean_probability_of_the_predicted_class():
    score, second = acquisition.least_confidence(candidates(TWO_MEMBERS))
    np.testing.assert_allclose(score, [0.2, 0.4], rtol=1e-6)
    assert not second.any()


def test_least_confidence_tells_apart_rows_that_one_minus_the_maximum_would_round_together():
    score, _ = acquisition.least_confidence(candidates([[[1.0, 3e-9], [1.0, 1e-9], [1.0, 2e-9]]]))
    assert score.argsort().tolist() == [1, 2, 0]


def test_margin_and_entropy_rank_by_the_mean_probabilities():
    outputs = [[[0.5, 0.3, 0.2], [0.4, 0.4, 0.2], [0.8, 0.1, 0.1]]]
    score, _ = acquisition.margin(candidates(outputs))
    np.testing.assert_allclose(score, [-0.2, 0.0, -0.7], atol=1e-6)
    score, _ = acquisition.entropy(candidates(outputs))
    expected = [-sum(p * math.log(p) for p in row) for row in outputs[0]]
    np.testing.assert_allclose(score, expected, rtol=1e-6)


def test_vote_entropy_counts_votes_and_orders_equals_by_mean_uncertainty():
    votes_for_0, votes_for_1 = [0.9, 0.1], [0.45, 0.55]
    members = [[votes_for_0, votes_for_0, [0.6, 0.4]], [votes_for_0, votes_for_1, [0.6, 0.4]], [votes_for_0] * 3]
    score, second = acquisition.vote_entropy(candidates(members))
    np.testing.assert_allclose(score, [0.0, -(2 / 3) * math.log(2 / 3) - math.log(1 / 3) / 3, 0.0], atol=1e-5)
    np.testing.assert_allclose(second, [0.1, (0.1 + 0.45 + 0.1) / 3, (0.4 + 0.4 + 0.1) / 3], rtol=1e-5)


def test_vote_entropy_does_not_depend_on_which_class_or_member_got_the_votes():
    rng = np.random.default_rng(0)
    outputs = rng.dirichlet(np.ones(4), size=(7, 50)).astype(np.float32)
    score, _ = acquisition.vote_entropy(candidates(outputs))
    permuted, _ = acquisition.vote_entropy(candidates(outputs[rng.permutation(7)][:, :, [2, 0, 3, 1]]))
    np.testing.assert_array_equal(score, permuted)


def test_bald_is_zero_where_passes_agree_and_largest_where_each_is_sure_of_another_class():
    agree, unsure, quarrel = [[0.9, 0.1]] * 2, [[0.5, 0.5]] * 2, [[1.0, 0.0], [0.0, 1.0]]
    outputs = np.array([agree, unsure, quarrel]).transpose(1, 0, 2)
    score, _ = acquisition.bald(candidates(outputs))
    np.testing.assert_allclose(score, [0.0, 0.0, math.log(2)], atol=1e-6)


def test_variance_and_standard_deviation_are_over_the_members():
    values = [[1.0, 2.0, 10.0], [3.0, 2.0, 10.5]]
    np.testing.assert_allclose(acquisition.variance(candidates(values))[0], [1.0, 0.0, 0.0625])
    np.testing.assert_allclose(acquisition.standard_deviation(candidates(values))[0], [1.0, 0.0, 0.25])


def test_in_order_keeps_apart_integers_that_float32_cannot():
    column = np.array([16_777_216, 16_777_217, 16_777_218, 5])
    score, second = acquisition.in_order(candidates(np.empty((0, 4)), column))
    assert np.lexsort((-second, -score)).tolist() == [3, 0, 1, 2]


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(ConfigError, match="least_confidence"):
        find_acquisition("least_confident")


def test_a_plugin_is_found_by_its_entry_point(monkeypatch):
    mine = AcquisitionFunction("mine", acquisition.random, ("classification",))
    entry = type("Entry", (), {"name": "mine", "value": "pkg:mine", "load": lambda self: mine})()
    monkeypatch.setattr(plugins, "entry_points", lambda group: [entry] if group == "isd_ray.acquisition" else [])
    assert find_acquisition("mine") is mine


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        (([0.1, np.nan], [np.inf, 0.0]), "'mine' gives 2 scores of 4 that are no finite numbers"),
        (([0.1], [0.0]), r"'mine' gives scores of shape \(1,\) in the place of \(2,\)"),
    ],
)
def test_scores_that_are_none_are_refused_by_the_name_of_the_function(scores, said):
    mine = AcquisitionFunction(
        "mine", lambda found: tuple(np.array(score, np.float32) for score in scores), ("classification",)
    )
    with pytest.raises(ConfigError, match=said + r"[\s\S]*mend it in its package"):
        scored_by(mine, candidates(TWO_MEMBERS))


def test_a_compound_without_a_place_in_the_order_is_to_be_taken_out():
    """One that was out of stock when the screen began needed none."""
    found = candidates(TWO_MEMBERS, column=np.array([np.nan, 1.0]))
    with pytest.raises(ConfigError, match=r"no finite numbers[\s\S]*isd exclude"):
        scored_by(find_acquisition("in_order"), found)


def test_a_plugin_that_is_something_else_is_refused(monkeypatch):
    entry = type("Entry", (), {"name": "mine", "value": "pkg:mine", "load": lambda self: print})()
    monkeypatch.setattr(plugins, "entry_points", lambda group: [entry])
    with pytest.raises(ConfigError, match="AcquisitionFunction"):
        find_acquisition("mine")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "regression"}, "not for task"),
        (
            {"acquisition": {"batch_size": 5, "function": "vote_entropy"}, "model": {"families": ["resmlp"]}},
            "needs a committee",
        ),
        ({"acquisition": {"batch_size": 5, "function": "bald"}, "model": {"families": ["linear"]}}, "do not have"),
        ({"acquisition": {"batch_size": 5, "function": "bald"}, "model": {"dropout": 0.0}}, "needs dropout"),
        ({"acquisition": {"batch_size": 5, "column": "size"}}, "only for 'in_order'"),
    ],
)
def test_functions_that_do_not_fit_the_campaign_are_refused(changes, message):
    base = {
        "library": {"source": "a.csv"},
        "labels": {"column": "y"},
        "stopping": {"rule": "none"},
        "acquisition": {"batch_size": 5, "function": "least_confidence"},
    }
    config = parse_config({**base, **changes})
    with pytest.raises(ConfigError, match=message):
        acquisition_for(
            config.acquisition_name,
            config.task,
            config.model,
            config.acquisition.column,
            has_numbers=bool(config.labels.numbers),
        )


# --- panels with numbers --------------------------------------------------------------------------------------------

TOLERANCES = (None, 0.5, 20.0)


def of_numbers(outputs, weights=None) -> Candidates:
    outputs = np.asarray(outputs, np.float32)
    n = outputs.shape[1]
    return Candidates(np.arange(n), outputs, np.arange(n) * 1.0, weights, None, TOLERANCES)


def test_classes_and_numbers_are_weighed_by_how_probably_they_are_wrong():
    one, two = [0.9, 1.0, 100.0], [0.7, 2.0, 100.0]
    score, _ = acquisition.doubtful_outputs(of_numbers([[one, one], [two, one]]))
    # The class is doubted by 0.2; the members of the first number lie half a unit, one tolerance, from their mean.
    np.testing.assert_allclose(score, [(0.2 + 1 / 2 + 0.0) / 3, (0.1 + 0.0 + 0.0) / 3], rtol=1e-6)
    weighted, _ = acquisition.doubtful_outputs(of_numbers([[one], [two]], np.array([0.75, 0.25])))
    variance = 0.75 * 0.25**2 + 0.25 * 0.75**2
    np.testing.assert_allclose(weighted, [(0.15 + variance / (variance + 0.25)) / 3], rtol=1e-6)


def test_the_unit_of_a_number_does_not_matter_where_its_tolerance_is_in_it():
    rng = np.random.default_rng(1)
    outputs = rng.normal(5.0, 2.0, (4, 30, 3))
    outputs[..., 0] = rng.random((4, 30))
    scaled = outputs * [1.0, 64.0, 1 / 32]
    for name in ("least_confidence", "variance", "standard_deviation"):
        of = acquisition.OF_NUMBERS[name].score
        candidates = of_numbers(outputs)
        other = Candidates(
            candidates.rows, scaled.astype(np.float32), candidates.column, None, None, (None, 32.0, 0.625)
        )
        np.testing.assert_allclose(of(other)[0], of(candidates)[0], rtol=1e-4)


def test_rows_whose_members_hardly_differ_keep_their_order():
    values = [[[0.5, 1.0, 10.0], [0.5, 1.0, 10.0]], [[0.5, 1.0 + 1e-6, 10.0], [0.5, 1.0 + 3e-6, 10.0]]]
    score = acquisition.doubt_of_outputs(np.asarray(values, np.float64), TOLERANCES)[:, 1]
    assert 0.0 < score[0] < score[1]


def test_hits_are_looked_for_where_a_recall_is_claimed_and_errors_elsewhere():
    """By hand: probabilities of a 1 in two outputs of classes; members that differ by two tolerances in a number."""
    outputs = np.array([[[0.9, 0.9, 5.0], [0.1, 0.5, 5.0]], [[0.7, 0.9, 5.0], [0.1, 0.5, 9.0]]], np.float32)
    rows, column = np.arange(2), np.zeros(2)
    mixed = Candidates(rows, outputs, column, tolerances=(None, None, 2.0), seeks_hits=(True, False, False))
    scores, equals = hits_or_doubts(mixed)
    assert scores == pytest.approx([(0.8 + 0.1 + 0.0) / 3, (0.1 + 0.5 + 0.5) / 3])
    assert equals == pytest.approx([(0.2 + 0.1 + 0.0) / 3, (0.1 + 0.5 + 0.5) / 3])
    classes = Candidates(rows, outputs[:, :, :2], column, seeks_hits=(False, True))
    assert hits_or_doubts(classes)[0] == pytest.approx([(0.2 + 0.9) / 2, (0.1 + 0.5) / 2])
    every = Candidates(rows, outputs, column, tolerances=(None, None, 2.0))
    assert hits_or_doubts(every)[0] == pytest.approx([(0.8 + 0.9 + 0.0) / 3, (0.1 + 0.5 + 0.5) / 3])
