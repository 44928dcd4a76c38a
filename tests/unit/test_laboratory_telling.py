"""What comes back from a laboratory: what counts, what is refused and why; readouts by compound and by plate."""

from __future__ import annotations

import csv
import json

import pyarrow.csv
import pytest
from typer.testing import CliRunner

from isd_ray.campaign.judged_plates import judged_plates
from isd_ray.campaign.store import CampaignStore
from isd_ray.cli import app
from isd_ray.errors import InputFileError, LabelError, StoreError
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.verify import verify
from tests.unit.test_laboratory import HITS, LABORATORY, campaign, isd, signals, truth, write

__all__ = ["campaign", "truth"]


def test_bad_lines_are_refused_with_their_numbers_and_good_ones_count(campaign, truth, tmp_path):
    ids = campaign.ask().ids
    outside = next(name for name in sorted(truth) if name not in ids)
    lines = [
        (ids[0], truth[ids[0]]),
        ("X1", "BBB+"),
        (ids[1], "yes"),
        (outside, "BBB+"),
        (ids[2], "BBB+"),
        (ids[2], "BBB-"),
        (ids[3], truth[ids[3]]),
    ]
    told = campaign.tell(write(tmp_path / "readouts.csv", ("name", "bbb"), lines))
    assert (told.n_new, told.n_missing) == (2, 58)
    reasons = {refusal.line: refusal.reason for refusal in told.refused}
    assert list(reasons) == [3, 4, 5, 6]
    for line, words in ((3, "unknown id 'X1'"), (4, "none of the classes"), (5, "never asked for"), (6, "contradict")):
        assert words in reasons[line]
    output = isd("tell", campaign.path, tmp_path / "readouts.csv")
    assert "0 new, 2 known" in output


def test_another_readout_of_a_compound_needs_an_amendment(campaign, truth, tmp_path):
    ids = campaign.ask().ids
    other = {"BBB+": "BBB-", "BBB-": "BBB+"}
    campaign.tell({name: truth[name] for name in ids})
    with pytest.raises(LabelError, match="only an amendment"):
        campaign.tell({ids[0]: other[truth[ids[0]]]})
    file = write(tmp_path / "corrected.csv", ("name", "bbb"), [(ids[0], other[truth[ids[0]]])])
    assert campaign.amend(file, "swapped wells") == 1
    campaign.ask()
    observed = CampaignStore.open(campaign.path).rounds()[0]
    assert observed.committed["n_amendments"] == 1


def test_a_table_a_frame_or_nonsense(campaign, truth):
    ids = campaign.ask().ids
    table = pyarrow.table({"name": ids[:5], "bbb": [truth[name] for name in ids[:5]]})
    assert campaign.tell(table).n_new == 5
    for nonsense in ({}, pyarrow.table({"a": [1]}), {"nobody": "BBB+"}):
        with pytest.raises((InputFileError, LabelError)):
            campaign.tell(nonsense)
    with pytest.raises(InputFileError):
        campaign.tell("missing.csv")
    assert campaign.status().n_missing == 55


@pytest.mark.parametrize("verb", ["fail", "exclude", "include"])
def test_ids_must_be_known_and_reasons_given(verb, campaign):
    ids = campaign.ask().ids
    with pytest.raises(LabelError, match="not in the library"):
        getattr(campaign, verb)(["nobody"], "why")
    with pytest.raises(LabelError, match="reason"):
        getattr(campaign, verb)(ids[:1], " ")
    assert [event["kind"] for event in campaign.store.events()] == ["release"]


def test_only_compounds_of_the_batch_can_fail(campaign, truth):
    ids = campaign.ask().ids
    with pytest.raises(LabelError, match="not in the batch"):
        campaign.fail([next(name for name in truth if name not in ids)], "why")


def test_hits_are_called_plate_by_plate_and_failed_plates_are_offered_again(make_config, truth, tmp_path):
    campaign = Campaign.create(tmp_path / "run", make_config(**{**LABORATORY, **HITS}))
    batch = campaign.ask()
    plates = sorted(set(batch.table["plate"].to_pylist()))
    assert plates == ["P00001", "P00002"]
    lines = signals(campaign, truth, 0, bad=("P00002",))
    file = write(tmp_path / "round-0.csv", ("plate", "well", "signal"), lines)
    told = campaign.tell(file)
    on_first = [line["id"] for line in batch.table.to_pylist() if line["plate"] == "P00001"]
    assert (told.n_new, told.n_lost, told.n_missing) == (len(on_first), 90 - len(on_first), 0)
    [(plate, reason)] = told.failed_plates
    assert (plate, reason.endswith("is below 0.5")) == ("P00002", True)
    assert f"plate P00002 does not count: {reason}" in repr(told)
    assert reason.replace("'", "&#x27;") in told._repr_html_()
    said = isd("tell", campaign.path, file)
    assert f"plate P00002 does not count: {reason}" in said
    passed, failed = told.plates
    assert (passed.plate, passed.verdict, failed.plate, failed.verdict) == ("P00001", "pass", "P00002", "fail")
    for plate in told.plates:  # those that pass too
        [line] = [line.split() for line in said.splitlines() if line.split()[:1] == [plate.plate]]
        statistics = (plate.z_prime, plate.robust_z_prime, plate.ssmd, plate.signal_window)
        assert line[1:6] == [plate.verdict, *(f"{number:.4g}" for number in statistics)]
        assert f"{plate.z_prime:.4g}" in told._repr_html_()
    assert campaign.tell(file).n_unchanged == len(on_first)
    lost = next(name for name in batch.ids if name not in on_first)
    history = campaign.history(lost)
    assert [event["kind"] for event in history] == ["release", "fail"]
    assert "Z'" in history[-1]["reason"]
    assert history[0]["plate"] == "P00002"
    second = campaign.ask()
    assert set(second.table["plate"].to_pylist()) == {"P00003", "P00004"}
    readouts = campaign.store.read_readouts(campaign.store.rounds()[0].committed["readouts_sha256"]).to_pylist()
    names = dict(zip(campaign.library.rows_of(batch.ids).tolist(), batch.ids, strict=True))
    for line in readouts:
        known = names[line["row"]] in on_first
        assert line["label"] == (float(truth[names[line["row"]]] == "BBB+") if known else None)
        assert (line["plate"], line["n_replicates"]) == (("P00001", 1) if known else (None, None))


