"""Wells that cannot be read, bounds, flags and objects of Python: each costs or decides itself, and says so."""

from __future__ import annotations

import csv
import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isd_ray.errors import InputFileError, LabelError
from isd_ray.ops.campaign import Campaign
from tests.unit.test_laboratory import HITS, LABORATORY, isd, signals, truth, write

__all__ = ["truth"]
HEADER = ("plate", "well", "signal")


@pytest.fixture
def plated(make_config, tmp_path):
    def begin(**changes) -> Campaign:
        settings = {**LABORATORY, **HITS, "acquisition": {"batch_size": 80}, **changes}
        campaign = Campaign.create(tmp_path / "run", make_config(**settings))
        campaign.ask()
        return campaign

    return begin


def samples_of(campaign):
    return {well["well"]: well["id"] for well in campaign.batch().plate_map.to_pylist() if well["content"] == "sample"}


def changed(lines, wells, text):
    return [(plate, well, text if well in wells else value) for plate, well, value in lines]


@pytest.mark.parametrize("word", ["OVRFLW", "", "NaN", "#DIV/0!", "****", "N/A", "5.2 (sat)", "~1000"])
def test_a_well_that_cannot_be_read_is_lost_and_the_others_count(plated, truth, tmp_path, word):
    campaign = plated()
    samples, lines = samples_of(campaign), signals(campaign, truth, 0)
    lost = sorted(samples)[3]
    file = write(tmp_path / "a.csv", HEADER, changed(lines, [lost], word))
    told = campaign.tell(file)
    assert (told.n_new, told.n_lost, told.n_missing, told.refused) == (79, 1, 0, ())
    if word != "~1000":
        [at] = told.lost
        assert at.line == 2 + [well for _, well, _ in lines].index(lost)
        assert f"well {lost} of plate 'P00001'" in at.reason
        assert (word or "no value") in at.reason or "no value" in at.reason
    assert campaign.status().counts["FAILED"] == 1
    assert campaign.history(samples[lost])[-1]["kind"] == "fail"
    assert (word or "no value") in isd("history", campaign.path, samples[lost]) or word in ("NaN", "N/A")


@pytest.mark.parametrize("text", ["\u22128.5", "12 nM", "1 200"])
def test_numbers_in_another_notation_lose_no_well_and_leave_no_control_out(plated, truth, tmp_path, text):
    """A minus that is no hyphen takes the negative values out, and only these: the mean of controls would shift."""
    campaign = plated()
    samples, lines = samples_of(campaign), signals(campaign, truth, 0)
    wells = [*sorted(samples)[:3], "A01", "B01"]
    with pytest.raises(LabelError, match=f"A01, A02, A03 … are missing; line 2: well A01: '{text}' is no plain number"):
        campaign.tell(write(tmp_path / "a.csv", HEADER, changed(lines, wells, text)))
    assert campaign.status().counts["FAILED"] == 0
    assert campaign.tell(write(tmp_path / "b.csv", HEADER, lines)).n_new == 80


def test_a_control_that_cannot_be_read_is_shown_and_left_out(plated, truth, tmp_path):
    campaign = plated()
    file = write(tmp_path / "a.csv", HEADER, changed(signals(campaign, truth, 0), ["A01", "B12"], "OVRFLW"))
    told = campaign.tell(file)
    assert (told.n_new, told.n_lost) == (80, 0)
    assert ["A01" in at.reason or "B12" in at.reason for at in told.lost] == [True, True]
    assert "lost: well A01 of plate 'P00001': 'OVRFLW' is not a number" in isd("tell", campaign.path, file)


@pytest.mark.parametrize("word", ["", "x7", "OVRFLW"])
def test_a_plate_of_which_most_wells_say_nothing_takes_no_compound_out(plated, truth, tmp_path, word):
    """A list that is not filled in yet, or another column, is no readout of a plate."""
    campaign = plated()
    lines = changed(signals(campaign, truth, 0), sorted(samples_of(campaign))[:60], word)
    with pytest.raises(LabelError, match="60 of 96 wells of plate 'P00001' cannot be read"):
        campaign.tell(write(tmp_path / "a.csv", HEADER, lines))
    assert campaign.status().counts["FAILED"] == 0


def test_a_comma_in_a_number_is_named_with_its_line(plated, truth, tmp_path):
    campaign = plated()
    lines = changed(signals(campaign, truth, 0), ["A05"], "95,2")
    with pytest.raises(LabelError, match=r"A05 is missing; line 6: well A05: '95,2' has a decimal comma"):
        campaign.tell(write(tmp_path / "a.csv", HEADER, lines))


