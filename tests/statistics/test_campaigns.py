"""Whole simulated campaigns: the benchmark in small, its negative control, and the reserve by enumeration."""

from __future__ import annotations

import itertools
import json
from collections import Counter

import numpy as np
import pytest

from isd_ray.core.certify import LookRule
from tests.benchmarks.stopping import __main__ as benchmark
from tests.benchmarks.stopping import simulate
from tests.benchmarks.stopping.scenarios import SCENARIOS
from tests.benchmarks.stopping.simulate import Campaign, Target
from tests.benchmarks.stopping.worlds import Learner, WrongCluster

RUNS = 12
FEW = 4
"""Of 12 runs at a risk of 5 % more than 3 are false once in 10,000 times."""


@pytest.mark.parametrize("name", ["S3", "S3b", "S4"])
def test_the_papers_rule_fails_where_confidence_misleads(name):
    """Negative control: were these stops true, the harness would be broken."""
    outcomes = benchmark.simulate(name, "paper", range(RUNS), 1, "trend")
    assert sum(outcome.false_stop for outcome in outcomes) > 0.9 * RUNS


def test_counting_a_panels_cells_as_units_fails():
    outcomes = benchmark.simulate("rows", "paper-cells", range(RUNS), 1, "trend")
    assert sum(outcome.false_stop for outcome in outcomes) > 0.8 * RUNS


@pytest.mark.parametrize(
    ("name", "rule"),
    [(name, rule) for name in ("S2", "S3", "S4", "S8") for rule in ("certify", "pac", "reserved")]
    + [("S3b", "certify"), ("rows", "certify"), ("recall", "certify")],
)
def test_the_looks_rarely_stop_falsely(name, rule):
    outcomes = benchmark.simulate(name, rule, range(RUNS), 2, "trend")
    assert sum(outcome.false_stop for outcome in outcomes) < FEW


@pytest.mark.parametrize("name", ["S1", "S1-0.90", "S5", "S7", "S8"])
def test_certainty_costs_less_than_the_papers_rule(name):
    certify, paper = (
        np.mean([outcome.acquired for outcome in benchmark.simulate(name, rule, range(RUNS), 3, "trend")])
        for rule in ("certify", "paper")
    )
    assert certify < paper


def test_the_platt_trigger_is_as_valid():
    outcomes = benchmark.simulate("S3", "certify", range(RUNS), 4, "platt")
    assert sum(outcome.false_stop for outcome in outcomes) < FEW


def test_digits_need_no_data_folder(monkeypatch):
    monkeypatch.delenv("ISD_DATA", raising=False)
    (outcome,) = benchmark.simulate("digits", "certify", range(1), 5, "trend")
    assert not outcome.false_stop
    assert outcome.acquired < 0.6


SMALL, LOSSES = 1200, 0.02
"""A target set of which a look is a large part, and wells that fail."""


