"""The web page of a laboratory: what it shows, what a preview says, and what is told."""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
import threading
import time
import zipfile
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from isd_ray.campaign.store import CampaignStore
from isd_ray.config.limits import MAX_READING_BYTES
from isd_ray.errors import IsdError, LabelError, StoreError
from isd_ray.ops.campaign import Campaign
from isd_ray.serve.apart import Order, Readers, read_apart
from isd_ray.serve.shelf import Shelf
from tests.unit.serve_helpers import ADDRESS, Visitor, ada, campaign, page, page_of, pairs, words
from tests.unit.test_laboratory import HITS, LABORATORY, PLATES, signals, truth, write

__all__ = ["ada", "campaign", "page", "truth"]

EVIL = "<script>alert(1)</script>"
ACTING = "\x1b[31m\u202e\"'><b>" + "x" * 900


@pytest.fixture(scope="module")
def begun(make_config, tmp_path_factory) -> Campaign:
    """A batch of 60 compounds on one plate is out."""
    made = Campaign.create(tmp_path_factory.mktemp("begun") / "run", make_config(**LABORATORY, plates=PLATES))
    made.ask()
    return made


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def as_csv(*lines) -> str:
    sink = io.StringIO()
    csv.writer(sink).writerows(lines)
    return sink.getvalue()


def by_id(truth, ids) -> str:
    return as_csv(("name", "bbb"), *((name, truth[name]) for name in ids))


def sections(text: str) -> str:
    """The page without what depends on the session."""
    return re.sub(r'name="form_token" value="[^"]+"', "", text)


# --- seeing ---------------------------------------------------------------------------------------------------------


def test_the_list_says_where_each_campaign_stands(campaign, ada, make_config, tmp_path):
    Campaign.create(tmp_path / "runs" / "fresh", make_config(**LABORATORY, name="fresh"))
    said = words(ada.get("/").text)
    assert "small waiting To do: tell 60 readouts of round 0; or say what failed, or close it" in said
    assert "fresh new To do: ask for the first batch" in said
    assert "none yet; the goal is: accuracy is above 0.7" in said


def test_a_campaign_that_cannot_be_read_does_not_hide_the_others(campaign, ada, tmp_path):
    (tmp_path / "runs" / "broken").mkdir()
    (tmp_path / "runs" / "broken" / "campaign.json").write_text("{")
    said = words(ada.get("/").text)
    assert "broken It cannot be read" in said
    assert "small waiting" in said


def test_whatever_is_wrong_with_a_campaign_the_others_are_shown_and_its_pages_say_what(campaign, page, monkeypatch):
    ada = Visitor(page[0])
    ada.client = TestClient(
        page[0], base_url=ADDRESS, cookies=ada.client.cookies, follow_redirects=False, raise_server_exceptions=False
    )
    broken = Campaign.open(shutil.copytree(campaign.path, campaign.path.with_name("broken")))
    [key] = set(Shelf([str(campaign.path.parent)]).names()) - {page[1]}
    events = CampaignStore.events
    wrong = {
        "KeyError": KeyError("attempt"),
        "Permission denied": PermissionError(13, "Permission denied", "batch.json"),
    }
    for said, error in wrong.items():

        def fail(store, error=error):
            if store.path == broken.path:
                raise error
            return events(store)

        with monkeypatch.context() as patch:
            patch.setattr(CampaignStore, "events", fail)
            shelf = words(ada.get("/").text)
            assert "small waiting" in shelf
            assert f"{broken.path} It cannot be read" in shelf
            assert said in shelf
            answer = ada.get(f"/c/{key}/events")
        assert answer.status_code in (500, 503)
        assert said in words(answer.text)
        assert "nothing that is on record is lost" in words(answer.text)
        assert "Content-Security-Policy" in answer.headers


