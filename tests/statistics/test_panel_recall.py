"""The recall of hits of panels: exact enumeration of audits over all outputs and of each, with mutants."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from isd_ray.core.goals import HITS, OTHERS, OutputGoal, OutputRecalls, PanelRecall, ScreenCounts
from isd_ray.core.goals.recall import recall_allowance
from isd_ray.core.look_evidence import Audit
from isd_ray.core.looks import LookPlan
from isd_ray.core.panels import LOST, RIGHT, WRONG, pack_labels
from isd_ray.core.stopping import decide_look

N, M, FOUND, LEVEL, DELTA = 12, 6, 9, 0.8, 0.3
GOAL = PanelRecall(LEVEL, n_outputs=2)


def plan(**changes) -> LookPlan:
    asked = {"number": 1, "delta": DELTA, "size": M, "n_inference": N, "allowed": 0.0, "finish": "none", "reach": 0}
    return LookPlan(**{**asked, **changes})


# --- each output ----------------------------------------------------------------------------------------------------


def false_stops_of_an_output(goal: OutputRecalls, missed: int, lost: int, unread: int = 0) -> float:
    """Probability that a look passes although the recall is below the level.

    Parameters
    ----------
    missed:
        Hits among the N audited compounds.
    lost:
        How many of them would give no readout.
    unread:
        Hits among predicted hits of another output, of which the wells gave no readout.
    """
    [declared] = goal.settle(goal.with_unread([plan(output=0)], np.zeros((unread, 1), np.uint8)), [FOUND], 0)
    total = 0.0
    for read, gone in itertools.product(range(missed - lost + 1), range(lost + 1)):
        right = M - read - gone
        if not 0 <= right <= N - missed:
            continue
        outcomes = np.repeat(np.array([RIGHT, WRONG, LOST], np.int8), (right, read, gone))[:, None]
        audit = Audit(np.empty(0, np.int64), np.zeros(M), np.ones(M, np.bool_), outcomes)
        stops = goal.decide([declared], audit, [FOUND]).action == "stop"
        is_false = missed - read + unread > recall_allowance(FOUND + read, LEVEL)
        ways = math.comb(missed - lost, read) * math.comb(lost, gone) * math.comb(N - missed, right)
        total += (stops and is_false) * ways / math.comb(N, M)
    return total


def worst(goal: OutputRecalls) -> float:
    cases = [(missed, lost) for missed in range(N + 1) for lost in range(missed + 1)]
    return max(false_stops_of_an_output(goal, *case) for case in cases)


ONE = OutputRecalls(LEVEL, 1, None, (OutputGoal("a", LEVEL, 1.0),))


def test_an_output_passes_falsely_with_probability_at_most_its_risk():
    assert 0.2 * DELTA < worst(ONE) <= DELTA


def test_an_output_whose_lost_entries_are_credited_fails_the_same_check(monkeypatch):
    monkeypatch.setattr("isd_ray.core.goals.output_recalls.n_wrong", lambda column: int((column > RIGHT).sum()))
    assert worst(ONE) > DELTA


def test_an_output_whose_lost_entries_are_right_fails_the_same_check(monkeypatch):
    monkeypatch.setattr("isd_ray.core.goals.output_recalls.n_bad", lambda column: int((column == WRONG).sum()))
    assert worst(ONE) > DELTA


def test_hits_of_an_output_may_hide_among_unread_hits_of_another(monkeypatch):
    shares = [false_stops_of_an_output(ONE, missed, 0, unread) for missed in range(N + 1) for unread in (1, 2, 3)]
    assert 0.0 < max(shares) <= DELTA
    monkeypatch.setattr(OutputRecalls, "with_unread", lambda goal, plans, prediction: tuple(plans))
    assert max(false_stops_of_an_output(ONE, missed, 0, 2) for missed in range(N + 1)) > DELTA, "mutant"


def test_unread_hits_are_counted_for_the_outputs_that_they_are_not_predicted_to_be_hits_of():
    predicted = np.array([[0b10000000], [0b10000000], [0b11000000]], np.uint8)
    [over_all] = GOAL.settle(GOAL.with_unread([plan()], predicted), [40], 0)
    assert (over_all.n_unread, over_all.allowed) == (2, (10 - 2) / 2)
    goal = OutputRecalls(LEVEL, 2, None, (OutputGoal("a", LEVEL, 0.5), OutputGoal("b", LEVEL, 0.5)))
    both = goal.settle(goal.with_unread([plan(output=0), plan(output=1)], predicted), [40, 40], 0)
    assert [(one.n_unread, one.allowed) for one in both] == [(0, 10), (2, 8)]
    clean = np.zeros(M, np.int8)
    assert goal.bound(both[1], clean, [40, 40]) < goal.bound(replace(both[1], n_unread=0), clean, [40, 40])


def test_the_bound_of_an_output_is_above_its_recall_with_probability_at_most_its_risk():
    declared, above = plan(output=0), 0.0
    for missed in range(N + 1):
        false = 0.0
        for read in range(max(0, M - (N - missed)), min(M, missed) + 1):
            outcomes = np.repeat(np.array([RIGHT, WRONG], np.int8), (M - read, read))
            recall = (FOUND + read) / (FOUND + missed)
            ways = math.comb(missed, read) * math.comb(N - missed, M - read) / math.comb(N, M)
            false += (ONE.bound(declared, outcomes, [FOUND]) > recall + 1e-12) * ways
        above = max(above, false)
    assert 0.2 * DELTA < above <= DELTA


def test_every_output_has_to_pass():
    goal = OutputRecalls(LEVEL, 2, None, (OutputGoal("a", LEVEL, 0.5), OutputGoal("b", LEVEL, 0.5)))
    clean, bad = np.zeros(M, np.int8), np.full(M, WRONG, np.int8)
    plans = goal.settle([plan(output=place, delta=0.45) for place in (0, 1)], [200, 200], 0)
    assert [declared.allowed for declared in plans] == [50, 50]

    def action(*columns):
        audit = Audit(np.empty(0, np.int64), np.zeros(M), np.ones(M, np.bool_), np.stack(columns, axis=1))
        return goal.decide(plans, audit, [200, 1]).action

    assert action(clean, np.zeros(M, np.int8)) == "continue", "one hit found allows none to be missed"
    assert action(bad, clean) == "continue"
    assert goal.decide(plans, Audit(np.empty(0, np.int64), np.zeros(M), np.ones(M, np.bool_),
                       np.stack([clean, clean], axis=1)), [200, 200]).bounds is not None  # fmt: skip


# --- over all outputs -----------------------------------------------------------------------------------------------


def false_stops_over_all(rows: tuple[tuple[int, bool], ...], n_found: int, kept) -> float:
    """The same over all orders of drawing, for compounds with 0 to 2 hits whose wells may fail."""
    [declared] = GOAL.settle([plan(size=4, expected_loss=(0.05, 0.05), credit=True, n_inference=6)], [n_found], 0)
    false = total = 0
    for drawn in itertools.permutations(range(len(rows)), 4):
        hits = np.array([rows[row][0] for row in drawn])
        gone = np.array([rows[row][1] for row in drawn])
        losses = np.where(gone, 1.0, hits / 2)
        audit = Audit(np.arange(4), losses, ~gone, lost=kept(gone))
        stops = decide_look((declared,), (audit,), GOAL, (n_found,), 0).action == "stop"
        read = int(hits[~gone].sum())
        left = sum(n for n, _ in rows) - read
        false += stops and left > recall_allowance(n_found + read, LEVEL)
        total += 1
    return false / total


ROWS = [
    tuple(rows) for rows in itertools.combinations_with_replacement(((0, False), (1, False), (2, False), (2, True)), 6)
]


def test_the_recall_over_all_outputs_passes_falsely_with_probability_at_most_the_risk():
    found = [false_stops_over_all(rows, n, lambda gone: gone.astype(float)) for rows in ROWS[::2] for n in (8, 16)]
    assert 0.0 < max(found) <= DELTA


def test_a_recall_whose_lost_wells_are_credited_fails_the_same_check():
    found = [false_stops_over_all(rows, 16, lambda gone: np.zeros(len(gone))) for rows in ROWS]
    assert max(found) > DELTA


# --- what counts ----------------------------------------------------------------------------------------------------


def test_losses_of_the_others_are_missed_hits_and_of_predicted_hits_what_was_no_hit():
    goal = PanelRecall(0.8, n_outputs=4, n_expected=None)
    labels = pack_labels(np.array([[1, 0, -1, 1], [0, 0, 0, 0], [1, 1, 0, 0], [-1, -1, -1, -1]]))
    predicted = np.array([[0], [0], [0b10000000], [0]], np.uint8)
    assert goal.groups(predicted).tolist() == [OTHERS, OTHERS, HITS, OTHERS]
    assert goal.losses(predicted, labels).tolist() == [0.5, 0.0, 0.5, 1.0]
    assert goal.kept(labels).tolist() == [0.0, 0.0, 0.0, 1.0]
    assert goal.count_hits(labels) == (4,)
    in_laboratory = PanelRecall(0.8, n_outputs=4, n_expected=4)
    assert in_laboratory.losses(predicted, labels).tolist() == [0.75, 0.0, 0.5, 1.0]
    assert in_laboratory.kept(labels).tolist() == [0.25, 0.0, 0.0, 1.0]
    assert goal.losses(np.full(4, np.nan), labels).tolist() == [1.0] * 4


def test_the_value_of_a_screen_is_its_recall():
    goal, counts = PanelRecall(0.8, n_outputs=4), ScreenCounts(100, 10, 30, (50, 10), hits=(10,))
    # 10 found, 6 among the predicted hits, 4 missed.
    losses = (1.0, 10 - 6 / 4)
    assert goal.value(counts, losses) == pytest.approx(16 / 20)
    assert goal.is_met(counts, losses)
    assert not goal.is_met(counts, (1.25, losses[1]))


def test_tallies_of_each_output_are_its_missed_and_all_its_hits():
    claims = (OutputGoal("a", 0.5, 0.5), OutputGoal("b", 0.5, 0.5))
    goal = OutputRecalls(0.5, 2, None, claims)
    labels = pack_labels(np.array([[1, 0], [1, 1], [0, 1], [-1, 1]]))
    predicted = np.array([[0], [0b01000000], [0], [0]], np.uint8)
    missed, hits = goal.tally(predicted, labels)
    assert (missed.tolist(), hits.tolist()) == ([1, 2], [2, 3])
    counts = ScreenCounts(10, 5, 1, (3, 1), measured=(6, 6), hits=(3, 2))
    assert goal.values(counts, missed, hits) == (4 / 5, 3 / 5)
    assert goal.are_met(counts, [1, 2], [2, 3])
    assert not goal.are_met(counts, [1, 3], [2, 3])
    assert goal.count_hits(labels) == (2, 3)
