"""Trips to the laboratory: what counts as one, and that they stand beside the wells wherever these are shown."""

from __future__ import annotations

import json
import re

import pyarrow.csv
import pytest
from typer.testing import CliRunner

from isd_ray.campaign.store import CampaignStore
from isd_ray.cli import app
from isd_ray.core.trips import n_trips, trips_made, trips_until
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.compare import compare
from isd_ray.ops.results import report_of, stored_summary
from isd_ray.ops.simulate import SimulationResult, simulate, trips_reaching
from isd_ray.ops.verify import verify
from isd_ray.report.numbers import counted
from isd_ray.report.words import TRIPS, comparison_table, status_line, status_lines, summary_lines

SMALL = {"model": {"hidden_size": 8, "epochs": 2, "members": 1}}


def asked_for(result: SimulationResult) -> list[int]:
    """Compounds of each released batch, by its file."""
    return [files.read_batch().num_rows for files in CampaignStore.open(result.path).rounds()]


def test_a_release_with_something_to_measure_is_a_trip_and_one_with_nothing_is_none():
    rounds = [{"round": number, "n_batch": n} for number, n in enumerate((50, 20, 0, 13, 1, 0))]
    assert trips_made(rounds) == [1, 2, 2, 3, 4, 4]
    assert n_trips(rounds) == 4
    assert [trips_until(rounds, last) for last in (0, 2, 3)] == [1, 2, 3]
    assert (trips_made([]), n_trips([])) == ([], 0)


def test_trips_to_an_accuracy_are_those_before_the_first_model_that_has_it():
    accuracies = (None, 0.8, 0.9, 0.95)
    rounds = [{"n_batch": 10 * (number != 1), "system_accuracy": y} for number, y in enumerate(accuracies)]
    assert [trips_reaching(rounds, goal) for goal in (0.7, 0.9, 0.95, 0.99)] == [1, 1, 2, 3]


@pytest.fixture(scope="module")
def screens(make_config, tmp_path_factory) -> dict[str, SimulationResult]:
    """Screens that end by an audit, by looks at a reserve that ask for nothing, and by a spent budget."""
    stopping = {
        "audit": {"rule": "certify", "gamma": 0.8},
        "reserve": {"rule": "reserved", "gamma": 0.8},
        "budget": {"rule": "none", "max_compounds": 400},
        "after": {"rule": "certify", "gamma": 0.8, "continue_after_stop": True, "max_compounds": 800},
    }
    root = tmp_path_factory.mktemp("trips")
    return {name: simulate(make_config(stopping=keys, **SMALL), root / name) for name, keys in stopping.items()}


@pytest.mark.parametrize("name", ["audit", "reserve", "budget", "after"])
def test_a_summary_counts_the_batches_that_were_sent_until_the_stop(name, screens):
    result = screens[name]
    sizes, stop = asked_for(result), result.summary["stopped_at_round"]
    expected = sum(size > 0 for size in sizes[: stop + 1])
    assert result.summary["n_trips"] == expected
    assert dict(summary_lines(result.summary))[TRIPS] == f"{expected}, in {counted(stop + 1, 'round')}"
    if name == "audit":
        assert expected == len(sizes), "audit and finish are trips"
        assert max(result.rounds["n_audit"].to_pylist()) > 0
    else:
        assert expected < result.summary["rounds"], "rounds in which nothing was asked for, or after the stop"


@pytest.mark.parametrize("name", ["audit", "reserve", "budget", "after"])
def test_a_report_shows_trips_beside_compounds_and_round_by_round(name, screens):
    page, n = report_of(CampaignStore.open(screens[name].path)), screens[name].summary["n_trips"]
    text = re.sub(r"<[^>]+>", " ", page[: page.index("application/json")])
    assert re.search(rf"\b{n}\s+trips to the laboratory", text)
    assert re.search(rf"{TRIPS}\s+{n}\b", text)
    table = page[page.index('<table aria-label="Rounds">') :]
    rows = re.findall(r"<tr>(.*?)</tr>", table[: table.index("</table>")], re.S)
    cells = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.S) for row in rows]
    place = cells[0].index("trips")
    sizes = asked_for(screens[name])
    assert [int(row[place]) for row in cells[1:]] == [sum(s > 0 for s in sizes[: i + 1]) for i in range(len(sizes))]


def test_a_summary_of_before_opens_and_counts_its_trips(screens):
    store = CampaignStore.open(screens["audit"].path)
    file = store.path / "summary.json"
    before = file.read_text()
    known = json.loads(before)
    del known["n_trips"]
    try:
        file.write_text(json.dumps(known))
        found = stored_summary(store)
        assert found is not None
        assert found["n_trips"] == screens["audit"].summary["n_trips"]
        assert f"{found['n_trips']} trips" in re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", report_of(store)))
        assert verify(store).problems == ()
    finally:
        file.write_text(before)


def test_a_status_counts_the_batch_that_is_out(make_config, compounds, tmp_path):
    table = pyarrow.csv.read_csv(compounds)
    truth = dict(zip(table["name"].to_pylist(), table["bbb"].to_pylist(), strict=True))
    labels = {"column": "bbb", "classes": ["BBB+", "BBB-"]}
    campaign = Campaign.create(tmp_path / "run", make_config(labels=labels, **SMALL))
    assert campaign.status().n_trips == 0
    for number in (1, 2):
        batch = campaign.ask()
        assert batch is not None
        status = campaign.status()
        assert status.n_trips == number
        assert dict(status_lines(status))[TRIPS] == str(number)
        assert f"in {number} trip" in status_line(status)
        campaign.tell({name: truth[name] for name in batch.ids})
        assert campaign.status().n_trips == number
    said = CliRunner().invoke(app, ["status", str(tmp_path / "run"), "--json"])
    assert json.loads(said.stdout)["n_trips"] == 2


def test_a_comparison_sets_trips_beside_shares(make_config, tmp_path):
    stopping = {"rule": "none", "max_compounds": 300}
    config = make_config(acquisition={"batch_size": 50}, stopping=stopping, **SMALL)
    made = compare(config, tmp_path, ["active", "random"], 2)
    for agent, numbers in made.summary["agents"].items():
        assert numbers["n_trips"] == 6, agent
        assert numbers["trips_to_reach"].keys() == numbers["fraction_to_reach"].keys()
    headings, [active, _] = comparison_table(made.summary["agents"])
    assert active[headings.index("trips")] == "6"
    reached = {"fraction_to_reach": {"0.9": 0.2}, "trips_to_reach": {"0.9": 3.5}}
    agents = {"active": {**made.summary["agents"]["active"], **reached}}
    headings, [line] = comparison_table(agents)
    assert line[headings.index("≥ 0.9")] == "20.0% in 3.5"
    page = (tmp_path / "report.html").read_text()
    assert "wells-by-trip" in page
    figure = json.loads(page[page.index('type="application/json"') :].split(">", 1)[1].split("</script>", 1)[0])
    [drawn] = [trace for trace in figure["wells-by-trip"]["data"] if trace["name"] == "active" and "marker" in trace]
    assert drawn["x"][:6] == [1, 2, 3, 4, 5, 6]
    assert drawn["y"][:6] == pytest.approx([100 * 50 * trip / 900 for trip in range(1, 7)])
