"""The web page of a laboratory in Chromium: real clicks against a real server."""

from __future__ import annotations

import csv
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from playwright.sync_api import expect

from isd_ray.ops.campaign import Campaign
from tests.browser.looking import look, window
from tests.unit.test_laboratory import LABORATORY, PLATES, truth

__all__ = ["truth"]

SEEN_MS = 30_000
SOURCES = {"source_plate_column": "bbb", "source_well_column": "well", "transfer_volume": "25 nL"}


@pytest.fixture(scope="module")
def campaign(make_config, compounds, tmp_path_factory) -> Campaign:
    """The third batch of 60 compounds is out, with a pick list; seven are told."""
    folder = tmp_path_factory.mktemp("browser")
    source = folder / "compounds.csv"
    head, *lines = compounds.read_text().splitlines()
    wells = [f"{letter}{column:02d}" for letter in "ABCDEFGHIJKLMNOP" for column in range(1, 25)]
    placed = [f'{line},"{wells[number % len(wells)]}"' for number, line in enumerate(lines)]
    source.write_text("\n".join([f'{head},"well"', *placed]))
    library = {"source": str(source), "path": str(folder / "library"), "columns": ["bbb", "well"]}
    stopping = {"rule": "certify", "gamma": 0.95}
    settings = {**LABORATORY, "library": library, "plates": {**PLATES, **SOURCES}, "stopping": stopping}
    return Campaign.create(folder / "runs" / "kinase", make_config(**settings))


@pytest.fixture(scope="module")
def known(campaign, truth):
    """The batch."""
    for _ in range(2):
        campaign.tell({name: truth[name] for name in campaign.ask().ids})
    ids = campaign.ask().ids
    campaign.tell({name: truth[name] for name in ids[:7]})
    return ids


