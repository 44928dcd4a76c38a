"""Layouts: controls are where they should be, and samples have the rest."""

from __future__ import annotations

import numpy as np
import pytest

from isd_ray.config import ControlWells, PlatesConfig
from isd_ray.errors import ConfigError
from isd_ray.plates.layout import plate_layout, plates_for
from isd_ray.plates.wells import SHAPES, well_names


def names(wells, plate_format):
    return well_names(wells, plate_format).to_pylist()


def layout(seed=0, plate=1, **given):
    return plate_layout(PlatesConfig(**given), seed, plate)


def test_columns_and_wells_of_controls_leave_the_rest_to_samples():
    made = layout(format=96, positive=ControlWells(columns=(12,)), negative=ControlWells(wells=("A01", "h1")))
    assert names(made.controls["positive"], 96) == [f"{row}12" for row in "ABCDEFGH"]
    assert names(made.controls["negative"], 96) == ["A01", "H01"]
    assert made.capacity == 96 - 8 - 2
    assert not set(made.samples) & {*made.controls["positive"], *made.controls["negative"]}
    assert list(made.samples) == sorted(made.samples)


def test_edge_wells_stay_empty_even_under_a_column_of_controls():
    made = layout(format=96, edge=1, positive=ControlWells(columns=(2,)))
    assert names(made.controls["positive"], 96) == [f"{row}02" for row in "BCDEFG"]
    assert made.capacity == 6 * 10 - 6
    contents = made.contents(made.samples).reshape(8, 12)
    assert set(contents[0]) | set(contents[-1]) | set(contents[:, 0]) | set(contents[:, -1]) == {"empty"}
    assert (contents == "sample").sum() == 54


def test_scattered_controls_are_random_but_the_same_on_every_plate():
    given = {"format": 384, "positive": ControlWells(scattered=16), "negative": ControlWells(scattered=32)}
    first, later, other = layout(**given), layout(plate=7, **given), layout(seed=1, **given)
    for kind, n in (("positive", 16), ("negative", 32)):
        assert len(first.controls[kind]) == n
        assert list(first.controls[kind]) == list(later.controls[kind]) != list(other.controls[kind])
    assert not set(first.controls["positive"]) & set(first.controls["negative"])
    rows, columns = np.divmod(first.controls["negative"], 24)
    assert len(set(rows)) > 6
    assert len(set(columns)) > 10


def test_shifted_controls_visit_the_whole_plate_and_never_meet_others():
    given = {
        "format": 96,
        "positive": ControlWells(shifted=4),
        "negative": ControlWells(shifted=4),
        "reference": ControlWells(scattered=4),
    }
    visits = np.zeros(96, int)
    reference = layout(**given).controls["reference"]
    for plate in range(1, 93):
        made = layout(plate=plate, **given)
        wells = np.concatenate([*made.controls.values(), made.samples])
        assert sorted(wells) == list(range(96))
        assert list(made.controls["reference"]) == list(reference)
        visits[made.controls["positive"]] += 1
    # 92 wells are free for them, and 92 plates bring each of the 4 controls once to each well.
    assert set(np.delete(visits, reference)) == {4}


def test_shifted_controls_go_one_row_and_one_column_on():
    first, second = (layout(plate=n, format=96, negative=ControlWells(shifted=8)).controls["negative"] for n in (5, 6))
    rows, columns = np.divmod(first, 12)
    # Row by row the plate is one line, closed to a ring: at its right end a shift goes two rows down.
    expected = (rows + 1 + (columns == 11)) % 8 * 12 + (columns + 1) % 12
    assert sorted(expected) == list(second)


def test_counts_of_plates():
    config = PlatesConfig(format=384, positive=ControlWells(columns=(23,)), negative=ControlWells(columns=(24,)))
    assert [plates_for(config, n) for n in (1, 352, 353, 1056)] == [1, 1, 2, 3]


@pytest.mark.parametrize("plate_format", sorted(SHAPES))
def test_few_samples_are_spread_over_all_rows_and_columns(plate_format):
    made = layout(format=plate_format)
    n_rows, n_columns = SHAPES[plate_format]
    for n in (n_columns, plate_format // 4, plate_format // 2, plate_format - n_columns):
        wells = made.spread(n)
        assert len(set(wells)) == n
        assert list(wells) == sorted(wells)
        rows, columns = np.divmod(wells, n_columns)
        assert np.abs(np.bincount(rows, minlength=n_rows) - n / n_rows).max() < 4
        assert np.abs(np.bincount(columns, minlength=n_columns) - n / n_columns).max() < 4
    assert list(made.spread(plate_format)) == list(range(plate_format))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"positive": {"columns": (13,)}}, r"plates.positive.columns: a 96-well plate has no column 13"),
        ({"positive": {"columns": (0,)}}, r"has no column 0"),
        ({"positive": {"columns": (1,)}, "edge": 1}, r"column 1 is on the empty edge"),
        ({"positive": {"wells": ("A13",)}}, r"plates.positive.wells: 'A13' is no well"),
        ({"negative": {"wells": ("A5",)}, "edge": 1}, r"plates.negative.wells: 'A5' is on the empty edge"),
        (
            {"positive": {"columns": (1,)}, "negative": {"wells": ("B01",)}},
            r"negative and positive controls share 1 wells: B01",
        ),
        ({"positive": {"columns": tuple(range(1, 13))}}, r"plates: .* no well is left for samples"),
        ({"edge": 4}, r"edge=4: no well is left for samples"),
        ({"edge": 3, "reference": {"scattered": 13}}, r"plates.reference.scattered: scattered=13 .* only 12 wells"),
        ({"edge": 3, "positive": {"shifted": 10}, "negative": {"shifted": 5}}, r"shifted=5 .* only 2 wells are left"),
        ({"edge": 4, "positive": {"shifted": 1}}, r"shifted=1 are too many"),
    ],
)
def test_impossible_layouts_are_refused(given, message):
    kinds = {key: ControlWells(**value) if isinstance(value, dict) else value for key, value in given.items()}
    with pytest.raises(ConfigError, match=message):
        layout(format=96, **kinds)
