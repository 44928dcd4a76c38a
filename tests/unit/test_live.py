"""What is seen while a screen runs: honest, and in no program's way."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console
from typer.testing import CliRunner

from isd_ray.campaign.setup import begin_or_resume
from isd_ray.campaign.status import phase_of, status_of
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.watcher import Watcher
from isd_ray.cli import app
from isd_ray.config_file import to_toml
from isd_ray.data.ingest.progress import BuildProgress
from isd_ray.messages import Progress, StepTaken
from isd_ray.ops.calls import StepsTaken
from isd_ray.ops.prepare import prepare
from isd_ray.ops.run import run
from isd_ray.report.progress import LiveProgress, follow
from isd_ray.report.steps import ShownGoal, Steps, StepsByName, goal_of


def progress_of(state="fit", number=1, n_observed=100, **more) -> Progress:
    """A moment of a campaign over 1,000 compounds that may acquire 500 more."""
    taken = more.pop("taken", StepTaken("decide", number - 1, 1.0, 0))
    given = {"n_target": 1000, "n_inference": 1000 - n_observed, "n_affordable": 500, "done": state == "done", **more}
    return Progress(state=state, round=number, n_observed=n_observed, taken=taken, **given)


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


# --- words of the steps ----------------------------------------------------------------------------------------------


def test_rate_and_time_left_are_said_once_whole_rounds_were_seen_and_count_the_time_between_steps():
    clock = Clock()
    steps = Steps(ShownGoal(0.9), clock)
    assert steps.words_of(progress_of(number=3, n_observed=300)).numbers == ("no bound yet",)
    clock.now = 40.0  # the rest of a round whose beginning nobody saw
    assert steps.words_of(progress_of(number=4, n_observed=400)).numbers == ("no bound yet",)
    clock.now = 140.0
    said = steps.words_of(progress_of(number=5, n_observed=500, system_bound=0.8))
    assert said.numbers == (
        "bound 0.800 (goal 0.9)",
        "60 compounds/min",
        "about 8.3 min left at this pace, if nothing stops it before",
    )
    clock.now = 200.0
    said = steps.words_of(progress_of("score", 5, 500))
    assert said.numbers[-1] == "about 7.3 min left at this pace, if nothing stops it before"


@pytest.mark.parametrize("end", [{"state": "deliver"}, {"state": "finish"}, {"state": "done"}, {"waiting": True}])
def test_nothing_is_said_of_the_time_where_the_budget_or_the_computer_does_not_decide_it(end):
    clock = Clock()
    steps = Steps(ShownGoal(), clock)
    for number in range(4):
        clock.now = 100.0 * number
        steps.words_of(progress_of(number=number, n_observed=100 * number))
    assert steps.words_of(progress_of(**{"number": 3, "n_observed": 300, **end})).numbers == ("no bound yet",)


def test_a_run_that_begins_anew_under_the_same_name_forgets_the_pace():
    clock = Clock()
    steps = Steps(ShownGoal(), clock)
    for number in (0, 1, 2, 0, 1):
        clock.now += 100.0
        said = steps.words_of(progress_of(number=number, n_observed=100 * number))
    assert said.numbers == ("no bound yet",)


def test_a_phase_says_how_long_it_took_last_time_if_that_is_worth_a_word():
    steps = Steps(ShownGoal(), Clock())
    assert steps.words_of(progress_of("fit", 1)).phase == "round 1: fitting the committee"
    steps.words_of(progress_of("score", 1, taken=StepTaken("fit", 1, 75.0, 0)))
    steps.words_of(progress_of("release", 1, taken=StepTaken("score", 1, 0.2, 0)))
    assert steps.words_of(progress_of("fit", 2)).phase == "round 2: fitting the committee (1.2 min last time)"
    assert steps.words_of(progress_of("score", 2)).phase == "round 2: scoring the inference set"
    assert steps.words_of(progress_of("measure", 2, waiting=True)).phase == "round 2: waiting for readouts"


# --- a terminal, and none --------------------------------------------------------------------------------------------


def test_eighty_columns_show_everything():
    text = io.StringIO()
    with LiveProgress(Console(file=text, force_terminal=True, width=80, no_color=True), ShownGoal(0.95)) as live:
        live.step("a-screen-with-a-very-long-name", progress_of("score", 7, 400, system_bound=0.9, system_value=0.93))
    shown = " ".join(text.getvalue().split())
    assert "400 of 1,000" in shown
    assert "round 7: scoring the inference set; bound 0.900 (goal 0.95); truly 0.930" in shown
    assert "0:00:0" in shown


def test_a_bound_says_whether_the_goal_is_met_by_it_and_what_it_is_with_the_first(make_config):
    certify = goal_of(make_config(stopping={"rule": "certify", "gamma": 0.9}).stopping, "classification")
    steps, mine = StepsByName(certify), progress_of(number=1)
    assert steps.words_of("s", mine).note == ""
    first = steps.words_of("s", progress_of(number=2, system_bound=0.91))
    assert first.numbers == ("bound 0.910 (goal 0.9 met by it)",)
    assert first.note.startswith("bound: what the random compounds of one batch alone show, at confidence 0.95")
    assert "no stop rests on it (isd explain bound)" in first.note
    assert steps.words_of("s", progress_of(number=3, system_bound=0.9)).numbers == ("bound 0.900 (goal 0.9)",)
    assert steps.words_of("other", progress_of(system_bound=0.9)).note == ""
    steps.begins("other", goal_of(make_config(stopping={"rule": "certify", "gamma": 0.8}).stopping, "classification"))
    assert steps.words_of("other", progress_of(system_bound=0.9)).numbers == ("bound 0.900 (goal 0.8 met by it)",)
    assert steps.words_of("s", progress_of(number=4, system_bound=0.8)).numbers == ("bound 0.800 (goal 0.9)",)
    paper = goal_of(make_config(stopping={"rule": "paper", "gamma": 0.9}).stopping, "classification")
    assert paper.note.endswith("a heuristic; the stop rests on it (isd explain bound)")
    error = ShownGoal(4.0, is_error=True)
    assert (error.words_of(3.9), error.words_of(4.1)) == ("goal 4 met by it", "goal 4")


def test_small_errors_are_not_rounded_away():
    small = StepsByName(ShownGoal(5e-6, is_error=True)).words_of("s", progress_of(system_bound=3.14e-6, system_value=0))
    assert small.numbers == ("bound 3.14e-06 (goal 5e-06 met by it)", "truly 0.000")


def last_lines(text: io.StringIO, n: int) -> list[str]:
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text.getvalue()).replace("\r", "\n")
    return [line.strip() for line in plain.splitlines() if line.strip()][-n:]


def test_a_finished_bar_is_full_and_quiet_and_begins_anew_with_another_run_of_its_name():
    text = io.StringIO()
    with LiveProgress(Console(file=text, force_terminal=True, width=80, no_color=True), ShownGoal(0.95)) as live:
        live.building(BuildProgress(500, 500, 0, 0.5, 1.0))
        live.step("s", progress_of("fit", 7, 400))
        live.step("s", progress_of("done", 7, 400))
    library, screen = last_lines(text, 2)
    for line, counts in ((library, "500 of 1,000"), (screen, "400 of 1,000")):
        assert "━" * 20 in line
        assert not {"╸", "╺"} & set(line)
        assert counts in line
    text = io.StringIO()
    with LiveProgress(Console(file=text, force_terminal=True, width=80, no_color=True), ShownGoal(0.95)) as live:
        for state, n in (("done", 400), ("fit", 100)):
            live.step("s", progress_of(state, 1, n))
    bar, words = last_lines(text, 2)
    assert "100 of 1,000" in bar
    assert bar.count("━") == 2
    assert words.startswith("round 1: fitting the committee")


def test_results_are_shown_and_announced_before_the_baseline_that_may_take_longer(make_config, tmp_path):
    config = make_config(stopping={"rule": "certify", "gamma": 0.7}, simulation={"random_baseline": True})
    (tmp_path / "campaign.toml").write_text(to_toml(config))
    command = ["simulate", str(tmp_path / "campaign.toml"), "--out", str(tmp_path / "run")]
    done = CliRunner().invoke(app, command, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    told, shown = done.stderr, done.stdout
    announced = told.index("certified; the results are written. Now the random baseline, for comparison")
    assert told.index("Hybrid screen small") < announced < told.index("random-baseline: round 0")
    assert "Saved against random selection" not in told
    assert told.count("isd explain bound") == 1
    assert re.search(r"random-baseline: round \d+, measured .*; done$", told, re.MULTILINE)
    assert shown.count("Hybrid screen small") == shown.count("Saved against random selection") == 1


def test_without_a_terminal_there_is_a_line_a_round():
    text = io.StringIO()
    with LiveProgress(Console(file=text, width=60), ShownGoal()) as live:
        for state, number in (("score", 0), ("release", 0), ("fit", 1), ("score", 1)):
            live.step("s", progress_of(state, number, 100 * number, warnings=("[bold]",) if state == "fit" else ()))
        live.step("s", progress_of("done", 1, 200))
    assert text.getvalue().splitlines() == [
        "s: round 0, measured 0 of 1,000; no bound yet",
        "warning: [bold]",
        "s: round 1, measured 100 of 1,000; no bound yet",
        "s: round 1, measured 200 of 1,000; no bound yet; done",
    ]


# --- a coordinator that is asked what it has done ---------------------------------------------------------------------


def test_steps_are_those_of_the_call_that_is_asked_about_each_told_once():
    first, second, third = (progress_of(state) for state in ("fit", "score", "release"))
    steps, n_seen, told = StepsTaken(), 0, []

    def poll(key="mine"):
        nonlocal n_seen
        n_seen, new = steps.after(key, n_seen)
        told.extend(new)

    steps.begin("of somebody else")
    steps.step("s", first)
    poll()
    assert told == []
    steps.begin("mine")
    steps.step("s", first)
    poll()
    steps.step("s", second)
    poll()
    poll()
    assert told == [first, second]
    steps.begin("mine")  # the coordinator was lost, and does the call again
    steps.step("s", third)
    poll()
    poll()
    assert told == [first, second, third]
    steps.begin("of somebody else")
    steps.step("s", first)
    poll()
    assert told == [first, second, third]


# --- isd status --watch ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def steps_seen(make_config, tmp_path_factory):
    """After each step of a simulation: the loop's own state, and the status that another process would see."""
    folder = tmp_path_factory.mktemp("seen")
    setup = prepare(make_config(stopping={"rule": "certify", "gamma": 0.7}), folder / "run", Watcher())
    begin_or_resume(setup)
    return [(progress, status_of(CampaignStore.open(folder / "run"))) for progress in run(setup)], folder / "run"


