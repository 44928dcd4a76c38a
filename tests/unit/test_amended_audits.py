"""Readouts of an audit that are amended: nobody can make a look pass by it, and one mended well ends no certificate."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isd_ray.campaign import loop
from isd_ray.campaign.judged import audits_from, audits_table, doubted
from isd_ray.campaign.steps.deliver import deliver
from isd_ray.campaign.store import CampaignStore
from isd_ray.core.goals import (
    Accuracy,
    BalancedAccuracy,
    MeanAbsoluteError,
    OutputAccuracies,
    OutputGoal,
    PanelAccuracy,
    Precision,
    Recall,
)
from isd_ray.core.goals.precision import precision_allowance
from isd_ray.core.goals.recall import recall_allowance
from isd_ray.core.looks import LookPlan
from isd_ray.core.panels import RIGHT, WRONG
from isd_ray.core.stopping import Audit, decide_look
from isd_ray.errors import StoreError
from isd_ray.ops.amend import amend_from_file
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.predict import load_model
from isd_ray.ops.simulate import simulate
from isd_ray.ops.verify import verify
from isd_ray.report.certificate import Certificate
from tests.unit.test_amend import OTHER, corrections
from tests.unit.test_laboratory import LABORATORY, isd, truth

__all__ = ["truth"]
N, M, LARGE = 400, 60, 1000


def plan(finish="none", allowed=60.0, group=0, **changes) -> LookPlan:
    return LookPlan(1, 0.05, M, N, allowed, finish, M + 40, group=group, **changes)


LOOKS = {
    "accuracy": (Accuracy(0.9), [plan()], 0),
    "accuracy, finished": (Accuracy(0.9), [plan("cheap")], 0),
    "accuracy, finished at any cost": (Accuracy(0.9), [plan("any")], 0),
    "recall": (Recall(0.8), [plan(allowed=recall_allowance(240, 0.8))], 240),
    "recall, finished": (Recall(0.8), [plan("any", recall_allowance(240, 0.8))], 240),
    "precision": (Precision(0.9), [plan(allowed=precision_allowance(100, N, 0.9), group=1)], 100),
    "balanced accuracy": (BalancedAccuracy(0.8), [plan(allowed=60), plan(allowed=60, group=1)], 200),
    "mae": (MeanAbsoluteError(0.1, 1.0), [plan(expected_loss=(0.05, 0.04))], 0),
    "panel": (PanelAccuracy(0.9), [plan(expected_loss=(0.05, 0.04))], 0),
    "outputs": (
        OutputAccuracies(0.8, None, (OutputGoal("a", 0.8, 0.5), OutputGoal("b", 0.8, 0.5))),
        [plan(output=0, n_measured=200), plan(output=1, n_measured=200)],
        0,
    ),
}
"""Looks at every claim, and the hits measured before."""


def drawn(goal, rng, n_audits) -> list[Audit]:
    found = []
    for _ in range(1 if goal.outputs else n_audits):
        wrong = rng.random((M, 2)) < rng.choice([0.0, 0.02, 0.08])
        outcomes = np.where(wrong, WRONG, RIGHT).astype(np.int8) if goal.outputs else None
        ranks = np.empty(0, np.int64) if goal.outputs else rng.permutation(N)[:M]
        found.append(Audit(ranks, wrong[:, 0].astype(float), rng.random(M) > 0.01, outcomes, rows=rng.permutation(M)))
    return found


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(LOOKS)), st.integers(0, 2**32 - 1))
def test_no_amendment_lets_a_look_pass_that_would_not_have(claim, seed):
    """And none makes its finish shorter."""
    goal, plans, n_hits = LOOKS[claim]
    rng = np.random.default_rng(seed)
    audits = drawn(goal, rng, len(plans))
    chosen = rng.permutation(M)[: rng.integers(0, 6)]
    before = decide_look(plans, audits, goal, (n_hits,), LARGE)
    after = decide_look(plans, [doubted(audit, chosen) for audit in audits], goal, (n_hits,), LARGE)
    assert after.action == "continue" or (before.action != "continue" and after.n_finish >= before.n_finish)


@pytest.mark.parametrize("claim", sorted(LOOKS))
def test_amending_all_of_an_audit_passes_no_look(claim):
    goal, plans, n_hits = LOOKS[claim]
    audits = drawn(goal, np.random.default_rng(0), len(plans))
    assert decide_look(plans, audits, goal, (n_hits,), LARGE).action != "continue", "without amendments it does"
    after = decide_look(plans, [doubted(audit, np.arange(M)) for audit in audits], goal, (n_hits,), LARGE)
    everything = plans[0].finish == "any" and after.n_finish >= N - plans[0].allowed
    assert after.action == "continue" or everything


@pytest.mark.parametrize("claim", sorted(LOOKS))
def test_the_evidence_of_a_look_is_kept_as_it_was(claim):
    goal, plans, _ = LOOKS[claim]
    audits = [doubted(audit, np.arange(3)) for audit in drawn(goal, np.random.default_rng(1), len(plans))]
    for audit, again in zip(audits, audits_from(audits_table(audits), len(audits)), strict=True):
        for name in ("ranks", "losses", "measured", "amended", "rows", "outcomes"):
            assert np.array_equal(getattr(audit, name), getattr(again, name)), name


# --- in a laboratory ------------------------------------------------------------------------------------------------


def at_a_look(campaign, truth) -> dict[str, str]:
    """A laboratory's campaign until an audit is out: what was predicted of it, by id."""
    while (batch := campaign.ask()) is not None:
        out = campaign.store.rounds()[-1].read_batch()
        audit = out.filter(pc.equal(out["role"], "audit"))
        if len(audit):
            names = {0.0: "BBB+", 1.0: "BBB-"}
            return dict(zip(audit["id"].to_pylist(), map(names.get, audit["prediction"].to_pylist()), strict=True))
        campaign.tell({name: truth[name] for name in batch.ids})
    raise AssertionError("no look")


