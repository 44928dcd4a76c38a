"""What every family of models must do, as tests to inherit: see `ModelConformance`."""

from __future__ import annotations

import importlib.util
import os
import pickle
import pickletools
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, cast, get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from isd_ray.config import FamilyConfig, Task
from isd_ray.core.features import Dense, FeatureBlocks
from isd_ray.core.seeding import derive_seed
from isd_ray.messages import Weights
from isd_ray.models.base import Fitted, Model, Observed, Predictor, Problem
from isd_ray.models.committee import committee_hash, member_bytes, member_from_bytes
from isd_ray.models.device import Placement, configure_threads
from isd_ray.testing.campaigns import TRIED, killed, run_small, same_campaign, small_campaign
from isd_ray.testing.problems import (
    BITS,
    KINDS,
    PIXELS,
    SMILES,
    UNSEEN_BITS,
    USUAL,
    VALUES,
    WIDTH,
    Rows,
    arrays_of,
    bits_of,
    learnable,
    make_rows,
    problem_of,
    read_only,
    with_blocks,
)

SEED, SPLIT_SEED = derive_seed(0, "member", 1), derive_seed(0, "split")
"""As campaigns give them: of 63 bits."""
SUMS_TO_1 = 1e-5
"""Most by which probabilities of a row may miss 1."""
CLEARLY_BETTER = 0.85
"""Share of the constant answer's loss that a model must stay under."""
_LEAST = 1e-6
"""Smallest probability in a log loss."""
_CHILD_TIMEOUT_S = 300

every_kind = pytest.mark.parametrize("kind", KINDS)