def certified(make_rule, laboratory, seeds):
    """Which of some campaigns end by a look, before all is measured."""
    target, found = Target(SMALL, 0.95), []
    for seed in seeds:
        rng = np.random.default_rng([seed, 1])
        world = Learner(SMALL, np.random.default_rng(seed))
        outcome = simulate.run_looks(world, target, SMALL // 20, rng, make_rule(), laboratory=laboratory)
        assert not outcome.false_stop
        found.append(outcome.acquired < 0.99)
    return np.array(found)


@pytest.mark.parametrize("make_rule", [lambda: LookRule.certify(0.05, 5, 60), lambda: LookRule.pac(0.05, 60)])
def test_with_lost_wells_measured_once_more_all_is_certified_that_is_without_losses(make_rule):
    """Two of a hundred wells fail: counted at once as errors they cost certificates, tried twice they cost none."""
    seeds = range(40)
    whole = certified(make_rule, simulate.PERFECT, seeds)
    once = certified(make_rule, simulate.Laboratory(lost=LOSSES, tries=1), seeds)
    twice = certified(make_rule, simulate.Laboratory(lost=LOSSES), seeds)
    assert whole.all()
    assert twice.all()
    assert once.sum() < len(whole)


class Permuted(Learner):
    """The same world under other row numbers."""

    def __init__(self, n, rng):
        super().__init__(n, rng)
        order = np.random.default_rng(99).permutation(n)
        self.q, self.u, self.flipped = self.q[order], self.u[order], self.flipped[order]


def test_row_numbers_do_not_matter():
    def acquired(world):
        runs = []
        for seed in range(24):
            rng, rule = np.random.default_rng(seed), simulate_rule()
            outcome = simulate.run_looks(world(4000, rng), Target(4000, 0.95), 100, rng, rule)
            runs.append(outcome.acquired)
        return np.array(runs)

    def simulate_rule():
        return LookRule.certify(0.05, 5, 100)

    plain, permuted = acquired(Learner), acquired(Permuted)
    error = np.sqrt((plain.var() + permuted.var()) / len(plain))
    assert abs(plain.mean() - permuted.mean()) < 4 * error


def test_the_delivered_model_was_fitted_without_its_audit():
    class Watched(WrongCluster):
        def refit(self, observed):
            self.fitted_on = observed.copy()
            super().refit(observed)

    rng = np.random.default_rng(8)
    world = Watched(10_000, rng)
    rule = LookRule.certify(0.05, 5, 200)
    outcome = simulate.run_looks(world, Target(10_000, 0.95), 200, rng, rule)
    assert outcome.looks >= 1
    assert round(outcome.acquired * world.n) > world.fitted_on.sum(), "the audit and the finish came after the fit"


class Fixed:
    """Ten rows whose order depends on what has been observed, not on chance."""

    def __init__(self):
        self.n = 10

    def refit(self, observed):
        self.scores = (np.arange(self.n) * 7 + 3 * int(np.flatnonzero(observed).sum())) % 11 + np.arange(10) / 100

    def losses(self, rows):
        return np.zeros(len(rows))

    def uncertainty(self, rows):
        return self.scores[rows]


def test_what_is_left_of_a_reserve_is_a_uniform_sample_of_what_is_left():
    """All reserves of 4 of 10 rows, two batches: given what was measured, every set of reserved rows occurs once."""
    left = {}
    for reserve in itertools.combinations(range(10), 4):
        campaign = Campaign(Fixed(), Target(10, 0.5), 2, np.random.default_rng(0))
        campaign.observed[:] = False
        campaign.reserve[list(reserve)] = True
        for _ in range(2):
            campaign.fit_and_score()
            campaign.acquire(0)
        rest = tuple(np.flatnonzero(campaign.reserve).tolist())
        measured = tuple(np.flatnonzero(campaign.observed).tolist())
        left.setdefault((measured, len(rest)), Counter())[rest] += 1
    for (measured, n_rest), sets in left.items():
        everything = set(itertools.combinations(sorted(set(range(10)) - set(measured)), n_rest))
        assert set(sets) == everything, measured
        assert len(set(sets.values())) == 1, measured


def test_the_command_writes_what_it_prints(tmp_path, capsys):
    file = tmp_path / "out.json"
    arguments = ["--scenario", "S4", "--runs", "2", "--jobs", "1", "--seed", "5", "--json", str(file)]
    benchmark.main(arguments)
    lines = json.loads(file.read_text())
    assert [line["rule"] for line in lines] == list(SCENARIOS["S4"]().rules)
    for line in lines:
        assert {"scenario", "rule", "runs", "false_stops", "acquired_mean", "oracle_mean", "accuracy_mean"} <= set(line)
        assert line["scenario"] == "S4"
        assert line["runs"] == 2
        assert 0 <= line["false_stops"] <= 2
        assert line["rate_low"] <= line["false_stops"] / 2 <= line["rate_high"]
    assert "reserved" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        benchmark.main(["--scenario", "S99"])


@pytest.mark.parametrize(("successes", "interval"), [(0, (0.0, 0.00735)), (41, (0.0595, 0.1096)), (500, (0.9926, 1.0))])
def test_the_interval_of_a_rate_is_clopper_and_pearsons(successes, interval):
    assert benchmark.binomial_interval(successes, 500) == pytest.approx(interval, abs=2e-4)
