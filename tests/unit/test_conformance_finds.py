"""Every claim of the tests for models can fail: a sound small model passes, one with a single flaw does not."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ConfigDict

from isd_ray.config import FamilyConfig
from isd_ray.core.features import FeatureBlocks
from isd_ray.core.panels import unpack
from isd_ray.models.base import Fitted, Observed, Predictor, Problem
from isd_ray.models.device import Placement
from isd_ray.models.sparse import Columns, Pieces
from isd_ray.testing.models import ModelConformance

GENERATOR = np.random.default_rng(0)


class MeansConfig(FamilyConfig):
    pass


class Means:
    """For each column the mean target of the rows that have it, weighed by a ridge: a sound model in a few lines."""

    Config = MeansConfig
    tasks = frozenset({"classification", "regression", "panel"})
    learns_numbers = True
    needs = ()

    def __init__(self, config: Any, problem: Problem) -> None:
        self.problem = problem

    def matrix(self, features: FeatureBlocks, columns: Columns) -> NDArray[np.float64]:
        dense = columns.matrix(features).toarray().astype(np.float64)
        dense[np.isnan(dense)] = 0.0
        return np.concatenate([np.ones((len(dense), 1)), dense], axis=1)

    def targets(self, labels: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Targets (n, K), and which of them count."""
        if self.problem.numbers:
            return np.nan_to_num(labels), (~np.isnan(labels)).astype(float)
        if self.problem.task == "panel":
            ones, measured = (unpack(labels[:, part], self.problem.n_outputs).astype(float) for part in (0, 1))
            return ones, measured
        if self.problem.task == "regression":
            return labels[:, None].astype(float), np.ones((len(labels), 1))
        return np.eye(self.problem.n_outputs)[labels], np.ones((len(labels), self.problem.n_outputs))

    def fit(self, data: Observed, *, seed: int, split_seed: int, placement: Placement) -> Fitted:
        columns = Columns.seen(self.problem, data.features, data.rows, 1)
        matrix = np.concatenate([self.matrix(piece, columns) for piece in Pieces(data.features, data.rows)])
        targets, counts = self.targets(data.labels)
        penalty = np.diag([1e-9, *np.ones(matrix.shape[1] - 1)])
        weights = [
            np.linalg.solve((matrix.T * counted) @ matrix + penalty, (matrix.T * counted) @ target)
            for target, counted in zip(targets.T, counts.T, strict=True)
        ]
        return Fitted({**columns.weights(), "weights": np.array(weights)}, len(data.rows))

    def open(self, members: Sequence[Mapping[str, NDArray[Any]]], placement: Placement) -> Predictor:
        return MeansPredictor(self, members)


class MeansPredictor:
    def __init__(self, model: Means, members: Sequence[Mapping[str, NDArray[Any]]]) -> None:
        self.model, self.members = model, members

    def outputs(self, block: FeatureBlocks) -> NDArray[np.float32]:
        return np.stack([self.of_member(member, block) for member in self.members])

    def of_member(self, member: Mapping[str, NDArray[Any]], block: FeatureBlocks) -> NDArray[np.float32]:
        problem = self.model.problem
        matrix = self.model.matrix(block, Columns.of(problem, member))
        # Summed column by column, so that a row's sum has one order whatever the rows around it.
        found = sum(matrix[:, place, None] * weight for place, weight in enumerate(np.asarray(member["weights"]).T))
        if problem.task == "regression":
            return found[:, 0].astype(np.float32)
        found = np.where(problem.numbers or (False,), found, np.clip(found, 0.001, 0.999))
        return (found / found.sum(axis=1, keepdims=True) if problem.task == "classification" else found).astype(
            np.float32
        )

    def samples(self, block: FeatureBlocks, n: int, seed: int) -> NDArray[np.float32] | None:
        return None


class TestMeans(ModelConformance):
    model = Means
    many_rows = 3000


def changed(fitted: Fitted, **arrays: Any) -> Fitted:
    return Fitted({**fitted.weights, **arrays}, fitted.n_train)


