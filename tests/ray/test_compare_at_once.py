"""Variants of a comparison that run at the same time give what they give one after the other."""

from __future__ import annotations

import json

import pytest

from isd_ray.campaign.watcher import Watcher
from isd_ray.errors import ConfigError
from isd_ray.ops.compare import compare

SMALL = {
    "model": {"hidden_size": 8, "epochs": 2, "members": 1},
    "acquisition": {"batch_size": 100},
    "stopping": {"rule": "none", "max_rounds": 3},
}
AGENTS = ("active", "random")


class Order(Watcher):
    """The steps as they come, by their variant."""

    def __init__(self):
        self.names = []

    def step(self, name, progress):
        self.names.append(name)


def test_variants_at_the_same_time_are_those_one_after_the_other(make_config, ray_cluster, tmp_path):
    own_library = {"path": None}  # built by itself
    config = make_config(**SMALL, library=own_library, compute={"backend": "ray", "device": "cpu"})
    order = Order()
    at_once = compare(config, tmp_path / "at-once", AGENTS, 2, watcher=order, n_parallel=4)
    single = compare(config, tmp_path / "single", AGENTS, 2)
    assert json.loads((tmp_path / "at-once" / "summary.json").read_text()) == dict(single.summary)
    assert at_once.summary == single.summary
    names = order.names
    assert set(names) == {f"{agent}, seed {seed}" for agent in AGENTS for seed in (0, 1)}
    assert names != sorted(names, key=names.index), "they ran one after the other"


def test_without_ray_they_run_one_after_the_other(make_config, tmp_path):
    with pytest.raises(ConfigError, match="at the same time on Ray only"):
        compare(make_config(**SMALL), tmp_path, AGENTS, n_parallel=2)