def test_another_process_sees_the_phase_of_a_simulation_that_runs(steps_seen):
    seen, path = steps_seen
    expected = {"decide": {"measure"}, "release": {"release", "score", "fit", "finish"}, "score": {"score", "fit"}}
    for progress, status in seen:
        if progress.done:
            assert (status.state, status.phase) == ("ended", None)
            continue
        assert (status.state, status.n_missing) == ("running", 0)
        assert status.phase.round == progress.round
        assert status.phase.step in expected.get(progress.state, {progress.state})
    named = {status.phase.step for _, status in seen if status.phase}
    assert {"fit", "score", "release", "measure", "deliver"} <= named
    store = CampaignStore.open(path)
    assert phase_of(store, store.rounds()[:1]).quiet_s >= 0
    assert seen[0][1].seconds_left is None
    assert any(status.seconds_left for _, status in seen)


def test_a_watch_without_a_terminal_prints_what_changes_and_ends_with_the_screen(steps_seen):
    seen, path = steps_seen
    statuses, text, slept = [status for _, status in seen for _ in range(2)], io.StringIO(), []
    follow(iter(statuses).__next__, Console(file=text, width=200), 3.0, slept.append)
    lines = text.getvalue().splitlines()
    assert len(lines) == len(set(lines)) > 5
    assert lines[0].startswith("round –, ") or lines[0].startswith("round 0, ")
    assert lines[-1].split(", ")[1].startswith("ended")
    assert set(slept) == {3.0}
    result = CliRunner().invoke(app, ["status", str(path), "--watch"])
    assert (result.exit_code, result.output.splitlines()) == (0, lines[-1:])


def test_a_watch_in_a_terminal_keeps_one_table_and_ends_by_ctrl_c(steps_seen):
    (_, status), text = steps_seen[0][3], io.StringIO()

    def interrupt(_):
        raise KeyboardInterrupt

    follow(lambda: status, Console(file=text, force_terminal=True, width=100), 3.0, interrupt)
    assert "if a process is at work" in " ".join(text.getvalue().split())


def test_a_watch_gives_no_json(steps_seen):
    result = CliRunner().invoke(app, ["status", str(steps_seen[1]), "--watch", "--json"])
    assert result.exit_code == 2
    assert "for people" in " ".join(result.output.split())