class ModelConformance:
    """Tests of one family of models, for pytest.

    A package inherits from it in a test file of its own, and needs no more::

        from isd_ray.testing.models import ModelConformance
        from my_package import MyModel


        class TestMyModel(ModelConformance):
            model = MyModel

    Problems of tasks that the family does not learn are skipped.

    Attributes
    ----------
    model:
        The family.
    config:
        Keys of its table, [model.NAME], that make it small: the problems have some hundred rows.
    tolerance:
        By how much a row's answer may differ with the rows around it, of probabilities, or in standard deviations of
        the labels. 0 is for equal bits: they keep a screen the same when its library is cut into other blocks.
    thread_tolerance:
        As `tolerance`, for members fitted with one thread and with two.
    n_rows:
        Measured rows of most problems.
    many_rows:
        Of the largest problem; 1,000,000 is worth a run before a release.
    """

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
        return problem

    def rows(self, kind: str, n: int = 0, seed: int = 1, blocks: Sequence[str] = USUAL) -> Rows:
        """Rows to fit on (seed 1), or others to predict."""
        return make_rows(kind, n or self.n_rows, seed, self.blocks(blocks))

    def fit(self, problem: Problem, data: Observed, seed: int = SEED, threads: int = 1) -> Fitted:
        """A member, fitted by a model of its own."""
        configure_threads(threads)
        model = self.model(self.make_config(), problem)
        return model.fit(data, seed=seed, split_seed=SPLIT_SEED, placement=Placement(threads=threads))

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

    def _assert_equal(
        self, found: NDArray[Any], expected: NDArray[Any], labels: NDArray[Any], tolerance: float, what: str
    ) -> None:
        unit = float(labels.std()) or 1.0 if labels.ndim == 1 and labels.dtype.kind == "f" else 1.0
        if found.shape != expected.shape:
            raise AssertionError(f"{what}: shape {found.shape} in the place of {expected.shape}")
        difference = float(np.abs(found.astype(np.float64) - expected).max(initial=0.0)) / unit
        if not (np.array_equal(found, expected) if tolerance == 0.0 else difference <= tolerance):
            raise AssertionError(f"{what}: answers differ by up to {difference:.3g}; allowed are {tolerance:g}")

    # --- what it says of itself -------------------------------------------------------------------------------------

    def test_it_says_what_it_learns_and_needs(self) -> None:
        """`tasks` and `needs` name what there is."""
        tasks, needs = self.model.tasks, self.model.needs
        assert isinstance(tasks, frozenset), f"`tasks` is a {type(tasks).__name__}, no frozenset"
        assert tasks, "`tasks` is empty"
        assert tasks <= set(get_args(Task)), f"tasks={set(tasks)} are not of {get_args(Task)}"
        assert isinstance(needs, tuple), f"`needs` is a {type(needs).__name__}, no tuple"
        assert set(needs) <= {SMILES}, f"needs={needs}: beside the blocks that a campaign uses there is {SMILES!r} only"

    def test_its_table_has_defaults_and_refuses_unknown_keys(self) -> None:
        """`Config` is a table of a campaign file, which a campaign stores with all defaults and reads back."""
        config = self.model.Config
        assert issubclass(config, FamilyConfig), "`Config` does not inherit from isd_ray.config.FamilyConfig"
        default = config()
        stored = default.model_dump(mode="json", exclude_none=True)
        assert config.model_validate(stored) == default, f"the defaults, stored and read back, are others: {stored}"
        for key in config.model_fields:
            assert config.model_fields[key].description or key in FamilyConfig.model_fields, f"{key!r} has no docstring"
        try:
            config.model_validate({"no_such_key": 1})
        except ValidationError:
            return
        raise AssertionError("a key that there is not is accepted: a misspelt key would be silently ignored")

    # --- determinism ------------------------------------------------------------------------------------------------

    @every_kind
    def test_the_same_seed_gives_the_same_arrays(self, kind: str) -> None:
        """For the same data and seeds, whatever was fitted or drawn in between."""
        problem, rows, others = self.problem(kind), self.rows(kind), self.rows(kind, 50, seed=2)
        seeds = {"seed": SEED, "split_seed": SPLIT_SEED}
        model = self.model(self.make_config(), problem)
        first = model.fit(rows.observed(), **seeds, placement=Placement())
        _draw_from_global_generators()
        model.fit(others.observed(), seed=SEED + 1, split_seed=SPLIT_SEED, placement=Placement())
        again = model.fit(rows.observed(), **seeds, placement=Placement())
        _assert_same_weights(again.weights, first.weights, "fitted twice by one model")
        anew = self.fit(problem, rows.observed())
        _assert_same_weights(anew.weights, first.weights, "fitted by two models")

    @pytest.mark.parametrize("kind", ["five classes", "values", "panel"])
    def test_two_threads_repeat_each_other_and_agree_with_one(self, kind: str) -> None:
        """The same arrays for the same number of threads, the same answers for another."""
        problem, rows, unseen = self.problem(kind), self.rows(kind, 120), self.rows(kind, 200, seed=3)
        one, two, again = (self.fit(problem, rows.observed(), threads=threads) for threads in (1, 2, 2))
        _assert_same_weights(again.weights, two.weights, "fitted twice with two threads")
        found, expected = (self.answers(problem, fitted, unseen.features) for fitted in (two, one))
        self._assert_equal(found, expected, rows.labels, self.thread_tolerance, "two threads in the place of one")

    def test_another_process_fits_the_same_arrays(self) -> None:
        """Also where Python's hashes of strings are others: sets have another order there."""
        kind = next(kind for kind, (task, _) in KINDS.items() if task in self.model.tasks)
        module, name = self.model.__module__, self.model.__qualname__
        if module == "__main__" or "<locals>" in name or importlib.util.find_spec(module) is None:
            pytest.skip(f"{name} of {module!r} cannot be imported by another process")
        problem, rows = self.problem(kind), self.rows(kind)
        here = committee_hash([self.fit(problem, rows.observed()).weights])
        code = (
            "import importlib, pickle, sys\n"
            "from isd_ray.models.committee import committee_hash\n"
            "from isd_ray.models.device import Placement, configure_threads\n"
            "module, name, config, problem, observed, seeds = pickle.load(sys.stdin.buffer)\n"
            "model = importlib.import_module(module)\n"
            "for part in name.split('.'):\n"
            "    model = getattr(model, part)\n"
            "configure_threads(1)\n"
            "fitted = model(config, problem).fit(observed, **seeds, placement=Placement(threads=1))\n"
            "print(committee_hash([fitted.weights]))\n"
        )
        seeds = {"seed": SEED, "split_seed": SPLIT_SEED}
        given = pickle.dumps((module, name, self.make_config(), problem, rows.observed(), seeds))
        paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
        done = subprocess.run(
            [sys.executable, "-c", code],
            input=given,
            capture_output=True,
            env={**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": "7"},
            timeout=_CHILD_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, f"the fit fails in another process:\n{done.stderr.decode(errors='replace')}"
        assert done.stdout.decode().split()[-1] == here, "another process fits other arrays"

    # --- answers ----------------------------------------------------------------------------------------------------

    @every_kind
    def test_answers_are_probabilities_or_values(self, kind: str) -> None:
        """Of a committee of two: float32, finite, in their shape; probabilities in [0, 1], of classes summing to 1."""
        problem, rows, unseen = self.problem(kind), self.rows(kind), self.rows(kind, 100, seed=3)
        members = [self.fit(problem, rows.observed(), seed).weights for seed in (SEED, SEED + 1)]
        both = self.open(problem, *members).outputs(unseen.features)
        _assert_valid(both, problem, 2, len(unseen.labels))
        for place, member in enumerate(members):
            alone = self.open(problem, member).outputs(unseen.features)
            message = f"member {place} answers otherwise beside another"
            self._assert_equal(both[place], alone[0], rows.labels, self.tolerance, message)

    @every_kind
    def test_a_rule_is_learnt(self, kind: str) -> None:
        """Rows that were not measured are predicted clearly better than by a constant, in the unit of the label."""
        problem, rows, unseen = self.problem(kind), self.rows(kind), self.rows(kind, 300, seed=3)
        found = self.answers(problem, self.fit(problem, rows.observed()), unseen.features)
        loss, constant = _losses(kind, found, unseen.labels, rows.labels)
        assert loss < CLEARLY_BETTER * constant, f"the loss is {loss:.3g}; a constant answer has {constant:.3g}"

    @every_kind
    def test_a_row_is_answered_whatever_is_around_it(self, kind: str) -> None:
        """In another order, in other blocks, and alone."""
        problem, rows, unseen = self.problem(kind), self.rows(kind), self.rows(kind, 600, seed=3)
        predictor = self.open(problem, self.fit(problem, rows.observed()).weights)
        whole = predictor.outputs(unseen.features)
        orders = {
            "in another order": [np.random.default_rng(0).permutation(600)],
            "in blocks of 97": np.split(np.arange(600), range(97, 600, 97)),
            "alone": [np.array([place]) for place in range(0, 600, 50)],
            "beside copies of itself": [np.full(9, place) for place in (0, 599)],
        }
        for what, pieces in orders.items():
            for piece in pieces:
                found = predictor.outputs(unseen.take(piece).features)
                self._assert_equal(found, whole[:, piece], rows.labels, self.tolerance, f"rows {what}")

    @every_kind
    def test_stochastic_answers_follow_from_their_seed(self, kind: str) -> None:
        """Where the family has any: n of each member, valid as the others."""
        problem, rows, unseen = self.problem(kind), self.rows(kind), self.rows(kind, 60, seed=3)
        members = [self.fit(problem, rows.observed(), seed).weights for seed in (SEED, SEED + 1)]
        predictor = self.open(problem, *members)
        found = predictor.samples(unseen.features, 3, 5)
        if found is None:
            return
        _assert_valid(found, problem, 6, len(unseen.labels))
        again = self.open(problem, *members).samples(unseen.features, 3, 5)
        assert again is not None, "there are stochastic answers once and then there are none"
        assert np.array_equal(found, again), "the same seed gives other stochastic answers"
        assert len(np.unique(found[:3], axis=0)) > 1, "the stochastic answers of a member are all the same"

    # --- the store --------------------------------------------------------------------------------------------------

    @every_kind
    def test_the_store_keeps_every_bit(self, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A member is arrays and nothing pickled; written and read back it answers bit for bit the same."""
        problem, rows, unseen = self.problem(kind), self.rows(kind), self.rows(kind, 100, seed=3)
        weights = self.fit(problem, rows.observed()).weights
        _assert_arrays(weights)
        expected = self.open(problem, weights).outputs(unseen.features)
        back = member_from_bytes(member_bytes(weights))
        _assert_same_weights(back, weights, "read back from the store")
        for name in ("load", "loads", "Unpickler"):
            monkeypatch.setattr(pickle, name, _refuse_pickle)
        before = committee_hash([back])
        found = self.open(problem, back).outputs(unseen.features)
        assert np.array_equal(found, expected), "a member that was stored answers otherwise"
        assert committee_hash([back]) == before, "predicting changes the weights"

    # --- what may be observed ---------------------------------------------------------------------------------------

    @every_kind
    def test_only_measured_rows_count(self, kind: str) -> None:
        """`Observed.rows` says which: what the other rows of the features hold changes no answer."""
        problem, rows, unseen = self.problem(kind), self.rows(kind, 300), self.rows(kind, 200, seed=3)
        places = np.sort(np.random.default_rng(0).permutation(400)[:300])
        fits = []
        for seed in (4, 5):
            order = np.full(400, -1)
            order[places] = np.arange(300)
            order[order < 0] = np.arange(300, 400)
            mixed = _joined(rows, self.rows(kind, 100, seed)).take(order)
            fits.append(self.fit(problem, mixed.observed(rows=places, labels=rows.labels)))
        one, two = (self.answers(problem, fitted, unseen.features) for fitted in fits)
        self._assert_equal(two, one, rows.labels, self.tolerance, "with other features of rows that were not measured")
        alone = self.answers(problem, self.fit(problem, rows.observed()), unseen.features)
        self._assert_equal(one, alone, rows.labels, self.tolerance, "with rows between that were not measured")

    @every_kind
    def test_one_class_or_one_value_is_answered(self, kind: str) -> None:
        """Where all labels are the same, so are the answers, and by right."""
        problem, rows, unseen = self.problem(kind), self.rows(kind, 60), self.rows(kind, 40, seed=3)
        labels = rows.labels.copy()
        if problem.task == "panel":
            labels[:, 0] = labels[:, 1]  # every measured entry is 1
        else:
            labels[:] = {"two classes": 1, "five classes": 3, "values": 250.0}[kind]
        found = self.answers(problem, self.fit(problem, rows.observed(labels=labels)), unseen.features)
        _assert_valid(found[None], problem, 1, 40)
        if problem.task == "classification":
            assert (found.argmax(axis=1) == labels[0]).all(), "another class than the only one there is"
        elif problem.task == "regression":
            assert np.abs(found - 250.0).max() < 2.5, f"all labels are 250, answers {found.min():g} to {found.max():g}"
        else:
            measured = [output for output in range(problem.n_outputs) if output != 7]
            assert (found[:, measured] > 0.5).all(), "all measured entries are 1, and some are predicted 0"

    @pytest.mark.parametrize("blocks", [(BITS,), USUAL], ids="+".join)
    @every_kind
    def test_few_rows_are_enough(self, kind: str, blocks: tuple[str, ...]) -> None:
        """A first batch may be of one compound, and have no bit twice."""
        problem, unseen = self.problem(kind, blocks), self.rows(kind, 20, seed=3, blocks=blocks)
        for n in (1, 2, 3, 9):
            fitted = self.fit(problem, self.rows(kind, n, blocks=blocks).observed())
            _assert_valid(self.answers(problem, fitted, unseen.features)[None], problem, 1, 20)

    @pytest.mark.parametrize(("scale", "offset"), [(1e-6, 0.0), (1.0, -1e5), (1e4, 0.0)])
    def test_values_are_learnt_in_any_unit(self, scale: float, offset: float) -> None:
        """Far from zero, all tiny, or all large: answers are in the unit of the label."""
        problem, rows, unseen = self.problem("values"), self.rows("values"), self.rows("values", 300, seed=3)
        labels = rows.labels * scale + offset
        found = self.answers(problem, self.fit(problem, rows.observed(labels=labels)), unseen.features)
        loss, constant = _losses("values", found, unseen.labels * scale + offset, labels)
        assert loss < CLEARLY_BETTER * constant, f"the loss is {loss:.3g}; a constant answer has {constant:.3g}"

    def test_many_rows_are_learnt(self) -> None:
        """`many_rows` of them."""
        kind = next(kind for kind, (task, _) in KINDS.items() if task in self.model.tasks)
        problem, rows, unseen = self.problem(kind), self.rows(kind, self.many_rows), self.rows(kind, 500, seed=3)
        found = self.answers(problem, self.fit(problem, rows.observed()), unseen.features)
        loss, constant = _losses(kind, found, unseen.labels, rows.labels)
        assert loss < CLEARLY_BETTER * constant, f"the loss is {loss:.3g}; a constant answer has {constant:.3g}"

    @pytest.mark.parametrize("blocks", [(BITS,), (VALUES,), (PIXELS,), (BITS, VALUES), (PIXELS, VALUES)], ids="+".join)
    def test_any_blocks_are_taken(self, blocks: tuple[str, ...]) -> None:
        """On-bits, values standardised or not, alone and together: `model.blocks` may leave any of them out."""
        kind = next(kind for kind, (task, _) in KINDS.items() if task in self.model.tasks)
        problem, rows = self.problem(kind, blocks), self.rows(kind, blocks=blocks)
        unseen = self.rows(kind, 300, seed=3, blocks=blocks)
        found = self.answers(problem, self.fit(problem, rows.observed()), unseen.features)
        _assert_valid(found[None], problem, 1, 300)
        loss, constant = _losses(kind, found, unseen.labels, rows.labels)
        assert loss < constant, f"the loss is {loss:.3g}; a constant answer has {constant:.3g}"

    @every_kind
    def test_missing_values_are_answered(self, kind: str) -> None:
        """One here and there, a whole row, a whole column, a whole block; measured, or only predicted."""
        problem, rows, unseen = self.problem(kind), self.rows(kind, 200), self.rows(kind, 40, seed=3)
        gone = with_blocks(unseen.features, **{VALUES: _without_values(unseen.features)})
        few = np.array(cast(Dense, unseen.features[VALUES]).values)
        few[:5], few[:, 1] = np.nan, np.nan
        fitted = self.fit(problem, rows.observed())
        for features in (gone, with_blocks(unseen.features, **{VALUES: Dense(few)})):
            _assert_valid(self.answers(problem, fitted, features)[None], problem, 1, 40)
        nothing = Rows(with_blocks(rows.features, **{VALUES: _without_values(rows.features)}), rows.labels)
        fitted = self.fit(problem, nothing.observed())
        for features in (gone, unseen.features):
            _assert_valid(self.answers(problem, fitted, features)[None], problem, 1, 40)

    @every_kind
    def test_bits_that_no_measured_row_has_are_answered(self, kind: str) -> None:
        """Bits that occur in rows to be predicted only, all bits at once, and none."""
        problem, rows, unseen = self.problem(kind), self.rows(kind, 200), self.rows(kind, 40, seed=3)
        matrix = np.zeros((40, WIDTH), bool)
        matrix[:20, list(UNSEEN_BITS)] = True
        matrix[20:30] = True
        fitted = self.fit(problem, rows.observed())
        features = with_blocks(unseen.features, **{BITS: bits_of(matrix)})
        _assert_valid(self.answers(problem, fitted, features)[None], problem, 1, 40)
        for blocks in (USUAL, (BITS,)):
            problem, rows, unseen = (
                self.problem(kind, blocks),
                self.rows(kind, 200, blocks=blocks),
                self.rows(kind, 40, seed=3, blocks=blocks),
            )
            bare = Rows(with_blocks(rows.features, **{BITS: bits_of(np.zeros((200, WIDTH), bool))}), rows.labels)
            fitted = self.fit(problem, bare.observed())
            features = with_blocks(unseen.features, **{BITS: bits_of(matrix)})
            _assert_valid(self.answers(problem, fitted, features)[None], problem, 1, 40)

    @every_kind
    def test_a_validation_set_of_its_own_is_taken(self, kind: str) -> None:
        """Used or not, it is no error."""
        problem, rows, other = self.problem(kind), self.rows(kind, 200), self.rows(kind, 50, seed=2)
        external = other.observed()
        fitted = self.fit(problem, rows.observed(external=(external.features, external.labels)))
        _assert_valid(self.answers(problem, fitted, other.features)[None], problem, 1, 50)

    @every_kind
    def test_what_it_is_given_stays_as_it_is(self, kind: str) -> None:
        """Features and labels belong to others, and are read-only most often."""
        problem, rows, unseen = self.problem(kind), self.rows(kind, 200), self.rows(kind, 100, seed=3)
        rows.labels.setflags(write=False)
        data = rows.observed()
        before = _copies(*data.features.parts, unseen.features), data.rows.copy(), data.labels.copy()
        fitted = self.fit(problem, data)
        self.answers(problem, fitted, unseen.features)
        after = _copies(*data.features.parts, unseen.features), data.rows, data.labels
        for old, new in zip((*before[0], *before[1:]), (*after[0], *after[1:]), strict=True):
            same = (old == new) | (old != old) if old.dtype != object else old == new
            assert bool(np.all(same)), "the fit or the prediction wrote into the arrays that it was given"

    # --- a campaign -------------------------------------------------------------------------------------------------

    def test_killed_and_resumed_it_selects_the_same(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A small campaign, cut off at several steps and opened anew, releases the batches of one that was not."""
        from isd_ray.config import model as families

        monkeypatch.setitem(cast(dict[str, Any], families.BUILT_IN_FAMILIES), TRIED, self.model)
        kind = next(kind for kind, (task, _) in KINDS.items() if task in self.model.tasks)
        config = small_campaign(kind, self.campaign_tables(), tmp_path)
        undisturbed = run_small(config, tmp_path / "undisturbed")
        for point in ((1, "score"), (1, "release"), (2, "score"), (2, "measure")):
            killed(config, tmp_path / "killed", point)
        same_campaign(run_small(config, tmp_path / "killed"), undisturbed)


def _draw_from_global_generators() -> None:
    random.random()
    np.random.random()  # noqa: NPY002 - that a fit does not read it is the claim


def _refuse_pickle(*_: object, **__: object) -> None:
    raise AssertionError("a member is opened by unpickling something, which may run any code: store arrays")


def _assert_same_weights(found: Mapping[str, NDArray[Any]], expected: Mapping[str, NDArray[Any]], what: str) -> None:
    assert sorted(found) == sorted(expected), f"{what}: the arrays are {sorted(found)}, they were {sorted(expected)}"
    for name, array in expected.items():
        other = np.asarray(found[name])
        kind, wanted = (other.dtype, other.shape), (array.dtype, array.shape)
        assert kind == wanted, f"{what}: the array {name!r} is {kind}, it was {wanted}"
        same = np.ascontiguousarray(other).tobytes() == np.ascontiguousarray(array).tobytes()
        assert same, f"{what}: the array {name!r} differs"


def _assert_arrays(weights: Weights) -> None:
    for name, array in weights.items():
        assert isinstance(name, str), f"{name!r} is no name of an array"
        assert isinstance(array, np.ndarray), f"the weight {name!r} is a {type(array).__name__}, no numpy array"
        assert array.dtype.kind in "biuf", f"the array {name!r} is of {array.dtype}, which the store does not know"
        assert not _is_pickle(array), f"the array {name!r} is a pickle: opening it may run any code"


def _is_pickle(array: NDArray[Any]) -> bool:
    data = np.ascontiguousarray(array).tobytes()
    if array.dtype.itemsize != 1 or not data:
        return False
    if b".pkl" in data[:4096]:  # an archive of torch.save
        return True
    if data[:1] != b"\x80":  # protocol 2 and later
        return False
    try:
        return sum(1 for _ in pickletools.genops(data)) > 1
    except ValueError:
        return False


def _assert_valid(outputs: NDArray[Any], problem: Problem, n_members: int, n_rows: int) -> None:
    shape = (n_members, n_rows) if problem.task == "regression" else (n_members, n_rows, problem.n_outputs)
    assert isinstance(outputs, np.ndarray), f"answers are a {type(outputs).__name__}, no numpy array"
    assert outputs.shape == shape, f"answers have shape {outputs.shape} in the place of {shape}"
    assert outputs.dtype == np.float32, f"answers are {outputs.dtype}, no float32"
    assert np.isfinite(outputs).all(), f"{int((~np.isfinite(outputs)).sum())} of {outputs.size} answers are not finite"
    if problem.task == "regression":
        return
    lowest, highest = float(outputs.min()), float(outputs.max())
    assert 0.0 <= lowest <= highest <= 1.0, f"probabilities from {lowest} to {highest}"
    if problem.task == "classification":
        off = float(np.abs(outputs.sum(axis=-1, dtype=np.float64) - 1.0).max())
        assert off < SUMS_TO_1, f"probabilities of a row sum to 1 but for {off:.2g}"


def _losses(kind: str, found: NDArray[np.float32], labels: NDArray[Any], observed: NDArray[Any]) -> tuple[float, float]:
    """Loss of answers, and of the best constant that the observed labels give: log loss, or squared error."""
    if KINDS[kind][0] == "regression":
        return float(((found - labels) ** 2).mean()), float(((observed.mean() - labels) ** 2).mean())
    if KINDS[kind][0] == "classification":
        shares = np.bincount(observed, minlength=KINDS[kind][1]) / len(observed)
        both = np.take_along_axis(found, labels[:, None], axis=1)[:, 0], shares[labels]
    else:
        entries, seen = learnable(kind, labels), learnable(kind, observed)
        shares = (seen == 1).sum(axis=0) / np.maximum(1, (seen >= 0).sum(axis=0))
        both = (
            np.where(entries == 1, found, 1 - found)[entries >= 0],
            np.where(entries == 1, shares, 1 - shares)[entries >= 0],
        )
    loss, constant = (-np.log(np.clip(part.astype(np.float64), _LEAST, 1.0)).mean() for part in both)
    return float(loss), float(constant)


def _without_values(features: FeatureBlocks) -> Dense:
    return Dense(np.full_like(np.asarray(cast(Dense, features[VALUES]).values), np.nan))


def _joined(first: Rows, second: Rows) -> Rows:
    from isd_ray.core.features import concatenate

    features = read_only(concatenate([first.features, second.features]))
    return Rows(features, np.concatenate([first.labels, second.labels]))


def _copies(*parts: FeatureBlocks) -> list[NDArray[Any]]:
    return [np.array(array) for part in parts for block in part.blocks.values() for array in arrays_of(block)]
