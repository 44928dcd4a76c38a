"""The report of a screen: what it says follows from the files, and what users wrote is never markup."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from dataclasses import replace
from datetime import datetime, timedelta
from html.parser import HTMLParser
from importlib.resources import files
from itertools import combinations

import numpy as np
import plotly.graph_objects as go
import pyarrow as pa
import pyarrow.csv
import pytest
from colorspacious import cspace_convert, deltaE
from PIL import Image
from rdkit import Chem, DataStructs
from rdkit.Chem import AllChem
from typer.testing import CliRunner

from isd_ray.campaign.store import CampaignStore
from isd_ray.chem import draw
from isd_ray.chem.draw import draw_svg
from isd_ray.cli import app
from isd_ray.core.goals import OutputAccuracies, OutputGoal
from isd_ray.data.library import Library
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.simulate import simulate
from isd_ray.report.blocks import Figure, Table
from isd_ray.report.comparison import render_comparison
from isd_ray.report.digest import digest_of, lines_of, nearest_measured
from isd_ray.report.figures import COLOURS, DASHES, MARKERS, NEUTRAL, PATTERNS, Line, bars, lines, plain
from isd_ray.report.numbers import duration
from isd_ray.report.page import render_page
from isd_ray.report.record import Record
from isd_ray.report.sections import SECTIONS, accuracy
from isd_ray.report.words import title_of
from isd_ray.storage.folder import folder_at
from tests.browser.looking import browser, look, window
from tests.unit.test_laboratory import HITS, LABORATORY, signals, truth, write

__all__ = ["truth"]

EVIL = "<script>alert('id')</script>"
CLASS = "<img src=x onerror=alert(1)>"
UNITLESS = {"round", "plate", "output of the panel"}


class Tags(HTMLParser):
    """Tags of a page by name, with their attributes, and the text of its scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.found and self.found[-1][0] == "script" and self.cdata_elem == "script":
            self.scripts.append(data)

    def of(self, name: str) -> list[dict]:
        return [attributes for tag, attributes in self.found if tag == name]


@pytest.fixture(scope="module")
def evil_compounds(compounds, tmp_path_factory):
    """The small set of compounds with ids and a class that are HTML."""
    table = pyarrow.csv.read_csv(compounds)
    names = pa.array([f"{EVIL}{name}" for name in table["name"].to_pylist()])
    classes = pa.array([CLASS if name == "BBB+" else "no" for name in table["bbb"].to_pylist()])
    path = tmp_path_factory.mktemp("evil") / "evil.csv"
    pyarrow.csv.write_csv(pa.table({"name": names, "smiles": table["smiles"], "bbb": classes}), path)
    return path


@pytest.fixture(scope="module")
def screen(make_config, evil_compounds, tmp_path_factory):
    folder = tmp_path_factory.mktemp("screen")
    library = {"source": str(evil_compounds), "path": str(folder / "library"), "columns": []}
    stopping = {"rule": "certify", "gamma": 0.7}
    labels = {"classes": ["no", CLASS]}
    return simulate(make_config(library=library, labels=labels, stopping=stopping), folder / "run")


@pytest.fixture(scope="module")
def page(screen) -> str:
    return (screen.path / "report.html").read_text()


@pytest.fixture(scope="module")
def record(screen) -> Record:
    return Record.read(CampaignStore.open(screen.path), screen.summary)


@pytest.fixture(scope="module")
def open_laboratory(make_config, truth, tmp_path_factory):
    """A campaign whose first round lost one of its two plates, and whose second is out."""
    folder = tmp_path_factory.mktemp("laboratory")
    campaign = Campaign.create(folder / "run", make_config(**{**LABORATORY, **HITS}))
    campaign.ask()
    readouts = signals(campaign, truth, 0, bad=("P00002",))
    campaign.tell(write(folder / "round-0.csv", ("plate", "well", "signal"), readouts))
    campaign.ask()
    return campaign


def sections_of(record: Record):
    return [section for make in SECTIONS if (section := make(record)) is not None]


def blocks(record: Record, kind):
    return [block for section in sections_of(record) for block in section.blocks if isinstance(block, kind)]


# --- one page, no markup of users, no network ------------------------------------------------------------------------


