"""Panels as packed bits: what counts as an error, what is claimed, and how unsure a row is."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from isd_ray.core import acquisition, metrics, panels, predictions
from isd_ray.core.acquisition import BUILT_IN, Candidates, acquisition_for
from isd_ray.core.bounds import kl_lower_bound
from isd_ray.core.goals import PanelAccuracy, ScreenCounts
from isd_ray.core.panels import is_measured, losses, pack_labels, unpack, unpack_labels
from isd_ray.core.predictions import predict
from isd_ray.core.rules.paper import RULE as PAPER
from isd_ray.core.stopping import RandomSample, random_bound
from isd_ray.core.topk import concatenate_rows, empty_rows
from isd_ray.data.packed import from_arrow, label_columns, labels_from, to_arrow
from isd_ray.errors import ConfigError
from isd_ray.messages import RoundEvidence, ScoredRows

K = 11
PANEL = PanelAccuracy(0.9)
COUNTS = ScreenCounts(1000, 0, 300, (700,))


def random_labels(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1, 2, (n, K)).astype(np.int8)


def random_outputs(members: int, n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((members, n, K)).astype(np.float32)


def test_labels_survive_packing_and_arrow():
    matrix = random_labels(50)
    packed = pack_labels(matrix)
    assert packed.shape == (50, 2, 2)
    assert np.array_equal(unpack_labels(packed, K), matrix)
    table = pa.table(label_columns(packed))
    assert [field.type for field in table.schema] == [pa.binary(2), pa.binary(2)]
    assert np.array_equal(
        labels_from(pa.concat_tables([table.slice(7, 5), table.slice(0, 7)])), packed[[*range(7, 12), *range(7)]]
    )
    numbers = np.array([1.0, np.nan])
    assert np.array_equal(from_arrow(pa.chunked_array([to_arrow(numbers)])), numbers, equal_nan=True)


def test_a_loss_is_the_share_of_measured_outputs_that_are_wrong():
    labels = pack_labels(np.array([[1, 0, -1, 1], [0, -1, -1, -1], [1, 1, 1, 1], [-1, -1, -1, -1]], np.int8))
    predicted = np.packbits([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]], axis=1)
    assert losses(predicted, labels).tolist() == [1 / 3, 1.0, 0.0, 1.0]  # the last: every well failed
    assert is_measured(labels).tolist() == [True, True, True, False]


def test_predictions_of_missing_entries_and_padding_count_for_nothing():
    matrix = random_labels(200)
    labels, rng = pack_labels(matrix), np.random.default_rng(1)
    bits = rng.integers(0, 2, (200, 16), np.uint8)
    other = np.where(np.pad(matrix, ((0, 0), (0, 5)), constant_values=-1) < 0, 1 - bits, bits)
    assert np.array_equal(losses(np.packbits(bits, axis=1), labels), losses(np.packbits(other, axis=1), labels))


def test_the_goal_of_a_panel_counts_shares_and_allows_what_the_level_leaves():
    labels, predicted = pack_labels(random_labels(40)), np.packbits(random_labels(40, 1) == 1, axis=1)
    assert np.array_equal(PANEL.losses(predicted, labels), losses(predicted, labels))
    assert np.array_equal(PANEL.correct(predicted, labels), 1 - losses(predicted, labels))
    assert PANEL.losses(np.full(40, np.nan), labels).tolist() == [1.0] * 40  # no model had spoken
    assert not PANEL.is_exact
    assert not PANEL.is_error
    assert PANEL.allowances(COUNTS, (0.0,)) == (100.0,)
    assert PANEL.value(COUNTS, (50.0,)) == 0.95
    assert PANEL.is_met(COUNTS, (100.0,))
    assert not PANEL.is_met(COUNTS, (100.1,))
    assert PANEL.words == "share of right outputs by compound is at least 0.9"
    assert PANEL.groups(predicted).tolist() == [0] * 40
    assert PANEL.count_hits(labels) == (0,)
    assert np.array_equal(PANEL.as_prediction(labels), labels[:, 0])


def test_true_errors_do_not_depend_on_how_blocks_are_shared_out():
    labels, predicted = pack_labels(random_labels(300)), np.packbits(random_labels(300, 1) == 1, axis=1)
    blocks = [metrics.evaluate(predicted[a : a + 7], labels[a : a + 7], PANEL) for a in range(0, 300, 7)]
    halves = [metrics.merge_evaluations(blocks[:20]), metrics.merge_evaluations(blocks[20:])]
    together, apart = metrics.merge_evaluations(blocks), metrics.merge_evaluations(halves[::-1])
    assert metrics.accuracy(together) == metrics.accuracy(apart)
    assert metrics.accuracy(together) == pytest.approx(1 - losses(predicted, labels).mean(), abs=1e-12)
    assert metrics.group_losses(together) == metrics.group_losses(apart)
    assert metrics.system_accuracy(100, together) == pytest.approx((100 + 300 * metrics.accuracy(together)) / 400)


def test_the_committees_mean_decides_each_output_and_how_unsure_the_row_is():
    outputs = np.zeros((2, 2, K), np.float32)
    outputs[:, 0, :3] = [[0.9, 0.5, 0.4], [0.3, 0.5, 0.4]]  # means 0.6, 0.5, 0.4, then zeros
    bits, uncertainty = predict(outputs, "panel")
    assert unpack(bits, K).tolist() == [[1] + [0] * 10, [0] * K]
    assert uncertainty.dtype == np.float32
    assert uncertainty == pytest.approx([(0.4 + 0.5 + 0.4) / K, 0.0], rel=1e-6)


def test_pieces_of_rows_change_nothing(monkeypatch):
    outputs = random_outputs(3, 40)
    candidates = Candidates(np.arange(40), outputs, np.arange(40.0))
    score = acquisition.mean_over_outputs(acquisition.entropy)
    whole = (*predict(outputs, "panel"), *score(candidates))
    monkeypatch.setattr(predictions, "_CELLS", 100)
    assert len(list(predictions.row_pieces(outputs))) > 10
    for a, b in zip(whole, (*predict(outputs, "panel"), *score(candidates)), strict=True):
        assert np.array_equal(a, b)


def acquisition_of(config):
    return acquisition_for(config.acquisition_name, config.task, config.model)


@pytest.mark.parametrize("name", ["least_confidence", "margin", "entropy", "vote_entropy", "bald"])
def test_functions_of_classes_score_a_panel_by_their_mean_over_the_outputs(name, make_config, panel):
    panel["acquisition"], panel["model"] = {"function": name}, {"members": 3}
    function = acquisition_of(make_config(**panel))
    outputs = random_outputs(3, 20)
    primary, secondary = function.score(Candidates(np.arange(20), outputs, np.arange(20.0)))
    for row in range(20):
        classes = np.stack([1 - outputs[:, row], outputs[:, row]], axis=-1)
        one, two = BUILT_IN[name].score(Candidates(np.arange(K), classes, np.arange(K, dtype=float)))
        assert (primary[row], secondary[row]) == pytest.approx((one.mean(), two.mean()), rel=1e-5, abs=1e-7)
    if name == "least_confidence":
        assert primary == pytest.approx(predict(outputs, "panel")[1], rel=1e-5)


def test_functions_without_a_model_fit_a_panel_and_those_of_values_do_not(make_config, panel):
    assert acquisition_of(make_config(**panel)).name == "least_confidence"
    for name in ("random", "in_order"):
        panel["acquisition"] = {"function": name}
        assert acquisition_of(make_config(**panel)) is BUILT_IN[name]
    panel["acquisition"] = {"function": "variance"}
    with pytest.raises(ConfigError, match=r"'variance' is not for task = 'panel'(?s:.*)least_confidence"):
        acquisition_of(make_config(**panel))


def test_the_papers_bound_takes_the_mean_of_the_rows_for_that_of_coins(make_config, panel):
    stopping = make_config(**panel).stopping
    evidence = RoundEvidence(3, 900, 500, 400, 100, n_top=90, n_top_correct=80.25)
    decision = PAPER.decide(evidence, stopping)
    assert decision.alpha == kl_lower_bound(80.25 / 90, 90, stopping.delta)
    assert decision.system_bound == (500 + decision.alpha * 400) / 900


def test_the_random_rows_bound_a_panel_from_below():
    sample = RandomSample(700, np.random.default_rng(0).random(60) / 5)
    bound, interval = random_bound(PANEL, COUNTS, [sample], 0.05)
    assert interval is not None
    low, high = interval
    assert bound == low < 1 - 0.1 * 0.7 < high <= 1.0


def test_an_empty_part_joins_packed_predictions():
    scored = ScoredRows(
        np.arange(3), *(np.zeros(3, np.float32),) * 2, np.ones((3, 2), np.uint8), np.zeros(3, np.float32)
    )
    assert concatenate_rows([empty_rows(), scored, empty_rows()]).prediction.shape == (3, 2)
    assert concatenate_rows([scored.take(np.zeros(3, bool)), empty_rows()]).prediction.shape == (0, 2)


# --- numbers among the outputs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_expected", [None, 11])
def test_bits_and_values_of_the_same_panel_say_the_same(n_expected):
    rng = np.random.default_rng(3)
    matrix = rng.integers(-1, 2, (60, 11))
    matrix[0] = -1
    said = rng.integers(0, 2, (60, 11))
    bits, values = pack_labels(matrix), np.where(matrix < 0, np.nan, matrix)
    packed, numbers = np.packbits(said, axis=1), said.astype(float)
    classes = (None,) * 11
    assert np.array_equal(losses(packed, bits, n_expected), losses(numbers, values, n_expected, classes))
    assert np.array_equal(panels.outcomes(packed, bits, 11), panels.outcomes(numbers, values, 11, classes))
    for of in (panels.lost, panels.count_measured, panels.there, panels.entries_of):
        arguments = (n_expected,) if of is panels.lost else (11,)
        assert np.array_equal(of(bits, *arguments), of(values, *arguments), equal_nan=True), of.__name__
    assert np.array_equal(is_measured(bits), is_measured(values))
    assert np.array_equal(panels.unpack(panels.as_prediction(bits), 11), panels.as_prediction(values))
    newer = rng.integers(-1, 2, (60, 11))
    over = panels.overlay(bits, pack_labels(newer)), panels.overlay(values, np.where(newer < 0, np.nan, newer))
    assert np.array_equal(*(panels.entries_of(labels, 11) for labels in over), equal_nan=True)
    gone = rng.random(60) < 0.3
    left = (panels.without_readout(labels, gone) for labels in (bits, values))
    assert np.array_equal(*(panels.entries_of(labels, 11) for labels in left), equal_nan=True)


def test_a_number_is_right_up_to_its_tolerance_and_a_class_where_it_is_the_same():
    labels = np.array([[1.0, 7.0, np.nan], [0.0, 7.0, 2.0]])
    said = np.array([[1.0, 7.5, 9.0], [1.0, 7.51, 1.75]])
    tolerances = (None, 0.5, 0.25)
    assert panels.outcomes(said, labels, 3, tolerances).tolist() == [[0, 0, -1], [1, 1, 0]]
    assert losses(said, labels, None, tolerances).tolist() == [0.0, 2 / 3]
    assert losses(said, labels, 3, tolerances).tolist() == [1 / 3, 2 / 3]
    goal = PanelAccuracy(0.9, 3, tolerances=tolerances)
    assert goal.losses(said, labels).tolist() == [1 / 3, 2 / 3]
    assert goal.losses(np.full(2, np.nan), labels).tolist() == [1.0, 1.0], "no model has said anything"


def test_the_best_constant_answer_of_a_number_is_right_for_most():
    rng = np.random.default_rng(0)
    labels = np.stack([rng.integers(0, 2, 80) * 1.0, rng.normal(50.0, 9.0, 80).round(1)], axis=1)
    labels[rng.random((80, 2)) < 0.2] = np.nan
    labels[0] = [1.0, np.nan]
    labels = labels[~np.isnan(labels).all(axis=1)]
    goal = PanelAccuracy(0.9, None, tolerances=(None, 4.0))
    answer = goal.best_answer(labels, 2)

    def total(of_class: float, value: float) -> float:
        return float(goal.losses(np.broadcast_to([of_class, value], labels.shape), labels).sum())

    tried = [total(one, value) for one in (0.0, 1.0) for value in np.arange(20.0, 80.0, 0.05)]
    assert total(*answer) <= min(tried) + 1e-9
