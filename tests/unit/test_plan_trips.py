"""A plan for at most so many trips: replays of the rule on learning curves, and what cannot be planned."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from isd_ray.cli import app
from isd_ray.config_file import to_toml
from isd_ray.core.audit_size import audit_size
from isd_ray.core.bounds import allowed_errors
from isd_ray.core.looks import LookRule, look_deltas
from isd_ray.core.outlay import outlay
from isd_ray.core.replay import LearningCurve, Replayed, Terms, TripsOption, TripsPlan, replay
from isd_ray.errors import ConfigError
from isd_ray.ops.curves import AROUND, GUESSED
from isd_ray.ops.plan import plan_campaign
from isd_ray.ops.plan_trips import GROWTHS, plan_trips
from isd_ray.ops.simulate import simulate
from isd_ray.report.plan import plan_lines, trips_lines
from tests.unit.test_plan import DEMAND, RATES

N = 10_000
STEEP = LearningCurve("steep", (0.0, 0.2, 0.4), (0.3, 0.1, 0.0))


def terms(gamma: float = 0.95, n_most: int = N, rounds: int = 10**6, from_on: int = 0) -> Terms:
    return Terms(
        n_target=N,
        allowed=allowed_errors(N, gamma),
        is_exact=True,
        rule=lambda size: LookRule.certify(0.05, 5, size),
        n_affordable=lambda n, number: n_most - n if number < rounds else 0,
        rule_counts=lambda n, number: n >= from_on,
    )


def test_a_curve_is_linear_between_its_points_and_flat_beyond():
    assert [STEEP.rate(share) for share in (0.0, 0.1, 0.3, 0.9)] == pytest.approx([0.3, 0.2, 0.05, 0.0])
    assert STEEP.times(2.0).rates == (0.6, 0.2, 0.0)
    assert STEEP.times(10.0).rates == (1.0, 1.0, 0.0)


def test_a_replay_looks_when_the_rate_of_a_batch_ago_meets_the_goal_and_pays_that_audit():
    found = replay(STEEP, terms(), 1000, lambda number, left: 1000)
    # 499 errors are allowed: the rate of 3,000 measured, 0.05, leaves 300 of 6,000, that of 2,000 leaves 700 of 7,000.
    size = audit_size(6000, 300.0, 499, 0.04)
    assert found == Replayed(5, 4000 + size, size)


def test_a_look_that_fails_is_a_trip_whose_audit_is_learnt_from_and_a_batch_comes_before_the_next():
    size = audit_size(6000, 300.0, 499, 0.04)
    # At the next round none may be made yet; after a batch, errors are those before it, and the risk is what is left.
    n = 4000 + size + 1000
    errors = STEEP.rate((4000 + size) / N) * (N - n)
    deltas = LookRule.certify(0.05, 5, 1000)
    second = audit_size(N - n, errors, 499, look_deltas(deltas.delta, 5, deltas.first_share)[1])
    found = replay(STEEP, terms(), 1000, lambda number, left: 1000, n_failing=1)
    assert found == Replayed(7, n + second, second)
    once = replace(terms(), rule=lambda size: LookRule.pac(0.05, size))
    n_after = math.ceil((6000 - audit_size(6000, 300.0, 499, 0.05)) / 1000)
    complete = replay(STEEP, once, 1000, lambda number, left: 1000, n_failing=1)
    assert complete == Replayed(5 + n_after, N, 0), "pac has one look"


@pytest.mark.parametrize("batch", [250, 1000])
def test_larger_batches_take_fewer_trips_and_more_wells(batch):
    small = replay(STEEP, terms(), 250, lambda number, left: 250)
    large = replay(STEEP, terms(), 250, lambda number, left: 4 * 250)
    assert (large.n_trips < small.n_trips, large.n_wells > small.n_wells) == (True, True)


def test_a_replay_ends_with_its_budget_its_rounds_or_the_whole_library():
    hopeless = LearningCurve("flat", (0.0, 1.0), (0.4, 0.4))
    batch = lambda number, left: 1500  # noqa: E731
    assert replay(hopeless, terms(), 1000, batch) == Replayed(7, N, 0), "measured completely"
    assert replay(STEEP, terms(n_most=3000), 1000, batch) is None
    assert replay(STEEP, terms(rounds=2), 1000, batch) is None
    assert replay(hopeless, terms(), 1000, batch, most_trips=3) is None
    early, late = replay(STEEP, terms(), 1000, batch), replay(STEEP, terms(from_on=8000), 1000, batch)
    assert early.n_wells < 8000 < late.n_wells, "not before another condition holds"


def test_an_option_is_as_likely_as_most_curves_say():
    ends = [Replayed(4, 900, 10), Replayed(9, 1500, 10), None]
    found = TripsOption.of(("batch_size", 50, 1.3), ends, 8)
    assert (found.n_wells, found.n_trips, found.wells, found.n_within) == (1200, 9, None, 1)
    assert TripsOption.of(("batch_size", 50, 1.3), [ends[0], None], 8).n_wells is None
    whole = TripsOption.of(("batch_size", 50, 1.3), ends[:2], 8)
    assert (whole.wells, whole.trips, whole.n_trips) == ((900, 1500), (4, 9), 9)


# --- options for a campaign -----------------------------------------------------------------------------------------


@pytest.fixture
def config(make_config):
    return make_config(acquisition={"batch_size": 100}, stopping={"rule": "certify", "gamma": 0.95})


def test_the_best_option_keeps_the_limit_and_takes_the_fewest_wells(config):
    free = plan_trips(config, N, 50)
    assert (free.unlimited.size, free.unlimited.growth, len(free.curves)) == (100, 1.0, len(GUESSED))
    assert free.best.n_wells <= free.unlimited.n_wells
    wells = []
    for limit in (20, 10, 6, 4):
        plan = plan_trips(config, N, limit)
        assert plan.best.n_trips <= limit
        assert plan.best.growth in GROWTHS
        assert 0 < plan.best.n_within <= len(plan.curves)
        wells.append(plan.best.n_wells)
    assert wells == sorted(wells), "fewer trips never take fewer wells"
    assert wells[0] < wells[-1]


def test_a_limit_that_nothing_keeps_is_said_with_the_fewest_trips_that_do(make_config):
    config = make_config(acquisition={"batch_size": 2, "initial_size": 2}, stopping={"rule": "certify", "gamma": 0.99})
    plan = plan_trips(config, N, 3)
    assert plan.best is None
    assert plan.fewest.n_trips > 3
    said = dict(trips_lines(plan))["In at most 3 trips"]
    assert said.startswith("LIKELY NOT REACHED")
    assert f"in {plan.fewest.n_trips} trips" in said


def test_a_plan_is_held_against_the_configuration_as_it_is():
    def option(n_wells: int, n_trips: int) -> TripsOption:
        return TripsOption.of(("batch_size", 50, 1.0), [Replayed(n_trips, n_wells, 9)], 9)

    def said(configured: TripsOption, best: TripsOption) -> str:
        plan = TripsPlan(9, configured, best, best, ("one",), ())
        return dict(trips_lines(plan))["  against as configured"]

    assert said(option(900, 8), option(1900, 7)) == "about 1,000 wells more, 1 trip fewer"
    assert said(option(900, 5), option(899, 7)) == "about 1 well fewer, 2 trips more"


def test_the_limits_of_the_campaign_hold_in_a_plan_but_for_the_number_of_its_rounds(config):
    stopping = config.stopping
    rounds = config.model_copy(update={"stopping": stopping.model_copy(update={"max_rounds": 3})})
    assert plan_trips(rounds, N, 20) == plan_trips(config, N, 20)
    wells = config.model_copy(update={"stopping": stopping.model_copy(update={"max_compounds": 500})})
    plan = plan_trips(wells, N, 20)
    assert (plan.best, plan.unlimited.n_wells) == (None, None)
    assert dict(trips_lines(plan))["As configured"] == "not likely to end within its budget"


def test_plates_are_planned_as_plates(make_config):
    config = make_config(
        acquisition={"batch_size": None, "n_plates": 3},
        plates={"format": 96, "negative": {"columns": [1]}},
        stopping={"rule": "certify", "gamma": 0.95},
    )
    plan = plan_trips(config, N, 6)
    assert (plan.best.key, plan.unlimited.size) == ("n_plates", 3)
    assert plan.best.n_trips <= 6 < plan.unlimited.n_trips
    assert f"n_plates = {plan.best.size}" in dict(trips_lines(plan))["In at most 6 trips"]


@pytest.mark.parametrize(
    ("changes", "trips", "words"),
    [
        ({}, 2, "2 trips are too few.*\n.*allow 3"),
        ({"stopping": {"rule": "paper"}}, 5, "not for 'paper'"),
        ({"stopping": {"rule": "reserved"}}, 5, "not for 'reserved'"),
        ({"stopping": {"rule": "certify", "quantity": "recall"}}, 5, "claims about recall"),
        ({"task": "regression", "labels": {"column": "size"}, "stopping": {"rule": "certify", "tolerance": 1.0}}, 5,
         "cannot even be guessed.*\n.*--like RUN"),
    ],
)  # fmt: skip
def test_what_cannot_be_planned_is_refused_with_a_remedy(changes, trips, words, make_config):
    with pytest.raises(ConfigError, match=rf"--rounds: .*{words}"):
        plan_trips(make_config(**changes), N, trips)


# --- past screens ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def past(make_config, tmp_path_factory):
    config = make_config(
        acquisition={"batch_size": 60},
        stopping={"rule": "certify", "gamma": 0.87},
        model={"members": 1, "families": ["boosted"]},
    )
    return config, simulate(config, tmp_path_factory.mktemp("past") / "run")


def test_a_past_screen_is_foretold_by_its_own_curve(past):
    config, result = past
    plan = plan_trips(config, 900, 20, [result.path])
    assert plan.curves == tuple(f"{result.path} × {factor:g}" for factor in AROUND)
    low, high = plan.unlimited.wells
    assert 0.85 * low <= result.summary["n_acquired"] <= 1.15 * high
    assert abs(plan.unlimited.n_trips - result.summary["n_trips"]) <= 2
    assert "GUESS" not in " ".join(plan.assumptions)
    assert "GUESS" in " ".join(plan_trips(config, 900, 20).assumptions)


def test_a_curve_is_read_of_true_errors_or_else_of_forecasts_which_speak_of_the_round_before(past, make_config):
    from isd_ray.ops.curves import curve_of

    config, result = past
    rounds = result.rounds.to_pylist()
    curve = curve_of(config, result.path)
    known = [row for row in rounds if row["inference_errors"] is not None]
    assert curve.shares == tuple(row["fraction_acquired"] for row in known)
    assert curve.rates == tuple(row["inference_errors"] / row["n_inference"] for row in known)


def test_in_a_laboratory_a_curve_follows_from_forecasts(past, tmp_path, monkeypatch):
    from isd_ray.ops import curves as module

    config, result = past
    rounds = [{**row, "inference_errors": None} for row in result.rounds.to_pylist()]
    monkeypatch.setattr(module, "rounds_of", lambda store: result.rounds.from_pylist(rounds, result.rounds.schema))
    curve = module.curve_of(config, result.path)
    places = [number for number, row in enumerate(rounds) if row["forecast_errors"] is not None]
    assert curve.shares == tuple(rounds[number - 1]["fraction_acquired"] for number in places)
    assert curve.rates == tuple(rounds[number]["forecast_errors"] / rounds[number]["n_inference"] for number in places)


def test_a_past_screen_that_says_nothing_of_this_one_is_refused_or_pointed_at(past, make_config, tmp_path):
    config, result = past
    other = make_config(
        task="regression", labels={"column": "size"}, stopping={"rule": "certify", "tolerance": 1.0, "gamma": 0.9}
    )
    with pytest.raises(ConfigError, match=r"--like .*task is 'classification' there and 'regression' here"):
        plan_trips(other, 900, 9, [result.path])
    short = simulate(make_config(stopping={"rule": "none", "max_rounds": 1}, model={"members": 1}), tmp_path / "short")
    with pytest.raises(ConfigError, match=r"--like .*too few of its rounds \(1\)"):
        plan_trips(config, 900, 9, [short.path])
    said = " ".join(plan_trips(config, 9000, 9, [result.path]).assumptions)
    assert "had 900 compounds" in said
    assert "had 900 compounds" not in " ".join(plan_trips(config, 900, 9, [result.path]).assumptions)


def test_the_command_prints_the_plan_and_json(past, tmp_path):
    config, result = past
    file = tmp_path / "campaign.toml"
    file.write_text(to_toml(config))
    copied = shutil.copytree(result.path, tmp_path / "past")
    arguments = ["plan", str(file), "--rows", "900", "--rounds", "7", "--like", str(copied)]
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 0, shown.output
    assert "In at most 7 trips" in shown.output
    printed = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert printed["trips"]["most_trips"] == 7
    assert printed["trips"]["best"]["n_trips"] <= 7
    assert printed["outlay"]["n_trips"] == printed["outlay"]["rounds"] + 1


# --- the plan without a limit ---------------------------------------------------------------------------------------


def test_a_forecast_of_growing_batches_counts_fewer_rounds_and_a_trip_for_the_audit():
    import dataclasses

    grows = dataclasses.replace(DEMAND, growth=1.5, n_audits=1)
    made, n, rounds = outlay(grows, RATES), DEMAND.n_initial, 1
    while n < 30_000:
        n += max(2000, min(math.floor(2000 * 1.5**rounds + 0.5), (100_000 - n) // 4))
        rounds += 1
    assert (made.rounds, made.n_trips) == (rounds, rounds + 1)
    assert outlay(DEMAND, RATES).rounds > rounds


@pytest.mark.parametrize(("rule", "n_audits"), [("certify", 1), ("pac", 1), ("reserved", 0), ("paper", 0)])
def test_a_plan_gives_trips_beside_wells(rule, n_audits, make_config, tmp_path):
    made = plan_campaign(make_config(stopping={"rule": rule}), out=tmp_path, n_rows=900, stop_share=0.3)
    assert made.outlay.n_trips == made.outlay.rounds + n_audits
    assert f"{made.outlay.n_trips} trips to the laboratory" in dict(plan_lines(made))["Rounds"]
