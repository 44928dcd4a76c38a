"""A campaign of weeks: every round in a process of its own, one of them killed, is the campaign of one process."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from isd_ray.ops.campaign import Campaign
from tests.chaos.laboratory import CONFIG, assert_same, create, outcome
from tests.chaos.plated import N_ROUNDS, one_round

PLATES = {
    "plates": {"format": 96, "negative": {"columns": [1]}, "positive": {"columns": [12]}},
    "acquisition": {"batch_size": 70},
    "stopping": {"rule": "none", "max_rounds": N_ROUNDS},
}


@pytest.fixture(scope="module")
def config(make_config):
    return make_config(**{**CONFIG, **PLATES})


@pytest.fixture(scope="module")
def one_process(config, technician, tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    create(folder / "run", config)
    campaign = Campaign.open(folder / "run")
    for number in range(N_ROUNDS):
        one_round(campaign, technician.truth, number, folder / "files")
    assert campaign.ask() is None
    return outcome(folder / "run")


def test_six_processes_and_a_crash_end_like_one(config, compounds, one_process, tmp_path):
    path = tmp_path / "run"
    create(path, config)
    command = [sys.executable, "-m", "tests.chaos.plated", str(path), str(compounds)]
    for number in range(N_ROUNDS):
        if number == 4:
            killed = subprocess.run([*command, str(number), "die"], check=False)
            assert killed.returncode == -signal.SIGKILL
        subprocess.run([*command, str(number)], check=True)
    assert Campaign.open(path).ask() is None
    assert_same(path, one_process)


def test_wells_and_failures_are_on_record(one_process):
    lines = {line["id"]: line for line in one_process["hybrid"].to_pylist()}
    measured = [line for line in lines.values() if line["source"] == "measured"]
    # Three wells of round 1 were flagged, two of round 2 empty; some may have been asked for again.
    assert 6 * 70 - 5 - 5 <= len(measured) <= 6 * 70 - 5
    assert {line["well"][1:] for line in measured} == {f"{column:02d}" for column in range(2, 12)}
    assert len({(line["plate"], line["well"]) for line in measured}) == len(measured)
    assert [line["qc"] for line in measured].count("amended") == 2