@pytest.mark.parametrize(
    ("text", "label"),
    [(">200", "BBB-"), ("≥ 200", "BBB-"), ("<10", "BBB+"), ("<=5", "BBB+"), ("<200", None), (">5", None)],
)
def test_a_bound_of_a_signal_decides_what_it_can(plated, truth, tmp_path, text, label):
    """Inhibition falls as the signal rises: 95 is none of it, 8 is all."""
    campaign = plated(hits={"method": "percent_inhibition", "cut": 50.0})
    samples, lines = samples_of(campaign), signals(campaign, truth, 0)
    well = sorted(samples)[0]
    told = campaign.tell(write(tmp_path / "a.csv", HEADER, changed(lines, [well], text)))
    assert (told.n_new, told.n_lost) == ((80, 0) if label else (79, 1))
    if label is None:
        assert f"{text!r} does not decide" in campaign.history(samples[well])[-1]["reason"]
        return
    campaign.ask()
    committed = campaign.store.rounds()[0].committed["readouts_sha256"]
    rows = campaign.library.rows_of([samples[well]]).tolist()
    [line] = [line for line in campaign.store.read_readouts(committed).to_pylist() if line["row"] == rows[0]]
    assert (line["label"], line["value"]) == (float(label == "BBB+"), None)
    assert text in line["qc"].split(";")


def test_a_policy_takes_the_bound(plated, truth, tmp_path):
    campaign = plated(hits={"method": "percent_inhibition", "cut": 50.0}, readouts={"censored": "bound"})
    lines = signals(campaign, truth, 0)
    wells = sorted(samples_of(campaign))[:2]
    texts = dict(zip(wells, ("<200", "~5"), strict=True))
    file = write(tmp_path / "a.csv", HEADER, [(plate, well, texts.get(well, value)) for plate, well, value in lines])
    assert campaign.tell(file).n_new == 80
    assert campaign.tell(file).n_unchanged == 80


THRESHOLD = {"column": "signal", "transform": "threshold", "threshold": 10.0, "classes": ["low", "high"]}


def test_bounds_by_id_decide_classes_where_the_cut_allows(make_config, tmp_path):
    campaign = Campaign.create(tmp_path / "run", make_config(**{**LABORATORY, "labels": THRESHOLD}))
    ids = campaign.ask().ids
    texts = {">10": 1, ">=10": None, "≥ 11": 1, "<=10": 0, "<10": 0, "<0.01": 0, ">9": None, "~50": None, "~5": None}
    file = write(tmp_path / "a.csv", ("name", "signal"), zip(ids, texts, strict=False))
    told = campaign.tell(file)
    refused = [line for line, label in enumerate(texts.values(), 2) if label is None]
    assert told.n_new == len(texts) - len(refused)
    assert [refusal.line for refusal in told.refused] == refused
    assert all("the cut at 10 does not decide its class" in refusal.reason for refusal in told.refused)
    kept = campaign.store.read_readouts(campaign.store.events()[-1]["readouts_sha256"]).to_pylist()
    assert {line["qc"]: line["label"] for line in kept} == {
        text: float(label) for text, label in texts.items() if label is not None
    }
    assert campaign.tell(file).n_unchanged == told.n_new
    with pytest.raises(LabelError, match="only an amendment"):
        campaign.tell(write(tmp_path / "b.csv", ("name", "signal"), [(ids[0], ">20")]))


def test_a_regression_refuses_bounds_unless_a_policy_is_named(make_config, tmp_path):
    settings = {**LABORATORY, "task": "regression", "labels": {"column": "signal"}}
    settings |= {"stopping": {"rule": "none"}, "model": {"hidden_size": 8, "epochs": 2, "members": 2}}
    for policy in ("refuse", "bound"):
        campaign = Campaign.create(tmp_path / policy, make_config(**settings, readouts={"censored": policy}))
        ids = campaign.ask().ids
        told = campaign.tell(write(tmp_path / "a.csv", ("name", "signal"), [(ids[0], ">10"), (ids[1], "3.5")]))
        kept = campaign.store.read_readouts(campaign.store.events()[-1]["readouts_sha256"]).to_pylist()
        if policy == "refuse":
            assert told.n_new == 1
            assert "a regression needs one; readouts.censored = 'bound'" in told.refused[0].reason
        else:
            assert {(line["label"], line["qc"]) for line in kept} == {(10.0, ">10"), (3.5, None)}


