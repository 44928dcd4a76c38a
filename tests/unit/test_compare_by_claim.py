"""A comparison goes by the quantity that is claimed: where hits are rare, an accuracy is no news."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from isd_ray.cli import app
from isd_ray.config_file import to_toml
from isd_ray.ops.compare import _told_column, compare
from isd_ray.ops.simulate import fraction_reaching, trips_reaching
from isd_ray.report.words import comparison_table
from tests.unit.test_trips import SMALL

HITS = {"rule": "certify", "quantity": "recall", "positive": "BBB-", "gamma": 0.7}


@pytest.fixture(scope="module")
def compared(make_config, tmp_path_factory):
    config = make_config(acquisition={"batch_size": 100}, stopping=HITS, **SMALL)
    folder = tmp_path_factory.mktemp("compared")
    return config, folder, compare(config, folder, ["active", "random"])


def test_agents_are_compared_by_the_recall_where_that_is_claimed(compared):
    _, folder, made = compared
    assert made.summary["measure"] == "recall of hits"
    for agent, numbers in made.summary["agents"].items():
        rounds = rounds_of(folder / agent / "0")
        assert list(numbers["fraction_to_reach"])[:1] == ["0.7"]  # the configured goal is among them
        for goal, share in numbers["fraction_to_reach"].items():
            assert share == fraction_reaching(rounds, float(goal), "system_value")
            assert numbers["trips_to_reach"][goal] == trips_reaching(rounds, float(goal), "system_value")
        # The accuracy of the constant answer is 0.63: by that the first batch would be enough.
        assert numbers["fraction_to_reach"]["0.7"] > fraction_reaching(rounds, 0.7)
        assert (
            numbers["system_value"] == json.loads((folder / agent / "0" / "summary.json").read_text())["system_value"]
        )


def rounds_of(folder):
    return pq.read_table(folder / "rounds.parquet").to_pylist()


def test_mean_errors_and_accuracies_are_compared_by_the_accuracy(make_config, regression):
    rounds = {"active": {0: [{"system_value": 0.3}]}}
    errors = {"rule": "certify", "quantity": "mae", "max_loss": 2.0, "loss_clip": 9.0, "tolerance": 4.0}
    assert _told_column(make_config(**{**regression, "stopping": errors}), rounds) == "system_accuracy"
    assert _told_column(make_config(stopping={"rule": "certify"}), rounds) == "system_accuracy"
    assert _told_column(make_config(stopping=HITS), rounds) == "system_value"


def test_the_page_draws_the_recall_against_its_goal_and_the_table_names_it(compared):
    _, folder, made = compared
    page = (folder / "report.html").read_text()
    figures = json.loads(page[page.index('type="application/json"') :].split(">", 1)[1].split("</script>", 1)[0])
    assert {trace["name"] for trace in figures["system-value"]["data"]} >= {"active", "random", "goal γ = 0.7"}
    assert "goal γ = 0.7" not in {trace["name"] for trace in figures["system-accuracy"]["data"]}
    assert "saved against random selection at equal recall of hits" in page
    headings, lines = comparison_table(made.summary["agents"], made.summary["measure"])
    assert headings[:5] == ["agent", "measured", "trips", "recall of hits", "accuracy"]
    assert all(len(line) == len(headings) for line in lines)


def test_the_terminal_cuts_no_name_short(compared):
    config, folder, _ = compared
    file = folder / "campaign.toml"
    file.write_text(to_toml(config))
    shown = CliRunner().invoke(
        app, ["compare", str(file), "--out", str(folder), "--agents", "active,random"], catch_exceptions=False
    )
    assert "…" not in shown.output
    assert {"active", "random"} <= set(shown.output.replace("│", " ").split())