def test_what_users_wrote_is_text(page):
    tags = Tags(page)
    assert [script.get("type") for script in tags.of("script")] == ["application/json", None, None]
    assert not any(name.startswith("on") for _, attributes in tags.found for name in attributes)
    assert all(image["src"].startswith("data:image/svg+xml;base64,") for image in tags.of("img"))
    assert EVIL not in page
    assert CLASS not in page
    assert page.count("&lt;script&gt;alert(&#39;id&#39;)") > 10
    legend = json.loads(tags.scripts[0])["hits-found"]["layout"]["yaxis"]["title"]["text"]
    assert "<img" not in legend.replace("<br>", "")
    assert "&lt;img" in legend


def test_the_policy_allows_the_two_scripts_of_the_page_and_nothing_else(page):
    tags = Tags(page)
    [policy] = [meta["content"] for meta in tags.of("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    hashes = set(re.findall(r"'sha256-([^']+)'", policy))
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert hashes == {base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts}
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy.split("script-src")[1].split(";")[0]
    assert not tags.of("link")
    assert all(link["href"].startswith("#") for link in tags.of("a"))


def test_the_page_is_made_again_from_the_directory(screen, page, tmp_path):
    result = CliRunner().invoke(app, ["report", str(screen.path), "--out", str(tmp_path / "again.html")])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "again.html").read_text() == page


def test_a_page_without_figures_has_no_script():
    assert "<script" not in render_page("title", "subtitle", [])


# --- figures ---------------------------------------------------------------------------------------------------------


def assert_axes_have_units(figure: Figure) -> None:
    made = go.Figure(figure.spec)  # refuses what plotly does not know
    for axis in (made.layout.xaxis, made.layout.yaxis):
        assert axis.title.text in UNITLESS or re.search(r"\(.+\)$", axis.title.text), figure.name


def test_every_figure_is_valid_and_has_units_words_and_numbers(record, open_laboratory):
    open_record = Record.read(open_laboratory.store, None)
    figures = [*blocks(record, Figure), *blocks(open_record, Figure)]
    names = [figure.name for figure in blocks(record, Figure)]
    assert len(set(names)) == len(names)
    for figure in figures:
        assert_axes_have_units(figure)
        assert figure.alt
        assert figure.table.rows, figure.name
        assert all(len(row) == len(figure.table.headings) for row in figure.table.rows)


def test_the_sections_are_those_that_a_reader_asks_for(record):
    expected = (
        "short accuracy acquired batches calibration confidence hits cost compounds events rounds configuration words"
    )
    assert [section.anchor for section in sections_of(record)] == expected.split()


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


SIGHTS = (None, "deuteranomaly", "protanomaly", "tritanomaly")
APART = 11.0
"""Least distance of two colours in CAM02-UCS, where 1 is just noticeable side by side."""


def distance(one: str, other: str, sight: str | None) -> float:
    """How far two colours lie apart for a reader of normal sight, or without one kind of cone."""
    seen = []
    for colour in (one, other):
        rgb = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
        if sight is not None:
            rgb = cspace_convert(rgb, {"name": "sRGB1+CVD", "cvd_type": sight, "severity": 100}, "sRGB1")
        seen.append(np.clip(rgb, 0, 1))
    return float(deltaE(*seen, input_space="sRGB1"))


@pytest.mark.parametrize("sight", SIGHTS)
def test_any_two_colours_can_be_told_apart_by_colour_blind_readers(sight):
    found = {pair: distance(*pair, sight) for pair in combinations((*COLOURS, NEUTRAL), 2)}
    assert min(found.values()) >= APART, min(found, key=found.get)


@pytest.mark.parametrize("sight", SIGHTS)
def test_marks_and_wells_can_be_told_apart_in_the_light_and_in_the_dark(sight):
    css = files("isd_ray.report").joinpath("templates", "page.css").read_text()
    css += files("isd_ray.serve").joinpath("static", "serve.css").read_text()
    light_and_dark = {name: re.findall(rf"--{name}: (#\w{{6}})", css) for name in ("good", "bad", "told", "control")}
    for light, (good, bad, told, control) in enumerate(zip(*light_and_dark.values(), strict=True)):
        pairs = [(good, bad), *combinations((bad, told, control), 2)]
        assert min(distance(*pair, sight) for pair in pairs) >= APART, (light, sight)
    assert {len(colours) for colours in light_and_dark.values()} == {2}


