"""The stages of a round: none changes, each state of the loop has its own, and the store knows where they stood."""

from __future__ import annotations

import json
import re
from typing import get_args

import pytest

from isd_ray.campaign.backend import Backend
from isd_ray.campaign.setup import open_loop
from isd_ray.campaign.stages import Stage
from isd_ray.campaign.states import LoopState
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.watcher import Watcher
from isd_ray.campaign.workers import LocalWorkers
from isd_ray.ops.prepare import prepare

_ATTEMPT = re.compile(r"attempt-\d+-\w+")
_REMADE = {state.value for state in LoopState} - {"score", "release", "decide"}
"""States that another process finds in the store; the work since is done again."""


def test_every_state_of_the_loop_has_a_stage_which_nothing_changes():
    stages = get_args(Stage)
    assert {stage.state for stage in stages} == set(LoopState)
    for stage in stages:
        assert stage.__dataclass_params__.frozen
        assert hasattr(stage, "number")


def rounds_of(config, path, *, reopened: bool) -> list:
    """Records, decisions and batches by one loop, or by a new one at each stage that the store knows."""
    setup = prepare(config, path, Watcher())
    backend = Backend(setup.spec, setup.truth, LocalWorkers(setup.spec))
    loop = open_loop(setup, backend)
    while not (progress := loop.advance()).done:
        if reopened and progress.state in _REMADE:
            loop = open_loop(setup, backend)
    rounds = []
    for files in CampaignStore.open(path).rounds():
        said = {key: value for key, value in files.committed.items() if not key.endswith("seconds")}
        rounds.append((_ATTEMPT.sub("", json.dumps(said)), said["decision"], files.read_batch()))
    return rounds


SCREENS = {
    "portion": ({"rule": "certify", "gamma": 0.75, "portions": 2, "max_compounds": 600}, 0.2, 7),
    "finish": ({"rule": "pac", "gamma": 0.9}, 0.02, 1),
}
"""Section of the stop, share of the wells that are lost, and a seed with which rounds of the kind come."""


@pytest.mark.parametrize("goes_on", sorted(SCREENS))
def test_loops_that_take_over_from_each_other_do_what_one_does(goes_on, make_config, tmp_path):
    stopping, lost_share, seed = SCREENS[goes_on]
    lab = {"simulation": {"lost_share": lost_share}, "acquisition": {"batch_size": 90}}
    config = make_config(seed=seed, stopping=stopping, **lab)
    by_one = rounds_of(config, tmp_path / "one", reopened=False)
    assert {goes_on, "repeat"} <= {decision for _, decision, _ in by_one}
    assert by_one == rounds_of(config, tmp_path / "many", reopened=True)


def test_a_loop_that_takes_over_writes_the_tables_of_all_rounds_once(make_config, tmp_path, monkeypatch):
    config = make_config(acquisition={"batch_size": 90}, stopping={"rule": "none", "max_rounds": 4})
    setup = prepare(config, tmp_path / "run", Watcher())
    backend = Backend(setup.spec, setup.truth, LocalWorkers(setup.spec))
    loop = open_loop(setup, backend)
    while not loop.advance().done:
        pass
    table = tmp_path / "run" / "rounds.parquet"
    whole, written = table.read_bytes(), []
    table.unlink()  # as if it had been killed before
    write = CampaignStore.write_table
    monkeypatch.setattr(
        CampaignStore, "write_table", lambda store, name, *rest: (written.append(name), write(store, name, *rest))
    )
    open_loop(setup, backend)
    assert sorted(written) == ["calibration.parquet", "rounds.parquet"]
    assert table.read_bytes() == whole