class MissingNumbers(Means):
    def targets(self, labels):
        """Counts a number that was not measured as 0."""
        targets, counts = super().targets(labels)
        return targets, np.ones_like(counts) if self.problem.numbers else counts


class NumbersAsClasses(Means):
    def open(self, members, placement):
        return SquashedPredictor(self, members)


class SquashedPredictor(MeansPredictor):
    def outputs(self, block):
        found = super().outputs(block)
        return np.clip(found, 0.0, 1.0) if self.model.problem.numbers else found


class Unseeded(Means):
    def fit(self, data, **options):
        fitted = super().fit(data, **options)
        return changed(fitted, weights=fitted.weights["weights"] + 1e-9 * GENERATOR.random())


class GlobalGenerator(Means):
    def fit(self, data, **options):
        fitted = super().fit(data, **options)
        return changed(fitted, weights=fitted.weights["weights"] + 1e-9 * np.random.random())  # noqa: NPY002


class Remembering(Means):
    n_fits = 0

    def fit(self, data, **options):
        self.n_fits += 1
        fitted = super().fit(data, **options)
        return changed(fitted, weights=fitted.weights["weights"] + 1e-9 * self.n_fits)


class Threaded(Means):
    def fit(self, data, *, placement, **options):
        fitted = super().fit(data, placement=placement, **options)
        return changed(fitted, weights=fitted.weights["weights"] * (1 + 0.01 * placement.threads))


class HashSeeded(Means):
    def fit(self, data, **options):
        fitted = super().fit(data, **options)
        return changed(fitted, weights=fitted.weights["weights"] + 1e-9 * (hash("a") % 99_991))


class Predicting(Means):
    """Models whose predictor has the flaw."""

    def open(self, members, placement):
        flaw = self.of_member

        class Flawed(MeansPredictor):
            def of_member(self, member, block):
                return flaw(super().of_member(member, block), block)

        return Flawed(self, members)


class BlockDependent(Predicting):
    def of_member(self, found, block):
        return found + np.float32(1e-4 * len(block)) if found.ndim == 1 else found ** np.float32(1 + 1e-4 * len(block))


class Normalised(Predicting):
    """Standardises by the rows to be predicted, as careless preprocessing does."""

    def of_member(self, found, block):
        return found - found.mean(axis=0) + 0.5


class Double(Predicting):
    def of_member(self, found, block):
        return found.astype(np.float64)


class Percent(Predicting):
    def of_member(self, found, block):
        return 100 * found


class OneColumn(Predicting):
    def of_member(self, found, block):
        return found[..., -1]


class Scaled(Predicting):
    """Answers in standard deviations."""

    def of_member(self, found, block):
        return (found - 250) / 40


class Lucky(Predicting):
    def of_member(self, found, block):
        return GENERATOR.permutation(found)


class Writing(Predicting):
    def of_member(self, found, block):
        values = block["values"].values
        values[np.isnan(values)] = 0.0
        return found


class WritingThroughFlags(Predicting):
    def of_member(self, found, block):
        values = block["values"].values
        values.setflags(write=True)
        values[0, 0] = 3.0
        return found


class Pickling(Means):
    def fit(self, data, **options):
        fitted = super().fit(data, **options)
        return Fitted({"state": np.frombuffer(pickle.dumps(fitted.weights), np.uint8)}, fitted.n_train)

    def open(self, members, placement):
        return super().open([pickle.loads(member["state"].tobytes()) for member in members], placement)  # noqa: S301


class ShiftedPickle(Pickling):
    """Hides its pickle behind another byte."""

    def fit(self, data, **options):
        state = super().fit(data, **options).weights["state"]
        return Fitted({"state": np.append(np.uint8(0), state)}, len(data.rows))

    def open(self, members, placement):
        return super().open([{"state": member["state"][1:]} for member in members], placement)


class Objects(Means):
    def fit(self, data, **options):
        return changed(super().fit(data, **options), more=np.array([None, "x"], object))


