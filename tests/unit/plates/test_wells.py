"""Names of wells: one stored form, several accepted ones, nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isd_ray.errors import LabelError
from isd_ray.plates.wells import NO_WELL, SHAPES, parse_well, row_letters, well_indices, well_names

FORMATS = st.sampled_from(sorted(SHAPES))


@pytest.mark.parametrize(
    ("plate_format", "index", "name"),
    [
        (96, 0, "A01"),
        (96, 12, "B01"),
        (96, 95, "H12"),
        (384, 25, "B02"),
        (384, 383, "P24"),
        (1536, 25 * 48, "Z01"),
        (1536, 26 * 48, "AA01"),
        (1536, 1535, "AF48"),
    ],
)
def test_wells_are_counted_row_by_row(plate_format, index, name):
    assert well_names(np.array([index]), plate_format).to_pylist() == [name]
    assert parse_well(name, plate_format) == index


@given(FORMATS, st.data())
def test_every_name_in_every_spelling_finds_its_well(plate_format, data):
    index = data.draw(st.integers(0, plate_format - 1))
    for padded in (True, False):
        (name,) = well_names(np.array([index]), plate_format, padded=padded).to_pylist()
        (plain,) = well_names(np.array([index]), plate_format, padded=False).to_pylist()
        letters, number = plain.rstrip("0123456789"), plain.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
        odd = (f"{letters}{sign}{zeros}{number}" for sign in ("", "-", ":", "_", " ") for zeros in ("", "0", "00"))
        for spelling in (name, name.lower(), f" {name} ", *odd):
            assert parse_well(spelling, plate_format) == index
            assert well_indices([spelling], plate_format).tolist() == [index]


@given(FORMATS)
def test_all_wells_have_different_names(plate_format):
    names = well_names(np.arange(plate_format), plate_format)
    assert len(set(names.to_pylist())) == plate_format
    assert well_indices(names.to_pylist(), plate_format).tolist() == list(range(plate_format))


@pytest.mark.parametrize("name", ["A0", "A00", "A13", "I1", "A00001", "1A", "A", "A--1", "AA1", "", "Ä1", "A1B"])
def test_other_names_are_refused_with_the_place(name):
    assert well_indices([name, None], 96).tolist() == [NO_WELL, NO_WELL]
    with pytest.raises(LabelError, match=r"plate P7: '.*' is no well of a 96-well plate \(A01 to H12\)"):
        parse_well(name, 96, "plate P7")


@pytest.mark.parametrize("index", [-1, 96])
def test_an_index_outside_the_format_is_refused(index):
    with pytest.raises(LabelError, match=f"no well of index {index}"):
        well_names(np.array([0, index]), 96)


def test_rows_beyond_z_have_two_letters():
    assert [row_letters(row) for row in (0, 25, 26, 31)] == ["A", "Z", "AA", "AF"]
