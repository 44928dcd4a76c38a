"""Several nodes: actors are where the configuration says, and nodes that come and go in a round change no result."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from isd_ray.config_file import to_toml
from tests.chaos.laboratory import SCREEN, assert_same
from tests.chaos.many_nodes import COMPUTE, ROUND, Notes


@pytest.fixture(scope="module")
def out(make_config, tmp_path_factory) -> Path:
    """A campaign whose nodes changed in a round, with the notes of its processes: one cluster for all tests."""
    folder = tmp_path_factory.mktemp("nodes")
    config = folder / "small.toml"
    config.write_text(to_toml(make_config(**SCREEN, compute=COMPUTE)))
    command = [sys.executable, "-m", "tests.chaos.many_nodes", str(config), str(folder / "run")]
    done = subprocess.run(command, check=False, capture_output=True, timeout=600)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    return folder / "run"


@pytest.fixture(scope="module")
def notes(out) -> Notes:
    return Notes(out.with_name("run-notes"))


@pytest.fixture(scope="module")
def calls(notes) -> list[dict]:
    names = json.loads(notes.read("nodes"))
    return [{**call, "node": names[call["node"]]} for call in notes.calls()]


def nodes_of(calls, actor: str) -> set[str]:
    return {call["node"] for call in calls if call["actor"] == actor}


def test_nodes_that_come_and_go_in_the_middle_of_a_round_change_no_result(out, undisturbed_screen):
    assert_same(out, undisturbed_screen)


def test_actors_are_where_the_configuration_says(calls):
    assert nodes_of(calls, "Coordinator") == nodes_of(calls, "BoundActor") == {"head"}
    assert nodes_of(calls, "Trainer") == {"trainers"}
    # The scorer on the node that leaves has begun a call, for the driver waited for that, and never answered.
    assert nodes_of(calls, "Scorer") == {"stays", "joins"}


def test_scorers_of_a_new_node_take_over_in_the_round_in_which_it_joins(calls):
    scored = [call for call in calls if call["actor"] == "Scorer"]
    nodes = {number: {call["node"] for call in scored if call["round"] == number} for number in (ROUND, ROUND + 1)}
    assert nodes[ROUND] == nodes[ROUND + 1] == {"stays", "joins"}
    assert next(call for call in scored if call["round"] == ROUND)["node"] == "joins"


def test_what_no_node_can_hold_is_said_with_what_each_lacks(notes):
    diagnosis = notes.read("diagnosis")
    assert "2 of 2 trainer actors did not start within 1.0 s; each asks for 3 isd_trainer" in diagnosis
    assert "lacks isd_trainer (2 of 3)" in diagnosis
    assert "lacks isd_trainer (0 of 3)" in diagnosis
