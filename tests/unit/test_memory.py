"""Memory of a screen: one model, for the plan and for the check before a start."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from isd_ray.campaign.watcher import Watcher
from isd_ray.config import ModelConfig
from isd_ray.core.memory import MIB, ScreenSize, memory_in_one, memory_of_each, memory_together, network_bytes
from isd_ray.errors import ResourceError
from isd_ray.models.resmlp import Architecture
from isd_ray.ops.memory import memory_needed
from isd_ray.ops.plan import plan_campaign
from isd_ray.ops.prepare import prepare

SIZE = ScreenSize(
    n_rows=1_000_000, n_observed=10_000, n_outputs=0, members=5, member_bytes=8e6, row_values=0.0,
    block_rows=8192, part_rows=131_072, trainers=2, scorers=4,
)  # fmt: skip


def grown(**changes) -> set[str]:
    """Kinds of processes that need more after a change."""
    before, after = memory_of_each(SIZE), memory_of_each(replace(SIZE, **changes))
    assert all(after[kind] >= before[kind] for kind in before)
    return {kind for kind in before if after[kind] > before[kind]}


def test_each_process_pays_for_what_it_holds():
    assert grown(n_rows=2_000_000) == {"driver", "coordinator", "scorer"}
    assert grown(n_observed=500_000) == {"coordinator", "trainer"}
    assert grown(n_outputs=100) == {"driver", "coordinator", "scorer"}
    assert grown(member_bytes=9e6) == {"coordinator", "trainer", "scorer"}
    assert grown(members=6) == {"coordinator", "scorer"}
    assert grown(row_values=50.0) == {"trainer"}
    assert grown(resident_bytes=1e9) == grown(part_rows=1_000_000) == {"scorer"}
    assert grown(scorers=2) == {"scorer"}, "each has more of the rows"


@pytest.mark.parametrize(
    ("n_rows", "measured"),
    [
        (1_000_000, {"driver": 410, "coordinator": 290, "trainer": 371, "scorer": 531}),
        (3_000_000, {"driver": 702, "coordinator": 391, "trainer": 377, "scorer": 626}),
    ],
)
def test_it_is_near_what_screens_took(n_rows, measured):
    """MiB as RESULTS.md has them, by `python -m tests.benchmarks.memory --members 1 --workers 1`."""
    network = network_bytes(2048, ModelConfig().hidden_size, ModelConfig().residual_blocks, 2)
    screen = {"n_observed": n_rows // 25, "members": 1, "member_bytes": network, "trainers": 1, "scorers": 1}
    found = memory_of_each(replace(SIZE, n_rows=n_rows, **screen))
    for kind, truth in measured.items():
        assert 1 / 1.1 <= found[kind] / MIB / truth <= 1.5, kind


def test_more_processes_need_more_together_and_one_process_needs_least():
    store = 512 << 20
    assert memory_together(replace(SIZE, trainers=3), store) > memory_together(SIZE, store) > memory_in_one(SIZE)
    assert memory_together(SIZE, 2 * store) == memory_together(SIZE, store) + store


@pytest.mark.parametrize("kind", ["on_bits", "dense"])
def test_the_weights_of_a_network_are_reckoned_from_its_keys(kind):
    model = ModelConfig()
    shapes = Architecture(kind, 2048, 2, hidden_size=model.hidden_size, residual_blocks=model.residual_blocks).shapes()
    exact = 4 * sum(int(np.prod(shape)) for shape in shapes.values())
    assert network_bytes(2048, model.hidden_size, model.residual_blocks, 2) == pytest.approx(exact, rel=0.01)


@pytest.mark.parametrize("backend", ["local", "ray"])
@pytest.mark.parametrize("families", [["resmlp"], ["resmlp", "linear"]])
def test_what_is_planned_is_what_is_asked_for_before_a_start(make_config, tmp_path, backend, families):
    tables = {"stopping": {"max_fraction": 0.5}, "model": {"families": families, "members": 2}}
    config = make_config(**tables, compute={"backend": backend})
    need = memory_needed(config.compute, plan_campaign(config, out=tmp_path, stop_share=0.5).outlay.size)
    prepare(make_config(**tables, compute={"backend": backend, "memory": int(1.02 * need)}), tmp_path, Watcher())
    with pytest.raises(ResourceError, match="the run may need"):
        prepare(make_config(**tables, compute={"backend": backend, "memory": int(0.98 * need)}), tmp_path, Watcher())
