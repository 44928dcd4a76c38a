"""How far a screen goes: by its rules, its own rounds, past screens, or a range that is called one."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pyarrow.csv
import pytest
from typer.testing import CliRunner

from isd_ray.campaign.store import CampaignStore
from isd_ray.cli import app
from isd_ray.config_file import to_toml
from isd_ray.core.courses import Course, Courses
from isd_ray.core.replay import LearningCurve, Replayed
from isd_ray.data.library import Library
from isd_ray.errors import ConfigError
from isd_ray.ops import calibration, short_screens
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.courses import MOST_ROUNDS, SEEN, courses_of, epochs_of, most_measured
from isd_ray.ops.curves import Learnt, learnt_of
from isd_ray.ops.plan import plan_campaign
from isd_ray.ops.prepare import known_labels
from isd_ray.ops.short_screens import past_run, smaller_run
from isd_ray.ops.simulate import simulate
from isd_ray.report.plan import plan_lines
from tests.unit.test_stop_by_hand import FAST, LABORATORY, CutOff, CutOffError

N = 10_000
ACCURACY = {"rule": "certify", "gamma": 0.85}
RECALL = {"rule": "certify", "quantity": "recall", "positive": "BBB-", "gamma": 0.8}


@pytest.fixture(scope="module")
def past(make_config, tmp_path_factory):
    """Runs of past screens, by claim: of accuracy, and of recall."""
    folder = tmp_path_factory.mktemp("past")
    claims = {"accuracy": ACCURACY, "recall": RECALL}
    return {
        name: simulate(make_config(**FAST, stopping=stopping), folder / name).path for name, stopping in claims.items()
    }


def test_courses_are_the_least_the_median_and_the_most():
    ends = [Replayed(9, 700, 40), Replayed(5, 300, 20), None, Replayed(7, 500, 30)]
    found = Courses.of(ends, 600, ["so"])
    assert (found.least, found.likely, found.most) == (Course(300, 20), Course(600, 40), Course(600))
    assert found.planned == Course(600, 40)
    wide = Courses.of(ends[:2], 5_000, ["so"], [Replayed(11, 900, 50), Replayed(3, 200, 10)])
    assert (wide.least, wide.likely, wide.most) == (Course(200, 10), Course(700, 40), Course(900, 50))
    guess = Courses.of(ends, 10_000, ["so"], is_guess=True)
    assert (guess.likely, guess.planned, guess.least) == (None, Course(10_000), Course(300, 20))


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, N),
        ({"max_fraction": 0.25}, 2500),
        ({"max_compounds": 700}, 700),
        ({"max_rounds": 3}, 3 * 60),
        ({"max_rounds": 3, "max_compounds": 150}, 150),
        ({"max_cost": 900.0, "cost_per_compound": 2.0}, 450),
    ],
)
def test_a_screen_that_never_stops_goes_to_its_limits(limits, expected, make_config):
    config = make_config(**FAST, stopping={"rule": "none", **limits})
    assert most_measured(config, N) == expected
    found = courses_of(config, N)
    assert found.least == found.likely == found.most == Course(expected)
    assert "until a limit" in found.known_by[0]


def test_batches_that_grow_reach_further_in_so_many_rounds(make_config):
    config = make_config(
        model=FAST["model"], acquisition={"batch_size": 100, "growth": 2.0}, stopping={"max_rounds": 3}
    )
    assert most_measured(config, N) == 100 + 200 + 400


@pytest.mark.parametrize("stopping", [RECALL, {"rule": "paper", "gamma": 0.9}, {**RECALL, "quantity": "precision"}])
def test_where_nothing_is_known_a_range_is_said_and_called_one(stopping, make_config):
    found = courses_of(make_config(**FAST, stopping=stopping), N)
    assert (found.least.n_acquired, found.most.n_acquired) == (SEEN[0] * N, SEEN[1] * N)
    assert found.likely is None
    assert "NOTHING IS KNOWN" in found.known_by[0]
    assert "--like" in found.known_by[0]


def test_how_fast_classes_are_learnt_is_guessed_and_a_higher_goal_takes_more(make_config):
    loose, strict = (
        courses_of(make_config(**FAST, stopping={"rule": "certify", "gamma": gamma}), N) for gamma in (0.9, 0.97)
    )
    assert loose.likely is strict.likely is None
    assert loose.least.n_acquired < strict.least.n_acquired
    assert loose.most.n_acquired < strict.most.n_acquired
    assert "a GUESS" in loose.known_by[0]
    limited = courses_of(make_config(**FAST, stopping={"rule": "certify", "gamma": 0.97, "max_compounds": 900}), N)
    assert limited.most.n_acquired == 900


def test_a_large_library_is_replayed_in_coarse_steps(make_config, monkeypatch):
    taken = []
    monkeypatch.setattr(
        Learnt, "ends", lambda self, config, n, batch, *rest: taken.append(batch(1, n)) or [Replayed(3, 9, 1)]
    )
    for n in (N, 10**9):
        courses_of(make_config(**FAST, stopping=ACCURACY), n)
    assert set(taken) == {60, 10**9 // MOST_ROUNDS}


# --- past screens ---------------------------------------------------------------------------------------------------


def test_a_past_screen_says_how_far_each_goal_goes(past, make_config):
    wells = {}
    for gamma in (0.8, 0.85, 0.9):
        found = courses_of(make_config(**FAST, stopping={**ACCURACY, "gamma": gamma}), 900, [past["accuracy"]])
        wells[gamma] = found.likely.n_acquired
        assert found.least.n_acquired <= wells[gamma] <= found.most.n_acquired
    assert wells[0.8] < wells[0.85] < wells[0.9]
    true = simulate(make_config(**FAST, stopping=ACCURACY), past["accuracy"]).summary["n_acquired"]
    assert wells[0.85] == pytest.approx(true, rel=0.3)
    recall = courses_of(make_config(**FAST, stopping=RECALL), 900, [past["recall"]])
    true = simulate(make_config(**FAST, stopping=RECALL), past["recall"]).summary["n_acquired"]
    assert recall.likely.n_acquired == pytest.approx(true, rel=0.3)


def test_the_longest_course_has_a_look_that_fails(past, make_config):
    config = make_config(**FAST, stopping=ACCURACY)
    learnt = learnt_of(config, past["accuracy"]).carried_on
    plain, unlucky = ([end.n_wells for end in learnt.ends(config, 900, n_failing=n)] for n in (0, 1))
    found = courses_of(config, 900, [past["accuracy"]])
    assert found.most.n_acquired == max(unlucky) > max(plain)
    assert found.likely.n_acquired == sorted(plain)[len(plain) // 2]


def test_the_true_hits_of_a_simulation_are_counted(past, make_config, compounds):
    config = make_config(**FAST, stopping=RECALL)
    learnt = learnt_of(config, past["recall"])
    [(n_hits, n_in_vain)] = learnt.hit_cases
    true = pa.csv.read_csv(compounds)["bbb"].to_pylist().count("BBB-")
    assert n_hits == true
    assert 0 <= n_in_vain < 900 - true


def test_a_library_of_another_size_learns_by_the_share_or_by_the_number_of_labels(past, make_config):
    config = make_config(**FAST, stopping=ACCURACY)
    alike, large = (courses_of(config, n, [past["accuracy"]]) for n in (900, 90_000))
    assert "number of labels" not in alike.known_by[0]
    assert "number of labels" in large.known_by[0]
    assert large.least.n_acquired < 0.5 * large.most.n_acquired


def test_labels_are_worth_as_much_in_a_larger_library():
    learnt = Learnt(LearningCurve("a", (0.1, 0.2, 0.4), (0.4, 0.3, 0.2)), 1000)
    ten_times = learnt.scaled(10_000, 0.0)
    assert [ten_times.curve.rate(share) for share in (0.01, 0.02, 0.04)] == pytest.approx([0.4, 0.3, 0.2])
    assert ten_times.curve.rate(0.4) < 0.1, "and goes on"
    huge = learnt.scaled(10**9, 0.0).curve
    assert huge.rate(0.001) == pytest.approx(0.2 * (0.001 / 4e-7) ** -0.5, rel=0.02), "as a power, also in between"
    half = learnt.scaled(500, 0.0)
    assert half.curve.rate(0.8) == pytest.approx(0.2)
    assert learnt.scaled(150, 0.0) is None, "one point is no curve"
    assert learnt.scaled(150, 1.0).curve.rate(0.2) == pytest.approx(0.3), "by the share"


def test_what_size_does_is_seen_by_a_smaller_part():
    rates = (0.4, 0.3, 0.2, 0.1)
    part = Learnt(LearningCurve("part", (0.1, 0.2, 0.4, 0.8), rates), 1000)
    for exponent in (0.0, 0.5, 1.0):
        shares = tuple(share * 4.0 ** (exponent - 1.0) for share in part.curve.shares)
        whole = Learnt(LearningCurve("whole", shares, rates), 4000)
        assert whole.exponent(part) == pytest.approx(exponent)
        large = whole.scaled(64_000, exponent)
        assert large.curve.rate(shares[1] * 16.0 ** (exponent - 1.0)) == pytest.approx(0.3)
    other = Learnt(LearningCurve("other", (0.1, 0.2), (0.09, 0.05)), 4000)
    assert other.exponent(part) is None
    worse = Learnt(LearningCurve("worse", (0.3, 0.9), (0.4, 0.1)), 4000)
    assert worse.exponent(part) == 1.0, "no more than that"


def test_claims_that_no_curve_speaks_of_end_as_the_same_claim_did(past, make_config, tmp_path):
    same = make_config(**FAST, stopping={"rule": "paper", "gamma": 0.85})
    run = simulate(same, tmp_path / "run")
    share = run.summary["n_acquired"] / 900
    found = courses_of(same, 1200, [run.path])
    assert found.likely.n_acquired == found.least.n_acquired == round(1200 * share)
    larger = courses_of(same, N, [run.path])
    assert (larger.least.n_acquired, larger.most.n_acquired) == (run.summary["n_acquired"], round(N * share))
    with pytest.raises(ConfigError, match=r"differs in stopping.gamma.*\n.*name its campaign file"):
        courses_of(make_config(**FAST, stopping={"rule": "paper", "gamma": 0.9}), N, [run.path])


def test_a_campaign_file_is_simulated_in_short_with_the_goal_that_is_planned(make_config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(short_screens, "SHORT", 400)
    file = tmp_path / "past.toml"
    file.write_text(to_toml(make_config(**FAST, stopping={"rule": "none", "max_rounds": 2}, name="earlier")))
    config = make_config(acquisition={"batch_size": 500}, stopping={**ACCURACY, "max_compounds": 30})
    run = past_run(file, config, N)
    store = CampaignStore.open(run)
    begun = store.config
    assert store.manifest["n_target"] == Library.open(begun["library"]["path"]).n_rows == 400
    assert begun["acquisition"]["batch_size"] == 400 * 500 / N
    assert (begun["stopping"]["rule"], begun["stopping"]["gamma"]) == ("certify", 0.85)
    assert begun["stopping"]["max_compounds"] is begun["stopping"]["max_rounds"] is None
    assert begun["model"]["families"] == ["linear"], "models are those of the past screen"
    before = (run / "summary.json").stat().st_mtime_ns
    assert past_run(file, config, N) == run
    assert (run / "summary.json").stat().st_mtime_ns == before, "not simulated again"
    other = past_run(file, make_config(**FAST, stopping={**ACCURACY, "gamma": 0.8}), N)
    assert other != run
    assert CampaignStore.open(other).config["acquisition"]["batch_size"] == 400 / 25, "few, large batches"
    # What size does is seen by a quarter of it, where it matters.
    smaller = smaller_run(file, run, config, N)
    assert CampaignStore.open(smaller).manifest["n_target"] == 100
    known = courses_of(make_config(stopping=ACCURACY), N, [run], smaller={run: smaller})
    blind = courses_of(make_config(stopping=ACCURACY), N, [run])
    assert "as a quarter of them has shown" in known.known_by[0]
    assert known.least.n_acquired == blind.least.n_acquired <= known.likely.n_acquired <= known.most.n_acquired
    monkeypatch.setattr(Learnt, "exponent", lambda self, smaller: None)
    assert courses_of(make_config(stopping=ACCURACY), N, [run], smaller={run: smaller}) == blind
    assert smaller_run(run, run, config, N) is None, "a folder has no compounds to draw from"
    assert smaller_run(file, run, config, 500) is None, "about as large"


def test_rare_hits_ask_for_more_compounds(make_config, monkeypatch):
    config = make_config(**FAST, stopping=RECALL)
    library = Library.open(config.library.path)
    monkeypatch.setattr(short_screens, "SHORT", 100)
    monkeypatch.setattr(short_screens, "FEWEST_HITS", 156)
    assert short_screens._enough(config, config, library) == pytest.approx(450, abs=10)
    assert short_screens._enough(config, make_config(**FAST, stopping=ACCURACY), library) == 100


def test_what_is_no_past_screen_is_refused(make_config, tmp_path):
    with pytest.raises(ConfigError, match=r"--like .*neither the folder of a screen nor a campaign file"):
        plan_campaign(make_config(**FAST, stopping=ACCURACY), n_rows=900, like=[tmp_path])


# --- the campaign's own rounds --------------------------------------------------------------------------------------


def test_a_campaign_under_way_is_planned_by_its_own_rounds(make_config, tmp_path):
    config = make_config(**FAST, stopping=ACCURACY)
    with pytest.raises(CutOffError):
        simulate(config, tmp_path / "run", CutOff(4))
    made = plan_campaign(tmp_path / "run")
    assert made.demand.n_rows == 900
    assert "by its rounds so far" in made.assumptions[0]
    summary = simulate(config, tmp_path / "run").summary
    assert 0.7 * made.least.n_acquired <= summary["n_acquired"] <= 1.3 * made.most.n_acquired
    over = plan_campaign(tmp_path / "run")
    assert (over.outlay.n_acquired, over.least) == (summary["n_acquired"], None)
    assert over.assumptions[0] == "the campaign is over"
    shown = CliRunner().invoke(app, ["plan", str(tmp_path / "run")])
    assert f"{summary['n_acquired']} compounds" in shown.output
    refused = CliRunner().invoke(app, ["plan", str(tmp_path / "run"), "--set", "seed=3"])
    assert isinstance(refused.exception, ConfigError) or "keeps its configuration" in refused.output


def test_a_campaign_of_a_laboratory_is_planned_before_its_first_readouts(make_config, tmp_path):
    Campaign.create(tmp_path / "run", make_config(**LABORATORY, stopping=ACCURACY)).ask()
    made = plan_campaign(tmp_path / "run")
    assert made.demand.n_rows == 900
    assert made.courses.likely is None
    assert "a GUESS" in made.assumptions[0]


def test_what_is_measured_cannot_be_taken_back(make_config, tmp_path):
    config = make_config(**FAST, stopping={**RECALL, "quantity": "precision"})
    with pytest.raises(CutOffError):
        simulate(config, tmp_path / "run", CutOff(4))
    found = courses_of(config, 900, own=CampaignStore.open(tmp_path / "run"))
    assert found.least.n_acquired >= 180 > round(SEEN[0] * 900)
    assert "'precision'" in found.known_by[0]


# --- what is shown --------------------------------------------------------------------------------------------------


def test_a_plan_shows_the_likely_course_between_the_ends_and_of_a_guess_the_ends_alone(past, make_config):
    known = plan_campaign(make_config(**FAST, stopping=ACCURACY), n_rows=900, like=[past["accuracy"]])
    ends = f"({known.least.n_acquired:,} to {known.most.n_acquired:,})"
    assert dict(plan_lines(known))["Measured at the stop"] == f"{known.outlay.n_acquired:,} {ends} compounds"
    guess = plan_campaign(make_config(**FAST, stopping=RECALL), n_rows=N)
    assert dict(plan_lines(guess))["Measured at the stop"] == "750 to 6,700 compounds"
    assert guess.outlay == guess.most
    for limits, words in (({}, "3,000 compounds"), ({"max_compounds": 700}, "700 compounds")):
        assumed = plan_campaign(make_config(**FAST, stopping={**RECALL, **limits}), n_rows=N, stop_share=0.3)
        assert dict(plan_lines(assumed))["Measured at the stop"] == words


def test_speeds_are_those_of_a_past_library_where_there_is_none_yet(past, make_config, tmp_path):
    changed = {"path": str(tmp_path / "none")}
    typical = "rows of typical size"
    for library, words in (
        ({"features": "ecfp4"}, "rows of a past screen"),
        ({"features": "standard"}, typical),
        ({"features": "ecfp4", "descriptors": ["rdkit2d"]}, typical),
    ):
        config = make_config(**FAST, stopping=ACCURACY, library={**changed, **library})
        said = plan_campaign(config, n_rows=900, like=[past["accuracy"]]).assumptions
        assert any(words in text for text in said)


def test_speeds_are_measured_with_the_labels_that_are_known(past, make_config, monkeypatch):
    seen, measured = [], calibration._fit_rates
    monkeypatch.setattr(calibration, "_fit_rates", lambda *given: seen.append(given[2]) or measured(*given))
    config = make_config(**FAST, stopping=ACCURACY)
    plan_campaign(config)
    [labels] = seen
    assert (labels == known_labels(config, Library.open(config.library.path)).labels).all()


def test_networks_fit_as_many_epochs_as_there(make_config, tmp_path):
    networks = make_config(stopping={"rule": "none", "max_rounds": 3}, model={"members": 1, "epochs": 9, "patience": 1})
    run = simulate(networks, tmp_path / "run")
    taken = [row["epochs"] for row in run.rounds.to_pylist() if row["epochs"]]
    assert epochs_of(networks, [run.path]) == pytest.approx(sum(taken) / len(taken))
    assert epochs_of(networks, []) is None
    assert epochs_of(make_config(**FAST), [run.path]) is None
    made = plan_campaign(make_config(model={"epochs": 9}), n_rows=900, stop_share=0.3, like=[run.path])
    assert made.demand.epochs == epochs_of(networks, [run.path])
    assert (
        replace(made.demand, epochs=9.0)
        == plan_campaign(make_config(model={"epochs": 9}), n_rows=900, stop_share=0.3).demand
    )
