"""`isd verify` counts again what a certificate rests on; one that readouts on record do not bear out is withdrawn."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from isd_ray.campaign import amend as amending
from isd_ray.campaign.amend import recounted
from isd_ray.campaign.steps import decide, fit
from isd_ray.campaign.store import CampaignStore
from isd_ray.errors import StoreError
from isd_ray.ops.amend import amend_from_file
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.results import report_of, stored_summary
from isd_ray.ops.resume import resume
from isd_ray.ops.simulate import simulate
from isd_ray.ops.verify import verify
from isd_ray.report.certificate import Certificate
from tests.unit.test_amend import OTHER, corrections
from tests.unit.test_amended_audits import amend, truth
from tests.unit.test_laboratory import LABORATORY, isd

__all__ = ["truth"]
RECALL = {"rule": "certify", "gamma": 0.6, "quantity": "recall", "positive": "BBB-"}


def certified_before(make_config, truth, folder, monkeypatch, n_wrong, **stopping) -> Campaign:
    """Certified by a version that took readouts from outside the plan as they were first told: as hits, wrongly."""
    campaign = Campaign.create(folder / "run", make_config(**LABORATORY | {"stopping": {**RECALL, **stopping}}))
    first = campaign.ask().ids
    others = [name for name in sorted(truth) if name not in first and truth[name] == "BBB+"][:n_wrong]
    campaign.tell(dict.fromkeys(others, "BBB-"), external=True)
    campaign.tell({name: truth[name] for name in first})
    amend(campaign, {name: truth[name] for name in others}, folder, "another lot")
    with monkeypatch.context() as patch:
        patch.setattr(fit, "with_amendments", lambda readouts, rows, amended: readouts)
        patch.setattr(amending, "objection", lambda store: None)
        campaign.run(lambda batch: {name: truth[name] for name in batch.ids})
    assert campaign.certificate() is not None
    return campaign


def test_hits_that_were_none_are_counted_again_and_the_certificate_is_withdrawn(
    make_config, truth, tmp_path, monkeypatch
):
    campaign = certified_before(make_config, truth, tmp_path, monkeypatch, n_wrong=120)
    [problem] = verify(campaign.store).problems
    assert str(campaign.path / "certificate.json") in problem
    assert "measured hits, and the readouts on record hold" in problem
    assert "with that its look does not pass" in problem
    assert "isd resume" in problem
    assert "measured hits" in campaign.status().withdrawn, "nobody is shown it as standing, also before"
    assert not campaign.certificate().stands
    with pytest.raises(StoreError, match="WITHDRAWN"):
        isd("certificate", "show", campaign.path)
    assert isinstance(resume(campaign.path), dict)
    store = CampaignStore.open(campaign.path)
    assert "measured hits" in store.withdrawn()
    assert verify(store).problems == ()
    assert stored_summary(store)["certified"] is False
    assert "WITHDRAWN" in str(Certificate.of(store))


def test_a_claim_that_stands_by_the_right_counts_as_well_is_noted(make_config, truth, tmp_path, monkeypatch):
    campaign = certified_before(make_config, truth, tmp_path, monkeypatch, n_wrong=1)
    found = verify(campaign.store)
    assert found.problems == ()
    [note] = found.notes
    n = campaign.certificate().content["n_hits_measured"]
    assert f"it counts {n} measured hits at the end, and the readouts on record hold {n - 1}" in note
    assert "the claim stands" in note
    resume(campaign.path)
    assert campaign.store.withdrawn() is None


def test_a_command_that_was_killed_before_the_certificate_was_withdrawn_is_seen_and_ended(
    make_config, truth, tmp_path, monkeypatch
):
    campaign = Campaign.create(tmp_path / "run", make_config(**LABORATORY))
    campaign.run(lambda batch: {name: truth[name] for name in batch.ids})
    look = recounted(campaign.store)
    names = campaign.library.ids(look.audits[0].rows).tolist()
    with monkeypatch.context() as patch:
        patch.setattr("isd_ray.campaign.amend.settle_amendments", lambda store, classes: None)
        amend(campaign, {name: OTHER[truth[name]] for name in names}, tmp_path)
    assert "judged again" not in str(Certificate.of(campaign.store)).lower()
    [problem] = [line for line in verify(campaign.store).problems if "certificate.json" in line]
    assert "isd resume" in problem
    isd("resume", campaign.path)
    assert campaign.store.withdrawn() is not None
    assert verify(campaign.store).problems == ()
    assert json.loads((campaign.path / "summary.json").read_text())["certified"] is False


def test_so_is_that_of_a_simulation(make_config, tmp_path, monkeypatch):
    screen = simulate(make_config(stopping={"rule": "certify", "gamma": 0.75}), tmp_path / "run")
    file, _ = corrections(screen, tmp_path, "audit", 40)
    with monkeypatch.context() as patch:
        patch.setattr("isd_ray.campaign.amend.settle_amendments", lambda store, classes: None)
        amend_from_file(screen.path, file, "all of it")
    assert not Certificate.of(CampaignStore.open(screen.path)).stands
    assert resume(screen.path)["certified"] is False
    assert CampaignStore.open(screen.path).withdrawn() is not None
    assert verify(CampaignStore.open(screen.path)).problems == ()


SCREENS = {
    "accuracy": {"stopping": {"rule": "certify", "gamma": 0.75}},
    "recall": {"stopping": RECALL},
    "balanced accuracy": {"stopping": {**RECALL, "quantity": "balanced_accuracy"}},
    "reserved": {"stopping": {"rule": "reserved", "gamma": 0.7}},
}


@pytest.mark.parametrize("screen", SCREENS)
def test_of_a_sound_campaign_everything_is_counted_the_same_again(make_config, tmp_path, screen):
    store = CampaignStore.open(simulate(make_config(**SCREENS[screen]), tmp_path / "run").path)
    assert store.certificate() is not None
    found = verify(store)
    assert (found.problems, found.notes) == ((), ())
    again = recounted(store)
    assert again.passes
    assert sum(len(audit.rows) for audit in again.audits) > 0


def test_an_audit_that_was_kept_better_than_its_readouts_is_found(make_config, tmp_path, monkeypatch):
    audits_of = decide.audits_of

    def flattering(*of_look):
        return tuple(replace(audit, losses=np.zeros(len(audit.losses))) for audit in audits_of(*of_look))

    with monkeypatch.context() as patch:
        patch.setattr(decide, "audits_of", flattering)
        screen = simulate(make_config(stopping={"rule": "certify", "gamma": 0.85}), tmp_path / "run")
    assert screen.summary["certified"]
    [problem] = verify(CampaignStore.open(screen.path)).problems
    assert "it counts 0 errors of its audit" in problem
    assert "Nothing is proved" in problem


def test_a_screen_whose_certificate_is_withdrawn_by_an_amendment_verifies_and_reports(make_config, truth, tmp_path):
    settings = {**LABORATORY, "acquisition": {"batch_size": 60, "random_share": 0.2}}
    campaign = Campaign.create(tmp_path / "run", make_config(**settings))
    campaign.run(lambda batch: {name: truth[name] for name in batch.ids})
    names = campaign.library.ids(recounted(campaign.store).audits[0].rows).tolist()
    amend(campaign, {name: OTHER[truth[name]] for name in names}, tmp_path)
    assert campaign.store.withdrawn() is not None
    assert verify(campaign.store).problems == ()
    assert "WITHDRAWN" in report_of(campaign.store)
    (campaign.path / "summary.json").unlink()
    assert campaign.summary()["claim"].startswith("certificate WITHDRAWN")
    assert verify(campaign.store).problems == ()
