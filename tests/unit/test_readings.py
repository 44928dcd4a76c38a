"""From readings to entries: medians, majorities and bounds, of labels and panels, whatever the order of the file."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from isd_ray.campaign.entries import LOST, REFUSED
from isd_ray.campaign.readings import label_readings
from isd_ray.campaign.replicates import merge_readings, readings_on_record
from isd_ray.data.labels import LabelRule
from isd_ray.plates.assign import PLATE_MAP
from isd_ray.plates.cells import not_dispensed

LABEL = LabelRule("classification", ("low", "high"), 0.5)
VALUE = LabelRule("regression", (), None)
NAMES = LabelRule("classification", ("no", "yes", "maybe"), None)
PANEL = LabelRule("panel", ("0", "1"), None, ("left", "right"), (0.5, -1.0))


def readings(*lines, names=False) -> pa.Table:
    """Readings (row, value, and more by name), numbered from 1."""
    kinds = {"row": pa.int64(), "value": pa.string() if names else pa.float64(), "line": pa.int64()}
    texts = dict.fromkeys(("id", "plate", "well", "flag", "output", "censored", "replicate"), pa.string())
    cells = [
        {"row": row, "value": value, "line": line, "id": f"C{row}", **more}
        for line, (row, value, more) in enumerate(lines, 1)
    ]
    return pa.Table.from_pylist(cells, schema=pa.schema({**kinds, **texts}))


def labelled(rule, *lines, names=False, **options) -> list[dict]:
    return label_readings(readings(*lines, names=names), rule, **options).to_pylist()


@pytest.mark.parametrize("rule", [LABEL, VALUE, PANEL], ids=lambda rule: rule.task)
def test_entries_have_the_median_of_their_good_readings(rule):
    rng = np.random.default_rng(0)
    outputs = rule.outputs or (None,)
    lines = [
        (int(row), float(value), {"output": str(output) if rule.outputs else None, "flag": "x" if is_bad else None})
        for row, value, output, is_bad in zip(
            rng.integers(0, 40, 300), rng.normal(size=300), rng.choice(outputs, 300), rng.random(300) < 0.4, strict=True
        )
    ]
    found = labelled(rule, *lines)
    keys = sorted({(row, more["output"]) for row, _, more in lines}, key=lambda key: (key[0], key[1] or ""))
    assert [(entry["row"], outputs[entry["output"]]) for entry in found] == keys
    for entry, (row, output) in zip(found, keys, strict=True):
        here = [line for line in lines if line[0] == row and line[2]["output"] == output]
        good = [value for _, value, more in here if more["flag"] is None]
        assert lines[entry["line"] - 1] == here[0]
        if not good:
            assert (entry["label"], entry["fate"], entry["reason"]) == (None, LOST, "flagged 'x'")
            continue
        cut = rule.cuts[entry["output"]] if rule.outputs else rule.cut
        assert entry["label"] == (np.median(good) if cut is None else float(np.median(good) > cut))
        kept = (None, None) if rule.outputs else (np.median(good), len(good))
        assert (entry["value"], entry["n_replicates"]) == kept


def test_classes_that_contradict_each_other_are_refused_but_for_a_majority():
    lines = [(1, "yes", {}), (2, "no", {}), (1, "maybe", {}), (1, "yes", {}), (2, "yes", {}), (3, "maybe", {})]
    one, two, three = labelled(NAMES, *lines, names=True)
    assert (one["fate"], one["label"], three["label"]) == (REFUSED, None, 2.0)
    assert one["reason"] == "readings of 'C1' contradict each other (line 1: yes, line 3: maybe, line 4: yes)"
    one, two, three = labelled(NAMES, *lines, names=True, by_majority=True)
    assert (one["label"], one["n_replicates"], two["fate"], three["label"]) == (1.0, 3, REFUSED, 2.0)


def test_places_of_good_readings_are_joined_in_the_order_of_the_file():
    lines = [
        (1, 0.9, {"plate": "P2", "well": "B01"}),
        (1, 0.1, {"plate": "P1", "well": "A01", "flag": "bubble"}),
        (1, 0.7, {"plate": "P1", "well": "C01"}),
        (2, 0.7, {}),
    ]
    one, two = labelled(LABEL, *lines)
    assert (one["plate"], one["well"], one["value"]) == ("P2;P1", "B01;C01", 0.8)
    assert (two["plate"], two["well"]) == (None, None)


def test_bounds_count_where_they_decide_and_are_lost_or_refused_where_not():
    at = {"plate": "P1", "well": "A01"}
    lines = [
        (1, 0.6, {"censored": ">0.6"}),
        (2, 0.4, {"censored": ">0.4", **at}),
        (3, 0.4, {"censored": ">0.4"}),
        (4, 0.4, {"censored": ">0.4"}),
        (4, 0.2, {}),
        (4, 0.1, {}),
    ]
    decided, lost, refused, median = labelled(LABEL, *lines)
    assert (decided["label"], decided["value"], decided["qc"]) == (1.0, None, ">0.6")
    assert (lost["label"], lost["fate"]) == (None, LOST)
    assert "does not decide its class" in lost["reason"]
    assert (refused["label"], refused["fate"], refused["reason"][:5]) == (None, REFUSED, "'C3':")
    assert (median["label"], median["value"]) == (0.0, None), "the bound is above the median whatever it means"
    taken = labelled(LABEL, *lines, takes_bounds=True)
    assert [(entry["label"], entry["value"]) for entry in taken] == [(1.0, None), (0.0, 0.4), (0.0, 0.4), (0.0, None)]
    ends = [(row, 0.5, {"censored": f"{mark}0.5"}) for row, mark in enumerate((">", ">=", "<", "<="))]
    assert [entry["label"] for entry in labelled(LABEL, *ends)] == [1.0, None, 0.0, 0.0], "a value at the cut is low"
    [alone] = labelled(LABEL, (1, 0.4, {"censored": ">0.4", "plate": "P1"}))
    assert alone["fate"] == REFUSED, "no well of it was lost"
    [value] = labelled(VALUE, (2, 0.4, {"censored": ">0.4", **at}))
    assert (value["fate"], "a regression needs one" in value["reason"]) == (REFUSED, True)


def test_a_number_of_any_size_stays_as_it_is():
    values = [1.7e308, -1.7e308, 5e-324]
    found = labelled(VALUE, *((row, value, {}) for row, value in enumerate(values)))
    assert [entry["value"] for entry in found] == values
    assert label_readings(readings(), VALUE).num_rows == 0
    assert label_readings(readings(names=True), NAMES).num_rows == 0


def test_the_first_good_reading_of_a_well_counts_and_none_where_nothing_was_dispensed():
    empty, wells = not_dispensed("no fluid"), ("A01", "A02", "A03")
    layout = [{"plate": "P1", "well": well, "content": "sample", "row": 1, "id": "C1"} for well in wells]
    plate_map = pa.Table.from_pylist(layout, schema=PLATE_MAP)

    def of_wells(*cells) -> pa.Table:
        places = zip(wells, cells, strict=True)
        return readings(*((1, value, {"plate": "P1", "well": well, "flag": flag}) for well, (value, flag) in places))

    told = [of_wells((None, empty), (None, "bubble"), (0.3, None)), of_wells((0.1, None), (0.2, None), (0.4, None))]
    record = readings_on_record(told, plate_map, told[0].schema)
    assert record.select(["value", "flag"]).to_pylist() == [
        {"value": None, "flag": empty},
        {"value": 0.2, "flag": None},
        {"value": 0.3, "flag": None},
    ]
    merged, refused, new = merge_readings(told[1], readings_on_record(told[:1], plate_map, told[0].schema))
    assert dict(zip(merged["well"].to_pylist(), merged["value"].to_pylist(), strict=True)) == {
        "A02": 0.2,
        "A01": None,
        "A03": 0.3,
    }
    assert refused["line"].to_pylist() == [1, 3]
    assert "not dispensed: no fluid; what is read there is none of the compound" in refused["reason"][0].as_py()
    assert [place.split("\0") for place in new.to_pylist()] == [["P1", "A02"]]
