"""In process, Ray with one scorer, and Ray with three scorers and two trainers: the same screen, bit for bit."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from isd_ray.ops.simulate import simulate

TIMES = ["fit_seconds", "score_seconds", "round_seconds"]
CERTIFIED = ("certified", "growing", "diverse")
LAYOUTS = {
    "ray-1": {"backend": "ray", "scorers": 1, "trainers": 1},
    "ray-3": {"backend": "ray", "scorers": 3, "trainers": 2},
}


def batches(path) -> list:
    """The frozen batch of every round."""
    return [pq.read_table(file) for file in sorted(path.glob("rounds/*/attempt-*/batch.parquet"))]


def assert_same(local, other, *, certified: bool = True) -> None:
    """Two runs have chosen the same rows, round by round, and deliver and certify the same."""
    assert all(a.equals(b) for a, b in zip(batches(local.path), batches(other.path), strict=True))
    assert other.rounds.drop(TIMES).equals(local.rounds.drop(TIMES))
    assert other.hybrid.equals(local.hybrid)
    certificates = [run.path / "certificate.json" for run in (local, other)]
    assert [file.is_file() for file in certificates] == [certified, certified]
    assert not certified or certificates[0].read_bytes() == certificates[1].read_bytes()


@pytest.mark.parametrize("screen", ["paper", "certified", "growing", "diverse", "regression", "race"])
def test_every_backend_chooses_the_same_rows_and_stops_at_the_same_round(
    screen, make_config, regression, ray_cluster, tmp_path
):
    changes = {
        "paper": {"acquisition": {"batch_size": 120, "random_share": 0.1}},
        "certified": {"stopping": {"rule": "certify", "gamma": 0.86}},
        "growing": {
            "acquisition": {"batch_size": 60, "growth": 1.4},
            "stopping": {"rule": "certify", "gamma": 0.86},
        },
        "diverse": {
            "acquisition": {"batch_size": 120, "pick": "diverse"},
            "stopping": {"rule": "certify", "gamma": 0.86},
        },
        "regression": regression,
        "race": {"model": {"families": ["boosted", "linear", "resmlp"], "boosted": {"trees": 10}, "members": 1}},
    }[screen]
    local = simulate(make_config(**changes), tmp_path / "local")
    assert len(batches(local.path)) > 3, "too short a campaign shows nothing"
    for name, layout in LAYOUTS.items():
        other = simulate(make_config(**changes, compute=layout), tmp_path / name)
        assert_same(local, other, certified=screen in CERTIFIED)
        assert other.summary["stopped_at_round"] == local.summary["stopped_at_round"]


@pytest.mark.parametrize(
    ("screen", "batch_size", "stopping"),
    [
        ("recall", 90, {"rule": "certify", "quantity": "recall", "gamma": 0.8, "positive": "BBB-"}),
        ("reserved", 120, {"rule": "reserved", "gamma": 0.85, "first_look_share": 0.5}),
    ],
)
def test_looks_at_groups_and_reserves_are_the_same_on_ray(
    screen, batch_size, stopping, make_config, ray_cluster, tmp_path
):
    """Predicted hits, audits of the predicted negatives, ranks in a group, and a finish, by three scorers."""
    changes = {
        "model": {"epochs": 12},
        "acquisition": {"batch_size": batch_size, "function": "least_confidence"},
        "stopping": stopping,
    }
    local = simulate(make_config(**changes), tmp_path / "local")
    ray = simulate(make_config(**changes, compute=LAYOUTS["ray-3"]), tmp_path / "ray")
    roles = {role for batch in batches(local.path) for role in batch["role"].to_pylist()}
    assert roles >= {"finish", *(("audit", "hit") if screen == "recall" else ("reserve",))}
    assert_same(local, ray)


@pytest.mark.parametrize("claims", [None, {"gamma": {"has_00": 0.7, "has_0[1-9]": 0.8}}])
def test_a_panel_is_the_same_on_ray(claims, make_config, panel, ray_cluster, tmp_path):
    """Packed predictions, fractional losses and betting, or a claim about each output, by three scorers."""
    panel["stopping"] |= {"gamma": 0.75, "panel": claims} if claims else {}
    local = simulate(make_config(**panel), tmp_path / "local")
    ray = simulate(make_config(**panel, compute=LAYOUTS["ray-3"]), tmp_path / "ray")
    assert len(batches(local.path)) > 3, "too short a campaign shows nothing"
    assert_same(local, ray)


@pytest.mark.parametrize("hits", [{}, {"has_cl": "recall"}])
def test_a_panel_with_numbers_is_the_same_on_ray(hits, make_config, numbers, ray_cluster, tmp_path):
    """Values of several outputs, and claims of different kinds, by three scorers."""
    claims = {"quantity": {"n_atoms": "mae", **hits}, "max_loss": {"n_atoms": 3.0}, "loss_clip": {"n_atoms": 10.0}}
    stopping = {**numbers["stopping"], "gamma": 0.65, "panel": claims, **({"delta": 0.2} if hits else {})}
    changes = {**numbers, "stopping": stopping}
    local = simulate(make_config(**changes), tmp_path / "local")
    ray = simulate(make_config(**changes, compute=LAYOUTS["ray-3"]), tmp_path / "ray")
    assert len(batches(local.path)) > 3, "too short a campaign shows nothing"
    assert_same(local, ray)


def test_a_mean_error_over_all_outputs_is_the_same_on_ray(make_config, numbers, ray_cluster, tmp_path):
    tolerances = {**numbers["stopping"]["tolerances"], "has_*": 0.3}
    stopping = {"rule": "certify", "quantity": "mae", "max_loss": 0.6, "loss_clip": 4.0, "tolerances": tolerances}
    changes = {**numbers, "labels": {**numbers["labels"], "numbers": ["*"]}, "stopping": stopping}
    local = simulate(make_config(**changes), tmp_path / "local")
    ray = simulate(make_config(**changes, compute=LAYOUTS["ray-3"]), tmp_path / "ray")
    assert len(batches(local.path)) > 3, "too short a campaign shows nothing"
    assert_same(local, ray)


def test_another_seed_chooses_other_rows(make_config, tmp_path):
    first = simulate(make_config(), tmp_path / "0")
    second = simulate(make_config(seed=1), tmp_path / "1")
    assert not batches(first.path)[0]["row"].equals(batches(second.path)[0]["row"])
    assert not batches(first.path)[1]["row"].equals(batches(second.path)[1]["row"])
