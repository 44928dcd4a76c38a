"""Networks of many outputs: what was not measured teaches nothing, and every compound weighs the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from isd_ray.config import ValidationConfig
from isd_ray.core.panels import pack_labels, unpack
from isd_ray.core.predictions import predict
from isd_ray.errors import LabelError
from isd_ray.models.device import Placement
from isd_ray.models.fit import fit_member
from isd_ray.models.predict import CommitteePredictor
from isd_ray.models.resmlp import Architecture
from isd_ray.models.split import split_rows
from tests.unit.models_helpers import WIDTH, one_thread, random_bits, small_model, to_matrix  # noqa: F401

pytestmark = pytest.mark.usefixtures("one_thread")
K = 11
ARCHITECTURE = Architecture("on_bits", WIDTH, K, hidden_size=32, residual_blocks=1, is_panel=True)


def panel_of(features, seed=0, missing=0.4):
    """Labels of K outputs, each a bit of the fingerprint, with entries missing."""
    matrix = to_matrix(features)[:, :K].astype(np.int8)
    rng = np.random.default_rng(seed)
    hidden = rng.random(matrix.shape) < missing
    hidden[np.arange(len(matrix)), rng.integers(0, K, len(matrix))] = False
    return np.where(hidden, -1, matrix)


def fit(labels, features, external=None, **changes):
    return fit_member(
        features,
        labels,
        task="panel",
        architecture=ARCHITECTURE,
        model=small_model(**changes),
        validation=ValidationConfig(),
        seed=3,
        external=external,
    )


def test_entries_that_were_not_measured_touch_no_weight():
    features = random_bits(300, seed=1)
    matrix = panel_of(features)
    labels = pack_labels(matrix)
    turned, wrong = labels.copy(), labels.copy()
    turned[:, 0] ^= ~labels[:, 1]
    row = int(np.flatnonzero(matrix[:, 4] >= 0)[0])
    wrong[row, 0, 0] ^= 0b00001000
    first, same, other = (fit(one, features, epochs=3).weights for one in (labels, turned, wrong))
    assert all(np.array_equal(first[name], same[name]) for name in first)
    assert any(not np.array_equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("bf16", [False, True])
def test_the_validation_loss_is_the_mean_over_compounds_of_their_measured_outputs(bf16):
    features, held_out = random_bits(400, seed=1), random_bits(150, seed=2)
    matrix = panel_of(held_out, seed=5, missing=0.8)
    external = (held_out, pack_labels(matrix))
    fitted = fit(pack_labels(panel_of(features)), features, external, epochs=6)
    [ones] = CommitteePredictor([fitted.weights], ARCHITECTURE, Placement(bf16=bf16)).outputs(held_out).astype(float)
    assert ones.shape == (150, K)
    losses = -np.log(np.where(matrix == 1, ones, 1 - ones))
    by_compound = [losses[row][matrix[row] >= 0].mean() for row in range(150)]
    assert fitted.validation_loss == pytest.approx(np.mean(by_compound), rel=0.05 if bf16 else 1e-5)
    assert abs(np.mean(by_compound) - losses[matrix >= 0].mean()) > 1e-3, "weighing entries would look the same"


def test_a_committee_learns_every_output_from_the_entries_there_are():
    features, unseen = random_bits(600, seed=1), random_bits(300, seed=2)
    labels = pack_labels(panel_of(features))
    weights = [fit(labels, features, epochs=25).weights]
    predictor = CommitteePredictor(weights, ARCHITECTURE)
    bits, uncertainty = predict(predictor.outputs(unseen), predictor.task)
    right = unpack(bits, K) == to_matrix(unseen)[:, :K]
    assert right.mean() > 0.95
    assert right.mean(axis=0).min() > 0.9
    assert right[uncertainty < np.median(uncertainty)].mean() > right[uncertainty > np.median(uncertainty)].mean()
    samples = predictor.dropout_outputs(unseen, 2, seed=0)
    assert samples.shape == (2, 300, K)
    assert (samples[0] != samples[1]).any()


def test_the_validation_rows_of_a_panel_are_drawn_at_random():
    labels = pack_labels(panel_of(random_bits(500, seed=1)))
    train, held_out = split_rows(labels, "panel", ValidationConfig(), np.random.default_rng(0))
    assert len(held_out) == 50
    assert sorted([*train, *held_out]) == list(range(500))
    assert not np.array_equal(held_out, split_rows(labels, "panel", ValidationConfig(), np.random.default_rng(1))[1])


@pytest.mark.parametrize("labels", [np.zeros(300), np.zeros((300, 2, 1), np.uint8), np.zeros((300, 2, 2))])
def test_labels_of_another_shape_are_refused(labels):
    with pytest.raises(LabelError, match="are not those of 11 outputs"):
        fit(labels, random_bits(300, seed=1))


def test_a_panel_with_one_output_is_a_classification():
    """Sigmoid and cross-entropy of one output against the formula; the mean of one thing is that thing."""
    outputs = torch.tensor([[0.3], [-2.0]])
    bits, uncertainty = predict(torch.sigmoid(outputs).numpy()[None], "panel")
    assert unpack(bits, 1).tolist() == [[1], [0]]
    assert uncertainty == pytest.approx([1 / (1 + np.exp(0.3)), 1 / (1 + np.exp(2.0))], rel=1e-5)


def test_a_number_that_is_the_same_of_all_leaves_the_other_outputs_as_they_are():
    """Readouts at a limit of detection: of some counts their mean is rounded, and no unit follows from that."""
    features = random_bits(350, seed=1)
    bits = to_matrix(features)[:, :2].astype(np.float64)
    constant = np.full(350, 0.1)
    assert constant[:300].std() > 0, "the case is one"
    architecture = replace(ARCHITECTURE, n_outputs=3, numbers=(True, True, False))
    fitted = fit_member(
        features,
        np.column_stack([constant, 100.0 + 20.0 * bits[:, 0], bits[:, 1]]),
        task="panel",
        architecture=architecture,
        model=small_model(epochs=30),
        validation=ValidationConfig(),  # 50 of them
        seed=3,
    )
    found = CommitteePredictor([fitted.weights], architecture).outputs(features)[0]
    assert np.abs(found[:, 0] - 0.1).max() < 0.5
    assert np.mean(np.abs(found[:, 1] - 100.0 - 20.0 * bits[:, 0]) < 10.0) > 0.9
    assert np.mean((found[:, 2] > 0.5) == bits[:, 1]) > 0.9