# --- flags ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("good", ["No", "0", "0.0", "false", "", "ok", "FALSE"])
def test_words_for_nothing_is_wrong_take_no_well_out(plated, truth, tmp_path, good):
    campaign = plated()
    lines = [(*line, "Yes" if line[1] == "A02" else good) for line in signals(campaign, truth, 0)]
    told = campaign.tell(write(tmp_path / "a.csv", (*HEADER, "flag"), lines))
    assert (told.n_new, told.n_lost) == (79, 1)


def test_a_word_that_nobody_knows_is_refused_and_named_in_the_configuration(plated, truth, tmp_path):
    campaign = plated()
    lines = [(*line, "weird" if line[1] == "A02" else "checked") for line in signals(campaign, truth, 0)]
    file = write(tmp_path / "a.csv", (*HEADER, "flag"), lines)
    with pytest.raises(InputFileError, match="'checked' in the column of flags is not known"):
        campaign.tell(file)
    assert campaign.status().counts["FAILED"] == 0


def test_not_all_wells_of_a_plate_are_bad(plated, truth, tmp_path):
    campaign = plated()
    lines = [(*line, "Yes") for line in signals(campaign, truth, 0)]
    with pytest.raises(InputFileError, match=r"every one of 96 wells of plate 'P00001' is flagged: 'Yes' \(96\)"):
        campaign.tell(write(tmp_path / "a.csv", (*HEADER, "flag"), lines))
    assert campaign.status().counts["FAILED"] == 0


# --- objects of Python ------------------------------------------------------------------------------------------------


@pytest.fixture
def asked(make_config, tmp_path):
    campaign = Campaign.create(tmp_path / "run", make_config(**LABORATORY))
    return campaign, campaign.ask().ids


ODD = (math.nan, None, 7, "yes", [1, 2], np.float32("nan"), pd.NA, pd.NaT, b"BBB+", 1 + 2j, 10**400)


def forms(values):
    """The same readouts as all that `tell` takes."""
    series = pd.Series(values, dtype=object)
    frame = series.rename("bbb").rename_axis("name").reset_index()
    yield values
    yield series
    yield series.rename("something")
    yield series.to_frame("bbb")
    yield series.rename_axis("name").to_frame("bbb")
    yield frame
    yield frame.rename(columns={"bbb": "BBB"})


@pytest.mark.parametrize("form", range(7))
def test_a_bad_value_among_good_ones_costs_itself_in_every_form(asked, truth, form):
    campaign, ids = asked
    values = {name: truth[name] for name in ids[:20]} | dict(zip(ids[20:], ODD, strict=False))
    told = campaign.tell(list(forms(values))[form])
    good = 20 + 1  # bytes are words
    assert (told.n_new, len(told.refused)) == (good, len(ODD) - 1)
    assert [refusal.line for refusal in told.refused] == [at for at in range(21, 21 + len(ODD)) if at != 29]
    assert "no value" in told.refused[0].reason


def test_numbers_come_back_as_they_were(make_config, tmp_path):
    settings = {**LABORATORY, "task": "regression", "labels": {"column": "signal"}}
    settings |= {"stopping": {"rule": "none"}, "model": {"hidden_size": 8, "epochs": 2, "members": 2}}
    campaign = Campaign.create(tmp_path / "run", make_config(**settings))
    values = dict(
        zip(campaign.ask().ids, [0.1, 1e-300, 1e300, 3, np.float32(0.1), np.int8(4), 2.0**60, "5"], strict=False)
    )
    assert campaign.tell(values).n_new == 8
    kept = campaign.store.read_readouts(campaign.store.events()[-1]["readouts_sha256"])["value"].to_pylist()
    assert sorted(kept) == sorted(map(float, values.values()))


def test_a_frame_with_plates_and_wells_in_its_index(plated, truth):
    campaign = plated()
    lines = pd.DataFrame(signals(campaign, truth, 0), columns=HEADER)
    assert campaign.tell(lines.set_index(["plate", "well"])).n_new == 80