@pytest.fixture
def looking(make_config, tmp_path, truth):
    def begin(**stopping):
        settings = {**LABORATORY, "stopping": {"rule": "certify", "gamma": 0.7, **stopping}}
        campaign = Campaign.create(tmp_path / "run", make_config(**settings))
        return campaign, at_a_look(campaign, truth)

    return begin


def amend(campaign, readouts, tmp_path, reason="measured again"):
    file = tmp_path / "fix.csv"
    file.write_text("name,bbb\n" + "".join(f"{name},{label}\n" for name, label in readouts.items()))
    return campaign.amend(file, reason)


def test_wrong_audit_readouts_that_are_amended_before_the_verdict_stay_errors(looking, truth, tmp_path):
    campaign, predicted = looking()
    wrong = [name for name in predicted if predicted[name] != truth[name]]
    assert wrong
    last = next(name for name in predicted if name not in wrong)
    campaign.tell({name: truth[name] for name in campaign.ask().ids if name != last})
    assert amend(campaign, {name: predicted[name] for name in wrong}, tmp_path) == len(wrong)
    number = campaign.store.rounds()[-1].round
    campaign.tell({last: truth[last]})
    campaign.ask()
    [found] = campaign.store.rounds()[number].committed["audits"]
    assert (found["n_errors"], found["n_amended"]) == (len(wrong), len(wrong))


def test_right_audit_readouts_that_are_amended_are_errors_too(looking, truth, tmp_path):
    campaign, predicted = looking()
    campaign.tell({name: truth[name] for name in predicted})
    right = [name for name in predicted if predicted[name] == truth[name]][:2]
    amend(campaign, {name: OTHER[truth[name]] for name in right}, tmp_path)
    n_wrong = sum(predicted[name] != truth[name] for name in predicted)
    number = campaign.store.rounds()[-1].round
    campaign.ask()
    [found] = campaign.store.rounds()[number].committed["audits"]
    assert (found["n_errors"], found["n_amended"]) == (n_wrong + 2, 2)


