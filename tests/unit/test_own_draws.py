"""Two campaigns on one library draw different compounds, and certificates name what was tried before."""

from __future__ import annotations

import json

import pytest

from isd_ray.campaign.store import CampaignStore
from isd_ray.messages import Frozen
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.simulate import simulate
from isd_ray.report.certificate import Certificate
from tests.unit.test_laboratory import LABORATORY, truth

__all__ = ["truth"]


def screened(config, path, truth) -> CampaignStore:
    """A laboratory's campaign, to its end."""
    campaign = Campaign.create(path, config)
    while (batch := campaign.ask()) is not None:
        campaign.tell({name: truth[name] for name in batch.ids})
    return campaign.store


def drawn(store, *roles) -> list[set[int]]:
    """Rows of each round that chance chose."""
    batches = [files.read_batch().select(["row", "role"]).to_pylist() for files in store.rounds()]
    found = [{line["row"] for line in batch if line["role"] in roles} for batch in batches]
    return [rows for rows in found if rows]


@pytest.fixture(scope="module")
def config(make_config):
    return make_config(**LABORATORY)


def test_two_campaigns_with_one_seed_share_no_more_of_what_chance_chooses_than_chance_has_it(
    config, truth, tmp_path, own_draws
):
    first, second = (screened(config, tmp_path / name, truth) for name in ("first", "second"))
    for role in ("initial", "audit"):
        one, other = drawn(first, role)[0], drawn(second, role)[0]
        expected = len(one) * len(other) / 900
        assert len(one & other) < max(2.5 * expected, 0.4 * min(len(one), len(other))), role
    assert drawn(first, "random")[0] != drawn(second, "random")[0]
    assert first.manifest["nonce"] != second.manifest["nonce"]


def test_reserves_differ_as_well(make_config, truth, tmp_path, own_draws):
    config = make_config(**{**LABORATORY, "stopping": {"rule": "reserved", "gamma": 0.7}})
    stores = [Campaign.create(tmp_path / name, config) for name in ("first", "second")]
    reserves = []
    for campaign in stores:
        campaign.ask()
        reserves += drawn(campaign.store, "reserve")
    assert len(reserves[0] & reserves[1]) < 0.4 * len(reserves[0])


def test_an_audit_follows_from_the_frozen_predictions_too(config, truth, tmp_path, own_draws, monkeypatch):
    """The same nonce, seed, round and library, but another model: another audit."""
    monkeypatch.setattr("isd_ray.campaign.setup.new_nonce", lambda: "ab" * 16)
    first = screened(config, tmp_path / "first", truth)
    again = screened(config, tmp_path / "again", truth)
    assert drawn(first, "audit") == drawn(again, "audit"), "it can be drawn again from what is on record"
    monkeypatch.setattr(Frozen, "sha256", property(lambda self: "other predictions"))
    other = screened(config, tmp_path / "other", truth)
    assert drawn(first, "initial") == drawn(other, "initial")
    assert drawn(first, "audit")[0] != drawn(other, "audit")[0]


def test_a_simulation_and_a_campaign_without_a_nonce_draw_from_the_seed_alone(make_config, config, truth, tmp_path):
    """As they did: results on record stay valid."""
    laboratory = screened(config, tmp_path / "laboratory", truth)
    simulated = CampaignStore.open(simulate(config, tmp_path / "simulated").path)
    for role in ("initial", "random", "audit"):
        assert drawn(laboratory, role) == drawn(simulated, role)
    assert simulated.manifest["nonce"] is None
    assert "draws follow from the campaign's seed alone" in str(Certificate.of(laboratory))
    assert "draws follow" not in str(Certificate.of(simulated))


def test_a_certificate_names_the_campaigns_on_its_library_that_lay_beside_it(config, truth, tmp_path, own_draws):
    first = Campaign.create(tmp_path / "first", config)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "campaign.json").write_text("{")
    second = screened(config, tmp_path / "second", truth)
    names = [f"{first.store.manifest['campaign_id']} in first"]
    assert json.loads((tmp_path / "second" / "certificate.json").read_text())["earlier"] == names
    words = str(Certificate.of(second))
    assert f"1 other campaigns on this library lay beside it ({names[0]})" in words