def test_colour_is_never_the_only_difference():
    for others in (MARKERS, DASHES, PATTERNS):
        assert len(set(others)) == len(others) == len(COLOURS)


@pytest.mark.parametrize("colour", [*COLOURS, NEUTRAL])
def test_lines_keep_their_contrast_on_white_and_in_the_dark(colour):
    for paper in ("#ffffff", "#14171a"):
        low, high = sorted((luminance(colour), luminance(paper)))
        assert (high + 0.05) / (low + 0.05) >= 3.0


@pytest.mark.parametrize(
    ("x", "is_whole"),
    [((1, 2), True), ((3,), True), ((0, 11), True), ((0, 12), False), ((4.0, 9.7), False), ((), False)],
)
def test_few_rounds_have_ticks_at_whole_numbers(x, is_whole):
    figure = lines("f", [Line("one", x, [0.5] * len(x))], x="round", y="loss", alt="a", caption="c")
    assert (figure.spec["layout"]["xaxis"].get("dtick") == 1) == is_whole


def test_a_screen_without_a_name_is_called_a_hybrid_screen_once():
    assert title_of("screen") == "Hybrid screen"
    assert title_of("kinase") == "Hybrid screen kinase"


def test_lines_and_bars_put_their_numbers_into_the_table():
    drawn = [Line("a", [0.0, 50.0], [0.5, 1.0], [0.4, 0.9], [0.6, 1.0]), Line("empty", [])]
    figure = lines("f", drawn, x="x (%)", y="y (share)", alt="words", caption="", level=(0.9, "goal"))
    assert figure.table.rows == (("a", "0", "0.5", "0.4", "0.6"), ("a", "50", "1", "0.9", "1"))
    assert [trace["name"] for trace in figure.spec["data"]] == ["a", "a", "goal"]
    figure = bars("g", ["p<1>", "q"], {"n": [1, 2000]}, x="plate", y="n (number)", alt="words", caption="")
    assert figure.table.rows == (("p<1>", "1"), ("q", "2,000"))
    assert figure.spec["data"][0]["x"] == [plain("p<1>"), "q"]


def test_a_goal_is_seen_beside_a_single_point_too():
    figure = lines(
        "f", [Line("a", [10.0], [0.5])], x="x (%)", y="y (share)", alt="words", caption="", level=(0.9, "goal")
    )
    goal = figure.spec["data"][-1]
    assert (goal["name"], goal["y"]) == ("goal", [0.9, 0.9])
    assert goal["x"][0] < 10.0 < goal["x"][1]


@pytest.mark.parametrize(("rule", "place"), [("certify", "n_observed"), ("paper", "n_acquired")])
def test_a_bound_stands_at_the_moment_that_it_speaks_of(rule, place, record):
    stopping = record.config.stopping.model_copy(update={"rule": rule})
    changed = replace(record, config=record.config.model_copy(update={"stopping": stopping}))
    [figure] = [block for block in accuracy(changed).blocks if isinstance(block, Figure)]
    drawn = next(trace for trace in figure.spec["data"] if trace["name"].startswith("bound"))
    bounded = [row for row in record.rounds if row["system_bound"] is not None]
    assert drawn["x"] == pytest.approx([row[place] / 9 for row in bounded])
    assert drawn["y"] == [row["system_bound"] for row in bounded]


# --- numbers follow from the files -----------------------------------------------------------------------------------


def test_the_digest_counts_what_the_hybrid_screen_holds(screen, record):
    lines, digest = screen.hybrid.to_pylist(), record.digest
    predicted = [line for line in lines if line["source"] == "predicted"]
    for source in ("measured", "predicted"):
        for name in (CLASS, "no"):
            n = sum(line["source"] == source and line["label"] == name for line in lines)
            assert digest.labels[source, name] == n
    found = sum(n for (number, _, name), n in digest.found.items() if (number, name) == (1, CLASS))
    assert found == sum(line["round"] == 1 and line["label"] == CLASS for line in lines)
    assert digest.roles["audit"] == sum(line["role"] == "audit" for line in lines)
    assert digest.uncertainty.counts.sum() == len(predicted)
    order = sorted(predicted, key=lambda line: (-line["uncertainty"], line["row"]))
    assert [line["row"] for line in digest.hardest] == [line["row"] for line in order[:8]]
    order = sorted(predicted, key=lambda line: (line["uncertainty"], line["row"]))
    assert [line["row"] for line in digest.surest] == [line["row"] for line in order[:8]]
    assert digest.measured_rows.tolist() == [line["row"] for line in lines if line["source"] == "measured"]


