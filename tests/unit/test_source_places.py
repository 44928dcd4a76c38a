"""Compounds whose place in the stock is not known stop no batch: they are said beforehand and listed by hand."""

from __future__ import annotations

import csv
import io
import json
import zipfile

import pytest

from isd_ray.errors import ConfigError
from isd_ray.ops.campaign import Campaign
from tests.unit.serve_helpers import Visitor, page_of, words
from tests.unit.test_beforehand import Heard
from tests.unit.test_laboratory import LABORATORY, PLATES, isd

SOURCES = {"source_plate_column": "rack", "source_well_column": "tube", "transfer_volume": "25 nL"}


@pytest.fixture
def placed(make_config, compounds, tmp_path):
    """A configuration of compounds on rack 101; those that `tubes` names lie elsewhere, or nobody knows where."""

    def make(tubes=(), plates=SOURCES):
        head, *lines = compounds.read_text().splitlines()
        places = [dict(tubes).get(number, ("101", "A1")) for number in range(len(lines))]
        source = tmp_path / "placed.csv"
        placed = [f"{line},{','.join(place)}" for line, place in zip(lines, places, strict=True)]
        source.write_text("\n".join([f"{head},rack,tube", *placed]))
        library = {"source": str(source), "path": str(tmp_path / "library"), "columns": ["rack", "tube"]}
        return make_config(**LABORATORY, library=library, plates={**PLATES, **plates})

    return make


def read(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_places_that_nobody_knows_are_said_and_the_batch_goes_out_without_them(placed, tmp_path):
    heard, kinds = Heard(), (("", "A1"), ("101", ""), ("101", "Q30"))
    lost = {number: kinds[number % 3] for number in range(0, 900, 4)}
    campaign = Campaign.create(tmp_path / "runs" / "a", placed(lost), heard)
    [said] = [text for text in heard.messages if "in which well" in text]
    assert said.startswith(
        "warning: 'rack' and 'tube' do not say in which well of a 384-well plate 225 of 900 compounds"
    )
    assert "'C0000', 'C0004', 'C0008', 'C0012', 'C0016' …; where they are asked for" in said
    batch = campaign.ask()
    lost_ids = {f"C{number:04d}" for number in lost}
    assert batch.by_hand == [name for name in batch.ids if name in lost_ids] != []
    assert f"By hand, as no source well is known {len(batch.by_hand)} " in words(batch._repr_html_())
    names = ["round-00000-batch.csv", "round-00000-plates.csv", "round-00000-picks.csv", "round-00000-by-hand.csv"]
    said = isd("ask", campaign.path, "--out", tmp_path / "out")
    assert f"{len(batch.by_hand)} compounds not on the pick list" in said
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == sorted(names)
    for_programs = isd("ask", campaign.path, "--json")
    assert json.loads(for_programs[for_programs.index("{") :])["by_hand"] == batch.by_hand
    picks, by_hand = (read((tmp_path / "out" / name).read_text()) for name in names[2:])
    assert {line["Source Plate Barcode"] for line in picks} == {"101"}
    assert [line["id"] for line in by_hand] == batch.by_hand
    assert all(line["volume_nl"] == "25.0" for line in by_hand)
    assert len(picks) + len(by_hand) == len(batch)

    app, [key] = page_of(campaign.path.parent, scratch=tmp_path / "scratch")
    ada = Visitor(app)
    assert f"{len(batch.by_hand)} compounds not on the pick list" in words(ada.get(f"/c/{key}/batch").text)
    answer = ada.post(f"/c/{key}/dispatch")
    assert zipfile.ZipFile(io.BytesIO(answer.content)).namelist() == names
    assert ada.post(f"/c/{key}/dispatch", file=names[0]).text == (tmp_path / "out" / names[0]).read_text()


def test_a_library_that_knows_all_places_says_nothing_of_them(placed, tmp_path):
    heard = Heard()
    campaign = Campaign.create(tmp_path / "run", placed(), heard)
    assert not any("in which well" in text for text in heard.messages)
    batch = campaign.ask()
    assert batch.by_hand == []
    assert batch.file_names == ["round-00000-batch.csv", "round-00000-plates.csv", "round-00000-picks.csv"]


def test_a_pick_list_without_a_volume_is_refused_before_the_campaign_begins(placed, tmp_path):
    with pytest.raises(ConfigError, match=r"plates.transfer_volume: a pick list needs the volume"):
        Campaign.create(tmp_path / "run", placed(plates={**SOURCES, "transfer_volume": None}))
    assert not (tmp_path / "library").exists()
