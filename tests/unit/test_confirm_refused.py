"""Confirmed hits: screens that they cannot be claimed of, lost wells, late readouts, and what `verify` finds."""

from __future__ import annotations

import json

import pyarrow.compute as pc
import pyarrow.csv
import pytest

import isd_ray
from isd_ray.campaign.confirmed import counts_of
from isd_ray.campaign.confirming import basis_of
from isd_ray.campaign.store import CampaignStore
from isd_ray.errors import CorruptFileError, StoreError
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.simulate import simulate
from isd_ray.ops.verify import verify
from tests.unit.test_confirm import LABELS, RECALL, amended, by_hand, finished, lines_of, run, told, truth

__all__ = ["finished", "run", "truth"]


def test_without_a_certificate_of_recall_nothing_is_asked(make_config, run, tmp_path):
    other = simulate(make_config(stopping={"rule": "certify", "gamma": 0.8}), tmp_path / "accuracy")
    with pytest.raises(StoreError, match="aims at accuracy by the rule 'certify'"):
        isd_ray.confirm(other.path)
    config = make_config(**{**RECALL, "stopping": {**RECALL["stopping"], "max_compounds": 100}})
    simulate(config, tmp_path / "budget")
    with pytest.raises(StoreError, match="no look was passed"):
        isd_ray.confirm(tmp_path / "budget")
    Campaign.create(tmp_path / "laboratory", make_config(**RECALL, **LABELS))
    with pytest.raises(StoreError, match="the screen goes on"):
        isd_ray.confirm(tmp_path / "laboratory")
    hits = [line["id"] for line in lines_of(run) if line["label"] == "BBB-" and line["source"] == "measured"]
    amended(run, tmp_path, hits)
    with pytest.raises(StoreError, match="is WITHDRAWN"):
        isd_ray.confirm(run)


def test_a_predicted_hit_without_a_readout_is_refused_and_lost_wells_of_the_audit_are_missed(
    make_config, compounds, tmp_path
):
    """Two campaigns of a laboratory: in one a predicted hit of the look is lost, in the other wells of its audit."""
    table = pyarrow.csv.read_csv(compounds)
    known = dict(zip(table["name"].to_pylist(), table["bbb"].to_pylist(), strict=True))
    stores, rows = {}, {}
    for role in ("hit", "audit"):
        campaign, lost = Campaign.create(tmp_path / role, make_config(**RECALL, **LABELS)), set()
        while (batch := campaign.ask()) is not None:
            released = campaign.store.rounds()[-1]
            if released.released["look"]:
                chosen = released.read_batch()
                names = chosen.filter(pc.equal(chosen["role"], role))["id"].to_pylist()
                lost |= {*[name for name in names if role == "hit" or known[name] == "BBB+"][:2]}
            # Those that failed go out once more, and perhaps with a finish, and fail again.
            if failed := sorted(lost.intersection(batch.ids)):
                campaign.fail(failed, "no signal")
            if readouts := {name: known[name] for name in batch.ids if name not in lost}:
                campaign.tell(readouts)
        stores[role], rows[role] = campaign.store, set(campaign.library.rows_of(sorted(lost)).tolist())
    with pytest.raises(
        StoreError, match=f"{len(rows['hit'])} compounds that the look predicted to be hits have no readout"
    ):
        isd_ray.confirm(tmp_path / "hit")
    certificate = stores["audit"].certificate()
    basis = basis_of(stores["audit"], certificate, 0)
    n_lost = certificate["audit"]["groups"][0]["n_lost"]
    assert basis.lost == rows["audit"].intersection(basis.audit.tolist())
    assert n_lost == len(basis.lost) > 0
    event = isd_ray.confirm(tmp_path / "audit").ask()
    assert counts_of(stores["audit"], event, 0).audit.lost == n_lost + len(basis.audit_hits)
    with pytest.raises(StoreError, match="campaign of a laboratory, whose second readouts are to be measured"):
        isd_ray.confirm(tmp_path / "audit").rehearse("x.csv", "y")


def test_readouts_told_after_the_last_round_are_hits_that_the_sample_is_drawn_from(make_config, compounds, tmp_path):
    table = pyarrow.csv.read_csv(compounds)
    known = dict(zip(table["name"].to_pylist(), table["bbb"].to_pylist(), strict=True))
    campaign = Campaign.create(tmp_path / "run", make_config(**RECALL, **LABELS))
    late = []
    while (batch := campaign.ask()) is not None:
        if campaign.store.rounds()[-1].released["look"] and not late:
            out = {name for files in campaign.store.rounds() for name in files.read_batch()["id"].to_pylist()}
            late = [name for name in sorted(known) if name not in out and known[name] == "BBB-"][:2]
            campaign.tell({name: known[name] for name in late}, external=True)
        campaign.tell({name: known[name] for name in batch.ids if name not in late})
    basis = basis_of(campaign.store, campaign.store.certificate(), 0)
    assert set(campaign.library.rows_of(late).tolist()) <= set(basis.hits.tolist())
    assert not basis.finish & set(campaign.library.rows_of(late).tolist())


def test_a_command_that_was_cut_off_before_the_claim_was_written_is_ended_by_the_next(
    run, tmp_path, truth, monkeypatch
):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(CampaignStore, "write_text", killed)
        with pytest.raises(KeyboardInterrupt):
            told(run, tmp_path, truth)
    store = CampaignStore.open(run)
    assert "confirmed.json" in verify(store).problems[0]
    content = isd_ray.confirm(run).content
    assert content["bound"] == by_hand(run, truth)[0]
    assert verify(CampaignStore.open(run)).is_sound
    assert "confirmed hits" in (run / "model_card.md").read_text()


def test_verify_finds_a_claim_and_a_list_that_do_not_follow_from_the_record(run, tmp_path, truth, monkeypatch):
    told(run, tmp_path, truth, sample=30)
    file = run / "confirmed.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"bound": 0.99}))
    with pytest.raises(CorruptFileError, match="was altered"):
        isd_ray.confirm(run).lines  # noqa: B018
    assert any("was altered" in problem for problem in verify(CampaignStore.open(run)).problems)
    file.write_text(json.dumps(content))
    assert verify(CampaignStore.open(run)).is_sound
    monkeypatch.setattr("isd_ray.campaign.confirming.tie_keys", lambda seed, rows: rows)
    assert any("not the one that was to be drawn" in problem for problem in verify(CampaignStore.open(run)).problems)


def test_the_audit_is_whole_where_lost_wells_of_it_were_tried_once_more(make_config, tmp_path):
    for seed in range(6):
        config = make_config(**RECALL, seed=seed, simulation={"lost_share": 0.08})
        store = CampaignStore.open(simulate(config, tmp_path / str(seed)).path)
        certificate = store.certificate()
        if certificate is not None and store.rounds()[certificate["look"]["round"]].repeats is not None:
            break
    else:
        pytest.fail("no look of a screen was judged after a second try")
    [group] = certificate["audit"]["groups"]
    assert len(basis_of(store, certificate, 0).audit) == group["n"]