def test_the_nearest_measured_neighbour_is_that_of_rdkit(screen, record):
    library = Library.open(record.store.manifest["library"])
    rows = np.array([line["row"] for line in record.digest.hardest[:3]])
    generator = AllChem.GetMorganGenerator(radius=2, fpSize=2048)
    prints = {
        row: generator.GetFingerprint(Chem.MolFromSmiles(smiles))
        for row, smiles in zip(range(library.n_rows), library.smiles().tolist(), strict=True)
    }
    measured = record.digest.measured_rows
    for row, (near, similarity) in zip(rows, nearest_measured(library, rows, measured), strict=True):
        similar = [DataStructs.TanimotoSimilarity(prints[row], prints[other]) for other in measured.tolist()]
        assert similarity == pytest.approx(max(similar))
        assert similar[measured.tolist().index(near)] == pytest.approx(max(similar))
    found = lines_of(screen.path / "hybrid", [int(measured[0])])
    assert found[int(measured[0])]["id"] == library.ids(measured[:1])[0]


def test_a_report_without_its_library_says_so(record):
    store = CampaignStore(folder_at(record.store.path), {**record.store.manifest, "library": "/nowhere"})
    [section] = [part for part in sections_of(replace(record, store=store)) if part.anchor == "compounds"]
    assert "not at hand" in section.blocks[0].words


def test_the_line_of_the_goal_says_where_outputs_have_levels_of_their_own(record):
    assert record.goal_line == (0.7, "goal γ = 0.7")
    goal = OutputAccuracies(0.6, None, (OutputGoal("a", 0.9, 0.1), OutputGoal("b", 0.6, 0.1)))
    assert replace(record, goal=goal).goal_line == (0.6, "lowest goal of an output, γ = 0.6")


@pytest.mark.parametrize("task", ["regression", "panel"])
def test_values_and_outputs_are_counted(task, request, make_config, tmp_path):
    run = simulate(make_config(**request.getfixturevalue(task)), tmp_path / "run")
    digest, hybrid = digest_of(run.path / "hybrid", task), run.hybrid.to_pylist()
    if task == "regression":
        for source, histogram in digest.values.items():
            assert histogram.counts.sum() == sum(line["source"] == source for line in hybrid)
    else:
        measured = [line for line in hybrid if line["source"] == "measured"]
        first = [line["measured"][0] >> 7 for line in measured]
        assert digest.output_counts[0, 0] == sum(first)
        ones = [line["measured"][0] & line["labels"][0] for line in measured]
        assert digest.output_counts[1, 3] == sum(one >> 4 & 1 for one in ones)
        said = [line["labels"][1] >> 5 & 1 for line in hybrid if line["source"] == "predicted"]
        assert digest.output_counts[2, 10] == sum(said)
    figures = blocks(Record.read(CampaignStore.open(run.path), run.summary), Figure)
    assert {"values", "outputs"} & {figure.name for figure in figures}
    for figure in figures:
        assert_axes_have_units(figure)


@pytest.mark.parametrize("smiles", [None, "", "no molecule", "C" * 401])
def test_what_cannot_be_recognised_is_not_drawn(smiles):
    assert draw_svg(smiles) is None


def test_a_drawing_is_lines_and_holds_no_text_of_users():
    drawn = draw_svg("C* |$<script>alert(1)</script>;$|")
    assert drawn.startswith("<?xml")
    assert "<path" in drawn
    assert "script" not in drawn
    assert len(draw_svg("N" * 61)) < len(draw_svg("N" * 60))


