"""What changes the course of a screen, on the page: an undo, a stop, and a file of what is known as of now."""

from __future__ import annotations

import csv
import io
import re
import zipfile

import pytest

from isd_ray.ops.campaign import Campaign
from tests.unit.serve_helpers import Visitor, ada, campaign, page, page_of, words
from tests.unit.test_laboratory import LABORATORY, truth

__all__ = ["ada", "campaign", "page", "truth"]


@pytest.fixture(scope="module")
def begun(make_config, truth, tmp_path_factory):
    """The second batch of 60 compounds is out."""
    made = Campaign.create(tmp_path_factory.mktemp("begun") / "run", make_config(**LABORATORY))
    made.tell({name: truth[name] for name in made.ask().ids})
    made.ask()
    return made


def kinds(campaign) -> list[str]:
    return [event["kind"] for event in campaign.store.events()]


def test_what_was_told_by_mistake_is_undone_after_a_confirmation(campaign, page, ada, truth):
    ids = campaign.batch().ids
    campaign.tell({name: truth[name] for name in ids[:9]})
    number, before = campaign.store.events()[-1]["sequence"], len(kinds(campaign))
    events = ada.get(f"/c/{page[1]}/events").text
    assert re.findall(r'name="number" value="(\d+)"', events) == [str(number)]
    asked = ada.post(f"/c/{page[1]}/undo", number=str(number))
    assert f"Undo entry {number}?" in words(asked.text)
    assert "readouts taken in, 9" in words(asked.text)
    assert len(kinds(campaign)) == before
    without = ada.post(f"/c/{page[1]}/undo", number=str(number), confirmed="true")
    assert "this needs a reason" in words(without.text)
    done = ada.post(f"/c/{page[1]}/undo", number=str(number), reason="another lot", confirmed="true")
    assert done.headers["location"] == f"/c/{page[1]}/events"
    event = campaign.store.events()[-1]
    assert (event["kind"], event["who"], event["reason"]) == ("undo", "Ada (web page)", "another lot")
    text = words(ada.get(f"/c/{page[1]}/events").text)
    assert f"Entry {number} was taken back: 9 readouts" in text
    assert f"undone by entry {number + 1}" in text
    assert "Undo …" not in text
    assert campaign.status().n_missing == 60


def test_what_a_decision_has_used_has_no_button_and_is_refused(campaign, page, ada):
    assert "Undo …" not in ada.get(f"/c/{page[1]}/events").text
    n_events = len(kinds(campaign))
    for fields in ({}, {"reason": "x", "confirmed": "true"}):
        assert ada.post(f"/c/{page[1]}/undo", number="1", **fields).status_code == 409
    assert len(kinds(campaign)) == n_events


def test_a_stop_is_asked_twice_and_needs_a_reason(campaign, page, ada):
    assert "Stop the screen …" in words(ada.get(f"/c/{page[1]}").text)
    assert "this needs a reason" in words(ada.post(f"/c/{page[1]}/stop").text)
    asked = words(ada.post(f"/c/{page[1]}/stop", reason="the project ends").text)
    assert "closed without the 60 readouts that are missing" in asked
    assert "NOT CERTIFIED" in asked
    assert "stop" not in kinds(campaign)
    ada.post(f"/c/{page[1]}/stop", reason="the project ends", last_look="true", confirmed="true")
    event = campaign.store.events()[-1]
    assert (event["kind"], event["last_look"], event["who"]) == ("stop", True, "Ada (web page)")
    text = words(ada.get(f"/c/{page[1]}").text)
    assert "The screen is stopped. The batch that was out is closed without 60 readouts." in text
    assert "Stop the screen …" not in text


def test_a_file_of_what_is_known_now_is_made_once_and_fetched(campaign, page, ada, truth):
    campaign.tell({name: truth[name] for name in campaign.batch().ids})
    n_out = len(campaign.ask())
    before = len(kinds(campaign))
    address = ada.post(f"/c/{page[1]}/interim", ending="csv").headers["location"]
    assert ada.post(f"/c/{page[1]}/interim", ending="csv").headers["location"] == address
    text = words(ada.get(address).text)
    assert "NOT CERTIFIED: campaign" in text
    assert f"{n_out} in the batch that is out" in text
    answer = ada.get(f"{address}/file")
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    [table, notice] = archive.namelist()
    assert notice == f"{table}.NOT-CERTIFIED.txt"
    lines = list(csv.DictReader(io.StringIO(archive.read(table).decode())))
    assert len(lines) == 900
    assert {line["status"] for line in lines} == {"NOT CERTIFIED"}
    assert sum(line["source"] == "waiting" for line in lines) == n_out
    assert len(kinds(campaign)) == before
    assert ada.get(f"/c/{page[1]}/interim/{'0' * 64}").status_code == 404
    assert ada.post(f"/c/{page[1]}/interim", ending="../x").status_code == 400


def test_why_a_file_cannot_be_made_is_said(make_config, tmp_path):
    Campaign.create(tmp_path / "run", make_config(**LABORATORY)).ask()
    app, [key] = page_of(tmp_path / "run", scratch=tmp_path / "scratch")
    ada = Visitor(app)
    address = ada.post(f"/c/{key}/interim", ending="csv", hits="true").headers["location"]
    assert "Refused:" in words(ada.get(address).text)
    assert ada.get(f"{address}/file").status_code == 404


def test_events_are_filtered_by_who_and_what_and_follow_by_themselves(campaign, page, ada):
    ids = campaign.batch().ids
    ada.post(f"/c/{page[1]}/fail", others=ids[0], reason="spilt", confirmed="true")
    seen = len(kinds(campaign))
    every = ada.get(f"/c/{page[1]}/events").text
    assert f"/events/live?seen={seen}" in every
    by_ada = ada.client.get(f"/c/{page[1]}/events", params={"who": "Ada (web page)"}).text
    assert re.findall(r'data-name="entry">(\d+)<', by_ada) == [str(seen - 1)]
    told = ada.get(f"/c/{page[1]}/events?kind=tell").text
    assert len(re.findall(r'data-name="entry">', told)) == 1
    assert ada.get(f"/c/{page[1]}/events/live?seen={seen}").status_code == 204
    campaign.fail(ids[1:2], "spilt, too")
    assert "spilt, too" in ada.get(f"/c/{page[1]}/events/live?seen={seen}").text


def test_the_list_of_campaigns_follows_by_itself(campaign, page, ada):
    [address] = re.findall(r'hx-get="(/live\?seen=[0-9a-f]+)"', ada.get("/").text)
    assert ada.get(address).status_code == 204
    campaign.fail(campaign.batch().ids[:1], "spilt")
    assert "tell 59 readouts of round 1" in words(ada.get(address).text)


def test_a_read_only_page_takes_none_of_it(campaign, tmp_path):
    app, [key] = page_of(tmp_path / "runs", scratch=tmp_path / "scratch", read_only=True)
    ada = Visitor(app)
    n_events = len(kinds(campaign))
    assert "Stop the screen" not in ada.get(f"/c/{key}").text
    for verb, fields in (("undo", {"number": "1"}), ("stop", {"reason": "x"}), ("interim", {"ending": "csv"})):
        assert ada.post(f"/c/{key}/{verb}", confirmed="true", **fields).status_code == 403
    assert len(kinds(campaign)) == n_events
