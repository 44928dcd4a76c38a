"""What each goal would cost: by simulations of a past screen, or by the first rounds of one under way."""

from __future__ import annotations

import json
from statistics import median

import pytest
from typer.testing import CliRunner

from isd_ray.campaign.watcher import Watcher
from isd_ray.cli import app
from isd_ray.core.replay import LearningCurve, Replayed
from isd_ray.errors import ConfigError
from isd_ray.ops import advise as module
from isd_ray.ops.advise import advise
from isd_ray.ops.advise_rounds import _cost
from isd_ray.ops.curves import carried_on
from isd_ray.ops.goal_costs import GoalCost
from isd_ray.ops.simulate import simulate
from tests.unit.test_stop_by_hand import FAST, CutOff, CutOffError, under_way

__all__ = ["under_way"]


class Shown(Watcher):
    """What is told."""

    def __init__(self):
        self.lines, self.levels, self.stepped = [], {}, set()

    def message(self, text):
        self.lines.append(text)

    def begins(self, name, stopping, task):
        self.levels[name] = stopping.gamma

    def step(self, name, progress):
        self.stepped.add(name)


def test_a_curve_goes_on_as_a_power_and_never_upwards():
    falling = LearningCurve("a", (0.1, 0.2), (0.4, 0.2))
    assert carried_on(falling).rate(0.4) == pytest.approx(0.1, rel=0.02)
    assert falling.rate(0.4) == 0.2
    assert carried_on(LearningCurve("b", (0.1, 0.2), (0.2, 0.4))).rate(0.8) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("wells", "n_ended", "verdict"),
    [
        ((300, 500), 10, "50% to 70% saved"),
        ((900, 950), 10, "next to nothing is saved: 90% or more"),
        ((300, 500), 6, "uncertain: from 70% saved to nothing"),
        ((300, 900), 10, "uncertain: from 70% saved to nothing"),
        (None, 0, "nothing is saved: all is measured"),
    ],
)
def test_a_verdict_says_what_is_saved(wells, n_ended, verdict):
    cost = GoalCost("accuracy", 0.9, wells, None, 1000, 10, n_ended)
    assert cost.verdict.startswith(verdict)


def test_what_is_measured_cannot_be_taken_back_and_what_ended_without_an_audit_does_not_count():
    made = _cost("recall", 0.8, [Replayed(3, 100, 10), Replayed(9, 500, 40), Replayed(9, 900, 0), None], 900, 300, 5)
    assert (made.wells, made.trips, made.n_ended, made.n_tried) == ((300, 500), (5, 9), 2, 4)


def test_a_past_screen_is_simulated_for_each_goal_and_seed(make_config, tmp_path, monkeypatch):
    monkeypatch.setattr(
        module, "LEVELS", {"accuracy": (0.6, 0.7), "recall": (0.6,), "precision": (), "balanced_accuracy": ()}
    )
    config = make_config(**FAST, stopping={"rule": "certify", "gamma": 0.75, "positive": "BBB-", "max_compounds": 100})
    shown = Shown()
    made = advise(config, seeds=2, out=tmp_path, watcher=shown)
    assert [(goal.quantity, goal.level) for goal in made.goals] == [
        ("accuracy", 0.6),
        ("accuracy", 0.7),
        ("accuracy", 0.75),
        ("recall", 0.6),
    ]
    assert made.goals[0].n_tried == 1  # it needs no model
    assert made.goals[0].verdict.startswith("worth nothing: one answer for every compound has 0.6")
    assert [line for line in shown.lines if line.startswith("goal ")] == [
        f"goal {number} of 4: {name}, 2 simulations"
        for number, name in enumerate(("accuracy 0.6", "accuracy 0.7", "accuracy 0.75", "recall of hits 0.6"), 1)
    ]
    assert shown.levels["accuracy 0.75, 2 of 2"] == 0.75
    assert {"accuracy 0.6, 1 of 2", "accuracy 0.7, 1 of 2", "accuracy 0.7, 2 of 2"} < shown.stepped
    assert "accuracy 0.6, 2 of 2" not in shown.levels
    first = [json.loads((tmp_path / f"accuracy-0.7-seed-{seed}" / "summary.json").read_text()) for seed in range(2)]
    found = sorted(summary["n_acquired"] for summary in first)
    assert made.goals[1].wells == (found[0], found[1])
    assert all(summary["certified"] for summary in first)
    assert "2 simulations of this very screen" in made.interval
    assert advise(config, seeds=2, out=tmp_path) == made  # nothing is simulated again


