"""The batch on the page: structures, search, order and filters, classes and numbers on plates, refused lines."""

from __future__ import annotations

import csv
import io
import re

import pytest

from isd_ray.campaign.judged_plates import judged_plates
from isd_ray.campaign.refused import refused_events, refused_lines
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.simulate import simulate
from tests.unit.serve_helpers import Visitor, ada, campaign, page, page_of, words
from tests.unit.test_laboratory import HITS, LABORATORY, PLATES, signals, truth, write

__all__ = ["ada", "campaign", "page", "truth"]


@pytest.fixture(scope="module")
def begun(make_config, truth, tmp_path_factory):
    """The second batch of 60 compounds is out, on one plate."""
    folder = tmp_path_factory.mktemp("begun")
    changes = {"acquisition": {"batch_size": 60}, "model": LABORATORY["model"]}
    made = Campaign.create(folder / "run", make_config(**{**HITS, **changes}))
    made.ask()
    made.tell(write(folder / "first.csv", ("plate", "well", "signal"), signals(made, truth, 0)))
    made.ask()
    return made


def listed(text: str) -> list[str]:
    """The compounds of the list, in its order."""
    return re.findall(r'<th scope="row" class="w">(C\d{4})</th>', text)


def told(campaign, truth, tmp_path):
    return campaign.tell(write(tmp_path / "plate.csv", ("plate", "well", "signal"), signals(campaign, truth, 7)))


def test_structures_are_drawn_when_a_browser_asks_for_them(campaign, page, ada):
    text = ada.get(f"/c/{page[1]}/batch").text
    sources = re.findall(r'<img src="([^"]+)" alt="Structure of (C\d{4})"[^>]*loading="lazy"', text)
    assert [name for _, name in sources] == campaign.batch().ids == listed(text)
    answer = ada.get(sources[0][0])
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/svg+xml")
    assert answer.text.startswith("<?xml")
    assert "script" not in answer.headers["content-security-policy"]
    assert "immutable" in answer.headers["cache-control"]
    assert ada.get(f"/c/{page[1]}/rounds/1/structures/60").status_code == 404
    assert ada.get(f"/c/{page[1]}/rounds/9/structures/0").status_code == 404


def test_the_quality_of_plates_stands_below_them_once_they_are_told(campaign, page, ada):
    assert "Quality of the plates" not in ada.get(f"/c/{page[1]}/batch").text
    text = words(ada.get(f"/c/{page[1]}/batch?round=0").text)
    judged = judged_plates(campaign.store)
    assert list(judged) == ["P00001"]
    for plate in judged.values():
        assert f"{plate.plate} {plate.verdict} {plate.z_prime:.4g} {plate.robust_z_prime:.4g}" in text


def test_the_list_is_searched_by_id_structure_plate_and_well(campaign, page, ada):
    lines = campaign.batch().table.to_pylist()
    one = lines[17]
    for query, expected in (
        (one["id"].lower(), [one["id"]]),
        (f"{one['plate']} {one['well']}", [one["id"]]),
        (one["plate"], [line["id"] for line in lines]),
        ("no such", []),
    ):
        assert listed(ada.client.get(f"/c/{page[1]}/batch", params={"q": query}).text) == expected
    found = listed(ada.client.get(f"/c/{page[1]}/batch", params={"q": one["smiles"]}).text)
    assert found == [line["id"] for line in lines if one["smiles"] in line["smiles"]]


def test_the_list_is_sorted_both_ways_and_an_address_without_sense_is_the_usual_one(campaign, page, ada):
    ids = campaign.batch().ids
    by_id = listed(ada.get(f"/c/{page[1]}/batch?sort=id").text)
    assert by_id == sorted(ids) != ids
    text = ada.get(f"/c/{page[1]}/batch?sort=id&order=desc").text
    assert listed(text) == sorted(ids, reverse=True)
    assert 'aria-sort="descending"' in text
    usual = f"/c/{page[1]}/batch?sort=secret&order=up&page=x&plates=-3&show=nothing&state="
    assert listed(ada.get(usual).text) == ids
    assert ada.get(f"/c/{page[1]}/batch?round={'9' * 5000}").status_code == 404


