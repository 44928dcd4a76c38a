"""Looks when a budget is spent, beside other conditions, and of repeated readouts."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from isd_ray.campaign.certificate import certificate_lines
from isd_ray.config import StoppingConfig
from isd_ray.core import stopping
from isd_ray.core.certify import LookVerdict, Needed, look_deltas, reserve_size
from isd_ray.core.goals import Accuracy, Recall, ScreenCounts, accuracy
from isd_ray.core.scored import N_BINS
from isd_ray.core.stopping import LookEvidence, forecast_look, kept_wells
from isd_ray.core.trigger import Forecast
from isd_ray.ops.simulate import simulate
from tests.unit.test_looks_beyond_accuracy import Snapshots, spy_on_fits

N = 900


# --- the last look of a budget --------------------------------------------------------------------------------------


def evidence(**changes) -> LookEvidence:
    values = {
        "counts": ScreenCounts(N, 0, 500, (400,)), "n_observed": 500, "batch_size": 120, "n_batch": 0, "n_random": 0,
        "n_affordable": 60, "rule_counts": True, "histogram": np.zeros((1, N_BINS), np.int64), "scored": ((),),
        "failed_looks": 0, "risk_spent": 0.0, "batches_since_look": 5,
    }  # fmt: skip
    return LookEvidence(**{**values, **changes})


@pytest.mark.parametrize("rule", ["certify", "none", "paper"])
def test_the_last_look_spends_all_the_risk_that_is_left_and_no_more(rule):
    config, goal = StoppingConfig(rule=rule, gamma=0.9, reserve_audit=True), Accuracy(0.9)
    [plan] = forecast_look(evidence(), config, goal).plans
    assert (plan.number, plan.delta, plan.size, plan.finish) == (1, 0.05, 60, "any")
    assert (plan.n_inference, plan.allowed) == (400, 89)
    [plan] = forecast_look(evidence(failed_looks=2, risk_spent=0.0375), config, goal).plans
    assert (plan.number, plan.delta) == (3, pytest.approx(0.0125))
    assert not forecast_look(evidence(failed_looks=3, risk_spent=0.05), config, goal).plans
    assert not forecast_look(evidence(n_affordable=0), config, goal).plans
    assert not forecast_look(evidence(n_batch=120), config, goal).plans
    [plan] = forecast_look(evidence(n_affordable=10**6), config, goal).plans
    assert plan.size == kept_wells(config, N)


def test_no_look_is_planned_once_all_the_risk_is_spent(monkeypatch):
    monkeypatch.setattr(stopping, "_forecast", lambda *_: Forecast(5.0, 1.0))
    config, goal = StoppingConfig(rule="certify", gamma=0.9, max_looks=5), Accuracy(0.9)
    assert forecast_look(evidence(failed_looks=1, risk_spent=0.025), config, goal).plans
    assert not forecast_look(evidence(failed_looks=1, risk_spent=0.05), config, goal).plans


def test_the_last_look_is_not_spent_before_the_end_of_the_budget(monkeypatch):
    monkeypatch.setattr(stopping, "_forecast", lambda *_: Forecast(5.0, 1.0))
    early = evidence(n_batch=120, failed_looks=1, risk_spent=0.025)
    for keep, max_looks, looks in ((True, 2, 0), (True, 3, 1), (False, 2, 1)):
        config = StoppingConfig(rule="certify", gamma=0.9, max_looks=max_looks, reserve_audit=keep)
        assert len(forecast_look(early, config, Accuracy(0.9)).plans) == looks


def test_wells_kept_for_the_last_look_certify_half_the_allowed_errors_at_the_least_risk_left():
    config = StoppingConfig(gamma=0.9, reserve_audit=True)
    assert kept_wells(config, N) == reserve_size(N, 89, look_deltas(0.05, 5)[-1])
    assert kept_wells(StoppingConfig(rule="none", gamma=0.9, reserve_audit=True), N) == reserve_size(N, 89, 0.05)
    assert kept_wells(StoppingConfig(gamma=0.9), N) == 0


def test_a_budget_without_a_rule_ends_in_a_look_with_the_wells_kept_for_it(make_config, tmp_path):
    asked = {"rule": "none", "gamma": 0.8, "max_compounds": 600, "reserve_audit": True}
    result = simulate(make_config(stopping=asked), tmp_path / "run")
    rounds, kept = result.rounds.to_pylist(), reserve_size(N, 179, 0.05)
    assert rounds[-1]["n_observed"] == 600 - kept
    assert (rounds[-1]["n_audit"], rounds[-1]["n_acquired"]) == (kept, 600)
    certificate = json.loads((result.path / "certificate.json").read_text())
    assert (certificate["look"]["number"], certificate["look"]["delta"]) == (1, 0.05)
    assert result.summary["claim"] == "certified by a random audit"
    assert result.summary["system_accuracy"] > 0.8


def test_after_a_failed_look_the_last_one_has_the_risk_that_is_left(make_config, tmp_path, monkeypatch):
    judge = accuracy.judge_look

    def fail_first(plan, ranks, errors, n_lost):
        return LookVerdict(False, plan.n_inference, 0, 1.0) if plan.number == 1 else judge(plan, ranks, errors, n_lost)

    monkeypatch.setattr(accuracy, "judge_look", fail_first)
    asked = {"rule": "certify", "gamma": 0.8, "max_compounds": 640, "reserve_audit": True, "max_looks": 2}
    result = simulate(make_config(stopping=asked), tmp_path / "run")
    certificate = json.loads((result.path / "certificate.json").read_text())
    assert [look["delta"] for look in certificate["looks_spent"]] == pytest.approx([0.04, 0.01])
    assert result.rounds.to_pylist()[-1]["n_acquired"] == 640
    assert certificate["audit"]["groups"][0]["n"] == reserve_size(N, 179, 0.01)


def test_a_last_look_that_fails_is_an_honest_failure_with_what_was_still_needed(make_config, tmp_path, monkeypatch):
    received = spy_on_fits(monkeypatch)
    config = make_config(stopping={"rule": "certify", "gamma": 0.85, "max_compounds": 500, "reserve_audit": True})
    result = simulate(config, tmp_path / "run", Snapshots(tmp_path / "run"))
    rounds, summary = result.rounds.to_pylist(), result.summary
    look, last = rounds[-2:]
    assert look["n_observed"] == 500 - look["n_audit"] == 500 - reserve_size(N, 134, look_deltas(0.05, 5)[-1])
    assert (look["decision"], last["decision"], last["n_audit"]) == ("continue", "stop", 0)
    assert (summary["claim"], summary["certified"], summary["n_acquired"]) == ("NOT CERTIFIED", False, 500)
    assert not (result.path / "certificate.json").exists()
    assert set(result.hybrid["certificate_id"].to_pylist()) == {None}
    assert len(received[-1]) == 500, "the audit of a failed look joins the observation set"
    needed = json.loads((result.path / "summary.json").read_text())["needed"]
    assert needed["allowed"] == 134
    assert needed["errors"] == pytest.approx(last["forecast_errors"])
    assert 0 < needed["finish"] + needed["audit"] < 400
    assert needed["audit"] > 0
    for killed in (f"{look['round']}-measure", f"{last['round']}-measure"):
        assert simulate(config, tmp_path / "snapshots" / killed).summary["needed"] == needed


def test_a_finish_is_not_measured_in_a_round_beyond_the_last(make_config, tmp_path):
    """The look of the third round passes, but its finish would be a fourth."""
    stopping = {"rule": "certify", "gamma": 0.8, "max_rounds": 3}
    beyond = None
    for seed in range(10):  # which of them have such a look depends on the processor
        result = simulate(make_config(seed=seed, stopping=stopping), tmp_path / f"run-{seed}")
        rounds = result.rounds.to_pylist()
        if beyond := re.search(
            r"the finish of \d+ is beyond the budget of 0", " ".join(row["reason"] for row in rounds)
        ):
            break
    assert beyond
    assert sum(row["n_batch"] > 0 for row in rounds) == 3
    assert result.summary["claim"] == "NOT CERTIFIED"
    assert result.summary["needed"]["finish"] + result.summary["needed"]["audit"] > 0


def test_what_a_recall_still_needs_counts_the_predicted_hits_in(monkeypatch):
    monkeypatch.setattr(stopping, "_forecast", lambda *_: Forecast(5.0, 1.0))
    monkeypatch.setattr(stopping, "needed_to_certify", lambda *_: Needed(5.0, 12, 7, 90))
    two = evidence(counts=ScreenCounts(N, 50, 450, (370, 30)), scored=((), ()))
    needed = forecast_look(two, StoppingConfig(quantity="recall", gamma=0.8), Recall(0.8)).needed
    assert (needed.finish, needed.audit) == (37, 90)
    needed = forecast_look(evidence(), StoppingConfig(gamma=0.9), Accuracy(0.9)).needed
    assert (needed.finish, needed.audit) == (7, 90)


# --- conditions -----------------------------------------------------------------------------------------------------


def test_no_audit_is_spent_while_another_condition_is_not_met(make_config, tmp_path):
    both = {"rule": "certify", "gamma": 0.8, "all_of": [{"rule": True}, {"compounds": 500}]}
    rounds = simulate(make_config(stopping=both), tmp_path / "both").rounds.to_pylist()
    # By itself the rule looks at 240 (`test_certified`).
    assert [row["n_observed"] for row in rounds if row["n_audit"]] == [600]
    assert rounds[2]["forecast_errors"] is not None
    either = {"rule": "certify", "gamma": 0.8, "any_of": [{"rule": True}, {"compounds": 500}]}
    rounds = simulate(make_config(stopping=either), tmp_path / "either").rounds.to_pylist()
    assert [row["n_observed"] for row in rounds if row["n_audit"]] == [240]


def test_a_condition_without_the_rule_ends_a_screen_without_a_claim(make_config, tmp_path):
    asked = {"rule": "none", "all_of": [{"compounds": 200}, {"rounds": 3}]}
    result = simulate(make_config(stopping=asked), tmp_path / "run")
    assert result.summary["n_acquired"] == 360
    assert result.summary["claim"] == "NOT CERTIFIED"


def test_the_papers_rule_waits_for_the_other_condition(make_config, tmp_path):
    asked = {"rule": "paper", "gamma": 0.8, "all_of": [{"rule": True}, {"compounds": 700}]}
    rounds = simulate(make_config(stopping=asked), tmp_path / "run").rounds.to_pylist()
    waiting = [row for row in rounds if "but another condition is not met" in row["reason"]]
    assert waiting
    assert all(row["n_acquired"] < 700 for row in waiting)
    assert (rounds[-1]["decision"], rounds[-1]["n_acquired"]) == ("stop", 720)


# --- replicates -----------------------------------------------------------------------------------------------------


def test_repeatability_turns_the_claim_into_one_on_the_truth(make_config, tmp_path):
    asked = {"rule": "certify", "gamma": 0.8, "repeatability": 0.905}
    result = simulate(make_config(stopping=asked), tmp_path / "run")
    certificate = json.loads((result.path / "certificate.json").read_text())
    assert certificate["claim"]["truth"] == {"above": pytest.approx(0.705), "repeatability": 0.905}
    text = " ".join(certificate_lines(certificate))
    assert "the expected accuracy against the truth is above 0.705, as replicates agree in 0.905 of cases" in text
    assert "Errors of replicates of a compound are independent" in text