def test_the_certificate_lists_amendments_externals_and_lost_wells(make_config, truth, tmp_path):
    campaign = Campaign.create(tmp_path / "run", make_config(**LABORATORY))
    first = campaign.ask().ids
    outside = [name for name in sorted(truth) if name not in first][:3]
    campaign.tell({name: truth[name] for name in outside}, external=True)
    campaign.fail(first[:1], "spilt")
    campaign.tell({name: truth[name] for name in first[1:]})
    amend(campaign, {first[1]: OTHER[truth[first[1]]]}, tmp_path, "two tubes were swapped")
    while (batch := campaign.ask()) is not None:
        campaign.tell({name: truth[name] for name in batch.ids})
    content = campaign.store.certificate()
    assert content["amendments"] == [{"reason": "two tubes were swapped", "n": 1}]
    assert (content["n_external"], content["n_lost"]) == (3, 1)
    words = str(Certificate.of(campaign.store))
    assert "1 readout had been amended before (two tubes were swapped), of the audit 0 among them" in words
    assert "3 of the measured compounds were told from outside the plan" in words
    assert "1 well gave no readout" in words


def test_a_report_of_a_round_that_is_out_does_not_say_that_every_well_gave_a_readout(make_config, tmp_path):
    campaign = Campaign.create(tmp_path / "run", make_config(**LABORATORY))
    campaign.fail(campaign.ask().ids[:1], "spilt")
    campaign.report(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "No round is decided yet." in page
    assert "gave a readout" not in page


@pytest.mark.parametrize("of_batch", [True, False])
@pytest.mark.parametrize("quantity", ["recall", "precision", "balanced_accuracy"])
def test_hits_that_are_amended_while_a_look_is_out_make_no_room_for_errors(
    make_config, truth, tmp_path, quantity, of_batch
):
    settings = {**LABORATORY, "stopping": {"rule": "certify", "gamma": 0.6, "quantity": quantity, "positive": "BBB-"}}
    judged = {}
    for folder, n in (("untouched", 0), ("amended", 40)):
        campaign = Campaign.create(tmp_path / folder, make_config(**settings))
        first = campaign.ask().ids
        outside = [name for name in sorted(truth) if name not in first and truth[name] == "BBB+"][:60]
        campaign.tell({name: truth[name] for name in outside}, external=True)
        predicted = at_a_look(campaign, truth)
        before = campaign.store.rounds()[0].read_batch()["id"].to_pylist() if of_batch else outside
        others = [name for name in before if truth[name] == "BBB+"][:n]
        if n:
            amend(campaign, dict.fromkeys(others, "BBB-"), tmp_path)
        number = campaign.store.rounds()[-1].round
        campaign.tell({name: truth[name] for name in campaign.ask().ids})
        campaign.ask()
        judged[folder] = campaign.store.rounds()[number].committed["judged"]
        assert predicted
    assert judged["amended"]["hits"] == judged["untouched"]["hits"]
    assert judged["amended"]["n_others"] == judged["untouched"]["n_others"] - len(others)


@pytest.mark.parametrize("quantity", ["recall", "precision", "balanced_accuracy"])
def test_readouts_from_outside_the_plan_count_and_teach_as_they_were_amended(make_config, truth, tmp_path, quantity):
    settings = {**LABORATORY, "stopping": {"rule": "certify", "gamma": 0.6, "quantity": quantity, "positive": "BBB-"}}
    found = {}
    for folder in ("right", "amended"):
        campaign = Campaign.create(tmp_path / folder, make_config(**settings))
        first = campaign.ask().ids
        outside = [name for name in sorted(truth) if name not in first][:60]
        told = {name: truth[name] if folder == "right" else OTHER[truth[name]] for name in outside}
        campaign.tell(told, external=True)
        campaign.tell({name: truth[name] for name in first})
        if folder == "amended":
            amend(campaign, {name: truth[name] for name in outside}, tmp_path)
        at_a_look(campaign, truth)
        number = campaign.store.rounds()[-1].round
        campaign.tell({name: truth[name] for name in campaign.ask().ids})
        campaign.ask()
        fitted = [files.released["committee_hash"] for files in campaign.store.rounds()]
        found[folder] = fitted, campaign.store.rounds()[number].committed["judged"]
    assert found["amended"] == found["right"]


def test_a_compound_that_was_lost_and_read_later_can_be_amended_and_the_campaign_goes_on(make_config, truth, tmp_path):
    campaign = Campaign.create(tmp_path / "run", make_config(**LABORATORY))
    lost, *others = campaign.ask().ids
    campaign.tell({name: truth[name] for name in others})
    campaign.fail([lost], "no signal")
    campaign.include([lost], "again")
    batch = campaign.ask()
    assert lost in batch.ids
    campaign.tell({name: truth[name] for name in batch.ids})
    amend(campaign, {lost: OTHER[truth[lost]]}, tmp_path)
    assert Campaign.open(tmp_path / "run").ask().round == batch.round + 1


# --- what is shown of a batch that is out -----------------------------------------------------------------------------


def test_nothing_shows_why_a_compound_that_is_out_was_chosen_or_what_is_predicted_of_it(looking, truth, tmp_path):
    campaign, predicted = looking()
    number, name = campaign.store.rounds()[-1].round, next(iter(predicted))
    [released] = campaign.history(name)
    assert not {"role", "prediction", "uncertainty"} & released.keys()
    assert "audit" not in isd("history", campaign.path, name)
    isd("report", campaign.path, "--out", tmp_path / "report.html")
    is_told = "the proof of the claim" in (tmp_path / "report.html").read_text()
    assert not is_told
    with pytest.raises(StoreError, match=f"round {number} is out"):
        load_model(campaign.path, round_number=number)
    campaign.tell({name: truth[name] for name in campaign.ask().ids})
    campaign.ask()
    assert campaign.history(name)[0]["role"] == "audit"


# --- after the certificate --------------------------------------------------------------------------------------------


def test_one_amended_audit_well_leaves_a_certificate_that_passes_with_it_as_an_error(make_config, tmp_path):
    screen = simulate(make_config(stopping={"rule": "certify", "gamma": 0.75}), tmp_path / "run")
    file, _ = corrections(screen, tmp_path, "audit", 1)
    amended = amend_from_file(screen.path, file, "read twice")
    assert (amended.n_changed, amended.withdrawn) == (1, False)
    store = CampaignStore.open(screen.path)
    assert verify(store).problems == ()
    assert "1 readout that it rests on was corrected since (read twice)" in str(Certificate.of(store))
    assert json.loads((screen.path / "summary.json").read_text())["certified"] is True
    many, _ = corrections(screen, tmp_path, "audit", 40)
    assert amend_from_file(screen.path, many, "all of it").withdrawn is True


def test_the_certificate_of_a_campaign_that_kept_no_audits_is_withdrawn_as_it_was(make_config, tmp_path, monkeypatch):
    screen = simulate(make_config(stopping={"rule": "certify", "gamma": 0.7}), tmp_path / "run")
    rounds = CampaignStore.rounds

    def old(store):
        from dataclasses import replace

        without = [{k: v for k, v in (f.committed or {}).items() if k != "audits_sha256"} for f in rounds(store)]
        return [replace(f, committed=c or None) for f, c in zip(rounds(store), without, strict=True)]

    monkeypatch.setattr(CampaignStore, "rounds", old)
    file, _ = corrections(screen, tmp_path, "audit", 1)
    assert amend_from_file(screen.path, file, "read twice").withdrawn is True


def test_a_certificate_that_is_withdrawn_before_the_screen_is_delivered_leaves_a_summary_that_says_so(
    looking, truth, tmp_path, monkeypatch
):
    """Between the look, which has passed, and the delivery, all audits are amended."""
    campaign, _ = looking(gamma=0.6)
    campaign.tell({name: truth[name] for name in campaign.ask().ids})

    def amended_meanwhile(screen, final):
        batches = [files.read_batch() for files in campaign.store.rounds()]
        audited = [name for out in batches for name in out.filter(pc.equal(out["role"], "audit"))["id"].to_pylist()]
        amend(campaign, {name: OTHER[truth[name]] for name in audited}, tmp_path)
        return deliver(screen, final)

    monkeypatch.setattr(loop, "deliver", amended_meanwhile)
    while (batch := campaign.ask()) is not None:
        campaign.tell({name: truth[name] for name in batch.ids})
    assert campaign.store.withdrawn() is not None
    summary = campaign.summary()
    assert (summary["certified"], summary["accuracy_claimed"]) == (False, None)
    assert "WITHDRAWN" in summary["claim"]
    assert verify(campaign.store).problems == ()
