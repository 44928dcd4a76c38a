"""Hit calling: known scores, labels that do not drift, and no label without a good well on a good plate."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from isd_ray.config import ControlWells, HitCallingConfig, PlatesConfig, ReadoutsConfig
from isd_ray.errors import LabelError
from isd_ray.plates.assign import plate_map
from isd_ray.plates.hits import LABELS, UNLABELLED, call_hits
from isd_ray.plates.match import match_readings
from isd_ray.plates.quality import z_prime
from isd_ray.plates.readers import read_readouts
from isd_ray.plates.robust import MAD_SCALE, median_polish
from isd_ray.plates.wells import names_of

SCHEMA = pa.schema(
    {
        "line": pa.int64(),
        "plate": pa.string(),
        "well": pa.string(),
        "row": pa.int64(),
        "id": pa.string(),
        "content": pa.string(),
        "value": pa.float64(),
        "flag": pa.string(),
    }
)
CONTROLS = {"positive": [10.0, 12, 14], "negative": [100.0, 104, 108]}


def readings(samples, controls=None, plate="P1", first_line=1):
    """Matched readings of one plate: samples as (row, value) or (row, value, flag), wells one after the other."""
    lines = [(row, value, *(flag or [None]), "sample") for row, value, *flag in samples]
    lines += [(None, value, None, kind) for kind, values in (controls or {}).items() for value in values]
    names = names_of(384)
    return pa.Table.from_pylist(
        [
            {
                "line": first_line + number,
                "plate": plate,
                "well": names[number] if plate else None,
                "row": row,
                "id": None if row is None else f"c{row}",
                "content": content,
                "value": value,
                "flag": flag,
            }
            for number, (row, value, flag, content) in enumerate(lines)
        ],
        schema=SCHEMA,
    )


def call(*tables, frozen=None, **config):
    return call_hits(pa.concat_tables(tables), HitCallingConfig(**config), 384, frozen)


def column(called, name):
    return called.labels[name].to_pylist()


def reasons(called):
    return {(line["row"], line["plate"]): line["reason"] for line in called.unlabelled.to_pylist()}


@pytest.mark.parametrize(("direction", "labels"), [(">=", [0, 1, 1]), ("<=", [1, 1, 0])])
def test_a_threshold_is_met_by_its_own_value(direction, labels):
    called = call(readings([(2, 6.0), (1, 5.0), (0, 4.0)]), cut=5.0, direction=direction)
    assert called.labels.schema == LABELS
    assert called.unlabelled.schema == UNLABELLED
    assert column(called, "row") == [0, 1, 2]
    assert column(called, "id") == ["c0", "c1", "c2"]
    assert column(called, "label") == labels
    assert column(called, "value") == column(called, "raw_value") == [4, 5, 6]
    assert column(called, "well") == ["A03", "A02", "A01"]
    assert set(column(called, "qc")) == {"not assessed"}


def test_percent_inhibition_is_between_the_controls_of_each_plate():
    first = readings([(0, 104.0), (1, 12.0), (2, 58.0)], CONTROLS)
    other = readings([(3, 0.0), (4, 1.0)], {"positive": [1.0, 1, 9], "negative": [0.0, 0, 9]}, "P2")
    called = call(first, other, method="percent_inhibition", cut=50.0)
    assert column(called, "value") == [0, 100, 50, 0, 100]
    assert column(called, "label") == [0, 1, 1, 0, 1]
    assert column(called, "raw_value") == [104, 12, 58, 0, 1]
    config = HitCallingConfig(method="percent_inhibition", cut=50.0)
    assert called.frozen == config.model_dump()


def test_robust_z_is_the_distance_from_the_controls_in_mads():
    negative = [100.0, 101, 99, 104, 96]  # median 100, MAD 1
    config = {"method": "robust_z", "cut": -3.0, "direction": "<=", "min_reference": 5}
    called = call(readings([(0, 90.0), (1, 97.0)], {"negative": negative}), **config)
    assert column(called, "value") == pytest.approx([-10 / MAD_SCALE, -3 / MAD_SCALE])
    assert column(called, "label") == [1, 0]
    assert called.frozen["scale"] == pytest.approx(MAD_SCALE)
    assert "center" not in called.frozen


def test_a_scale_is_frozen_and_a_median_of_controls_follows_its_plate():
    config = {"method": "robust_z", "cut": 3.0, "min_reference": 5}
    first = call(readings([(0, 90.0)], {"negative": [100.0, 101, 99, 104, 96]}), **config)
    frozen = json.loads(json.dumps(first.frozen))
    later = readings([(1, 210.0)], {"negative": [200.0, 290, 150]}, "P2")
    called = call(later, frozen=frozen, **config)
    assert column(called, "value") == pytest.approx([10 / MAD_SCALE])
    assert called.frozen == first.frozen


def test_center_and_scale_of_samples_do_not_follow_batches_full_of_hits():
    config = {"method": "robust_z", "cut": 3.0, "reference": "samples", "min_reference": 5}
    first = call(readings([(n, value) for n, value in enumerate([9.0, 10, 10, 11, 30])]), **config)
    assert (first.frozen["center"], first.frozen["scale"]) == (10, pytest.approx(MAD_SCALE))
    assert column(first, "label") == [0, 0, 0, 0, 1]
    later = call(readings([(n, 30.0 + n) for n in range(9)], plate="P2"), frozen=first.frozen, **config)
    assert column(later, "label") == [1] * 9


def test_another_hit_calling_than_the_frozen_one_is_refused():
    frozen = call(readings([(0, 1.0)]), cut=5.0).frozen
    assert column(call(readings([(1, 6.0)]), cut=5.0, frozen=frozen), "label") == [1]
    for changed in ({"cut": 6.0}, {"version": 2}, {"direction": "<="}, {"name": "x"}, {"min_z_prime": 0.5}):
        with pytest.raises(LabelError, match=f"changed since the first round: {next(iter(changed))}="):
            call(readings([(1, 6.0)]), frozen=frozen, **{"cut": 5.0, **changed})


def grid_readings(grid, plate="P1", first_row=0):
    """A 16 x 24 table as readings; row numbers in the order of wells, NaN left out."""
    places = np.flatnonzero(~np.isnan(grid.ravel()))
    names = names_of(384)
    lines = [
        {"line": 1, "plate": plate, "well": names[at], "row": first_row + int(at), "id": f"c{first_row + at}",
         "content": "sample", "value": float(grid.ravel()[at])}
        for at in places
    ]  # fmt: skip
    return pa.Table.from_pylist(lines, schema=SCHEMA)


def plate_with_effects(seed):
    """Noise of standard deviation 1, large effects of rows and columns, hits of +12 in three wells."""
    rng = np.random.default_rng(seed)
    grid = rng.normal(size=(16, 24)) + 100 + 20 * rng.normal(size=(16, 1)) + 20 * rng.normal(size=24)
    grid[3, 4] += 12
    grid[7, 20] += 12
    grid[15, 23] += 12
    return grid


HITS = [3 * 24 + 4, 7 * 24 + 20, 15 * 24 + 23]


def test_b_scores_find_hits_below_row_and_column_effects():
    grid = plate_with_effects(0)
    grid[0, :5] = np.nan
    called = call(grid_readings(grid), method="b_score", cut=6.0)
    residuals = median_polish(grid).ravel()
    residuals = residuals[~np.isnan(residuals)]
    scale = MAD_SCALE * np.median(np.abs(residuals - np.median(residuals)))
    assert column(called, "value") == pytest.approx(list(residuals / scale))
    assert called.frozen["scale"] == pytest.approx(scale)
    labels = dict(zip(column(called, "row"), column(called, "label"), strict=True))
    assert [row for row, label in labels.items() if label] == HITS
    assert len(labels) == 379


def test_a_b_score_has_the_scale_of_the_first_round_and_the_fit_of_its_own_plate():
    config = {"method": "b_score", "cut": 6.0}
    first = call(grid_readings(plate_with_effects(0)), **config)
    second, frozen_only = grid_readings(10 * plate_with_effects(1), "P2"), first.frozen["scale"]
    called = call(second, frozen=first.frozen, **config)
    expected = median_polish(10 * plate_with_effects(1)).ravel() / frozen_only
    assert column(called, "value") == pytest.approx(list(expected))


def test_a_b_score_needs_neighbours_in_row_and_column():
    grid = plate_with_effects(0)
    grid[2, 3:] = np.nan  # three are left
    called = call(grid_readings(grid), method="b_score", cut=6.0)
    assert not set(column(called, "row")) & set(range(48, 72))
    assert reasons(called) == {
        (row, "P1"): "fewer than 4 samples in its row or column of the plate" for row in (48, 49, 50)
    }


def test_controls_of_a_plate_do_not_enter_its_median_polish():
    alone = call(grid_readings(plate_with_effects(0)), method="b_score", cut=6.0)
    controls = readings([], {"negative": [1e6] * 20})
    both = call(grid_readings(plate_with_effects(0)), controls, method="b_score", cut=6.0)
    assert both.labels.equals(alone.labels)


def test_replicates_are_joined_by_their_median():
    first = readings([(7, 104.0), (8, 104.0)], CONTROLS)
    second = readings([(7, 12.0), (8, 12.0)], CONTROLS, "P2", 20)
    third = readings([(7, 35.0)], CONTROLS, "P3", 40)
    called = call(third, first, second, method="percent_inhibition", cut=60.0)
    assert column(called, "row") == [7, 8]
    assert column(called, "n_replicates") == [3, 2]
    assert column(called, "value") == pytest.approx([75, 50])
    assert column(called, "raw_value") == [35, 58]
    assert column(called, "label") == [1, 0]
    assert column(called, "plate") == ["P3;P1;P2", "P1;P2"]
    assert column(called, "well") == ["A01;A01;A01", "A02;A02"]
    assert column(called, "qc") == ["not assessed"] * 2


def test_flagged_and_empty_wells_give_no_label_and_a_reason():
    called = call(readings([(0, 9.0, "clog"), (1, None, "spill"), (2, 9.0)]), cut=5.0)
    assert column(called, "row") == [2]
    assert reasons(called) == {(0, "P1"): "flagged 'clog'", (1, "P1"): "flagged 'spill'"}


def test_a_flagged_replicate_is_left_out_of_the_median():
    called = call(readings([(0, 1.0), (0, 99.0, "clog"), (0, 2.0)]), cut=5.0)
    assert (column(called, "value"), column(called, "n_replicates")) == ([1.5], [2])
    assert reasons(called) == {(0, "P1"): "flagged 'clog'"}


def test_failed_plates_give_no_labels_and_no_part_in_what_is_frozen():
    good = readings([(0, 58.0), (1, 58.0)], CONTROLS)
    bad = readings([(1, 999.0), (2, 58.0)], {"positive": [0.0, 50, 100], "negative": [10.0, 60, 900]}, "P2", 20)
    config = {"method": "robust_z", "cut": 3.0, "min_reference": 3, "min_z_prime": 0.5}
    called = call(good, bad, **config)
    assert column(called, "row") == [0, 1]
    assert column(called, "n_replicates") == [1, 1]
    assert column(called, "qc") == ["pass", "pass"]
    bad_z = z_prime(np.array([0.0, 50, 100]), np.array([10.0, 60, 900]))
    assert reasons(called) == {(row, "P2"): f"plate fail: Z' {bad_z:.3g} is below 0.5" for row in (1, 2)}
    assert called.frozen == call(good, **config).frozen
    assert called.quality["verdict"].to_pylist() == ["pass", "fail"]


def test_a_plate_that_cannot_be_judged_gives_no_labels_where_plates_are_judged():
    few = readings([(0, 1.0)], {"positive": [1.0], "negative": [1.0]})
    called = call(few, readings([(1, 1.0)], plate=None), cut=5.0, min_z_prime=0.5)
    assert called.labels.num_rows == 0
    assert reasons(called) == {
        (0, "P1"): "plate not assessed: 1 positive and 1 negative controls; each needs 3",
        (1, None): "its plate is not known, so that it cannot be judged",
    }
    assert call(few, readings([(1, 1.0)], plate=None), cut=5.0).labels.num_rows == 2


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"method": "percent_inhibition"}, "2 positive controls on the plate, 3 are needed"),
        ({"method": "robust_z", "min_reference": 3, "reference": "reference"}, "0 reference controls on the plate"),
    ],
)
def test_a_plate_with_too_few_controls_is_not_normalised(config, reason):
    good = readings([(0, 58.0)], {**CONTROLS, "reference": [1.0, 2, 3]})
    few = readings([(1, 58.0)], {"positive": [1.0, 2], "negative": [5.0, 6, 7]}, "P2", 20)
    nowhere = readings([(2, 58.0)], plate=None)
    called = call(good, few, nowhere, cut=1.0, **config)
    assert column(called, "row") == [0]
    assert reasons(called)[1, "P2"].startswith(reason)
    assert reasons(called)[2, None] == "its plate is not known"


def test_controls_without_a_difference_cannot_normalise():
    called = call(
        readings([(0, 5.0)], {"positive": [5.0] * 3, "negative": [5.0] * 3}), method="percent_inhibition", cut=1.0
    )
    assert reasons(called) == {(0, "P1"): "positive and negative controls of the plate have the same median"}


def test_nothing_is_frozen_from_a_handful_of_wells():
    few = readings([(0, 5.0)], {"negative": [1.0, 2, 3, 4]})
    for config in ({"method": "robust_z"}, {"method": "robust_z", "reference": "samples"}, {"method": "b_score"}):
        with pytest.raises(LabelError, match=r"good wells to estimate median and MAD from; 16 are needed"):
            call(few, cut=1.0, **config)
    with pytest.raises(LabelError, match="do not vary"):
        call(readings([(0, 5.0)], {"negative": [1.0] * 16}), method="robust_z", cut=1.0)


def test_from_a_batch_to_labels_through_files(tmp_path):
    """The whole way of a batch: plate map, plates read as matrices, wells matched, hits called."""
    config = PlatesConfig(format=96, positive=ControlWells(columns=(1,)), negative=ControlWells(columns=(12,)))
    rows = np.arange(100, 200)
    plates = plate_map(rows, [f"c{row}" for row in rows], config, seed=4, first_plate=3)
    is_hit = {row: row % 7 == 0 for row in rows.tolist()}
    levels = {"positive": 1.0, "negative": 9.0}
    rng = np.random.default_rng(0)
    text = ""
    for plate in ("P00003", "P00004"):
        lines = [line for line in plates.to_pylist() if line["plate"] == plate]
        values = [
            "" if line["content"] == "empty"
            else f"{levels.get(line['content'], 1.0 if is_hit.get(line['row']) else 9.0) + rng.normal(0, 0.2):.4f}"
            for line in lines
        ]  # fmt: skip
        text += f"{plate}\n" + "\n".join(",".join(values[at : at + 12]) for at in range(0, 96, 12)) + "\n\n"
    path = tmp_path / "plates.csv"
    path.write_text(text)
    found = read_readouts(path, ReadoutsConfig(shape="matrix"), 96)
    matched = match_readings(found.readings, plates, str(path))
    assert found.rejects.num_rows == matched.rejects.num_rows == 0
    calling = HitCallingConfig(method="percent_inhibition", cut=50.0, min_z_prime=0.5)
    called = call_hits(matched.readings, calling, 96)
    assert dict(zip(column(called, "row"), column(called, "label"), strict=True)) == is_hit
    assert called.unlabelled.num_rows == 0
    assert called.quality["verdict"].to_pylist() == ["pass", "pass"]
