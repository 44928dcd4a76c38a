"""Readings find their compounds by plate and well or by id, and contradictions are not swallowed."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from isd_ray.config import ControlWells, PlatesConfig, ReadoutsConfig
from isd_ray.errors import LabelError
from isd_ray.plates.assign import plate_map
from isd_ray.plates.match import match_readings
from isd_ray.plates.readers import read_readouts

CONFIG = PlatesConfig(format=96, edge=1, positive=ControlWells(columns=(2,)))
"""54 samples a plate."""


@pytest.fixture(scope="module")
def plates():
    """c0 to c59 on P00001 and P00002; c59 again on P00003."""
    first = plate_map(np.arange(60), [f"c{n}" for n in range(60)], CONFIG, seed=0, first_plate=1)
    again = plate_map(np.array([59]), ["c59"], CONFIG, seed=0, first_plate=3)
    return pa.concat_tables([first, again])


@pytest.fixture
def match(plates, tmp_path):
    def run(lines):
        path = tmp_path / "readouts.csv"
        path.write_text("plate,well,id,value\n" + "".join(",".join(map(str, line)) + "\n" for line in lines))
        return match_readings(read_readouts(path, ReadoutsConfig(), 96).readings, plates, str(path))

    return run


def place(plates, compound):
    return next((line["plate"], line["well"]) for line in plates.to_pylist() if line["id"] == compound)


def test_by_plate_and_well_every_sample_and_control_is_found(match, plates):
    used = [line for line in plates.to_pylist() if line["content"] != "empty"]
    found = match([(line["plate"], line["well"], "", n) for n, line in enumerate(used)])
    assert found.rejects.num_rows == 0
    for name in ("plate", "well", "row", "id", "content"):
        assert found.readings[name].to_pylist() == [line[name] for line in used]
    assert found.readings["value"].to_pylist() == list(range(len(used)))


def test_by_id_with_the_place_where_there_is_only_one(match, plates):
    found = match([("", "", "c7", 0.5), ("", "", "c59", 0.7)]).readings.to_pylist()
    assert [(line["row"], line["content"]) for line in found] == [(7, "sample"), (59, "sample")]
    assert (found[0]["plate"], found[0]["well"]) == place(plates, "c7")
    assert found[1]["plate"] is found[1]["well"] is None


def test_what_is_nowhere_or_contradicts_the_plate_map_is_rejected(match, plates):
    plate, well = place(plates, "c3")
    found = match(
        [
            (plate, well.lower(), "c3", 1),
            ("P9", "B03", "", 3),
            (plate, "A01", "", 4),
            ("", "", "c99", 5),
            (plate, "B02", "DMSO", 6),
        ]
    )
    assert [(line["line"], line["content"], line["id"]) for line in found.readings.to_pylist()] == [
        (2, "sample", "c3"),
        (6, "positive", None),
    ]
    reasons = {line["line"]: line["reason"] for line in found.rejects.to_pylist()}
    assert reasons == {
        3: "unknown plate 'P9'",
        4: f"well A01 of plate '{plate}' was left empty",
        5: "unknown id 'c99'",
    }


def test_a_reader_reads_wells_that_were_left_empty_too_and_they_are_one_reject_a_plate(match, plates):
    (first, well), others = place(plates, "c3"), {"P00001", "P00002"}
    [second] = others - {first}
    found = match(
        [(plate, f"A{n:02d}", "", n) for plate in (first, second) for n in range(1, 6)] + [(first, well, "", 1)]
    )
    assert found.readings.num_rows == 1
    assert {line["line"]: line["reason"] for line in found.rejects.to_pylist()} == {
        2: f"5 wells of plate '{first}' were left empty: A01, A02, A03 …",
        7: f"5 wells of plate '{second}' were left empty: A01, A02, A03 …",
    }


def test_another_compound_than_the_plate_map_says_is_a_reject(match, plates):
    plate, well = place(plates, "c3")
    found = match([(plate, well, "c4", 1), ("", "", "c4", 2)])
    assert found.readings["line"].to_pylist() == [3]
    assert found.rejects["reason"].to_pylist() == [f"well {well} of plate '{plate}' holds 'c3', not 'c4'"]


def test_nothing_that_belongs_here_is_an_error(match):
    with pytest.raises(LabelError, match=r"none of 2 readings .*unknown plate 'X1'.*\n.*P00001, P00002, P00003"):
        match([("X1", "B02", "", 1), ("X1", "B03", "", 1)])
