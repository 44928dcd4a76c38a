"""The race of the families as people see it: report, status, summary, and the warning when plain answers win."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from typer.testing import CliRunner

from isd_ray.campaign.status import status_of
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.watcher import Watcher
from isd_ray.cli import app
from isd_ray.core.race import CONSTANT, RaceBatch, lost_against
from isd_ray.ops.simulate import simulate
from isd_ray.report.blocks import Figure, Text
from isd_ray.report.record import Record
from isd_ray.report.sections.race import race
from isd_ray.report.words import race_words, status_lines, summary_lines
from tests.unit.test_report import assert_axes_have_units

FAMILIES = {"families": ["boosted", "linear", "resmlp"], "members": 1, "boosted": {"trees": 10}}
POOR = {
    **FAMILIES,
    "mixing": "equal",
    "hidden_size": 1,
    "epochs": 1,
    "boosted": {"trees": 1, "learning_rate": 0.01},
}
HITS = {"rule": "none", "quantity": "recall", "gamma": 0.8, "positive": "BBB-", "max_rounds": 4}


class Heard(Watcher):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def step(self, name, progress) -> None:
        self.warnings += progress.warnings


@pytest.fixture(scope="module")
def screen(make_config, tmp_path_factory):
    config = make_config(model=FAMILIES, stopping={"rule": "none", "max_rounds": 4})
    return simulate(config, tmp_path_factory.mktemp("race") / "run")


@pytest.fixture(scope="module")
def poor(make_config, tmp_path_factory):
    heard = Heard()
    config = make_config(model=POOR, stopping={**HITS, "rule": "certify", "max_fraction": 0.6})
    return simulate(config, tmp_path_factory.mktemp("poor") / "run", heard), heard


def section(screen):
    return race(Record.read(CampaignStore.open(screen.path), screen.summary))


def by_family(screen, round_number):
    return {line["family"]: line for line in screen.rounds["race"].to_pylist()[round_number]}


def test_the_report_shows_losses_of_every_family_and_the_constant_answer_by_round(screen):
    losses, shares = (block for block in section(screen).blocks if isinstance(block, Figure))
    for figure in (losses, shares):
        assert_axes_have_units(figure)
    rows = {(row[0], int(row[1])): float(row[2]) for row in losses.table.rows}
    assert len(rows) == 4 * 3  # the first batch is forecast by nobody
    for number in (1, 2, 3):
        for family, line in by_family(screen, number).items():
            name = "constant answer" if family == CONSTANT else family
            assert rows[name, number] == pytest.approx(line["loss"], rel=1e-3)
    for row in shares.table.rows:
        assert sum(map(float, row[1:])) == pytest.approx(1.0, abs=1e-3)


def test_the_words_say_who_led_when(screen):
    words = next(block.words for block in section(screen).blocks if isinstance(block, Text))
    leaders = {
        number: min(
            (line for line in by_family(screen, number).values() if line["family"] != CONSTANT), key=lambda x: x["loss"]
        )
        for number in (1, 2, 3)
    }
    assert f"The best forecast was made by {leaders[1]['family']} in round" in words
    for family in {line["family"] for line in leaders.values()}:
        assert family in words.split("The best forecast was made by ")[1].split(". ")[0]


def test_a_committee_of_one_family_has_no_race(make_config, tmp_path):
    run = simulate(make_config(stopping={"rule": "none", "max_rounds": 2}), tmp_path / "run")
    assert section(run) is None
    assert run.summary["race"] is None
    assert status_of(CampaignStore.open(run.path)).race == ()
    assert "Families of models" not in dict(summary_lines(run.summary))


def test_status_and_summary_say_how_much_each_family_counts_now(screen):
    counted = {name: line["share"] for name, line in by_family(screen, -1).items() if name != CONSTANT}
    status = status_of(CampaignStore.open(screen.path))
    assert {line["family"]: line["share"] for line in status.race} == counted
    result = CliRunner().invoke(app, ["status", str(screen.path), "--json"])
    assert {line["family"]: line["share"] for line in json.loads(result.output)["race"]} == counted
    first = max(counted, key=lambda name: counted[name])
    for lines in (status_lines(status), summary_lines(screen.summary)):
        assert dict(lines)["Families of models"].startswith(f"count by their forecasts: {first} {counted[first]:.0%}")


def test_a_family_that_counts_nothing_is_named_as_such():
    words = race_words([{"family": "a", "share": 0.0}, {"family": "b", "share": 1.0}])
    assert words == "count by their forecasts: b 100%; a: nothing"


def test_a_claim_about_hits_with_models_that_linear_beats_is_warned_about_once_and_everywhere(poor):
    run, heard = poor
    [said] = [words for words in heard.warnings if "forecast the readouts better" in words]
    assert "'linear'" in said
    assert said.endswith("wells are lost; a replay with model.families = ['linear'] tells how many")
    status = status_of(CampaignStore.open(run.path))
    [shown] = [words for words in status.warnings if "'linear'" in words]
    assert shown in {words for name, words in status_lines(status) if name == "Warning"}
    assert shown in {words for name, words in summary_lines(run.summary) if name == "Warning"}
    assert shown in {block.words for block in section(run).blocks if isinstance(block, Text) and block.kind == "alarm"}
    assert shown in asdict(status)["warnings"]


def test_models_that_are_no_worse_than_plain_answers_are_not_warned_about(screen):
    assert status_of(CampaignStore.open(screen.path)).warnings == ()


def batch(likelihood, counted, constant=0.5, n=100):
    rows = np.array([np.full(n, p) for p in likelihood])
    return RaceBatch(rows, np.full(n, constant), np.ones(n), np.ones(n, bool), np.array(counted))


def test_the_committee_is_judged_by_what_counted_at_the_time_over_the_latest_batches():
    families, rivals = ("a", "linear"), ("linear", CONSTANT)
    loses, wins = batch([0.3, 0.8], [1.0, 0.0]), batch([0.3, 0.8], [0.0, 1.0])
    found = lost_against([loses], families, rivals)
    assert (found.family, found.n) == ("linear", 1)
    assert found.committee_loss == pytest.approx(-np.log(0.3))
    assert lost_against([wins], families, rivals) is None
    assert lost_against([loses, *[wins] * 8], families, rivals) is None
    assert lost_against([batch([0.3, 0.2], [1.0, 0.0])], families, rivals).family == CONSTANT
    assert lost_against([], families, rivals) is None


def test_a_difference_within_chance_is_not_said():
    rng = np.random.default_rng(0)
    rows = np.clip(rng.random((2, 60)), 0.05, 0.95)
    rows[1] = rows[0][::-1]  # as good, on other rows
    even = RaceBatch(rows, np.full(60, 0.05), np.ones(60), np.ones(60, bool), np.array([1.0, 0.0]))
    assert lost_against([even], ("a", "linear"), ("linear", CONSTANT)) is None
