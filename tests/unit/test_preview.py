"""What a file of readouts would change is said before it is told, by the same rules, and nothing is written."""

from __future__ import annotations

import csv
import json

import numpy as np
import pyarrow.csv
import pytest
from typer.testing import CliRunner

from isd_ray.cli import app
from isd_ray.errors import IsdError, LabelError, StoreError
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.telling import Told

PLATES = {"format": 96, "negative": {"columns": [1]}, "positive": {"columns": [12]}}
SINGLE = {
    "labels": {"column": "bbb", "classes": ["BBB+", "BBB-"]},
    "model": {"hidden_size": 8, "epochs": 2, "members": 1},
    "acquisition": {"batch_size": 60},
    "stopping": {"rule": "certify", "gamma": 0.7},
}
SIGNAL = {**SINGLE, "labels": {"column": "signal", "classes": ["low", "high"]}, "plates": PLATES}
HITS = {**SIGNAL, "hits": {"method": "percent_inhibition", "cut": 50.0, "min_z_prime": 0.5}}
THRICE = {
    **SIGNAL,
    "labels": {**SIGNAL["labels"], "transform": "threshold", "threshold": 0.5},
    "plates": {**PLATES, "replicates": 3},
    "acquisition": {"batch_size": None, "n_plates": 3},
}
PANEL = {
    **SINGLE,
    "task": "panel",
    "labels": {"column": None, "columns": ["left", "right"]},
    "readouts": {"id": "name"},
}


@pytest.fixture
def start(make_config, tmp_path):
    def begin(settings) -> Campaign:
        campaign = Campaign.create(tmp_path / "run", make_config(**settings))
        campaign.ask()
        return campaign

    return begin


@pytest.fixture
def write(tmp_path):
    def to_file(name, header, lines):
        with (tmp_path / name).open("w", newline="") as file:
            csv.writer(file).writerows([header, *lines])
        return tmp_path / name

    return to_file


def content(campaign) -> dict[str, bytes]:
    """Every file of the campaign."""
    files = (file for file in campaign.path.rglob("*") if file.is_file())
    return {str(file.relative_to(campaign.path)): file.read_bytes() for file in files}


def told_as_previewed(campaign, readouts, **options) -> Told:
    """What telling answers, which is what the preview had answered without a trace; both may refuse."""
    before = content(campaign)
    try:
        shown, refused = campaign.preview(readouts, **options), None
    except IsdError as error:
        shown, refused = None, str(error)
    assert content(campaign) == before
    if refused is not None:
        with pytest.raises(IsdError) as raised:
            campaign.tell(readouts, **options)
        assert str(raised.value) == refused
        raise raised.value
    told = campaign.tell(readouts, **options)
    assert told == shown
    assert told.n_missing == campaign.status().n_missing
    return told


def outside(campaign, compounds) -> str:
    names = pyarrow.csv.read_csv(compounds)["name"].to_pylist()
    return next(name for name in names if name not in campaign.batch().ids)


def test_good_bad_and_known_lines_are_told_apart(start, write, compounds):
    campaign = start(SINGLE)
    ids, other = campaign.batch().ids, outside(campaign, compounds)
    lines = [(ids[0], "BBB+"), ("X1", "BBB+"), (ids[1], "yes"), (other, "BBB+"), (ids[2], "BBB-")]
    file = write("some.csv", ("name", "bbb"), lines)
    told = told_as_previewed(campaign, file)
    assert (told.n_new, told.n_missing, [refusal.line for refusal in told.refused]) == (2, 58, [3, 4, 5])
    told = told_as_previewed(campaign, file, external=True)
    assert (told.n_new, told.n_unchanged, told.n_missing) == (1, 2, 58)
    with pytest.raises(LabelError, match="none of 1 lines"):
        told_as_previewed(campaign, {ids[0]: "BBB-"})