def test_without_a_class_of_hits_goals_about_them_are_left_out_and_that_is_said(make_config):
    config = make_config(**FAST, stopping={"rule": "certify", "gamma": 0.7})
    positive, notes = module._hit(config)
    assert positive is None
    assert "no goals about hits" in notes[0]
    assert {quantity for quantity, _ in module._goals(config, positive)} == {"accuracy"}


def test_no_recall_over_all_outputs_is_tried_of_a_panel_with_numbers(make_config, numbers, panel):
    """A number is no hit, and such a campaign is refused."""
    assert {quantity for quantity, _ in module._goals(make_config(**numbers), None)} == {"accuracy"}
    assert {quantity for quantity, _ in module._goals(make_config(**panel), None)} == {"accuracy", "recall"}


def test_the_first_rounds_bound_what_the_whole_screen_takes(make_config, tmp_path):
    """The middle one of three screens: of a single one, the luck of a forecast may bring the look batches before."""
    least, taken, most = [], [], []
    for seed in range(3):
        path = tmp_path / f"run{seed}"
        config = make_config(**FAST, seed=seed, stopping={"rule": "certify", "gamma": 0.9})
        with pytest.raises(CutOffError):
            simulate(config, path, CutOff(4))
        made = advise(path)
        own = next(goal for goal in made.goals if goal.level == 0.9)
        assert own.wells is not None
        least.append(own.wells[0])
        taken.append(simulate(config, path).summary["n_acquired"])
        most.append(own.wells[1] if own.n_ended == own.n_tried else 900)
        ascending = [goal.wells[0] if goal.wells else 900 for goal in made.goals]
        assert ascending == sorted(ascending)
        assert "no probability" in made.interval
    assert median(least) <= median(taken) <= median(most)


def test_the_first_rounds_of_a_recall_speak_of_recalls(make_config, tmp_path):
    stopping = {"rule": "certify", "quantity": "recall", "positive": "BBB-", "gamma": 0.9}
    config = make_config(**FAST, stopping=stopping)
    with pytest.raises(CutOffError):
        simulate(config, tmp_path / "run", CutOff(5))
    made = advise(tmp_path / "run")
    least = [goal.wells[0] if goal.wells else 900 for goal in made.goals]
    assert least == sorted(least)
    assert made.goals[0].trips[0] >= 5
    assert {goal.quantity for goal in made.goals} == {"recall"}
    assert [goal.level for goal in made.goals] == [0.8, 0.9, 0.95]
    shown = CliRunner().invoke(app, ["advise", str(tmp_path / "run")], catch_exceptions=False)
    assert "recall" in shown.output
    assert "saved" in shown.output


def test_too_few_rounds_and_other_claims_are_refused(make_config, tmp_path):
    with pytest.raises(CutOffError):
        simulate(make_config(**FAST, stopping={"rule": "certify", "gamma": 0.9}), tmp_path / "new", CutOff(1))
    with pytest.raises(ConfigError, match="too few of its rounds"):
        advise(tmp_path / "new")
    with pytest.raises(CutOffError):
        simulate(make_config(**FAST, stopping={"rule": "none"}), tmp_path / "none", CutOff(1))
    with pytest.raises(ConfigError, match="accuracy and recall"):
        advise(tmp_path / "none")
