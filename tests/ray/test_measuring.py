"""A function that measures on Ray: retried where it fails, cancelled where it hangs."""

from __future__ import annotations

import time
from pathlib import Path

import pyarrow.csv
import pytest

from isd_ray.config import ComputeConfig
from isd_ray.errors import LabelError
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.measuring import measured_on_ray

LABORATORY = {
    "labels": {"column": "bbb", "classes": ["BBB+", "BBB-"]},
    "model": {"hidden_size": 8, "epochs": 2, "members": 1},
    "acquisition": {"batch_size": 60},
    "stopping": {"rule": "none", "max_rounds": 2},
}


@pytest.fixture
def batch(make_config, tmp_path, ray_cluster):
    return Campaign.create(tmp_path / "run", make_config(**LABORATORY)).ask()


def test_a_campaign_is_measured_by_tasks(make_config, compounds, tmp_path, ray_cluster):
    table = pyarrow.csv.read_csv(compounds)
    truth = dict(zip(table["name"].to_pylist(), table["bbb"].to_pylist(), strict=True))
    campaign = Campaign.create(tmp_path / "run", make_config(**LABORATORY))
    measure = measured_on_ray(lambda part: {c["id"]: truth[c["id"]] for c in part}, ComputeConfig(), per_task=25)
    summary = campaign.run(measure)
    assert summary["n_acquired"] == 120


def test_a_call_that_fails_once_is_repeated(batch, tmp_path):
    marker = tmp_path / "marker"

    def fails_once(part):
        if not Path(marker).exists():
            Path(marker).touch()
            raise OSError("the instrument is warming up")
        return {compound["id"]: 1 for compound in part}

    assert len(measured_on_ray(fails_once, ComputeConfig(), per_task=30)(batch)) == 60


def test_calls_that_fail_or_hang_for_ever_are_named(batch):
    def breaks(part):
        raise OSError("no vacuum")

    with pytest.raises(LabelError, match=r"2 of 2 calls .* failed 2 times: .*no vacuum"):
        measured_on_ray(breaks, ComputeConfig(), per_task=30, retries=1)(batch)

    def hangs(part):
        time.sleep(3600)

    start = time.monotonic()
    with pytest.raises(LabelError, match="took longer than 1 s"):
        measured_on_ray(hangs, ComputeConfig(), per_task=60, timeout_s=1.0, retries=0)(batch)
    assert time.monotonic() - start < 60
