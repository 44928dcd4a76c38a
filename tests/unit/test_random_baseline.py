"""A screen leaves its results before random selection is compared with it, which goes on where it was cut off."""

from __future__ import annotations

import json

import pytest

from isd_ray.campaign.watcher import Watcher
from isd_ray.ops.simulate import random_screen, simulate
from isd_ray.report.record import BASELINE

SETTINGS = {"stopping": {"max_fraction": 0.4}, "simulation": {"random_baseline": True, "baseline_fraction": 0.3}}


@pytest.mark.parametrize(
    "changes",
    [
        {"stopping": {"rule": "certify", "portions": 3}},
        {"stopping": {"max_cost": 50.0, "cost_per_compound": 1.0}},
        {"stopping": {"rule": "reserved", "reserve_size": 50, "max_rounds": 9}},
        {"stopping": {"any_of": [{"compounds": 90}, {"rule": True}]}},
        {"stopping": {"rule": "none", "reserve_audit": True, "continue_after_stop": True}},
        {"acquisition": {"batch_size": 10, "growth": 2.0, "initial_size": 50, "random_share": 0.5}},
        {"acquisition": {"batch_size": 10, "pick": "diverse"}, "stopping": {"rule": "certify"}},
    ],
)
def test_random_selection_has_nothing_of_how_the_screen_selects_and_ends(make_config, changes):
    assert random_screen(make_config(**changes), 900) == random_screen(make_config(), 900)


def test_random_selection_has_the_compounds_of_the_screen_and_what_is_right(make_config):
    config = make_config(acquisition={"stock_column": "size", "min_stock": 2.0}, stopping={"positive": "BBB+"})
    found = random_screen(config, 900)
    assert (found.acquisition.stock_column, found.acquisition.min_stock) == ("size", 2.0)
    assert (found.acquisition.function, found.acquisition.batch_size) == ("random", 90)
    assert (found.stopping.rule, found.stopping.positive) == ("none", "BBB+")


def test_a_screen_whose_audit_has_portions_is_compared_with_random_selection(make_config, tmp_path):
    stopping = {"rule": "certify", "portions": 2, "gamma": 0.6, "max_fraction": 0.5}
    config = make_config(stopping=stopping, simulation={"random_baseline": True, "baseline_fraction": 0.5})
    assert simulate(config, tmp_path).summary["random_baseline"]["fraction_at_equal_accuracy"] > 0


class Killed(BaseException):
    pass


class KilledInTheBaseline(Watcher):
    def step(self, name, progress):
        if name == BASELINE and progress.round == 1:
            raise Killed


def test_killed_in_the_comparison_a_screen_has_its_results_and_goes_on_with_it(make_config, tmp_path):
    config = make_config(**SETTINGS)
    whole = simulate(config, tmp_path / "whole").summary
    with pytest.raises(Killed):
        simulate(config, tmp_path / "run", KilledInTheBaseline())
    left = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert "random_baseline" not in left
    assert {"report.html", "model_card.md", "hybrid"} <= {path.name for path in (tmp_path / "run").iterdir()}

    resumed = simulate(config, tmp_path / "run").summary
    assert resumed["random_baseline"] == whole["random_baseline"]
    assert json.loads((tmp_path / "run" / "summary.json").read_text()) == {
        **left,
        "random_baseline": whole["random_baseline"],
    }
    assert "random" in (tmp_path / "run" / "report.html").read_text()
    file = tmp_path / "run" / "summary.json"
    written = file.stat().st_mtime_ns
    assert simulate(config, tmp_path / "run").summary == resumed
    assert file.stat().st_mtime_ns == written
