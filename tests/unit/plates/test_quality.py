"""Plates are judged from their controls, by numbers that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from isd_ray.config import HitCallingConfig
from isd_ray.errors import LabelError
from isd_ray.plates.quality import cv_percent, plate_quality, robust_z_prime, signal_window, ssmd, z_prime

POSITIVE = np.array([10.0, 12.0, 14.0])  # mean 12, standard deviation 2, MAD 2
NEGATIVE = np.array([100.0, 104.0, 108.0])  # mean 104, standard deviation 4, MAD 4


def test_statistics_by_hand():
    assert z_prime(POSITIVE, NEGATIVE) == z_prime(NEGATIVE, POSITIVE) == pytest.approx(1 - 3 * (2 + 4) / 92)
    assert robust_z_prime(POSITIVE, NEGATIVE) == pytest.approx(1 - 3 * 1.4826022 * (2 + 4) / 92)
    assert ssmd(POSITIVE, NEGATIVE) == -ssmd(NEGATIVE, POSITIVE) == pytest.approx(-92 / np.sqrt(4 + 16))
    assert signal_window(POSITIVE, NEGATIVE) == signal_window(NEGATIVE, POSITIVE)
    assert signal_window(POSITIVE, NEGATIVE) == pytest.approx(((104 - 3 * 4) - (12 + 3 * 2)) / 4)
    assert cv_percent(POSITIVE) == pytest.approx(100 * 2 / 12)
    assert cv_percent(-POSITIVE) == pytest.approx(100 * 2 / 12)


def test_an_outlier_spoils_z_prime_and_not_the_robust_one():
    negative = np.array([100.0, 101, 102, 103, 104, 105, 106, 107, 900])
    positive = np.array([10.0, 11, 12, 13, 14, 15, 16, 17, 18])
    assert z_prime(positive, negative) < 0 < 0.5 < robust_z_prime(positive, negative)


def test_controls_that_do_not_vary_or_do_not_differ():
    flat, other = np.full(3, 5.0), np.full(3, 7.0)
    assert (z_prime(flat, other), ssmd(flat, other), ssmd(other, flat)) == (1.0, -np.inf, np.inf)
    assert (z_prime(flat, flat), robust_z_prime(flat, flat), ssmd(flat, flat)) == (-np.inf, -np.inf, 0.0)
    assert signal_window(flat, other) == np.inf
    assert np.isnan(cv_percent(np.array([-1.0, 0.0, 1.0])))


def wells(plates, flag=None):
    lines = [
        {"plate": plate, "content": content, "value": float(value), "flag": flag}
        for plate, groups in plates.items()
        for content, values in groups.items()
        for value in values
    ]
    schema = {"plate": pa.string(), "content": pa.string(), "value": pa.float64(), "flag": pa.string()}
    return pa.Table.from_pylist(lines, schema=pa.schema(schema))


def judge(groups, flag=None, **limits):
    (line,) = plate_quality(wells({"P1": groups}, flag), HitCallingConfig(cut=0.0, **limits)).to_pylist()
    return line


GOOD = {"positive": POSITIVE, "negative": NEGATIVE, "sample": [50.0]}


@pytest.mark.parametrize(
    ("limits", "verdict", "reason", "counts"),
    [
        ({}, "not assessed", "no limit is set", True),
        ({"min_z_prime": 0.8}, "pass", "Z' 0.804, SSMD -20.6", True),
        ({"min_z_prime": 0.81}, "fail", "Z' 0.804 is below 0.81", False),
        ({"max_ssmd": -20.0}, "pass", "Z' 0.804, SSMD -20.6", True),
        ({"max_ssmd": -21.0}, "fail", "SSMD -20.6 is above -21", False),
        ({"min_ssmd": 3.0, "min_z_prime": 0.9}, "fail", "Z' 0.804 is below 0.9; SSMD -20.6 is below 3", False),
        (
            {"min_z_prime": 0.5, "min_controls": 4},
            "not assessed",
            "3 positive and 3 negative controls; each needs 4",
            False,
        ),
        ({"min_controls": 4}, "not assessed", "3 positive and 3 negative controls; each needs 4", True),
    ],
)
def test_a_verdict_has_a_reason(limits, verdict, reason, counts):
    found = judge(GOOD, **limits)
    assert (found["verdict"], found["reason"], found["counts"]) == (verdict, reason, counts)
    assert (found["n_positive"], found["n_negative"]) == (3, 3)


def test_flagged_controls_are_left_out():
    found = judge(GOOD, flag="clog", min_z_prime=0.5)
    assert (found["n_positive"], found["verdict"], found["z_prime"]) == (0, "not assessed", None)


def test_every_plate_is_judged_by_its_own_controls():
    noisy = {"positive": [0.0, 50, 100], "negative": [10.0, 60, 110]}
    table = plate_quality(wells({"P2": noisy, "P1": GOOD}), HitCallingConfig(cut=0.0, min_z_prime=0.5))
    assert table["plate"].to_pylist() == ["P1", "P2"]
    assert table["verdict"].to_pylist() == ["pass", "fail"]
    assert table["z_prime"][0].as_py() == pytest.approx(z_prime(POSITIVE, NEGATIVE))


def test_no_readings_are_no_plates():
    assert plate_quality(wells({}), HitCallingConfig(cut=0.0)).num_rows == 0


def test_class_names_are_no_readouts_to_judge():
    table = pa.table({"plate": ["P1"], "content": ["sample"], "value": ["hit"], "flag": pa.nulls(1, pa.string())})
    with pytest.raises(LabelError, match="class names"):
        plate_quality(table, HitCallingConfig(cut=0.0))