def test_lines_of_a_drawing_are_joined_and_none_is_lost():
    lines = [f"<path d='M {n},0 L {n},1' style='fill:none;stroke:#{n // 3:06d}' />" for n in range(9)]
    letter = "<path d='M 0 0 Q 1 1' fill='#0000FF'/>"
    joined = draw._joined("\n".join(["<svg>", *lines[:4], letter, *lines[4:], "</svg>"]))
    assert joined.splitlines()[0] == "<svg>"
    assert letter in joined
    assert joined.count("<path") == 5
    strokes = [stroke for path in re.findall(r"d='([^']*)' style", joined) for stroke in re.findall(r"M [^M]+", path)]
    assert [stroke.strip() for stroke in strokes] == [f"M {n},0 L {n},1" for n in range(9)]


# --- a screen that goes on -------------------------------------------------------------------------------------------


def test_a_screen_in_progress_says_so_and_claims_nothing(open_laboratory, tmp_path):
    open_laboratory.report(tmp_path / "open.html")
    page = (tmp_path / "open.html").read_text()
    assert "IN PROGRESS" in page
    assert "certified with confidence" not in page
    anchors = [section.anchor for section in sections_of(Record.read(open_laboratory.store, None))]
    assert not {"hits", "confidence", "compounds"} & set(anchors)


def test_plates_show_their_quality_and_what_they_lost(open_laboratory):
    [table] = [block for block in blocks(Record.read(open_laboratory.store, None), Table) if block.caption == "Plates"]
    by_plate = {row[0]: dict(zip(table.headings, row, strict=True)) for row in table.rows}
    assert sorted(by_plate) == ["P00001", "P00002", "P00003", "P00004"]
    good, bad = by_plate["P00001"], by_plate["P00002"]
    assert (good["verdict"], good["no readout"]) == ("pass", "0")
    assert good["readouts"] == good["compounds"]
    assert (bad["verdict"], bad["readouts"]) == ("fail", "0")
    assert bad["no readout"] == bad["compounds"]
    assert "is below 0.5" in bad["reason"]
    assert by_plate["P00003"]["readouts"] == "0"


# --- comparisons -----------------------------------------------------------------------------------------------------


def rounds_of(accuracies):
    return [
        {
            "n_observed": 100 * place,
            "n_acquired": 100 * place + 100,
            "n_batch": 100,
            "n_inference": 1000 - 100 * place,
            "system_accuracy": y,
        }
        for place, y in enumerate(accuracies)
    ]


@pytest.fixture(scope="module")
def comparison() -> str:
    reached = {"active": {"0.9": 0.25}, "random": {"0.9": 0.5}, "in-order": {}}
    runs = {name: {0: rounds_of([0.5, 0.8]), 1: rounds_of([0.7, 0.9])} for name in reached}
    numbers = {"fraction_acquired": 0.6, "n_trips": 2, "stopped_at_round": [1, 2], "system_accuracy": 0.95}
    trips = {name: dict.fromkeys(goals, 1.5) for name, goals in reached.items()}
    agents = {
        name: {**numbers, "fraction_to_reach": goals, "trips_to_reach": trips[name]} for name, goals in reached.items()
    }
    return render_comparison({"name": EVIL, "task": "classification", "agents": agents}, runs, 0.9, 1000)


def test_a_comparison_counts_savings_against_random_selection(comparison):
    assert EVIL not in comparison
    text = re.sub(r"<[^>]+>", " ", comparison[: comparison.index("application/json")])
    assert re.search(r"active\s+250\s+in-order\s+–", text)
    assert "means over 2 seeds" in text
    data = json.loads(Tags(comparison).scripts[0])["system-accuracy"]["data"]
    mean = next(trace for trace in data if trace["name"] == "active" and "marker" in trace)
    assert mean["y"] == pytest.approx([0.6, 0.85])
    assert 'href="in-order/1/report.html"' in comparison


