"""What every family of models must do, as tests to inherit: see `ModelConformance`."""

from __future__ import annotations

import importlib.util
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import pytest
from pydantic import ValidationError

from isd_ray.config import FamilyConfig, Task
from isd_ray.models.committee import committee_hash, member_bytes, member_from_bytes
from isd_ray.models.device import Placement
from isd_ray.storage.addresses import working_folder
from isd_ray.testing.campaigns import TRIED, killed, run_small, same_campaign, small_campaign
from isd_ray.testing.model_checks import (
    assert_same_weights,
    assert_valid,
    draw_from_global_generators,
    losses_of,
    refuse_pickle,
)
from isd_ray.testing.model_data import ObservedConformance
from isd_ray.testing.model_trial import CLEARLY_BETTER, SEED, SPLIT_SEED, every_kind
from isd_ray.testing.problems import KINDS, SMILES

_CHILD_TIMEOUT_S = 300


class ModelConformance(ObservedConformance):
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
        draw_from_global_generators()
        model.fit(others.observed(), seed=SEED + 1, split_seed=SPLIT_SEED, placement=Placement())
        again = model.fit(rows.observed(), **seeds, placement=Placement())
        assert_same_weights(again.weights, first.weights, "fitted twice by one model")
        anew = self.fit(problem, rows.observed())
        assert_same_weights(anew.weights, first.weights, "fitted by two models")

    @pytest.mark.parametrize("kind", ["five classes", "values", "panel"])
    def test_two_threads_repeat_each_other_and_agree_with_one(self, kind: str) -> None:
        """The same arrays for the same number of threads, the same answers for another."""
        problem, rows, unseen = self.problem(kind), self.rows(kind, 120), self.rows(kind, 200, seed=3)
        one, two, again = (self.fit(problem, rows.observed(), threads=threads) for threads in (1, 2, 2))
        assert_same_weights(again.weights, two.weights, "fitted twice with two threads")
        found, expected = (self.answers(problem, fitted, unseen.features) for fitted in (two, one))
        self.assert_equal(found, expected, rows.labels, self.thread_tolerance, "two threads in the place of one")

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
            "from isd_ray.models.blas import one_blas_thread\n"
            "from isd_ray.models.device import Placement, configure_threads\n"
            "module, name, config, problem, observed, seeds = pickle.load(sys.stdin.buffer)\n"
            "model = importlib.import_module(module)\n"
            "for part in name.split('.'):\n"
            "    model = getattr(model, part)\n"
            "configure_threads(1)\n"
            "with one_blas_thread:\n"
            "    fitted = model(config, problem).fit(observed, **seeds, placement=Placement(threads=1))\n"
            "print(committee_hash([fitted.weights]))\n"
        )
        seeds = {"seed": SEED, "split_seed": SPLIT_SEED}
        given = pickle.dumps((module, name, self.make_config(), problem, rows.observed(), seeds))
        paths = os.pathsep.join(path or str(working_folder()) for path in sys.path)
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
        assert_valid(both, problem, 2, len(unseen.labels))
        for place, member in enumerate(members):
            alone = self.open(problem, member).outputs(unseen.features)
            message = f"member {place} answers otherwise beside another"
            self.assert_equal(both[place], alone[0], rows.labels, self.tolerance, message)

    @every_kind
    def test_a_rule_is_learnt(self, kind: str) -> None:
        """Rows that were not measured are predicted clearly better than by a constant, in the unit of the label."""
        problem, rows, unseen = self.problem(kind), self.rows(kind), self.rows(kind, 300, seed=3)
        found = self.answers(problem, self.fit(problem, rows.observed()), unseen.features)
        loss, constant = losses_of(kind, found, unseen.labels, rows.labels)
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
                self.assert_equal(found, whole[:, piece], rows.labels, self.tolerance, f"rows {what}")

    @every_kind
    def test_stochastic_answers_follow_from_their_seed(self, kind: str) -> None:
        """Where the family has any: n of each member, valid as the others."""
        problem, rows, unseen = self.problem(kind), self.rows(kind), self.rows(kind, 60, seed=3)
        members = [self.fit(problem, rows.observed(), seed).weights for seed in (SEED, SEED + 1)]
        predictor = self.open(problem, *members)
        found = predictor.samples(unseen.features, 3, 5)
        if found is None:
            return
        assert_valid(found, problem, 6, len(unseen.labels))
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
        expected = self.open(problem, weights).outputs(unseen.features)
        back = member_from_bytes(member_bytes(weights))
        assert_same_weights(back, weights, "read back from the store")
        for name in ("load", "loads", "Unpickler"):
            monkeypatch.setattr(pickle, name, refuse_pickle)
        before = committee_hash([back])
        found = self.open(problem, back).outputs(unseen.features)
        assert np.array_equal(found, expected), "a member that was stored answers otherwise"
        assert committee_hash([back]) == before, "predicting changes the weights"

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