# --- files that take too long or too much ------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(['a","  ', '"', 'x,"', 'y,"3', '"a"b,1', 'z,5"', '"q', "w,0.5,"]), max_size=8),
    st.lists(st.integers(0, 20), max_size=8),
)
def test_a_stray_quote_costs_no_other_line(bad, places):
    from isd_ray.plates.text import records

    lines = [f"C{n},{n}.5" for n in range(20)]
    for text, place in zip(bad, places, strict=False):
        lines.insert(place, text)
    broken: list[tuple[int, str]] = []
    found = dict(records("id,value\n" + "\n".join(lines) + "\n", ",", broken))
    for number, line in enumerate(lines, 2):
        if '"' not in line:
            assert found.get(number) == line.split(","), "a good line is read, whatever stands before it"


def test_unclosed_quotes_take_time_that_grows_with_the_file(tmp_path):
    import time

    from isd_ray.plates.text import records

    broken: list[tuple[int, str]] = []
    before = time.process_time()
    list(records('a","  \n' * 20_000, ",", broken))
    assert time.process_time() - before < 10, "reading anew from each line to the end would take minutes"
    assert len(broken) >= 19_000


@pytest.mark.parametrize("encoding", ["PLAIN", "DELTA_BYTE_ARRAY", "dictionary"])
def test_a_parquet_file_that_grows_when_it_is_decoded_is_refused_before(tmp_path, encoding):
    from isd_ray.config import ReadoutsConfig
    from isd_ray.plates.readers import read_readouts

    table = pa.table({"id": ["x" * (1 << 20)] * 600, "value": [1.0] * 600})
    is_dictionary = encoding == "dictionary"
    options = {
        "use_dictionary": is_dictionary,
        **({} if is_dictionary else {"column_encoding": {"id": encoding, "value": "PLAIN"}}),
    }
    pq.write_table(table, tmp_path / "a.parquet", compression="zstd", **options)
    before = pa.total_allocated_bytes()
    with pytest.raises(InputFileError, match="too many for a file of readouts"):
        read_readouts(tmp_path / "a.parquet", ReadoutsConfig(), 96)
    assert pa.total_allocated_bytes() - before < 64 << 20


def test_a_parquet_file_of_very_many_equal_cells_is_refused(tmp_path):
    from isd_ray.config import ReadoutsConfig
    from isd_ray.plates.readers import read_readouts

    n = 3_000_000
    table = pa.table({"id": pa.array(["C1"] * n).dictionary_encode(), "value": np.zeros(n)})
    pq.write_table(table, tmp_path / "a.parquet", compression="zstd")
    with pytest.raises(InputFileError, match="too many for a file of readouts"):
        read_readouts(tmp_path / "a.parquet", ReadoutsConfig(), 96)


@pytest.mark.parametrize("content", [b'"es=ruet9', b'"s', b'id,,"\xff,,', b"\n\n", b'"\n"\n"'])
def test_a_file_without_a_header_is_refused_in_words(asked, tmp_path, content):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(InputFileError):
        asked[0].tell(tmp_path / "a.csv")


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_beyond_those_of_python_refuses_its_line(asked, truth, tmp_path, time):
    campaign, ids = asked
    lines = [(ids[0], truth[ids[0]], time), (ids[1], truth[ids[1]], "2026-01-01T00:00:00")]
    told = campaign.tell(write(tmp_path / "a.csv", ("name", "bbb", "timestamp"), lines))
    assert (told.n_new, [refusal.line for refusal in told.refused]) == (1, [2])


@pytest.mark.parametrize("place", ["/dev/zero", "/dev/null", "/dev/stdin", "a\0b", "/proc", "."])
@pytest.mark.parametrize("ending", ["", ".parquet"])
def test_devices_folders_and_paths_that_cannot_be_are_refused(asked, place, ending, tmp_path):
    path = place
    if ending:
        path = str(tmp_path / f"a{ending}")
        if "\0" in place:
            path = f"a\0{ending}"
        else:
            (tmp_path / f"a{ending}").symlink_to(place)
    with pytest.raises(InputFileError):
        asked[0].tell(path)


def test_a_cell_that_is_too_long_refuses_its_line(asked, truth, tmp_path):
    campaign, ids = asked
    with (tmp_path / "a.csv").open("w") as file:
        csv.writer(file).writerows([("name", "bbb"), (ids[0], "9" * 20_000 + "x"), (ids[1], truth[ids[1]])])
    told = campaign.tell(tmp_path / "a.csv")
    assert (told.n_new, [refusal.line for refusal in told.refused]) == (1, [2])
    assert "20,001 characters" in told.refused[0].reason
