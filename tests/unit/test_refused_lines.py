"""Lines of files that were refused stay on record: by compound and well, with the reason."""

from __future__ import annotations

import pytest

from isd_ray.campaign.refused import refused_events, refused_lines
from isd_ray.errors import LabelError
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.verify import verify
from tests.unit.test_laboratory import LABORATORY, PLATES, truth, write

__all__ = ["truth"]


@pytest.fixture
def campaign(make_config, tmp_path) -> Campaign:
    made = Campaign.create(tmp_path / "run", make_config(**LABORATORY, plates=PLATES))
    made.ask()
    return made


def other(label: str) -> str:
    return "BBB-" if label == "BBB+" else "BBB+"


def test_they_are_kept_with_compound_and_well_beside_what_was_taken_in(campaign, truth, tmp_path):
    first, second, third = campaign.batch().table.to_pylist()[:3]
    campaign.tell({first["id"]: truth[first["id"]]})
    lines = [
        (first["plate"], first["well"], other(truth[first["id"]])),
        (second["plate"], second["well"], truth[second["id"]]),
        (second["plate"], "Z99", "BBB+"),
        (third["plate"], third["well"], "BBB?"),
    ]
    told = campaign.tell(write(tmp_path / "day.csv", ("plate", "well", "bbb"), lines))
    [event] = refused_events(campaign.store)
    assert (event["kind"], event["file"], event["n"], event["n_refused"]) == ("tell", "day.csv", 1, 3)
    kept = refused_lines(campaign.store, event).to_pylist()
    assert [(line["line"], line["reason"]) for line in kept] == [(line.line, line.reason) for line in told.refused]
    assert (kept[0]["id"], kept[0]["plate"], kept[0]["well"]) == (first["id"], first["plate"], first["well"])
    assert (kept[1]["id"], kept[1]["well"]) == (None, "Z99")
    assert (kept[2]["id"], kept[2]["plate"], kept[2]["well"]) == (third["id"], third["plate"], third["well"])
    assert verify(campaign.store).problems == ()


def test_a_file_of_known_readouts_and_refused_lines_is_on_record_once(campaign, truth, tmp_path):
    name = campaign.batch().ids[0]
    campaign.tell({name: truth[name]})
    n_events = len(campaign.store.events())
    file = write(tmp_path / "again.csv", ("name", "bbb"), [(name, truth[name]), ("C9999", "BBB+")])
    for _ in range(2):
        assert campaign.tell(file).n_unchanged == 1
    [event] = campaign.store.events()[n_events:]
    assert (event["kind"], event["n_refused"]) == ("refuse", 1)
    assert [(line["line"], line["id"]) for line in refused_lines(campaign.store, event).to_pylist()] == [(3, "C9999")]
    assert campaign.told_files() == {campaign.store.events()[n_events - 1]["file_sha256"]}


def test_a_file_that_is_refused_for_another_reason_is_on_record_again(campaign, truth, tmp_path):
    ids = campaign.batch().ids
    elsewhere = next(name for name in sorted(truth) if name not in ids)
    campaign.tell({ids[0]: truth[ids[0]]})
    lines = [(ids[0], truth[ids[0]]), (elsewhere, truth[elsewhere])]
    file = write(tmp_path / "again.csv", ("name", "bbb"), lines)
    campaign.tell(file)
    campaign.tell({elsewhere: other(truth[elsewhere])}, external=True)
    campaign.tell(file)
    first, second = (refused_lines(campaign.store, event).to_pylist() for event in refused_events(campaign.store))
    assert "was never asked for" in first[0]["reason"]
    assert "has another readout already" in second[0]["reason"]


def test_a_preview_and_a_file_that_is_of_no_use_write_nothing(campaign, tmp_path):
    n_events = len(campaign.store.events())
    file = write(tmp_path / "wrong.csv", ("name", "bbb"), [("C9999", "BBB+")])
    for verb in (campaign.preview, campaign.tell):
        with pytest.raises(LabelError, match="none of 1 lines can be used"):
            verb(file)
    assert len(campaign.store.events()) == n_events


def test_refusals_that_are_not_shown_are_counted(campaign, tmp_path):
    file = write(tmp_path / "wrong.csv", ("name", "bbb"), [(f"C99{number:02d}", "BBB+") for number in range(8)])
    with pytest.raises(LabelError, match=r"none of 8 lines can be used: (?s:.*)and 3 more refusals"):
        campaign.tell(file)


def test_of_a_line_with_many_wells_the_one_is_named_that_was_refused(campaign, truth, tmp_path):
    """A matrix of a plate: twelve wells on a line."""
    placed = {line["well"]: line["id"] for line in campaign.batch().table.to_pylist()}
    [plate] = set(campaign.batch().table["plate"].to_pylist())
    wrong = next(well for well in placed if well.startswith("C"))
    campaign.tell({placed[wrong]: other(truth[placed[wrong]])})
    rows = [
        [letter, *(truth.get(placed.get(f"{letter}{column:02d}"), "") for column in range(1, 13))]
        for letter in "ABCDEFGH"
    ]
    file = write(tmp_path / "plate.csv", ["", *range(1, 13)], rows)
    assert campaign.tell(file, plate=plate, shape="matrix").n_new == 59
    [event] = refused_events(campaign.store)
    [line] = refused_lines(campaign.store, event).to_pylist()
    assert (line["id"], line["plate"], line["well"]) == (placed[wrong], plate, wrong)


def test_of_a_line_with_many_wells_the_one_is_named_that_was_read_before(make_config, truth, tmp_path):
    """Of a compound in several wells: what is refused is a reading, not the compound."""
    made = Campaign.create(tmp_path / "twice", make_config(**LABORATORY, plates={**PLATES, "replicates": 2}))
    made.ask()
    samples = [line for line in made.batch().plate_map.to_pylist() if line["content"] == "sample"]
    plate = samples[0]["plate"]
    placed = {line["well"]: line["id"] for line in samples if line["plate"] == plate}
    wrong = next(well for well in placed if well.startswith("C"))
    before = [(plate, wrong, other(truth[placed[wrong]]))]
    made.tell(write(tmp_path / "one.csv", ("plate", "well", "bbb"), before))
    rows = [
        [letter, *(truth.get(placed.get(f"{letter}{column:02d}"), "") for column in range(1, 13))]
        for letter in "ABCDEFGH"
    ]
    made.tell(write(tmp_path / "plate.csv", ["", *range(1, 13)], rows), plate=plate, shape="matrix")
    [event] = refused_events(made.store)
    [line] = refused_lines(made.store, event).to_pylist()
    assert "has another reading already" in line["reason"]
    assert (line["id"], line["plate"], line["well"]) == (placed[wrong], plate, wrong)
