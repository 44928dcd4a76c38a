"""The plan of a campaign: arithmetic against a loop that does what the loop of a campaign does."""

from __future__ import annotations

import dataclasses
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from isd_ray.cli import app
from isd_ray.core.courses import Course
from isd_ray.core.outlay import FamilyRates, Rates, Workload, outlay
from isd_ray.errors import ConfigError
from isd_ray.ops import calibration
from isd_ray.ops.calibration import ROWS, _some_rows, calibrate
from isd_ray.ops.plan import plan_campaign
from isd_ray.ops.prepare import panel_outputs
from isd_ray.ops.workload import workload
from isd_ray.report.plan import plan_lines

RATES = Rates(build_row_s=2e-4, fit_row_s=3e-5, score_row_s=4e-6, row_bytes=100.0, member_bytes=1 << 20)
DEMAND = Workload(
    n_rows=100_000, n_initial=1_000, n_batch=2_000, members=5, epochs=10, trained_share=0.9,
    trainers=2, scorers=4, builders=2, n_acquired=30_000, devices=6.0,
)  # fmt: skip


def test_the_forecast_is_the_sum_of_its_rounds():
    observed, fit, score, rounds = DEMAND.n_initial, 0.0, 0.0, 0
    while True:
        rounds += 1
        # Five members take two trainers three turns.
        fit += 3 * 10 * 0.9 * observed * 3e-5
        score += (100_000 - observed) * 5 * 4e-6 / 4
        if observed >= 30_000:
            break
        observed += 2_000
    # What is delivered is predicted once more.
    score += (100_000 - observed) * 5 * 4e-6 / 4
    made = outlay(DEMAND, RATES)
    assert made.rounds == rounds
    assert made.fit_s == pytest.approx(fit)
    assert made.score_s == pytest.approx(score)
    assert made.build_s == pytest.approx(10.0)
    assert made.disk_bytes == 1e7
    assert made.total_s == pytest.approx(made.build_s + fit + score)


def test_other_families_cost_their_whole_fit_and_their_scoring():
    trees = FamilyRates("trees", members=3, fit_base_s=0.5, fit_row_s=1e-3, score_row_s=2e-5, member_bytes=1000)
    none = dataclasses.replace(DEMAND, members=0)
    alone = outlay(none, dataclasses.replace(RATES, others=(trees,)))
    observed = [min(100_000, 1_000 + 2_000 * number) for number in range(alone.rounds)]
    assert alone.fit_s == pytest.approx(3 * (0.5 * len(observed) + 1e-3 * sum(observed)) / DEMAND.trainers)
    assert alone.first[0] == pytest.approx(3 * (0.5 + 1e-3 * 1_000) / DEMAND.trainers)
    scored = [100_000 - n for n in (*observed, observed[-1])]
    assert alone.score_s == pytest.approx(sum(scored) * 3 * 2e-5 / DEMAND.scorers)
    both = outlay(DEMAND, dataclasses.replace(RATES, others=(trees,)))
    assert both.fit_s == pytest.approx(alone.fit_s + outlay(DEMAND, RATES).fit_s)


def test_a_plan_speaks_of_the_families_that_the_campaign_has_and_of_no_other(make_config, tmp_path):
    made = plan_campaign(make_config(model={"families": ["boosted", "linear"], "boosted": {"trees": 3}}), out=tmp_path)
    said = " ".join(made.assumptions)
    assert "boosted: fit" in said
    assert "linear: fit" in said
    assert "resmlp" not in said
    assert "network" not in said
    assert made.demand.members == 0
    assert made.outlay.fit_s > 0


def test_what_an_audit_takes_is_in_no_batch():
    audited = outlay(dataclasses.replace(DEMAND, n_acquired=31_500, n_audit=1_500, n_audits=1), RATES)
    plain = outlay(DEMAND, RATES)
    assert (audited.rounds, audited.n_trips, audited.fit_s) == (plain.rounds, plain.n_trips + 1, plain.fit_s)
    assert audited.n_acquired == audited.size.n_observed == 31_500