def test_what_is_refused_says_which_file_it_is_about(campaign, tmp_path):
    [batch] = campaign.path.glob("rounds/00000/attempt-*/batch.parquet")
    batch.write_bytes(b"PAR1")
    app, [key] = page_of(campaign.path.parent, scratch=tmp_path / "scratch")
    ada = Visitor(app)
    for path in ("/", f"/c/{key}"):
        assert str(batch) in words(ada.get(path).text)


def test_a_file_for_which_there_is_no_room_is_refused_and_leaves_nothing_behind(ada, page, tmp_path, monkeypatch):
    def full(content, sink):
        sink.write(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("isd_ray.serve.uploads.shutil.copyfileobj", full)
        answer = ada.post(f"/c/{page[1]}/uploads", files={"file": ("readouts.csv", b"name,bbb\n")})
    assert answer.status_code == 409
    assert "No space left on device" in words(answer.text)
    assert "nothing was told" in words(answer.text)
    assert not list((tmp_path / "scratch").iterdir())


def test_what_is_no_campaign_is_not_served(tmp_path):
    with pytest.raises(StoreError, match="neither a campaign here nor a folder"):
        Shelf([str(tmp_path / "nothing")])


def test_plates_show_what_came_back_and_neither_roles_nor_predictions(campaign, ada, page, truth):
    ids = campaign.batch().ids
    campaign.tell({name: truth[name] for name in ids})
    batch = campaign.ask()
    campaign.tell({name: truth[name] for name in batch.ids[:7]})
    campaign.fail(batch.ids[7:10], "spilt")
    roles = set(campaign.store.rounds()[-1].read_batch()["role"].to_pylist())
    assert roles == {"random", "top"}
    text = ada.get(f"/c/{page[1]}/batch").text
    [plate] = set(batch.table["plate"].to_pylist())
    told = "50 readout missing, 7 readout told, 3 failed, 8 positive control, 8 negative control, 20 empty"
    assert f'aria-label="Plate {plate}: {told}"' in text
    assert text.count('<g class="well told"') == 7
    found = dict(re.findall(r"<title>(\w\d\d): (C\d{4}), readout told</title>", text))
    places = {line["well"]: line["id"] for line in batch.table.to_pylist() if line["id"] in batch.ids[:7]}
    assert found == places
    for hidden in ("role", "random", "top", "predict", "uncertain", "score"):
        assert hidden not in words(text).lower()


def test_a_batch_without_plates_is_a_list(make_config, tmp_path):
    made = Campaign.create(tmp_path / "run", make_config(**LABORATORY))
    ids = made.ask().ids
    app, [key] = page_of(tmp_path / "run", scratch=tmp_path / "scratch")
    text = Visitor(app).get(f"/c/{key}/batch").text
    assert re.findall(r'<th scope="row" class="w">(C\d{4})</th>', text) == ids
    assert "<svg" not in text


def test_what_has_not_changed_is_not_sent_again(campaign, ada, page, truth):
    seen = len(campaign.store.events())
    for what in ("live", "batch/live"):
        assert ada.get(f"/c/{page[1]}/{what}?seen={seen}").status_code == 204
    campaign.tell({name: truth[name] for name in campaign.batch().ids[:5]})
    answer = ada.get(f"/c/{page[1]}/live?seen={seen}")
    assert "tell 55 readouts of round 0" in words(answer.text)
    assert f"seen={seen + 1}" in answer.text


def test_a_screen_to_its_end(make_config, truth, tmp_path):
    """Figures as in the report, the certificate, and no word of an audit while it is out."""
    made = Campaign.create(tmp_path / "run", make_config(**LABORATORY))
    app, [key] = page_of(tmp_path / "run", scratch=tmp_path / "scratch")
    ada, frozen, n_hidden = Visitor(app), "predictions of the whole inference set frozen", 0
    assert "Figures come with the first rounds" in ada.get(f"/c/{key}").text
    while (batch := made.ask()) is not None:
        rounds = [event["round"] for event in made.store.events() if event["kind"] == "freeze"]
        n_hidden += batch.round in rounds
        shown = words(ada.get(f"/c/{key}/events").text).count(frozen)
        assert shown == sum(number < batch.round for number in rounds)
        made.tell({name: truth[name] for name in batch.ids})
    assert words(ada.get(f"/c/{key}/events").text).count(frozen) == n_hidden > 0
    text = ada.get(f"/c/{key}").text
    assert 'data-figure="accuracy-by-round"' in text
    assert 'data-figure="batch-accuracy"' in text
    assert '"goal \\u03b3 = 0.7"' in text
    assert made.store.certificate()["certificate_id"] in words(text)
    assert "hx-get" not in text
    assert "nothing: the hybrid screen is delivered" in words(text)
    assert "No batch is out" in words(ada.get(f"/c/{key}/batch").text)
    assert "<title>Hybrid screen small</title>" in ada.get(f"/c/{key}/report").text


def test_the_page_never_computes_but_says_who_does(campaign, ada, page, truth):
    campaign.tell({name: truth[name] for name in campaign.batch().ids})
    for what in ("", "/batch"):
        assert f"isd ask {campaign.path}" in words(ada.get(f"/c/{page[1]}{what}").text)
    assert len(campaign.store.rounds()) == 1


def test_events_come_newest_first_with_who_and_in_pages(campaign, ada, page):
    for number in range(60):
        campaign.include([f"C{number:04d}"], f"wish {number}")
    first, second = (ada.get(f"/c/{page[1]}/events?page={number}").text for number in (1, 2))
    shown = re.findall(r"wish (\d+)", first) + re.findall(r"wish (\d+)", second)
    assert shown == [str(number) for number in reversed(range(60))]
    assert len(re.findall(r"wish", first)) == 50
    assert campaign.store.events()[-1]["who"] in words(first)


# --- taking it to the laboratory ------------------------------------------------------------------------------------


def test_a_download_is_what_ask_writes_and_is_noted_with_who_took_it(campaign, ada, page, tmp_path):
    assert not campaign.is_dispatched(0)
    answer = ada.post(f"/c/{page[1]}/dispatch")
    written = campaign.batch().write(tmp_path / "ask")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            file.name: file.read_bytes() for file in written
        }
    event = campaign.store.events()[-1]
    assert (event["kind"], event["who"]) == ("dispatch", "Ada (web page)")
    answer = ada.post(f"/c/{page[1]}/dispatch", file=written[1].name)
    assert answer.content == written[1].read_bytes()
    assert campaign.store.events()[-1]["files"] == [written[1].name]


