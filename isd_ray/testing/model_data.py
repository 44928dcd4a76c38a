"""Which measurements a family of models must be able to learn from; see `isd_ray.testing.models`."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest

from isd_ray.core.features import Dense
from isd_ray.testing.model_checks import assert_valid, copies_of, joined, losses_of, without_values
from isd_ray.testing.model_trial import CLEARLY_BETTER, ModelTrial, every_kind
from isd_ray.testing.problems import (
    BITS,
    KINDS,
    NEVER_MEASURED,
    PIXELS,
    UNSEEN_BITS,
    USUAL,
    VALUES,
    WIDTH,
    Rows,
    bits_of,
    with_blocks,
)


class ObservedConformance(ModelTrial):
    """What may be observed: any rows, labels and blocks. Part of `ModelConformance`."""

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
            mixed = joined(rows, self.rows(kind, 100, seed)).take(order)
            fits.append(self.fit(problem, mixed.observed(rows=places, labels=rows.labels)))
        one, two = (self.answers(problem, fitted, unseen.features) for fitted in fits)
        self.assert_equal(two, one, rows.labels, self.tolerance, "with other features of rows that were not measured")
        alone = self.answers(problem, self.fit(problem, rows.observed()), unseen.features)
        self.assert_equal(one, alone, rows.labels, self.tolerance, "with rows between that were not measured")

    @every_kind
    def test_one_class_or_one_value_is_answered(self, kind: str) -> None:
        """Where all labels are the same, so are the answers, and by right."""
        problem, rows, unseen = self.problem(kind), self.rows(kind, 60), self.rows(kind, 40, seed=3)
        labels = rows.labels.copy()
        if problem.numbers:
            labels = np.where(np.isnan(labels), np.nan, np.where(problem.numbers, 250.0, 1.0))
        elif problem.task == "panel":
            labels[:, 0] = labels[:, 1]  # every measured entry is 1
        else:
            labels[:] = {"two classes": 1, "five classes": 3, "values": 250.0}[kind]
        found = self.answers(problem, self.fit(problem, rows.observed(labels=labels)), unseen.features)
        assert_valid(found[None], problem, 1, 40)
        if problem.task == "classification":
            assert (found.argmax(axis=1) == labels[0]).all(), "another class than the only one there is"
        elif problem.task == "regression":
            assert np.abs(found - 250.0).max() < 2.5, f"all labels are 250, answers {found.min():g} to {found.max():g}"
        else:
            of_numbers = problem.numbers or (False,) * problem.n_outputs
            measured = [place for place in range(problem.n_outputs) if place != NEVER_MEASURED]
            classes, values = ([place for place in measured if of_numbers[place] is kind] for kind in (False, True))
            assert (found[:, classes] > 0.5).all(), "all measured entries are 1, and some are predicted 0"
            off = np.abs(found[:, values] - 250.0).max(initial=0.0)
            assert off < 2.5, f"all numbers are 250, and some are predicted {off:g} off"

    @pytest.mark.parametrize("blocks", [(BITS,), USUAL], ids="+".join)
    @every_kind
    def test_few_rows_are_enough(self, kind: str, blocks: tuple[str, ...]) -> None:
        """A first batch may be of one compound, and have no bit twice."""
        problem, unseen = self.problem(kind, blocks), self.rows(kind, 20, seed=3, blocks=blocks)
        for n in (1, 2, 3, 9):
            fitted = self.fit(problem, self.rows(kind, n, blocks=blocks).observed())
            assert_valid(self.answers(problem, fitted, unseen.features)[None], problem, 1, 20)

    @pytest.mark.parametrize(("scale", "offset"), [(1e-6, 0.0), (1.0, -1e5), (1e4, 0.0)])
    def test_values_are_learnt_in_any_unit(self, scale: float, offset: float) -> None:
        """Far from zero, all tiny, or all large: answers are in the unit of the label."""
        problem, rows, unseen = self.problem("values"), self.rows("values"), self.rows("values", 300, seed=3)
        labels = rows.labels * scale + offset
        found = self.answers(problem, self.fit(problem, rows.observed(labels=labels)), unseen.features)
        loss, constant = losses_of("values", found, unseen.labels * scale + offset, labels)
        assert loss < CLEARLY_BETTER * constant, f"the loss is {loss:.3g}; a constant answer has {constant:.3g}"

    def test_many_rows_are_learnt(self) -> None:
        """`many_rows` of them."""
        kind = next(kind for kind, (task, _) in KINDS.items() if task in self.model.tasks)
        problem, rows, unseen = self.problem(kind), self.rows(kind, self.many_rows), self.rows(kind, 500, seed=3)
        found = self.answers(problem, self.fit(problem, rows.observed()), unseen.features)
        loss, constant = losses_of(kind, found, unseen.labels, rows.labels)
        assert loss < CLEARLY_BETTER * constant, f"the loss is {loss:.3g}; a constant answer has {constant:.3g}"

    @pytest.mark.parametrize("blocks", [(BITS,), (VALUES,), (PIXELS,), (BITS, VALUES), (PIXELS, VALUES)], ids="+".join)
    def test_any_blocks_are_taken(self, blocks: tuple[str, ...]) -> None:
        """On-bits, values standardised or not, alone and together: `model.blocks` may leave any of them out."""
        kind = next(kind for kind, (task, _) in KINDS.items() if task in self.model.tasks)
        problem, rows = self.problem(kind, blocks), self.rows(kind, blocks=blocks)
        unseen = self.rows(kind, 300, seed=3, blocks=blocks)
        found = self.answers(problem, self.fit(problem, rows.observed()), unseen.features)
        assert_valid(found[None], problem, 1, 300)
        loss, constant = losses_of(kind, found, unseen.labels, rows.labels)
        assert loss < constant, f"the loss is {loss:.3g}; a constant answer has {constant:.3g}"

    @every_kind
    def test_missing_values_are_answered(self, kind: str) -> None:
        """One here and there, a whole row, a whole column, a whole block; measured, or only predicted."""
        problem, rows, unseen = self.problem(kind), self.rows(kind, 200), self.rows(kind, 40, seed=3)
        gone = with_blocks(unseen.features, **{VALUES: without_values(unseen.features)})
        few = np.array(cast(Dense, unseen.features[VALUES]).values)
        few[:5], few[:, 1] = np.nan, np.nan
        fitted = self.fit(problem, rows.observed())
        for features in (gone, with_blocks(unseen.features, **{VALUES: Dense(few)})):
            assert_valid(self.answers(problem, fitted, features)[None], problem, 1, 40)
        nothing = Rows(with_blocks(rows.features, **{VALUES: without_values(rows.features)}), rows.labels)
        fitted = self.fit(problem, nothing.observed())
        for features in (gone, unseen.features):
            assert_valid(self.answers(problem, fitted, features)[None], problem, 1, 40)

    @every_kind
    def test_bits_that_no_measured_row_has_are_answered(self, kind: str) -> None:
        """Bits that occur in rows to be predicted only, all bits at once, and none."""
        problem, rows, unseen = self.problem(kind), self.rows(kind, 200), self.rows(kind, 40, seed=3)
        matrix = np.zeros((40, WIDTH), bool)
        matrix[:20, list(UNSEEN_BITS)] = True
        matrix[20:30] = True
        fitted = self.fit(problem, rows.observed())
        features = with_blocks(unseen.features, **{BITS: bits_of(matrix)})
        assert_valid(self.answers(problem, fitted, features)[None], problem, 1, 40)
        for blocks in (USUAL, (BITS,)):
            problem, rows, unseen = (
                self.problem(kind, blocks),
                self.rows(kind, 200, blocks=blocks),
                self.rows(kind, 40, seed=3, blocks=blocks),
            )
            bare = Rows(with_blocks(rows.features, **{BITS: bits_of(np.zeros((200, WIDTH), bool))}), rows.labels)
            fitted = self.fit(problem, bare.observed())
            features = with_blocks(unseen.features, **{BITS: bits_of(matrix)})
            assert_valid(self.answers(problem, fitted, features)[None], problem, 1, 40)

    @every_kind
    def test_a_validation_set_of_its_own_is_taken(self, kind: str) -> None:
        """Used or not, it is no error."""
        problem, rows, other = self.problem(kind), self.rows(kind, 200), self.rows(kind, 50, seed=2)
        external = other.observed()
        fitted = self.fit(problem, rows.observed(external=(external.features, external.labels)))
        assert_valid(self.answers(problem, fitted, other.features)[None], problem, 1, 50)

    @every_kind
    def test_what_it_is_given_stays_as_it_is(self, kind: str) -> None:
        """Features and labels belong to others, and are read-only most often."""
        problem, rows, unseen = self.problem(kind), self.rows(kind, 200), self.rows(kind, 100, seed=3)
        rows.labels.setflags(write=False)
        data = rows.observed()
        before = copies_of(*data.features.parts, unseen.features), data.rows.copy(), data.labels.copy()
        fitted = self.fit(problem, data)
        self.answers(problem, fitted, unseen.features)
        after = copies_of(*data.features.parts, unseen.features), data.rows, data.labels
        for old, new in zip((*before[0], *before[1:]), (*after[0], *after[1:]), strict=True):
            same = (old == new) | (old != old) if old.dtype != object else old == new
            assert bool(np.all(same)), "the fit or the prediction wrote into the arrays that it was given"
