"""A screen leaves its results before random selection is compared with it, which goes on where it was cut off."""

from __future__ import annotations

import json

import pytest

from isd_ray.campaign.watcher import Watcher
from isd_ray.ops.simulate import simulate
from isd_ray.report.record import BASELINE

SETTINGS = {"stopping": {"max_fraction": 0.4}, "simulation": {"random_baseline": True, "baseline_fraction": 0.3}}


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