@pytest.mark.parametrize("name", ["../../campaign.json", "/etc/passwd", "campaign.json", "round-00001-batch.csv"])
def test_no_other_file_is_downloaded(name, campaign, ada, page):
    before = contents(campaign.path)
    assert ada.post(f"/c/{page[1]}/dispatch", file=name).status_code == 404
    assert contents(campaign.path) == before


# --- telling --------------------------------------------------------------------------------------------------------


def bad_file(truth, ids) -> str:
    lines = [(name, truth[name]) for name in ids[:20]]
    lines += [("C9999", "BBB+"), (ids[20], "perhaps"), ("C0899" if "C0899" not in ids else "C0898", "BBB-")]
    return as_csv(("name", "bbb"), *lines)


def test_a_preview_says_line_by_line_what_tell_does_and_writes_nothing(campaign, ada, page, truth, tmp_path):
    ids = campaign.batch().ids
    campaign.tell({name: truth[name] for name in ids[:3]})
    file = tmp_path / "readouts.csv"
    file.write_text(bad_file(truth, ids))
    before = contents(campaign.path)
    preview = ada.get(ada.send(page[1], file.read_bytes())).text
    assert contents(campaign.path) == before
    told = campaign.tell(file)
    assert len(told.refused) == 3
    assert pairs(preview) == {
        "would be taken in": str(told.n_new),
        "on record already": str(told.n_unchanged),
        "read without a readout: failed": "0",
        "refused": "3",
        "would still be missing in the round": str(told.n_missing),
    }
    lines = re.findall(r'<th scope="row">(\d+)</th><td class="w">(.*?)</td>', preview)
    assert [(int(line), words(why)) for line, why in lines] == [(line.line, line.reason) for line in told.refused]