class Texts(Means):
    def fit(self, data, **options):
        return changed(super().fit(data, **options), more=np.array(["x"]))


class Lists(Means):
    def fit(self, data, **options):
        return changed(super().fit(data, **options), more=[1, 2])


class Losing(Means):
    """Keeps in itself what it does not store."""

    def fit(self, data, **options):
        fitted = super().fit(data, **options)
        self.shift = 1.0
        return fitted

    def open(self, members, placement):
        return super().open([{**member, "weights": member["weights"] + self.shift} for member in members], placement)


class IgnoringRows(Means):
    def fit(self, data, **options):
        return super().fit(Observed(data.features, np.arange(len(data.rows)), data.labels), **options)


class AllRows(Means):
    """Learns its scale from rows that were not measured."""

    def fit(self, data, **options):
        values = data.features.take(np.arange(len(data.features)))["values"].values
        fitted = super().fit(data, **options)
        return changed(fitted, weights=fitted.weights["weights"] * (1 + 0.001 * np.nanmean(values, dtype=np.float64)))


class NotMissing(Means):
    def matrix(self, features, columns):
        dense = columns.matrix(features).toarray()
        return np.concatenate([np.ones((len(dense), 1)), dense], axis=1)


class SeenBits(Means):
    """Expects every block to have the bits of the measured rows."""

    def matrix(self, features, columns):
        bits = features["bits"]
        if len(bits.values) and bits.values.max() >= 60:
            raise IndexError
        return super().matrix(features, columns)


class NeedsBits(Means):
    def matrix(self, features, columns):
        assert len(features["bits"].values)
        return super().matrix(features, columns)


class TwoClasses(Means):
    def fit(self, data, **options):
        if self.problem.task == "classification" and len(np.unique(data.labels)) < 2:
            raise ValueError
        return super().fit(data, **options)