def test_the_command_shows_each_file_by_itself_and_writes_nothing(start, write):
    campaign = start(SINGLE)
    ids, before = campaign.batch().ids, content(campaign)
    lines = {"one.csv": [(ids[0], "BBB+"), ("X1", "BBB+")], "two.csv": [(ids[0], "BBB+"), (ids[1], "BBB-")]}
    files = [str(write(name, ("name", "bbb"), some)) for name, some in lines.items()]
    shown = CliRunner().invoke(app, ["tell", str(campaign.path), *files, "--preview"], catch_exceptions=False).output
    assert ("line 3 refused: " in shown, "would leave 59" in shown, "would leave 58" in shown) == (True, True, True)
    assert "nothing was written" in shown
    found = CliRunner().invoke(app, ["tell", str(campaign.path), *files, "--preview", "--json"]).stdout
    assert {file: told["n_new"] for file, told in json.loads(found).items()} == dict(zip(files, (1, 2), strict=True))
    assert content(campaign) == before
    done = CliRunner().invoke(app, ["tell", str(campaign.path), *files], catch_exceptions=False).output
    assert "58 readouts are missing" in done


def test_a_plate_that_would_fail_is_shown(start, write):
    """Its compounds would count as failed, and the quality of the plates is not kept before it is told."""
    campaign = start({**HITS, "acquisition": {"batch_size": 90}})
    rng, lines = np.random.default_rng(0), []
    for well in campaign.batch().plate_map.to_pylist():
        mean, spread = (8.0 if well["content"] == "positive" else 95.0, 3.0)
        if well["plate"] == "P00002" and well["content"] != "sample":
            mean, spread = 50.0, 30.0
        if well["content"] != "empty":
            lines.append((well["plate"], well["well"], f"{rng.normal(mean, spread):.3f}"))
    file = write("plates.csv", ("plate", "well", "signal"), lines)
    told = told_as_previewed(campaign, file)
    assert (told.n_new > 0, told.n_lost, told.n_missing) == (True, 90 - told.n_new, 0)
    assert told.n_lost > 0
    assert told_as_previewed(campaign, file).n_unchanged == told.n_new


def test_compounds_that_would_wait_for_other_wells_are_counted(start, write):
    campaign = start(THRICE)
    wells = [well for well in campaign.batch().plate_map.to_pylist() if well["content"] == "sample"]
    plates = sorted({well["plate"] for well in wells})
    told = []
    for plate in plates:
        lines = [(plate, well["well"], 0.7, "") for well in wells if well["plate"] == plate]
        told.append(told_as_previewed(campaign, write(f"{plate}.csv", ("plate", "well", "signal", "flag"), lines)))
    n = len(campaign.batch())
    assert [(found.n_new, found.n_waiting, found.n_missing) for found in told] == [(0, n, n), (0, n, n), (n, 0, 0)]


def test_of_a_panel_entries_are_counted(start, write):
    campaign = start(PANEL)
    ids = campaign.batch().ids
    told = told_as_previewed(campaign, {name: {"left": 1} for name in ids})
    assert (told.n_new, told.n_missing) == (60, 60)
    lines = [(name, 0, "") for name in ids[:20]] + [(ids[20], "", "bubble")]
    file = write("right.csv", ("name", "value", "flag"), lines)
    told = told_as_previewed(campaign, file, assay="right")
    assert (told.n_new, told.n_lost, told.n_missing) == (20, 1, 39)


def test_a_preview_is_forgotten(start):
    """What was shown stands in nobody's way: another readout of the same compound may be told."""
    campaign = start(SINGLE)
    ids = campaign.batch().ids
    assert campaign.preview(dict.fromkeys(ids, "BBB+")).n_missing == 0
    assert campaign.batch().ids == ids
    assert campaign.preview({ids[0]: "BBB-"}).n_missing == 59
    assert campaign.tell({ids[0]: "BBB-"}).n_missing == 59


def test_after_the_end_nothing_is_previewed(start):
    campaign = start({**SINGLE, "stopping": {"rule": "paper", "gamma": 0.5, "max_rounds": 1}})
    campaign.tell(dict.fromkeys(campaign.batch().ids, "BBB+"))
    while (batch := campaign.ask()) is not None:
        campaign.tell(dict.fromkeys(batch.ids, "BBB+"))
    with pytest.raises(StoreError, match="ended"):
        told_as_previewed(campaign, {"C0001": "BBB+"})
