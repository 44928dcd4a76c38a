"""The scenario `qm9` replays recorded scores: what a world of it may rest on."""

from __future__ import annotations

import numpy as np
import pytest

from tests.benchmarks.stopping import __main__ as benchmark
from tests.benchmarks.stopping import record_qm9, simulate
from tests.benchmarks.stopping.replay import Recording, Replay

N, N_MOLECULES = 60, 100
N_TRAIN = np.array([2, 10, 30])
SMALL = record_qm9.Plan(n_replayed=300, n_paths=2, n_pool=200, n_initial=10, batch=40, n_models=3)


@pytest.fixture
def recorded():
    """Random scores; every molecule has an uncertainty of its own under each model of each path."""
    rng = np.random.default_rng(0)
    shape = (2, len(N_TRAIN), N_MOLECULES)
    return Recording(N_TRAIN, rng.random(shape, np.float32), rng.random(shape) < 0.3)


def observe(n):
    return np.arange(N) < n


@pytest.mark.parametrize(("n_observed", "model"), [(0, 0), (2, 0), (9, 0), (10, 1), (29, 1), (30, 2), (60, 2)])
def test_a_world_says_what_the_largest_model_not_above_the_observed_rows_said(recorded, n_observed, model):
    world = Replay(recorded, N, np.random.default_rng(1))
    world.refit(observe(n_observed))
    rows = np.array([3, 59, 0, 17])
    molecules = world.molecules[rows]
    assert np.array_equal(world.uncertainty(rows), recorded.uncertainty[world.path, model, molecules])
    assert np.array_equal(world.losses(rows), recorded.wrong[world.path, model, molecules])
    assert world.losses(np.arange(N)).sum() == recorded.wrong[world.path, model, world.molecules].sum()


def test_a_world_is_its_seed(recorded):
    first, again, other = (Replay(recorded, N, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first.molecules, again.molecules)
    assert np.array_equal(first.loss, again.loss)
    assert not np.array_equal(first.molecules, other.molecules)
    assert len(np.unique(first.molecules)) == N


def test_worlds_use_every_path_and_molecule(recorded):
    worlds = [Replay(recorded, N, np.random.default_rng(seed)) for seed in range(20)]
    assert {int(world.path) for world in worlds} == {0, 1}
    assert len(np.unique([world.molecules for world in worlds])) == N_MOLECULES


def test_a_stop_is_judged_by_the_recorded_errors_of_what_was_not_measured(recorded):
    world = Replay(recorded, N, np.random.default_rng(3))
    world.refit(observe(12))
    errors = int(recorded.wrong[:, 1, world.molecules[12:]].sum(axis=1)[world.path])
    outcome = simulate.Target(N, 0.8).outcome(world, observe(12), 1)
    assert outcome.accuracy == 1.0 - errors / N
    assert outcome.false_stop == (errors > 11)


def test_a_recording_survives_its_file(recorded, tmp_path):
    file = tmp_path / "cache" / "recording.npz"
    recorded.save(file)
    read = Recording.load(file)
    for name in ("n_train", "uncertainty", "wrong"):
        assert np.array_equal(getattr(read, name), getattr(recorded, name))
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_the_same_plan_records_the_same_scores(isd_data):
    first, again = (record_qm9.record(SMALL, isd_data / "qm9.parquet") for _ in range(2))
    assert np.array_equal(first.uncertainty, again.uncertainty)
    assert np.array_equal(first.wrong, again.wrong)
    assert not np.array_equal(first.wrong[0], first.wrong[1]), "paths differ"
    assert first.wrong[:, -1].mean() < 0.4, "something was learnt"
    assert (first.uncertainty >= 0).all()
    assert (first.uncertainty <= 0.5).all()


def test_without_the_data_the_scenario_is_left_out(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("ISD_CACHE", str(tmp_path))
    monkeypatch.delenv("ISD_DATA", raising=False)
    benchmark.main(["--scenario", "qm9", "--runs", "1", "--jobs", "1"])
    assert "qm9: left out, ISD_DATA names no folder with qm9.parquet" in capsys.readouterr().out
