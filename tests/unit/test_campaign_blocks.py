"""A campaign goes on with the feature blocks that it began with, in the order in which its models were fitted."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pyarrow.csv
import pytest

import isd_ray as isd
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.versions import BLOCK_ORDER, checked_blocks, newest, versions_on_record
from isd_ray.campaign.watcher import Watcher
from isd_ray.data.blocks.add import remove_block
from isd_ray.data.library import Library
from isd_ray.errors import LibraryChangedError
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.prepare import prepare
from isd_ray.ops.simulate import simulate
from isd_ray.ops.verify import verify
from tests.unit.blocks_helpers import add_values


def settings(folder, **library):
    return {
        "library": {"path": str(folder / "library"), **library},
        "model": {"families": ["linear"]},
        "stopping": {"rule": "none", "max_rounds": 3},
    }


def add(folder, name, seed):
    add_values(Library.open(folder / "library"), name, np.random.default_rng(seed).normal(size=(900, 2)))


@pytest.mark.parametrize("is_replaced", [True, False])
@pytest.mark.parametrize("name", ["columns", "zeta"])  # names that sort before "fingerprints", and behind it
def test_a_block_that_was_replaced_or_dropped_is_refused_and_found(name, is_replaced, make_config, tmp_path):
    config = make_config(**settings(tmp_path))
    prepare(config, tmp_path / "run", Watcher())
    add(tmp_path, name, 0)
    add(tmp_path, "kept", 0)
    run = simulate(config, tmp_path / "run")
    assert verify(CampaignStore.open(run.path)).is_sound
    told = make_config(**settings(tmp_path), labels={"classes": ["BBB+", "BBB-"]})
    campaign = Campaign.create(tmp_path / "laboratory", told)
    remove_block(tmp_path / "library", name)
    if is_replaced:
        add(tmp_path, name, 1)
    said = f"the block {name!r} of the library is " + ("another one" if is_replaced else "gone")
    for use in (lambda: isd.load_model(run.path), campaign.ask):
        with pytest.raises(LibraryChangedError, match=said):
            use()
    [problem] = verify(CampaignStore.open(run.path)).problems
    assert said in problem


def test_blocks_stand_in_the_order_in_which_the_models_were_fitted(make_config, compounds, tmp_path):
    library = {"descriptors": ["rdkit2d"], "dense_columns": ["size"]}
    run = simulate(make_config(**settings(tmp_path, **library)), tmp_path / "run")
    assert list(newest(CampaignStore.open(run.path)).blocks) == ["fingerprints", "rdkit2d", "columns"]
    screen = {line["id"]: line for line in run.hybrid.to_pylist() if line["source"] == "predicted"}
    for line in isd.load_model(run.path).predict(pyarrow.csv.read_csv(compounds)).to_pylist():
        if line["id"] in screen:
            assert line["confidence"] == pytest.approx(screen[line["id"]]["confidence"], abs=1e-5)


@pytest.mark.parametrize(("in_laboratory", "order"), [(False, ["main", "z", "a"]), (True, ["a", "main", "z"])])
def test_campaigns_without_an_order_on_record_keep_the_one_they_were_fitted_in(in_laboratory, order):
    hashes = {"a": "1", "main": "2", "z": "3"}
    library = SimpleNamespace(block_names=("main", "z", "a"), block_hash=hashes.get)
    manifest = {"n_target": 9, "library_hash": "2", "blocks": hashes, "in_laboratory": in_laboratory}
    store = SimpleNamespace(manifest=manifest, events=list)
    assert list(checked_blocks(store, newest(store), library)) == order
    manifest[BLOCK_ORDER] = ["z", "main", "a"]
    assert list(checked_blocks(store, newest(store), library)) == list(versions_on_record(store)[0].blocks)
    assert list(newest(store).blocks) == ["z", "main", "a"]