def test_a_confirmed_file_is_told_once_with_the_name_of_who_sent_it(campaign, ada, page, truth):
    ids = campaign.batch().ids
    preview = ada.send(page[1], by_id(truth, ids[:20]), "Plate 7.csv")
    assert ada.confirm(preview).headers["location"] == preview
    event = campaign.store.events()[-1]
    assert (event["kind"], event["n"], event["file"], event["who"]) == ("tell", 20, "Plate_7.csv", "Ada (web page)")
    after = contents(campaign.path)
    ada.confirm(preview)
    assert contents(campaign.path) == after
    result = ada.get(preview).text
    assert pairs(result)["taken in"] == "20"
    assert "40 readouts of the round are still missing" in words(result)


def test_the_same_file_again_is_looked_at_again_and_changes_nothing(campaign, ada, page, truth):
    content = by_id(truth, campaign.batch().ids[:20])
    ada.confirm(ada.send(page[1], content))
    after = contents(campaign.path)
    preview = ada.send(page[1], content)
    assert pairs(ada.get(preview).text)["on record already"] == "20"
    ada.confirm(preview)
    assert contents(campaign.path) == after


def test_if_the_campaign_has_changed_since_the_preview_the_result_says_what_happened(campaign, ada, page, truth):
    ids = campaign.batch().ids
    preview = ada.send(page[1], by_id(truth, ids[:20]))
    assert pairs(ada.get(preview).text)["would be taken in"] == "20"
    campaign.tell({name: truth[name] for name in ids[:15]})
    ada.confirm(preview)
    result = ada.get(preview).text
    assert pairs(result)["taken in"] == "5"
    assert "The campaign has changed since the preview. It said that 20 readouts would be taken in" in words(result)


def test_a_file_of_which_nothing_can_be_used_is_refused_with_the_reason(campaign, ada, page):
    before = contents(campaign.path)
    preview = ada.send(page[1], as_csv(("name", "bbb"), ("C9999", "BBB+")))
    said = words(ada.get(preview).text)
    assert "Refused: none of 1 lines can be used: line 2: unknown id 'C9999'" in said
    assert "Tell these readouts" not in said
    ada.confirm(preview)
    assert "Refused: none of 1 lines can be used" in words(ada.get(preview).text)
    assert ada.get(ada.send(page[1], b"\x00\x01\x02", "image.png")).status_code == 200
    assert contents(campaign.path) == before


def test_bytes_that_have_changed_since_the_preview_are_not_told(campaign, ada, page, truth, tmp_path):
    preview = ada.send(page[1], by_id(truth, campaign.batch().ids[:20]))
    [file] = [path for path in (tmp_path / "scratch").rglob("*") if path.is_file()]
    file.write_text(by_id(truth, campaign.batch().ids[:30]))
    before = contents(campaign.path)
    answer = ada.confirm(preview)
    assert "the file has changed since it was sent" in words(answer.text)
    assert contents(campaign.path) == before


def test_whole_plates_preview_as_hits_are_called(make_config, truth, tmp_path):
    """Readings and the quality of plates are kept by tell; a rehearsal keeps them nowhere."""
    made = Campaign.create(tmp_path / "run", make_config(**{**LABORATORY, **HITS}))
    made.ask()
    file = write(tmp_path / "plates.csv", ("plate", "well", "signal"), signals(made, truth, 0, bad=("P00002",)))
    app, [key] = page_of(tmp_path / "run", scratch=tmp_path / "scratch")
    ada, before = Visitor(app), contents(made.path)
    text = ada.get(ada.send(key, file.read_bytes())).text
    preview = pairs(text)
    assert contents(made.path) == before
    told = made.tell(file)
    [(plate, reason)] = told.failed_plates
    assert f"Plate {plate} would not count: {reason}." in words(text)
    assert [judged.verdict for judged in told.plates] == ["pass", "fail"]
    for judged in told.plates:
        assert f"{judged.plate} {judged.verdict} {judged.z_prime:.4g}" in words(text)
    assert told.n_lost > 0
    assert (preview["would be taken in"], preview["read without a readout: failed"]) == (
        str(told.n_new),
        str(told.n_lost),
    )
    assert preview["would still be missing in the round"] == str(told.n_missing)