def test_core_seconds_are_those_of_all_processes():
    made = outlay(DEMAND, RATES)
    # Two trainers share five members: one of them has nothing to do in a third of its turns.
    work = 2 * made.build_s + 5 / 3 * made.fit_s + 4 * made.score_s
    assert made.core_s == pytest.approx(work)
    costs = dataclasses.replace(RATES, start_s=3.0, builder_start_s=2.0, pass_row_s=1e-6, end_row_s=1e-5)
    dear = outlay(dataclasses.replace(DEMAND, processes=7), costs)
    n_scored = made.score_s * 4 / (5 * 4e-6)
    assert dear.core_s - made.core_s == pytest.approx(7 * 3.0 + 2 * 2.0 + n_scored * 1e-6 + 100_000 * 1e-5)
    built = outlay(DEMAND, dataclasses.replace(costs, build_row_s=0.0))
    assert built.core_s == pytest.approx(dear.core_s - 6 * 3.0 - 2 * 2.0 - 2 * dear.build_s), (
        "nobody is started to build"
    )


ON_GPUS = dataclasses.replace(
    DEMAND, trainers=5, scorers=5, trainer_speed=50.0, scorer_speed=50.0, devices=5.0, has_gpus=True
)


def test_gpus_share_out_members_and_rows():
    made = outlay(ON_GPUS, RATES)
    plain = outlay(dataclasses.replace(DEMAND, trainers=5, scorers=5), RATES)
    assert made.fit_s == pytest.approx(plain.fit_s / 50)
    assert made.score_s == pytest.approx(plain.score_s / 50)
    # All five work all the time: no member waits for a turn.
    assert made.used_hours == pytest.approx(5 * (made.fit_s + made.score_s) / 3600)


def test_a_gpu_that_waits_is_held():
    built, many = dataclasses.replace(RATES, build_row_s=0.0), dataclasses.replace(ON_GPUS, n_audits=1, trip_s=86400.0)
    quick = outlay(dataclasses.replace(many, trip_s=0.0), built)
    assert quick.held_hours == quick.computing_hours == pytest.approx(quick.used_hours), "nothing to wait for"
    # Four of nine have no member to fit.
    nine = outlay(dataclasses.replace(many, trainers=9, scorers=9, devices=9.0, trip_s=0.0), built)
    assert nine.used_hours == pytest.approx(quick.used_hours)
    assert nine.held_hours - nine.used_hours == pytest.approx(4 * nine.fit_s / 3600)
    # The laboratory, and the library.
    slow = outlay(many, RATES)
    assert slow.held_hours == pytest.approx(5 * (24 * slow.n_trips + slow.total_s / 3600))
    assert slow.computing_hours == pytest.approx(quick.held_hours)
    assert slow.total_s > quick.total_s
    # Trainers wait while scorers work, and have a GPU each; scorers have a half.
    apart = outlay(dataclasses.replace(ON_GPUS, scorers=2, scorer_devices=0.5, devices=6.0), built)
    assert apart.used_hours == pytest.approx((5 * apart.fit_s + 2 * 0.5 * apart.score_s) / 3600)
    assert apart.held_hours == pytest.approx(6 * (apart.fit_s + apart.score_s) / 3600)


def test_a_member_of_a_family_is_fitted_by_one_trainer():
    trees = FamilyRates("trees", members=2, fit_base_s=0.5, fit_row_s=1e-3, score_row_s=2e-5, member_bytes=1000)
    alone = dataclasses.replace(RATES, others=(trees,))
    many, two = (outlay(dataclasses.replace(DEMAND, members=0, trainers=n), alone) for n in (64, 2))
    assert many.fit_s == two.fit_s


def test_a_plan_for_ray_says_what_is_held_and_what_is_given_back(make_config):
    config = make_config(stopping={"rule": "none"}, compute={"backend": "ray", "trainers": 2, "trainer_gpus": 1.0})
    made = plan_campaign(config, n_rows=900, price_hour=2.0, trip_days=7.0)
    said, outlay = dict(plan_lines(made)), made.outlay
    assert said["GPU hours held"].startswith(f"{outlay.held_hours:,.1f} ")
    assert said["  given back between"].startswith(f"{outlay.computing_hours:,.1f} ")
    assert outlay.held_hours > 2 * 7 * 24 * outlay.n_trips > outlay.computing_hours
    assert said["Money"].startswith(f"{2.0 * outlay.held_hours:,.2f} held all the time; ")
    assert "2 trainers and 1 scorer, 2 GPUs" in said["Computing in all"]
    assert any("a trip to the laboratory takes 7 days" in text for text in made.assumptions)
    here = dict(plan_lines(plan_campaign(make_config(stopping={"rule": "none"}), n_rows=900)))
    assert "in one process" in here["Computing in all"]
    assert "Core hours held" not in here


