"""What a look is judged by is not taken back: first readouts of audits and reserves, and wells that wait for others."""

from __future__ import annotations

import pytest

from isd_ray.errors import StoreError
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.verify import verify
from tests.unit.test_laboratory import LABORATORY, PLATES, truth, write
from tests.unit.test_undo import campaign, last, other

__all__ = ["campaign", "truth"]


def until_a_look(campaign: Campaign, truth) -> list[str]:
    """The compounds of the batch of the first look."""
    while not campaign.store.rounds() or not campaign.store.rounds()[-1].released["look"]:
        if campaign.store.rounds():
            campaign.tell({name: truth[name] for name in campaign.batch().ids})
        campaign.ask()
    return campaign.batch().ids


def test_first_readouts_of_an_audit_are_not_taken_back(campaign, truth):
    """Else the errors that it holds could be replaced; an amendment counts as an error."""
    ids = until_a_look(campaign, truth)
    elsewhere = next(name for name in sorted(truth) if not campaign.history(name))
    campaign.tell({name: other(truth[name]) for name in ids[:3]})
    told = last(campaign)
    campaign.fail(ids[3:4], "clogged")
    failed = last(campaign)
    campaign.tell({elsewhere: truth[elsewhere]}, external=True)
    external = last(campaign)
    assert [entry.number for entry in campaign.undoable()] == [external]
    for number in (told, failed):
        with pytest.raises(StoreError, match=rf"a look is judged .* entry {number} has some of them") as caught:
            campaign.undo(number, "the plates were swapped")
        assert "isd amend" in caught.value.remedy
    assert campaign.undo(external, "another assay") == 1
    assert verify(campaign.store).problems == ()
    campaign.store.append_event("undo", {"undone": [told], "n": 3, "reason": "x", "round": campaign.batch().round})
    assert any("by which a look is judged" in words for words in verify(campaign.store).problems)


def test_wells_of_an_audit_that_wait_for_others_are_not_taken_back(make_config, truth, tmp_path):
    made = Campaign.create(tmp_path / "run", make_config(**{**LABORATORY, "plates": {**PLATES, "replicates": 2}}))
    until_a_look(made, truth)
    wells = [line for line in made.batch().plate_map.to_pylist() if line["content"] == "sample"]
    lines = [(line["plate"], line["well"], truth[line["id"]]) for line in wells if line["plate"] == wells[0]["plate"]]
    told = made.tell(write(tmp_path / "day.csv", ("plate", "well", "bbb"), lines))
    assert (told.n_new, told.n_waiting > 0) == (0, True)
    assert made.undoable() == ()
    with pytest.raises(StoreError, match="a look is judged by the first readouts"):
        made.undo(last(made), "wrong plate")


def test_the_reserve_is_not_taken_back(make_config, truth, tmp_path):
    stopping = {"rule": "reserved", "gamma": 0.7, "reserve_size": 60}
    made = Campaign.create(tmp_path / "run", make_config(**{**LABORATORY, "stopping": stopping}))
    made.tell({name: truth[name] for name in made.ask().ids})
    assert made.undoable() == ()
    with pytest.raises(StoreError, match="a look is judged by the first readouts"):
        made.undo(last(made), "the plates were swapped")