def test_the_list_is_filtered_by_what_came_back(campaign, page, ada):
    ids = campaign.batch().ids
    campaign.fail(ids[3:5], "spilt")
    assert listed(ada.get(f"/c/{page[1]}/batch?state=failed").text) == ids[3:5]
    assert listed(ada.get(f"/c/{page[1]}/batch?state=missing").text) == [*ids[:3], *ids[5:]]
    assert "2 of 60 compounds" in words(ada.get(f"/c/{page[1]}/batch?state=failed").text)


def test_why_compounds_were_chosen_is_shown_of_rounds_that_are_over_alone(page, ada):
    over = ada.get(f"/c/{page[1]}/batch?round=0").text
    assert "chosen as" in words(over)
    assert "first batch" in words(over)
    assert "<button>Close" not in over
    assert "chosen as" not in words(ada.get(f"/c/{page[1]}/batch").text)
    assert listed(ada.get(f"/c/{page[1]}/batch?round=0&role=first+batch").text) == listed(over)
    # An address cannot ask for what is not to be known.
    assert len(listed(ada.get(f"/c/{page[1]}/batch?role=top").text)) == 0
    assert listed(ada.get(f"/c/{page[1]}/batch?sort=role").text) == listed(ada.get(f"/c/{page[1]}/batch").text)


def test_wells_show_classes_and_numbers_by_colour_shape_and_words(campaign, page, ada, truth, tmp_path):
    assert "The wells show" in ada.get(f"/c/{page[1]}/batch").text  # of classes, though nothing is read yet
    result = told(campaign, truth, tmp_path)
    assert result.n_new == 60
    ids = campaign.batch().ids
    by_class = ada.get(f"/c/{page[1]}/batch?show=class").text
    titles = dict(re.findall(r"<title>\w\d\d: (C\d{4}), readout told: (BBB[+-])</title>", by_class))
    assert titles == {name: truth[name] for name in ids}
    assert by_class.count('class="well told shaded k1"') == sum(truth[name] == "BBB+" for name in ids)
    by_value = ada.get(f"/c/{page[1]}/batch?show=value").text
    numbers = re.findall(r"<title>\w\d\d: (?:C\d{4}, )?([a-z ]+): (-?[\d.]+)</title>", by_value)
    read = {kind: [float(value) for what, value in numbers if what == kind] for kind, _ in numbers}
    assert {kind: len(values) for kind, values in read.items()} == {
        "readout told": 60,
        "positive control": 8,
        "negative control": 8,
    }
    assert max(read["positive control"]) < 30 < 70 < min(read["negative control"])
    assert "q0" in by_value
    assert "q6" in by_value
    steps = re.search(r'aria-label="What the marks mean">(.*?)</ul>', by_value, re.DOTALL)[1]
    assert words(steps).count(" to ") == 5


def test_what_came_back_is_put_in_while_marks_in_the_list_stay(campaign, page, ada):
    ids, seen = campaign.batch().ids, len(campaign.store.events())
    assert ada.get(f"/c/{page[1]}/batch/live?seen={seen}").status_code == 204
    campaign.fail(ids[:1], "spilt")
    text = ada.get(f"/c/{page[1]}/batch/live?seen={seen}&sort=id").text
    assert '<span id="state-0" hx-swap-oob="true" class="state failed">failed</span>' in text
    assert text.count("hx-swap-oob") == 120
    assert f"sort=id&amp;seen={seen + 1}" in text
    assert "checkbox" not in text