# --- what failed, and the end of a round ----------------------------------------------------------------------------


def test_failures_are_noted_after_a_confirmation_with_a_reason(campaign, ada, page):
    ids, before = campaign.batch().ids, contents(campaign.path)
    address = f"/c/{page[1]}/fail"
    asked = ada.post(address, compound=ids[:2], others=f"{ids[2]}\n\n{ids[1]}", reason="spilt")
    assert "Note 3 compounds as failed?" in words(asked.text)
    assert contents(campaign.path) == before
    hidden = dict(re.findall(r'name="(others|reason|assay|abandon|confirmed)" value="([^"]*)"', asked.text))
    assert ada.post(address, **hidden).status_code == 303
    event = campaign.store.events()[-1]
    assert (event["kind"], event["n"], event["reason"], event["who"]) == ("fail", 3, "spilt", "Ada (web page)")
    notice = "3 compounds noted as failed."
    assert notice in words(ada.get(f"/c/{page[1]}/batch").text)
    assert notice not in words(ada.get(f"/c/{page[1]}/batch").text)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"reason": "spilt"}, "no compound is named"),
        ({"others": "C9999", "reason": "spilt"}, "1 compounds are not in the batch that is out: C9999"),
        ({"others": "IN_BATCH", "reason": " "}, "this needs a reason"),
    ],
)
def test_what_cannot_fail_is_refused_before_the_confirmation(said, why, campaign, ada, page):
    before, one = contents(campaign.path), campaign.batch().ids[0]
    answer = ada.post(f"/c/{page[1]}/fail", **{name: text.replace("IN_BATCH", one) for name, text in said.items()})
    assert answer.status_code == 409
    assert why in words(answer.text)
    assert contents(campaign.path) == before


def test_a_round_is_closed_after_a_confirmation(campaign, ada, page, truth):
    campaign.tell({name: truth[name] for name in campaign.batch().ids[:50]})
    before = contents(campaign.path)
    asked = ada.post(f"/c/{page[1]}/close", reason="reader broke")
    assert "It ends without the 10 readouts that are missing" in words(asked.text)
    assert contents(campaign.path) == before
    ada.post(f"/c/{page[1]}/close", reason="reader broke", confirmed="true")
    assert campaign.status().state == "ready"
    assert campaign.store.events()[-1]["who"] == "Ada (web page)"


def test_a_single_readout_is_spoken_of_as_one(campaign, ada, page, truth):
    ids = campaign.batch().ids
    preview = ada.send(page[1], by_id(truth, ids[:59]))
    ada.get(preview)
    ada.confirm(preview)
    assert "1 readout of the round is still missing" in words(ada.get(preview).text)
    assert "Goes on without the 1 readout that is missing" in words(ada.get(f"/c/{page[1]}/batch").text)
    for what in ("close", "stop"):
        asked = ada.post(f"/c/{page[1]}/{what}", reason="reader broke")
        assert "without the 1 readout that is missing" in words(asked.text)
    ada.post(f"/c/{page[1]}/stop", reason="reader broke", confirmed="true")
    assert "is closed without 1 readout." in words(ada.get(f"/c/{page[1]}").text)


# --- what users wrote is text ---------------------------------------------------------------------------------------


def test_reasons_that_are_long_or_act_are_shown_and_do_nothing(campaign, ada, page):
    [one, other, *_] = campaign.batch().ids
    campaign.fail(one, ACTING)
    asked = ada.post(f"/c/{page[1]}/fail", others=other, reason=ACTING).text
    for text in (asked, ada.get(f"/c/{page[1]}/events").text, ada.get(f"/c/{page[1]}/report").text):
        assert not set(text) & set("\x1b\u202e")
        assert "<b>x" not in text
    assert "x" * 900 in asked
    assert ada.post(f"/c/{page[1]}/fail", others=other, reason="x" * 5000).status_code == 409


