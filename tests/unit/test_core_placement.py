"""Where actors find room, and what is said when they do not."""

from __future__ import annotations

import pytest
from ray._private.label_utils import validate_label_selector

from isd_ray.config import ComputeConfig
from isd_ray.core.placement import Demand, Node, unplaced, what_is_missing

GPU_NODE = Node("10.0.0.1", {"CPU": 8.0, "GPU": 1.0}, {"market": "on-demand"})
CPU_NODE = Node("10.0.0.2", {"CPU": 4.0, "isd_scorer": 4.0}, {"market": "spot"})
NODES = [GPU_NODE, CPU_NODE]


def test_each_actor_goes_where_it_just_fits_so_that_the_demanding_ones_find_room():
    scorer, trainer = Demand({"CPU": 2.0, "GPU": 0.0}), Demand({"CPU": 4.0, "GPU": 1.0})
    assert unplaced({"scorer": (4, scorer), "trainer": (1, trainer)}, NODES) == {}
    assert unplaced({"scorer": (5, scorer), "trainer": (2, trainer)}, NODES) == {"scorer": 1, "trainer": 1}


def test_spaces_in_a_list_of_labels_are_not_told_to_ray_which_takes_them_for_parts_of_values():
    demand = Demand({"CPU": 1.0}, {"type": "in (H100, A100)", "market": "! in( spot ) ", "zone": "a"})
    assert demand.selectors == {"type": "in(H100,A100)", "market": "!in(spot)", "zone": "a"}


def test_a_space_inside_a_value_is_left_for_ray_to_refuse():
    for wanted in ("H100 80GB", "in(H100 80GB,A100)"):
        assert validate_label_selector({"type": wanted}) is not None
        assert Demand({}, {"type": wanted}).selectors == {"type": wanted}


def test_custom_resources_and_labels_keep_actors_where_they_are_meant_to_be():
    assert unplaced({"scorer": (5, Demand({"CPU": 0.0, "isd_scorer": 1.0}))}, NODES) == {"scorer": 1}
    assert unplaced({"scorer": (3, Demand({"CPU": 2.0}, {"market": "spot"}))}, NODES) == {"scorer": 1}


@pytest.mark.parametrize(
    ("selector", "fits"),
    [
        ("spot", True),
        ("!spot", False),
        ("! spot", False),
        (" spot", True),
        ("in(spot, on-demand)", True),
        ("in (spot, on-demand)", True),
        ("!in(spot, other)", False),
        ("! in(spot, other)", False),
        ("other", False),
    ],
)
def test_label_selectors_mean_what_ray_means(selector, fits):
    assert (unplaced({"x": (1, Demand({}, {"market": selector}))}, [CPU_NODE]) == {}) is fits


def test_what_is_missing_is_said_node_by_node():
    assert what_is_missing(Demand({"GPU": 2.0}), NODES) == "10.0.0.1 lacks GPU (1 of 2); 10.0.0.2 lacks GPU (0 of 2)"
    found = what_is_missing(Demand({"CPU": 1.0}, {"market": "other"}), NODES)
    assert found == "10.0.0.1, 10.0.0.2 lacks label market=other"
    assert (
        what_is_missing(Demand({"CPU": 8.0}), NODES)
        == "what it asks for exists on 10.0.0.1: it is in use there, or the actor starts slowly"
    )
    assert what_is_missing(Demand({}), []) == "there is no node"
    same = [Node("10.0.0.1", {"CPU": 8.0}), Node("10.0.0.1", {"CPU": 1.0})]
    words = "what it asks for exists on 10.0.0.1: it is in use there, or the actor starts slowly"
    assert what_is_missing(Demand({"CPU": 8.0}), same) == words, "nodes may share an address"


@pytest.mark.parametrize("name", ["CPU", "GPU", "memory", "object_store_memory"])
def test_rays_own_resources_are_not_custom_ones(name):
    with pytest.raises(ValueError, match=f"{name} is a resource of Ray's own"):
        ComputeConfig(scorer_resources={name: 1.0})