def test_an_agent_looks_alike_in_every_figure_also_where_another_has_no_curve():
    runs = {name: {0: rounds_of([0.5, 0.8, 0.9])} for name in ("active", "random", "in-order")}
    for name in ("random", "in-order"):
        for row in runs[name][0]:
            row["test_accuracy"] = row["system_accuracy"]
    numbers = {"fraction_acquired": 0.6, "n_trips": 2, "stopped_at_round": [2]}
    agents = {name: {**numbers, "fraction_to_reach": {}, "trips_to_reach": {}} for name in runs}
    page = render_comparison({"name": "small", "task": "classification", "agents": agents}, runs, 0.9, 1000)
    looks: dict[str, set] = {}
    for figure in json.loads(Tags(page).scripts[0]).values():
        for trace in figure["data"]:
            if "marker" in trace:
                look_of = (trace["line"]["color"], trace["line"]["dash"], trace["marker"]["symbol"])
                looks.setdefault(trace["name"], set()).add(look_of)
    assert list(looks) == ["active", "random", "in-order"]
    assert all(len(found) == 1 for found in looks.values())
    assert len(set.union(*looks.values())) == 3


def test_a_comparison_has_rounds_and_compounds_beside_trips(comparison):
    text = " ".join(re.sub(r"<[^>]+>", " ", comparison[: comparison.index("application/json")]).split())
    assert "measured compounds rounds trips to the laboratory" in text
    assert "active 60.0% 600 2.5 2 95.0%" in text


def test_a_laboratory_is_told_how_long_its_rounds_took(open_laboratory, record):
    assert record.elapsed() is None  # nobody knows how long a laboratory would have taken
    events = [dict(event) for event in open_laboratory.store.events()]
    for event in events:
        days = {"release": 0, "decision": 24}.get(event["kind"], 0) + 7 * (event.get("round") or 0)
        event["time"] = (datetime(2026, 1, 1) + timedelta(days=days)).isoformat()
    elapsed = replace(Record.read(open_laboratory.store, None), events=events).elapsed()
    assert duration(elapsed) == "3.4 weeks"


# --- in a browser ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "dark", "width"), [("page", True, 500), ("comparison", False, 1280)])
def test_a_browser_draws_every_figure_and_axe_finds_no_violation(name, dark, width, request, tmp_path):
    made, file = request.getfixturevalue(name), tmp_path / "page.html"
    file.write_text(made, encoding="utf-8")
    with browser() as chromium, window(chromium, dark=dark, width=width) as page:
        page.goto(file.as_uri())
        seen = look(page)
    assert seen["problems"] == []
    assert seen["drawn"] == made.count('class="plot"') > 0
    assert seen["overflow"] <= 0
    assert seen["violations"] == []


BYTES = 2_000_000
"""What a page may weigh, for a phone in a laboratory."""


@pytest.mark.parametrize("name", ["page", "comparison"])
def test_a_page_is_light(name, request):
    assert len(request.getfixturevalue(name).encode()) < BYTES


def test_structures_are_on_paper_too(page, tmp_path):
    file = tmp_path / "page.html"
    file.write_text(page, encoding="utf-8")
    with browser() as chromium, window(chromium) as shown:
        shown.goto(file.as_uri())  # and nobody scrolls down to them
        drawn = "Array.from(document.images).filter((image) => image.complete && image.naturalWidth).length"
        assert shown.evaluate(drawn) == page.count("<img") > 10
        whole = len(shown.pdf())
        shown.evaluate("for (const image of Array.from(document.images)) image.remove()")
        assert len(shown.pdf()) < whole - 2_000 * page.count("<img")


def test_a_wide_table_shows_on_a_phone_that_it_goes_on(page, tmp_path):
    file = tmp_path / "page.html"
    file.write_text(page, encoding="utf-8")
    with browser() as chromium, window(chromium, width=390) as shown:
        shown.goto(file.as_uri())
        region = shown.locator("#rounds .scroll").first
        assert region.evaluate("region => region.scrollWidth > region.clientWidth + 50")
        first = region.locator("tbody th").first
        place = first.bounding_box()["x"]
        edge = [_edge(region)]
        region.evaluate("region => region.scrollLeft = region.scrollWidth")
        assert first.bounding_box()["x"] == place  # what the line is about stays
        edge.append(_edge(region))
    assert edge[0] < edge[1] - 20  # a shade, and none at the end
    assert edge[1] > 240


def _edge(region) -> float:
    """How light the right edge of a region is, from 0 to 255."""
    picture = Image.open(io.BytesIO(region.screenshot())).convert("L")
    return float(np.median(np.asarray(picture)[:, -2]))