class HoldsOut(Means):
    def fit(self, data, **options):
        rows = np.arange(len(data.rows) // 2)
        return super().fit(Observed(data.features, data.rows[rows], data.labels[rows]), **options)


class Compact(Means):
    """Gives a column only to classes that were measured."""

    def targets(self, labels):
        if self.problem.task != "classification":
            return super().targets(labels)
        classes = np.unique(labels)
        return (labels[:, None] == classes).astype(float), np.ones((len(labels), len(classes)))


class OnlyBits(Means):
    def matrix(self, features, columns):
        features["bits"]
        return super().matrix(features, columns)


class NoExternal(Means):
    def fit(self, data, **options):
        assert data.external is None
        return super().fit(data, **options)


class Few(Means):
    def fit(self, data, **options):
        assert len(data.rows) <= 1000, "too many"
        return super().fit(data, **options)


class Rounded(Means):
    """Labels as float16: the digits far from zero are lost."""

    def targets(self, labels):
        return super().targets(labels.astype(np.float16) if self.problem.task == "regression" else labels)


class Sampling(Means):
    def open(self, members, placement):
        class Random(MeansPredictor):
            def samples(self, block, n, seed):
                outputs = np.repeat(self.outputs(block), n, axis=0)
                return GENERATOR.permutation(outputs, axis=1)

        return Random(self, members)


class Unsampled(Means):
    """Stochastic answers of a model that has no chance in it."""

    def open(self, members, placement):
        class Same(MeansPredictor):
            def samples(self, block, n, seed):
                return np.repeat(self.outputs(block), n, axis=0)

        return Same(self, members)


class Loose(Means):
    class Config(FamilyConfig):
        model_config = ConfigDict(extra="ignore")


class Required(Means):
    class Config(FamilyConfig):
        trees: int
        """Without a default."""


class Undocumented(Means):
    class Config(FamilyConfig):
        trees: int = 3


class NoTasks(Means):
    tasks = frozenset()


class WrongNeeds(Means):
    needs = ("graphs",)


FINDS = {
    "it_says_what_it_learns_and_needs": [NoTasks, WrongNeeds],
    "its_table_has_defaults_and_refuses_unknown_keys": [Loose, Required, Undocumented],
    "the_same_seed_gives_the_same_arrays": [Unseeded, GlobalGenerator, Remembering],
    "two_threads_repeat_each_other_and_agree_with_one": [Threaded],
    "another_process_fits_the_same_arrays": [HashSeeded],
    "answers_are_probabilities_or_values": [Double, Percent, OneColumn],
    "a_rule_is_learnt": [Lucky, MissingNumbers, NumbersAsClasses],
    "a_row_is_answered_whatever_is_around_it": [BlockDependent, Normalised, Lucky],
    "stochastic_answers_follow_from_their_seed": [Sampling, Unsampled],
    "the_store_keeps_every_bit": [Pickling, ShiftedPickle, Objects, Texts, Lists, Losing],
    "only_measured_rows_count": [IgnoringRows, AllRows],
    "one_class_or_one_value_is_answered": [TwoClasses],
    "few_rows_are_enough": [HoldsOut, Compact, NotMissing],
    "many_rows_are_learnt": [Few],
    "values_are_learnt_in_any_unit": [Rounded, Scaled],
    "any_blocks_are_taken": [OnlyBits],
    "missing_values_are_answered": [NotMissing],
    "bits_that_no_measured_row_has_are_answered": [SeenBits, NeedsBits],
    "a_validation_set_of_its_own_is_taken": [NoExternal],
    "what_it_is_given_stays_as_it_is": [Writing, WritingThroughFlags],
    "killed_and_resumed_it_selects_the_same": [Unseeded],
}
"""Tests, and the models that each must find."""
CASES = [(f"test_{test}", model) for test, models in FINDS.items() for model in models]


class Tensors(Means):
    """As a state_dict is."""

    def fit(self, data, **options):
        fitted = super().fit(data, **options)
        return changed(fitted, weights=torch.from_numpy(fitted.weights["weights"]))


@pytest.mark.parametrize(
    "test", ["only_measured_rows_count", "a_rule_is_learnt", "the_same_seed_gives_the_same_arrays"]
)
def test_weights_that_are_no_arrays_are_named_by_whatever_test_meets_them_first(test) -> None:
    class Suite(ModelConformance):
        model = Tensors

    with pytest.raises(AssertionError, match="the weight 'weights' is a Tensor, no numpy array"):
        getattr(Suite(), f"test_{test}")("two classes")


def test_every_test_is_shown_to_find_something() -> None:
    tests = {name for name in dir(ModelConformance) if name.startswith("test_")}
    assert tests == {f"test_{name}" for name in FINDS}


@pytest.mark.parametrize(("test", "broken"), CASES, ids=[f"{model.__name__}-{test[5:]}" for test, model in CASES])
def test_a_flaw_is_found(test, broken, tmp_path, monkeypatch) -> None:
    class Suite(ModelConformance):
        model = broken
        many_rows = 3000

    found = [case for case in cases_of(test) if fails(Suite, test, case, tmp_path, monkeypatch)]
    assert found


def cases_of(test: str) -> list[dict[str, Any]]:
    """What pytest would call the test with."""
    cases: list[dict[str, Any]] = [{}]
    for mark in getattr(getattr(ModelConformance, test), "pytestmark", []):
        names = [mark.args[0]] if isinstance(mark.args[0], str) else list(mark.args[0])
        values = [(value,) if len(names) == 1 else value for value in mark.args[1]]
        cases = [{**case, **dict(zip(names, value, strict=True))} for case in cases for value in values]
    return cases


def fails(suite, test, case, tmp_path, monkeypatch) -> bool:
    with monkeypatch.context() as patch:
        method = getattr(suite(), test)
        wanted = method.__code__.co_varnames[: method.__code__.co_argcount]
        given = {name: value for name, value in {"tmp_path": tmp_path, "monkeypatch": patch}.items() if name in wanted}
        try:
            method(**case, **given)
        except Exception:  # whatever the broken model does
            return True
        return False
