"""The plan of a campaign: arithmetic against a loop that does what the loop of a campaign does."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
from typer.testing import CliRunner

from isd_ray.cli import app
from isd_ray.core.outlay import FamilyRates, Rates, Workload, outlay
from isd_ray.errors import ConfigError
from isd_ray.ops.plan import plan_campaign

RATES = Rates(build_row_s=2e-4, fit_row_s=3e-5, score_row_s=4e-6, row_bytes=100.0, member_bytes=1 << 20)
DEMAND = Workload(
    n_rows=100_000, n_initial=1_000, n_batch=2_000, members=5, epochs=10, trained_share=0.9,
    trainers=2, scorers=4, builders=2, stop_share=0.3, gpus=0, gpu_speedup=50.0,
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
    made = outlay(DEMAND, RATES)
    assert made.rounds == rounds
    assert made.fit_s == pytest.approx(fit)
    assert made.score_s == pytest.approx(score)
    assert made.build_s == pytest.approx(10.0)
    assert made.disk_bytes == 1e7
    assert made.total_s == pytest.approx(made.build_s + fit + score)


def test_other_families_cost_their_whole_fit_and_their_scoring():
    trees = FamilyRates("trees", members=3, fit_row_s=1e-3, score_row_s=2e-5, member_bytes=1000)
    none = dataclasses.replace(DEMAND, members=0)
    alone = outlay(none, dataclasses.replace(RATES, others=(trees,)))
    observed = [min(100_000, 1_000 + 2_000 * number) for number in range(alone.rounds)]
    assert alone.fit_s == pytest.approx(sum(observed) * 3 * 1e-3 / DEMAND.trainers)
    assert alone.score_s == pytest.approx(sum(100_000 - n for n in observed) * 3 * 2e-5 / DEMAND.scorers)
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


def test_gpus_share_out_members_and_rows():
    made = outlay(dataclasses.replace(DEMAND, gpus=5), RATES)
    plain = outlay(dataclasses.replace(DEMAND, trainers=5, scorers=5), RATES)
    assert made.fit_s == pytest.approx(plain.fit_s / 50)
    assert made.score_s == pytest.approx(plain.score_s / 50)
    # All five work all the time: no member waits for a turn.
    assert made.device_hours == pytest.approx(5 * (made.fit_s + made.score_s) / 3600)


def test_a_campaign_is_planned_from_its_configuration(make_config, tmp_path):
    config = make_config(stopping={"max_fraction": 0.25})
    made = plan_campaign(config, out=tmp_path, price_hour=2.0, n_rows=900)
    assert made.demand.n_rows == 900
    assert made.outlay.n_acquired == 225
    assert made.outlay.rounds == 1 + math.ceil((225 - 120) / 120)
    assert made.money == pytest.approx(2.0 * made.outlay.device_hours)
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
