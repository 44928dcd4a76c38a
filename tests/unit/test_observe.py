"""What becomes known of a campaign while it runs: its log, line by line, and what its metrics are set to."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from dataclasses import replace

import pyarrow.csv
import pytest
from typer.testing import CliRunner

from isd_ray.actors import logs
from isd_ray.actors.metrics import METRICS, CampaignMetrics
from isd_ray.campaign.states import RunState
from isd_ray.campaign.watcher import Watcher
from isd_ray.cli import app
from isd_ray.config import LoggingConfig
from isd_ray.config_file import to_toml
from isd_ray.errors import LabelError
from isd_ray.messages import Progress, StepTaken
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.observe import observed, where_it_stands
from tests.chaos.laboratory import CONFIG, Technician, create

SECRET = "C0001 is no number: CCO in s3://bucket/kinase"


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    yield
    logs.configure(LoggingConfig())


def progress(name: str = "score", **changes) -> Progress:
    taken = StepTaken(name, round=2, seconds=0.5, n_scored=600 if name == "score" else 0)
    values = {"state": "release", "round": 2, "n_target": 900, "n_observed": 240, "n_inference": 600}
    return Progress(**{**values, "n_affordable": 60, "done": False, "taken": taken, **changes})


def states(config, caplog, steps) -> list[str]:
    with caplog.at_level(logging.INFO, "isd_ray"):
        try:
            for _ in observed(config, steps, on_ray=False):
                pass
        except LabelError:
            pass
    return [record.state for record in caplog.records if hasattr(record, "state")]


def test_a_campaign_logs_an_object_a_line_and_nothing_of_its_compounds(make_config, compounds, tmp_path):
    config = make_config(logging={"format": "json"}, stopping={"max_rounds": 2})
    file = tmp_path / "campaign.toml"
    file.write_text(to_toml(config), encoding="utf-8")
    done = CliRunner().invoke(app, ["simulate", str(file), "--out", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert all(event["campaign"] == "small" and event["message"] and event["level"] for event in events)
    assert all(re.match(r"\d{4}-\d\d-\d\dT", event["time"]) for event in events)
    steps = [(event["round"], event["phase"]) for event in events if "phase" in event]
    phases = ["fit", "score", "release", "measure", "decide"]
    assert steps[:10] == [(number, phase) for number in range(2) for phase in phases]
    [last] = [event for event in events if event.get("decision") == "stop"]
    assert last["n_observed"] == 240
    assert [event["state"] for event in events if "state" in event] == ["running", "ended"]
    table = pyarrow.csv.read_csv(compounds)
    words = set(re.findall(r'[^\s",]+', done.stderr))
    assert not words & {*table["smiles"].to_pylist(), *table["name"].to_pylist()}


def test_without_a_format_nothing_is_logged_beside_the_progress(make_config, capsys):
    list(observed(make_config(), iter_of(progress(done=True)), on_ray=False))
    assert capsys.readouterr().err == ""


def test_people_get_lines_and_the_least_level_is_kept(make_config, capsys):
    loud = make_config(logging={"format": "text", "level": "warning"})
    list(observed(loud, iter_of(progress(warnings=("too hot",))), on_ray=False))
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith(" too hot")


def iter_of(*steps: Progress):
    yield from steps


def failing():
    yield progress()
    raise LabelError(SECRET)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (lambda: iter_of(progress(), progress(done=True)), "ended"),
        (lambda: iter_of(progress(waiting=True)), "waiting"),
        (failing, "failed"),
    ],
)
def test_the_log_says_how_a_run_ended(make_config, caplog, steps, expected):
    assert states(make_config(), caplog, steps()) == ["running", expected]


def test_a_run_that_its_caller_ends_is_stopped_with_its_actors(make_config, caplog):
    closed = []

    def endless():
        try:
            while True:
                yield progress()
        finally:
            closed.append(True)

    with caplog.at_level(logging.INFO, "isd_ray"):
        source = endless()  # held here, or the garbage collector would end it
        steps = observed(make_config(), source, on_ray=False)
        next(steps)
        steps.close()
    assert closed == [True]
    assert caplog.records[-1].state == "stopped"


def test_words_of_an_error_are_not_logged(make_config, caplog):
    states(make_config(), caplog, failing())
    assert caplog.records[-1].error == "LabelError"
    assert SECRET not in caplog.text


class Recorder:
    """What metrics were set to."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, ...], float] = {}

    def __call__(self, metric, value, labels) -> None:
        assert set(labels) == set(metric.labels)
        assert isinstance(value, float)
        self.values[(metric.name, *(labels[key] for key in metric.labels))] = value


def test_metrics_say_where_the_campaign_stands(make_config):
    recorder = Recorder()
    metrics = CampaignMetrics("small", make_config().stopping, recorder)
    metrics.enter(RunState.RUNNING)
    metrics.step(progress(system_bound=0.8, calibration_alarm=True))
    metrics.step(progress("release"))
    found = {name: value for (name, *labels), value in recorder.values.items() if labels == ["small"]}
    assert found.pop("isd_progress_timestamp_seconds") > 1.7e9
    assert found == {
        "isd_round": 2,
        "isd_target_compounds": 900,
        "isd_observed_compounds": 240,
        "isd_inference_compounds": 600,
        "isd_budget_compounds": 300,
        "isd_system_bound": 0.8,
        "isd_gamma": 0.9,
        "isd_calibration_alarm": 0,
        "isd_scored_rows_per_second": 1200,
    }
    assert recorder.values["isd_phase_seconds", "small", "score"] == 0.5


class LastStep(Watcher):
    def step(self, name, progress):
        self.progress = progress


@pytest.mark.parametrize("n_rounds", [1, 3])
def test_who_begins_while_a_batch_waits_shows_what_the_last_step_showed(make_config, compounds, tmp_path, n_rounds):
    table, heard = pyarrow.csv.read_csv(compounds), LastStep()
    technician = Technician(dict(zip(table["name"].to_pylist(), table["bbb"].to_pylist(), strict=True)))
    create(tmp_path / "run", make_config(**CONFIG, name="again"))
    for _ in range(n_rounds - 1):
        technician.work(Campaign.open(tmp_path / "run"))
    campaign = Campaign.open(tmp_path / "run", heard)
    campaign.ask()
    found, shown = where_it_stands(campaign.store), heard.progress
    assert replace(found, state=shown.state, taken=shown.taken, decision=shown.decision, constant=shown.constant) == (
        replace(shown, warnings=())
    )


@pytest.mark.parametrize("state", list(RunState))
def test_a_campaign_is_in_one_state(make_config, state):
    recorder = Recorder()
    metrics = CampaignMetrics("small", make_config().stopping, recorder)
    metrics.enter(RunState.RUNNING)
    metrics.enter(state)
    values = {key[-1]: value for key, value in recorder.values.items() if key[0] == "isd_state"}
    assert values == {other.value: other is state for other in RunState}


def test_names_and_labels_are_such_as_ray_and_prometheus_take():
    for metric in METRICS:
        assert re.fullmatch(r"isd_[a-z_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert set(metric.labels) <= {"campaign", "state", "phase", "group", "reason"}
        assert metric.description.endswith(".")
    assert len({metric.name for metric in METRICS}) == len(METRICS)
