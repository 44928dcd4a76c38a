"""The stages of a round: none changes, each state of the loop has its own, and the store knows where they stood."""

from __future__ import annotations

import json
import re
from typing import get_args

import pyarrow.parquet as pq
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
    "portion": ({"rule": "certify", "gamma": 0.75, "portions": 2, "max_compounds": 600}, 0.2),
    "finish": ({"rule": "pac", "gamma": 0.9}, 0.02),
}


@pytest.mark.parametrize("goes_on", sorted(SCREENS))
def test_loops_that_take_over_from_each_other_do_what_one_does(goes_on, make_config, tmp_path):
    stopping, lost_share = SCREENS[goes_on]
    lab = {"simulation": {"lost_share": lost_share}, "acquisition": {"batch_size": 90}}
    config = make_config(seed=7, stopping=stopping, **lab)
    by_one = rounds_of(config, tmp_path / "one", reopened=False)
    assert {goes_on, "repeat"} <= {decision for _, decision, _ in by_one}
    assert by_one == rounds_of(config, tmp_path / "many", reopened=True)


def test_who_takes_over_writes_the_tables_of_all_rounds_once(make_config, tmp_path, monkeypatch):
    """As they were, also where the one before was cut off just before."""
    config = make_config(seed=7, stopping={"rule": "pac", "gamma": 0.9}, acquisition={"batch_size": 90})
    rounds_of(config, tmp_path / "run", reopened=False)
    files = [tmp_path / "run" / name for name in ("rounds.parquet", "calibration.parquet")]
    before, written, write = [pq.read_table(file) for file in files], [], CampaignStore.write_table
    for file in files:
        file.unlink()

    def counting(store, name, *what):
        written.append(name)
        write(store, name, *what)

    monkeypatch.setattr(CampaignStore, "write_table", counting)
    setup = prepare(config, tmp_path / "run", Watcher())
    open_loop(setup, Backend(setup.spec, setup.truth, LocalWorkers(setup.spec)))
    assert len(before[0]) > 2
    assert written == [file.name for file in files]
    assert [pq.read_table(file) for file in files] == before