@pytest.mark.parametrize(
    ("compute", "gpus", "processes", "expected"),
    [
        ({"backend": "local", "trainers": 3, "scorers": 2}, 0, 1, (1, 1, 1.0, 1.0, 1.0, False)),
        ({"backend": "ray", "trainers": 3, "scorers": 2}, 0, 10, (2, 2, 1.0, 1.0, 4.0, False)),
        ({"backend": "ray", "trainers": 2, "trainer_gpus": 0.5, "scorers": 3}, 0, 11, (2, 3, 20.0, 1.0, 1.0, True)),
        ({"backend": "ray", "scorers": 3, "scorer_gpus": 2.0}, 0, 10, (1, 3, 1.0, 40.0, 6.0, True)),
        ({"backend": "ray", "trainers": 3, "scorers": 2}, 8, 22, (8, 8, 40.0, 40.0, 8.0, True)),
    ],
)
def test_devices_are_those_that_the_configuration_asks_for(compute, gpus, processes, expected, make_config):
    made = workload(make_config(compute=compute), 900, Course(300), gpus=gpus, gpu_speedup=40.0)
    found = (made.trainers, made.scorers, made.trainer_speed, made.scorer_speed, made.devices, made.has_gpus)
    assert found == expected
    assert made.processes == processes, "of the campaign, and of Ray as many as its own are worth"


def test_a_campaign_is_planned_from_its_configuration(make_config, tmp_path):
    config = make_config(stopping={"rule": "none", "max_fraction": 0.25})
    made = plan_campaign(config, out=tmp_path, price_hour=2.0, n_rows=900)
    assert made.demand.n_rows == 900
    assert made.outlay.n_acquired == 225
    assert made.outlay.rounds == 1 + math.ceil((225 - 120) / 120)
    assert dict(plan_lines(made))["Money"] == f"{2.0 * made.outlay.held_hours:,.2f}"
    assert made.problems == ()
    assert any("measured just now" in text for text in made.assumptions)


def test_what_cannot_fit_is_named(make_config, tmp_path):
    made = plan_campaign(make_config(), out=tmp_path, n_rows=10**11)
    assert any(problem.startswith("memory: ") for problem in made.problems)
    assert any(problem.startswith("disk: ") for problem in made.problems)
    assert plan_campaign(make_config(), out=tmp_path, n_rows=10**11, gpus=64).problems == ()


def test_an_unknown_number_of_compounds_is_asked_for(make_config, tmp_path):
    source = tmp_path / "compounds.csv"
    source.write_text("smiles")
    config = make_config(library={"source": str(source), "path": None})
    with pytest.raises(ConfigError, match="give --rows"):
        plan_campaign(config, out=tmp_path)


@pytest.mark.parametrize(("name", "text", "n"), [("x.csv", "smiles\nC\nCC\n", 2), ("x.smi", "C\nCC\n", 2)])
def test_a_header_is_no_compound(name, text, n, make_config, tmp_path):
    (tmp_path / name).write_text(text)
    config = make_config(library={"source": str(tmp_path / name), "path": None})
    assert plan_campaign(config, out=tmp_path).demand.n_rows == n


def test_the_command_prints_its_assumptions_and_json(make_config, tmp_path):
    from isd_ray.config_file import to_toml

    file = tmp_path / "campaign.toml"
    file.write_text(to_toml(make_config()))
    shown = CliRunner().invoke(app, ["plan", str(file), "--rows", "1e9", "--gpus", "64"])
    assert shown.exit_code == 0
    assert "1,000,000,000" in shown.output
    assert "64 GPUs" in shown.output
    printed = CliRunner().invoke(app, ["plan", str(file), "--rows", "5000", "--json"])
    assert json.loads(printed.output)["demand"]["n_rows"] == 5000


def test_rows_that_are_tried_are_drawn_of_the_whole_library_whatever_its_size():
    rows = _some_rows(SimpleNamespace(n_rows=10**12))
    assert len(np.unique(rows)) == ROWS
    assert (np.diff(rows) > 0).all()
    assert np.mean(rows) == pytest.approx(5e11, rel=0.05)
    assert _some_rows(SimpleNamespace(n_rows=40)).tolist() == list(range(40))


def test_outputs_of_a_panel_are_looked_up_once(make_config, panel, monkeypatch):
    asked = []
    monkeypatch.setattr(calibration, "panel_outputs", lambda *sections: asked.append(1) or panel_outputs(*sections))
    calibrate(make_config(**{**panel, "model": {"families": ["resmlp", "linear"], "members": 1}}), None)
    assert len(asked) == 1