@pytest.fixture(scope="module")
def serve(campaign, known):
    """Starts `isd serve`, once with the same arguments, and returns the address that it prints."""
    started = []

    @cache
    def start(*arguments: str) -> str:
        command = [sys.executable, "-c", "from isd_ray.cli import main; main()"]
        places = [str(campaign.path.parent), "--port", "0", *arguments]
        process = subprocess.Popen([*command, "serve", *places], stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process.stdout.readline().split("page at ")[1].strip()

    yield start
    for process in started:
        process.terminate()
        process.wait()
        process.stdout.close()


def log_in(page, address: str, who: str = "Ada") -> None:
    page.goto(address)
    page.get_by_label("Your name").fill(who)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("link", name="small").click()


def readouts(truth, ids, file: Path) -> Path:
    with file.open("w", newline="") as sink:
        csv.writer(sink).writerows([("name", "bbb"), *((name, truth[name]) for name in ids), ("C9999", "BBB+")])
    return file


def test_a_chemist_takes_the_batch_to_the_laboratory_and_brings_its_readouts(
    chromium, serve, campaign, known, truth, tmp_path
):
    with window(chromium) as page:
        log_in(page, serve())
        page.get_by_role("link", name="Batch", exact=True).click()
        [plate] = set(campaign.batch().table["plate"].to_pylist())
        told = "53 readout missing, 7 readout told, 8 positive control, 8 negative control, 20 empty"
        expect(page.get_by_role("img", name=f"Plate {plate}: {told}")).to_be_visible(timeout=SEEN_MS)

        [picks] = [name for name in campaign.batch().file_names if name.endswith("picks.csv")]
        with page.expect_download() as download:
            page.get_by_role("button", name=picks).click()
        lines = Path(download.value.path()).read_text().splitlines()
        assert lines[0].startswith("Source Plate Barcode,Source Well,Destination Plate Barcode")
        assert len(lines) == 61
        assert campaign.store.events()[-1]["files"] == [picks]

        page.get_by_label("File of readouts").set_input_files(readouts(truth, known[:30], tmp_path / "plate.csv"))
        page.get_by_role("button", name="Look at it first").click()
        expect(page.get_by_role("row", name="32 unknown id 'C9999'")).to_be_visible(timeout=SEEN_MS)
        expect(page.get_by_text("Nothing is told yet")).to_be_visible(timeout=SEEN_MS)
        assert campaign.status().n_missing == 53
        page.get_by_role("button", name="Tell these readouts").click()
        expect(page.get_by_text("30 readouts of the round are still missing")).to_be_visible(timeout=SEEN_MS)
        assert campaign.store.events()[-1]["who"] == "Ada (web page)"

        page.get_by_role("link", name="Progress").click()
        page.locator("#live", has_text="tell 30 readouts of round 2").wait_for()
        # What somebody else tells is there after the next poll.
        campaign.fail(known[30:31], "spilt")
        page.locator("#live", has_text="tell 29 readouts of round 2").wait_for()


def test_a_file_that_cannot_be_used_is_refused_with_the_reason(chromium, serve, campaign, tmp_path):
    before = len(campaign.store.events())
    with window(chromium) as page:
        log_in(page, serve())
        page.get_by_role("link", name="Batch", exact=True).click()
        page.get_by_label("File of readouts").set_input_files(readouts({}, [], tmp_path / "wrong.csv"))
        page.get_by_role("button", name="Look at it first").click()
        assert "none of 1 lines can be used: line 2: unknown id 'C9999'" in page.get_by_role("alert").inner_text()
        assert page.get_by_role("button", name="Tell these readouts").count() == 0
    assert len(campaign.store.events()) == before


def test_a_read_only_page_has_no_forms(chromium, serve):
    with window(chromium) as page:
        log_in(page, serve("--read-only"))
        page.get_by_role("link", name="Batch", exact=True).click()
        expect(page.get_by_role("heading", name="Batch of round 2")).to_be_visible(timeout=SEEN_MS)
        expect(page.get_by_text("read-only", exact=True)).to_be_visible(timeout=SEEN_MS)
        assert page.locator("form[method=post]").count() == 1  # logging out


def test_everything_works_without_scripts(chromium, serve, campaign, truth, known, tmp_path):
    with window(chromium, java_script_enabled=False) as page:
        log_in(page, serve(), "Bob")
        page.get_by_role("link", name="Batch", exact=True).click()
        page.get_by_label("File of readouts").set_input_files(readouts(truth, known[31:33], tmp_path / "two.csv"))
        page.get_by_role("button", name="Look at it first").click()
        page.get_by_role("button", name="Tell these readouts").click()
        expect(page.get_by_role("heading", name="Readouts taken in")).to_be_visible(timeout=SEEN_MS)
    assert campaign.store.events()[-1]["who"] == "Bob (web page)"


def test_structures_are_drawn_and_the_list_is_searched_and_sorted_without_scripts(chromium, serve, known):
    with window(chromium, java_script_enabled=False) as page:
        log_in(page, serve())
        page.get_by_role("link", name="Batch", exact=True).click()
        page.get_by_label("Find").fill(known[3])
        page.locator("form", has=page.get_by_label("Find")).get_by_role("button", name="Show").click()
        expect(page.get_by_text("1 of 60 compounds")).to_be_visible(timeout=SEEN_MS)
        drawing = page.get_by_role("img", name=f"Structure of {known[3]}")
        expect(drawing).to_be_visible(timeout=SEEN_MS)
        with page.expect_response(lambda answer: "/structures/" in answer.url) as drawn:
            page.reload()
        assert drawn.value.status == 200
        page.get_by_role("link", name="all", exact=True).click()
        page.get_by_role("link", name="compound", exact=True).click()
        expect(page.locator("#compounds ~ form tbody th")).to_have_text(sorted(known), timeout=SEEN_MS)


def test_a_mistake_is_undone_and_refused_lines_are_fetched(chromium, serve, campaign, known, truth, tmp_path):
    with window(chromium) as page:
        log_in(page, serve())
        page.get_by_role("link", name="Batch", exact=True).click()
        assert page.locator(".drawing img").first.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
        before = campaign.status().n_missing
        page.get_by_label("File of readouts").set_input_files(readouts(truth, known[50:52], tmp_path / "wrong.csv"))
        page.get_by_role("button", name="Look at it first").click()
        page.get_by_role("button", name="Tell these readouts").click()
        page.get_by_role("link", name="All refused lines, by compound and well").click()
        with page.expect_download() as download:
            page.get_by_role("link", name="Download them (CSV)").click()
        assert "C9999" in Path(download.value.path()).read_text()
        assert look(page)["violations"] == []
        page.get_by_role("link", name="All events").click()
        page.get_by_role("button", name="Undo entry").first.click()
        expect(page.get_by_role("heading", name="Undo entry")).to_be_visible(timeout=SEEN_MS)
        assert look(page)["violations"] == []
        page.get_by_label("Reason, kept on record").fill("the plates were swapped")
        page.get_by_role("button", name="Undo it").click()
        expect(page.get_by_text("was taken back: 2 readouts")).to_be_visible(timeout=SEEN_MS)
    assert campaign.status().n_missing == before
    assert campaign.store.events()[-1]["reason"] == "the plates were swapped"


@pytest.mark.parametrize(("dark", "width"), [(False, 1280), (True, 390)])
def test_axe_finds_no_violation_and_nothing_is_cut_off(dark, width, chromium, serve, known, truth, tmp_path):
    with window(chromium, dark=dark, width=width) as page:
        page.goto(address := serve())
        seen = {"login": look(page)}
        log_in(page, address)
        page.locator(".plot .main-svg").first.wait_for()
        seen["progress"] = look(page)
        home = page.url
        for name in ("batch", "events"):
            page.goto(f"{home}/{name}")
            seen[name] = look(page)
        page.goto(f"{home}/batch?show=class&sort=answer")
        seen["classes"] = look(page)
        page.goto(f"{home}/batch?round=0")
        seen["a round that is over"] = look(page)
        page.goto(f"{home}/batch")
        page.get_by_label("File of readouts").set_input_files(readouts(truth, known[40:41], tmp_path / "one.csv"))
        page.get_by_role("button", name="Look at it first").click()
        expect(page.get_by_role("heading", name="What would become of this file")).to_be_visible(timeout=SEEN_MS)
        seen["preview"] = look(page)
        page.goto(home.split("/c/")[0])
        seen["list"] = look(page)
    for name, found in seen.items():
        # Plotly would style the maps that it could draw; the policy refuses that, and there are none.
        problems = [words for words in found["problems"] if not words.startswith("style-src-elem")]
        assert (name, problems, found["violations"]) == (name, [], [])
        assert (name, found["overflow"]) == (name, 0)
    assert seen["progress"]["drawn"] == 2
