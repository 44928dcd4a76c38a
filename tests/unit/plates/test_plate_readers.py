"""Exports of plate readers: each well its value, by content, for every format; several reads only by name."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isd_ray.config import ReadoutsConfig
from isd_ray.config.readouts import BUILT_IN_READERS
from isd_ray.errors import ConfigError, InputFileError
from isd_ray.plates.readers import read_readouts
from isd_ray.plates.readers.registry import plate_readers, reader_of
from tests.unit.plates import exports_helpers as made

FORMATS = (96, 384, 1536)


@pytest.fixture
def read(tmp_path):
    def read_file(lines, plate_format=96, encoding="utf-8", shape="tidy", **options):
        path = tmp_path / "export.txt"
        path.write_text("\n".join(lines) + "\n", encoding=encoding)
        found = read_readouts(path, ReadoutsConfig(shape=shape, value="signal"), plate_format, **options)
        lines = found.readings.to_pylist()
        return {(line["plate"], line["well"]): line["value"] for line in lines}

    return read_file


def expected(cells, plate="P1"):
    return {(plate, well): float(text) for well, text in cells.items()}


@pytest.mark.parametrize("plate_format", FORMATS)
@pytest.mark.parametrize("layout", made.LAYOUTS)
def test_every_well_has_its_value(read, layout, plate_format):
    cells = made.values(plate_format)
    lines = made.LAYOUTS[layout](cells, plate_format)
    assert read(lines, plate_format) == expected(cells)
    assert read(lines, plate_format, encoding="utf-16", shape="matrix") == expected(cells)
    assert reader_of("\n".join(lines)).name == layout.split()[0]


@pytest.mark.parametrize("layout", made.LAYOUTS)
def test_a_reader_is_found_by_its_content_alone_and_can_be_named(read, layout):
    cells = made.values(96)
    lines = made.LAYOUTS[layout](cells, 96)
    name = layout.split()[0]
    for known in plate_readers().values():
        assert known.recognises("\n".join(lines)) == (known.name == name), f"{layout} is no export of {known.name}"
    assert read(lines, shape=name) == expected(cells)


@pytest.mark.parametrize("layout", made.LAYOUTS)
def test_the_given_plate_wins_over_titles_but_not_over_another_plate_that_there_is(read, layout):
    cells = made.values(96)
    lines = made.LAYOUTS[layout](cells, 96, "Plate_1")
    assert read(lines, plate="P7", known_plates=["P7", "P8"]) == expected(cells, "P7")
    lines = made.LAYOUTS[layout](cells, 96, "P8")
    assert read(lines, plate="P7", known_plates=["P7", "P8"]) == expected(cells, "P8"), (
        "the caller sees that it differs"
    )


def test_an_export_that_does_not_say_its_plate_needs_it(read):
    lines = made.mars(made.values(96), 96, barcode="")
    with pytest.raises(InputFileError, match="no plate"):
        read(lines)
    assert read(lines, plate="P3") == expected(made.values(96), "P3")


@pytest.mark.parametrize("layout", [name for name in made.LAYOUTS if "list" not in name and name != "tecan magellan"])
def test_a_plate_of_another_format_is_named(read, layout):
    with pytest.raises(InputFileError, match=r"no plate of 96 wells.*one of 384"):
        read(made.LAYOUTS[layout](made.values(384), 384), 96)


SEVERAL = {
    "envision": (
        made.envision(made.values(96), 96, more=["Fluorescence (2)", "", *made.grid(made.values(96, 2), 96, ","), ""]),
        ["Luminescence (1)", "Fluorescence (2)"],
    ),
    "softmax": (made.softmax(made.values(96), 96, wavelengths="450 560", more=[made.values(96, 2)]), ["450", "560"]),
    "gen5": (made.gen5(made.values(96), 96, reads=("450", "560"), more=[made.values(96, 2)]), ["450", "560"]),
    "skanit": (
        [*made.skanit_list(made.values(96), 96), *made.skanit_list(made.values(96, 2), 96, wavelengths=("560",))[4:]],
        ["450", "560"],
    ),
    "mars": (
        [*made.mars(made.values(96), 96), "", "Raw Data (560)", "", *made.grid(made.values(96, 2), 96, ",")],
        ["450", "560"],
    ),
}


@pytest.mark.parametrize("reader", SEVERAL)
def test_several_reads_are_refused_until_one_is_named(read, reader):
    lines, names = SEVERAL[reader]
    with pytest.raises(InputFileError, match=r"several reads of a plate: .*\n.*--read NAME"):
        read(lines)
    for name, seed in zip(names, (0, 2), strict=True):
        assert read(lines, read=name) == expected(made.values(96, seed))
        assert read(lines, read=name.upper()) == expected(made.values(96, seed))
    with pytest.raises(InputFileError, match="there is no read '999'"):
        read(lines, read="999")
    with pytest.raises(InputFileError, match=r"2 reads have|there is no read"):
        read(lines, read="a" if reader != "softmax" else "x")


KINETIC = {
    "gen5": (made.gen5_kinetic(made.values(96), 96), "0:01:00"),
    "tecan": (made.tecan_kinetic(made.values(96), 96), "Cycle Nr. 2"),
    "softmax": (made.softmax(made.values(96), 96, times=("00:00:00", "00:01:00")), "00:01:00"),
}


@pytest.mark.parametrize("reader", KINETIC)
def test_kinetics_are_several_reads(read, reader):
    lines, name = KINETIC[reader]
    with pytest.raises(InputFileError, match="several reads of a plate"):
        read(lines)
    assert read(lines, read=name) == expected(made.values(96))


def test_several_plates_in_one_export(read):
    lines = made.envision(made.values(96), 96, "P1") + made.envision(made.values(96, 3), 96, "P2")
    assert read(lines) == expected(made.values(96)) | expected(made.values(96, 3), "P2")


@pytest.mark.parametrize("layout", made.LAYOUTS)
@pytest.mark.parametrize("word", ["OVRFLW", "OVER", ">65000", ""])
def test_a_well_that_cannot_be_read_costs_itself(read, layout, word):
    cells = made.values(96) | {"C05": word}
    found = read(made.LAYOUTS[layout](cells, 96), whole_plates=True)
    assert found.pop(("P1", "C05")) == (65000.0 if word == ">65000" else None)
    assert found == expected({well: text for well, text in cells.items() if well != "C05"})


def test_a_row_that_is_missing_makes_no_plate_of_what_is_left(read):
    lines = made.tecan(made.values(96), 96)
    with pytest.raises(InputFileError, match="no plate of 96 wells"):
        read([line for line in lines if not line.startswith("D\t")])


def test_a_table_with_the_columns_that_are_asked_for_is_a_table_whatever_it_says(read):
    assert read(["plate,well,signal,note", "P1,A1,3,read by EnVision", "P1,A2,4,User: x Path: y"]) == {
        ("P1", "A01"): 3.0,
        ("P1", "A02"): 4.0,
    }


def test_remarks_above_a_table_are_passed_over(read):
    assert read(["Assay 7", "", "Date,2026-03-01", "Plate,Well,Signal", "P1,A001,3", "P1,A-2,4"]) == {
        ("P1", "A01"): 3.0,
        ("P1", "A02"): 4.0,
    }


def test_readers_are_known_by_the_name_that_they_are_registered_under():
    assert {name: reader.name for name, reader in plate_readers().items()} == {name: name for name in BUILT_IN_READERS}


def test_every_built_in_reader_has_an_export_here_and_is_named_in_the_reference():
    assert {layout.split()[0] for layout in made.LAYOUTS} == set(BUILT_IN_READERS)
    described = ReadoutsConfig.model_fields["shape"].description
    assert [name for name in BUILT_IN_READERS if f"`{name}`" not in described] == []


@pytest.mark.parametrize(
    ("shape", "remedy"), [("no_reader", "tidy, cellhts2, matrix, envision"), ("sofmax", "did you mean 'softmax'")]
)
def test_a_shape_that_there_is_not_is_refused_with_those_there_are(read, tmp_path, shape, remedy):
    with pytest.raises(ConfigError, match=rf"no shape '{shape}'.*\n.*{remedy}"):
        ReadoutsConfig(shape=shape)
    file = tmp_path / "readouts.csv"
    file.write_text("plate,well,value\nP1,A1,3\n")
    told = ReadoutsConfig().model_copy(update={"shape": shape})  # as `isd tell --shape` has it
    with pytest.raises(ConfigError, match=remedy):
        read_readouts(file, told, 96)


def faulty(line, fault, sep):
    """A line as a hand or a broken transfer leaves it."""
    return {
        "blank": "",
        "cut": line[: len(line) // 2],
        "first letter": "?" + line[1:],
        "one field less": line.rpartition(sep)[0],
        "twice": line + sep + line,
        "remark": f"{line}\nchecked by hand",
        "blank below": f"{line}\n",
        "O for 0": re.sub(r"\b([A-H])0", r"\1O", line),
    }[fault]


FAULTS = ("blank", "cut", "first letter", "one field less", "twice", "remark", "blank below", "O for 0")


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=400)
@given(layout=st.sampled_from(sorted(made.LAYOUTS)), place=st.integers(0, 10_000), fault=st.sampled_from(FAULTS))
def test_a_broken_line_loses_no_other_in_silence(tmp_path, layout, place, fault):
    """Each line with readouts is read in full, or refused with its number; or the file is, in words."""
    cells = made.values(96)
    lines = made.LAYOUTS[layout](cells, 96)
    wanted = {
        number: [text for text in re.split(r"[,;\t]", line) if text in set(cells.values())]
        for number, line in enumerate(lines)
    }
    data = [number for number, found in wanted.items() if found]
    at = data[place % len(data)]
    sep = max(",;\t", key=lines[at].count)
    broken = [faulty(line, fault, sep) if number == at else line for number, line in enumerate(lines)]
    text = "\n".join(broken) + "\n"
    path = tmp_path / "export.txt"
    path.write_text(text)
    try:
        found = read_readouts(path, ReadoutsConfig(value="signal"), 96)
    except (InputFileError, ConfigError):
        return
    values = {f"{value:g}" for value in found.readings["value"].to_pylist() if value is not None}
    refused = set(found.rejects["line"].to_pylist())
    shift = broken[at].count("\n")
    for number in data:
        if number != at:
            line = number + 1 + (shift if number > at else 0)
            assert line in refused or set(wanted[number]) <= values, f"line {line} is lost: {lines[number]}"
    if fault not in ("blank", "cut", "one field less"):
        assert at + 1 in refused or set(wanted[at]) <= values, f"line {at + 1} is lost: {broken[at]}"