def test_refused_lines_are_there_after_the_page_was_left_and_as_a_file(make_config, truth, tmp_path):
    made = Campaign.create(tmp_path / "run", make_config(**LABORATORY, plates=PLATES))
    first, second, third = made.ask().table.to_pylist()[:3]
    app, [key] = page_of(tmp_path / "run", scratch=tmp_path / "scratch")
    ada = Visitor(app)
    lines = [("name", "bbb"), (first["id"], truth[first["id"]]), ("=cmd()", "BBB+"), (second["id"], "?")]
    sink = io.StringIO()
    csv.writer(sink).writerows(lines)
    ada.confirm(ada.send(key, sink.getvalue()))
    events = ada.get(f"/c/{key}/events").text
    [address] = re.findall(r'<a href="(/c/[^"]+/refused/\d+)">2 lines refused</a>', events)
    said = words(ada.get(address).text)
    assert "readouts.csv , told by Ada (web page)" in said
    assert "3 =cmd()" in said
    assert f"4 {second['id']} {second['plate']} {second['well']}" in said
    answer = ada.get(f"{address}/csv")
    assert (
        answer.headers["content-disposition"]
        == f'attachment; filename="refused-{int(address.rsplit("/")[-1]):06d}.csv"'
    )
    found = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(line["line"], line["id"]) for line in found] == [("3", "'=cmd()"), ("4", second["id"])]
    assert listed(ada.get(f"/c/{key}/batch?state=refused").text) == [second["id"]]
    made.tell({second["id"]: truth[second["id"]]})
    assert listed(ada.get(f"/c/{key}/batch?state=refused").text) == []
    for wrong in ("0", "999", "-1"):
        assert ada.get(f"/c/{key}/refused/{wrong}").status_code == 404
        assert ada.get(f"/c/{key}/refused/{wrong}/csv").status_code == 404
    assert third["id"] in listed(ada.get(f"/c/{key}/batch?state=missing").text)


def test_a_line_that_was_refused_before_its_compound_was_asked_for_does_not_count_against_it(
    make_config, truth, tmp_path
):
    made = Campaign.create(tmp_path / "run", make_config(**LABORATORY))
    made.ask()
    told = made.tell(write(tmp_path / "all.csv", ("name", "bbb"), truth.items()))
    assert (told.n_new, len(told.refused)) == (60, len(truth) - 60)
    [event] = refused_events(made.store)
    assert set(made.ask().ids) <= set(refused_lines(made.store, event)["id"].to_pylist())
    app, [key] = page_of(made.path, scratch=tmp_path / "scratch")
    ada = Visitor(app)
    assert listed(ada.get(f"/c/{key}/batch?state=refused").text) == []
    assert listed(ada.get(f"/c/{key}/batch?state=missing").text) == made.batch().ids


def test_outputs_of_a_panel_are_shown_one_by_one(make_config, tmp_path):
    changes = {
        "task": "panel",
        "labels": {"column": None, "columns": ["has_01", "has_02"]},
        "readouts": {"id": "name"},
        "stopping": {"rule": "certify", "gamma": 0.6},
    }
    made = Campaign.create(tmp_path / "run", make_config(**{**LABORATORY, **changes}, plates=PLATES))
    ids = made.ask().ids
    made.tell({ids[0]: {"has_01": 1, "has_02": 0}, ids[1]: {"has_01": 0}})
    app, [key] = page_of(tmp_path / "run", scratch=tmp_path / "scratch")
    text = Visitor(app).get(f"/c/{key}/batch?show=output:has_02").text
    assert re.findall(r"<title>\w\d\d: (C\d{4}), readout told: (\d)</title>", text) == [(ids[0], "0")]
    assert "2 of 2 outputs" in words(text)
    assert "1 of 2 outputs" in words(text)
    assert "numbers" not in words(text)


def test_a_simulated_screen_is_listed_and_only_looked_at(make_config, tmp_path):
    simulate(make_config(stopping={"rule": "certify", "gamma": 0.7}), tmp_path / "runs" / "past")
    app, [key] = page_of(tmp_path / "runs", scratch=tmp_path / "scratch")
    ada = Visitor(app)
    assert "Simulated screens They measure by themselves" in words(ada.get("/").text)
    for path in ("", "/batch", "/events"):
        text = ada.get(f"/c/{key}{path}").text
        assert text.count('method="post"') == 1  # logging out
    assert "No batch is out" in words(ada.get(f"/c/{key}/batch").text)
    over = ada.get(f"/c/{key}/batch?round=0").text
    assert len(listed(over)) == 100
    assert "BBB+" in words(over)
    n_events = len(Campaign.open(tmp_path / "runs" / "past").store.events())
    for verb, fields in (
        ("close", {"reason": "x", "confirmed": "true"}),
        ("fail", {"others": "C0000", "reason": "x", "confirmed": "true"}),
        ("undo", {"number": "0", "reason": "x", "confirmed": "true"}),
        ("dispatch", {}),
    ):
        assert ada.post(f"/c/{key}/{verb}", **fields).status_code == 409, verb
    assert len(Campaign.open(tmp_path / "runs" / "past").store.events()) == n_events