def test_what_failed_plates_alone_were_like_stays_on_record(make_config, truth, tmp_path):
    campaign = Campaign.create(tmp_path / "run", make_config(**{**LABORATORY, **HITS}))
    campaign.ask()
    lines = signals(campaign, truth, 0, bad=("P00001", "P00002"))
    told = campaign.tell(write(tmp_path / "bad.csv", ("plate", "well", "signal"), lines))
    assert (told.n_new, [plate.verdict for plate in told.plates]) == (0, ["fail", "fail"])
    assert tuple(judged_plates(campaign.store).values()) == told.plates
    assert verify(campaign.store).problems == ()
    campaign.report(tmp_path / "report.html")
    assert f"<td>{told.plates[0].z_prime:.4g}</td>" in (tmp_path / "report.html").read_text()


def test_a_part_of_a_plate_gives_no_hits(make_config, truth, tmp_path):
    campaign = Campaign.create(tmp_path / "run", make_config(**{**LABORATORY, **HITS}))
    campaign.ask()
    lines = signals(campaign, truth, 0)
    first = [line for line in lines if line[0] == "P00001"]
    with pytest.raises(LabelError, match="hits are called on whole plates"):
        campaign.tell(write(tmp_path / "part.csv", ("plate", "well", "signal"), first[:-1]))
    told = campaign.tell(write(tmp_path / "more.csv", ("plate", "well", "signal"), lines[:-1]))
    assert 0 < told.n_new < 90
    assert any("P00002" in refusal.reason for refusal in told.refused)


def test_estimates_are_frozen_with_the_whole_first_round(make_config, truth, tmp_path):
    hits = {"method": "robust_z", "cut": -10.0, "direction": "<="}
    campaign = Campaign.create(tmp_path / "run", make_config(**{**LABORATORY, **HITS, "hits": hits}))
    campaign.ask()
    lines = signals(campaign, truth, 0)
    one = [line for line in lines if line[0] == "P00001"]
    with pytest.raises(LabelError, match="plates P00002 are not in the file"):
        campaign.tell(write(tmp_path / "one.csv", ("plate", "well", "signal"), one))
    assert campaign.tell(write(tmp_path / "all.csv", ("plate", "well", "signal"), lines)).n_new == 90
    frozen = next(event["hits"] for event in campaign.store.events() if event["kind"] == "tell")
    campaign.ask()
    campaign.tell(write(tmp_path / "next.csv", ("plate", "well", "signal"), signals(campaign, truth, 1)))
    assert [event["hits"] for event in campaign.store.events() if event["kind"] == "tell"] == [frozen, frozen]


def test_before_the_first_batch_only_what_is_external_can_be_told(campaign, truth):
    with pytest.raises(StoreError, match=r"no batch is out yet.*\n.*ask for one first; or.*--external"):
        campaign.tell({name: truth[name] for name in list(truth)[:5]})
    assert campaign.tell({"C0007": truth["C0007"]}, external=True).n_new == 1


def test_the_list_of_a_batch_is_filled_in_and_told(campaign, truth, tmp_path):
    assert campaign.config.readouts.id == "name"
    campaign.ask()
    [file] = campaign.dispatch(tmp_path)
    with file.open(newline="") as lines:
        filled = [(*line, truth[line[0]]) for line in list(csv.reader(lines))[1:]]
    assert campaign.tell(write(file, ("id", "smiles", "bbb"), filled)).n_new == 60


def test_files_told_before_one_that_cannot_be_used_are_reported(campaign, truth, tmp_path):
    ids = campaign.ask().ids
    good = [write(tmp_path / f"{name}.csv", ("name", "bbb"), [(name, truth[name])]) for name in ids[:4]]
    bad = write(tmp_path / "bad.csv", ("what", "bbb"), [("x", "y")])
    result = CliRunner().invoke(app, ["tell", str(campaign.path), *map(str, good[:2]), str(bad)])
    assert isinstance(result.exception, InputFileError)
    assert [f"{file}: 1 new" in result.output for file in good] == [True, True, False, False]
    result = CliRunner().invoke(app, ["tell", str(campaign.path), *map(str, good[2:]), str(bad), "--json"])
    assert isinstance(result.exception, InputFileError)
    assert {file: told["n_new"] for file, told in json.loads(result.output).items()} == {str(g): 1 for g in good[2:]}