def test_nothing_that_people_write_is_markup(campaign, page, truth):
    eve = Visitor(page[0], EVIL)
    ids = campaign.batch().ids
    campaign.fail(ids[:1], EVIL)
    refused = as_csv(("name", "bbb"), (EVIL, "BBB+"), (ids[1], truth[ids[1]]))
    pages = [eve.get(eve.send(page[1], refused, f"{EVIL}.csv"))]
    pages += [eve.post(f"/c/{page[1]}/fail", others=ids[1], reason=EVIL), eve.post(f"/c/{page[1]}/close", reason=EVIL)]
    pages += [eve.post(f"/c/{page[1]}/fail", others=EVIL, reason="spilt"), eve.get(f"/c/{page[1]}/events")]
    for answer in pages:
        assert "alert(1)" in answer.text
        assert EVIL not in answer.text


def test_ids_and_structures_of_the_library_are_text(make_config, compounds, tmp_path):
    source = tmp_path / "evil.csv"
    source.write_text(compounds.read_text().replace('\n"C0', f'\n"{EVIL}C0'))
    library = {"source": str(source), "path": str(tmp_path / "library")}
    made = Campaign.create(tmp_path / "run", make_config(**LABORATORY, library=library, plates=PLATES))
    made.ask()
    app, [key] = page_of(tmp_path / "run", scratch=tmp_path / "scratch")
    text = Visitor(app).get(f"/c/{key}/batch").text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;C0" in text
    assert EVIL not in text


# --- files that are not as they should be ----------------------------------------------------------------------------


def test_while_a_file_is_read_every_other_page_answers(campaign, ada, page, monkeypatch):
    """The file of somebody who sends what never comes to an end."""
    is_over = threading.Event()
    monkeypatch.setattr("isd_ray.serve.apart.read_apart", lambda order: is_over.wait())
    monkeypatch.setattr("isd_ray.serve.actions.PATIENCE_S", 0.01)
    try:
        previews = [ada.send(page[1], f"name,bbb\nC{number},BBB+\n") for number in range(8)]
        for preview in previews:
            assert "The file is being read" in ada.client.get(preview).text
        for end in ("", "/batch", "/events"):
            assert ada.get(f"/c/{page[1]}{end}").status_code == 200
        assert campaign.status().n_missing
    finally:
        is_over.set()


def test_the_page_ends_without_waiting_for_what_is_read(campaign, tmp_path):
    readers = Readers()
    begun = readers.begin(Order("preview", campaign.store.address, tmp_path / "readouts.csv", {}, "Ada"))
    readers.end()
    assert begun.cancelled() or begun.exception() is not None
    with pytest.raises(RuntimeError):
        readers.begin(Order("preview", campaign.store.address, tmp_path / "readouts.csv", {}, "Ada"))


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("sleep", "takes longer than 0.5 seconds"),
        ("die", "ended the process"),
        ("fill", "GiB of memory"),
        ("refuse", "no"),
    ],
)
def test_whatever_a_file_does_to_its_reader_is_said_in_words(verb, words, campaign, tmp_path):
    order = Order(verb, campaign.store.address, tmp_path / "readouts.csv", {}, "Ada")
    with pytest.raises(IsdError, match=words):
        read_apart(order, 0.5 if verb == "sleep" else 60, Misbehaving.open)


class Misbehaving:
    """In the place of a campaign, in the other process."""

    def sleep(self, file):
        time.sleep(60)

    def die(self, file):
        os._exit(3)

    def fill(self, file):
        return bytearray(MAX_READING_BYTES + 1)

    def refuse(self, file):
        raise LabelError("no")

    @classmethod
    def open(cls, address):
        return cls()
