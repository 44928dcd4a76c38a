"""Threads of one process share one embedded Ray, and none gets a part of the room that it needs."""

from __future__ import annotations

import threading

import pytest

from isd_ray.config import ComputeConfig
from isd_ray.errors import IsdError, ResourceError
from isd_ray.ops import compare as comparing
from isd_ray.ops.connect import ray_session

N_CPUS = 4.0
PATIENT, HASTY = {"start_timeout_s": 60.0}, {"start_timeout_s": 0.05}


class Ray:
    """As much of Ray as sessions use; like it, it may not be initialised twice."""

    def __init__(self) -> None:
        self.is_up = False
        self.n_started = self.n_ended = 0

    def init(self, **options):
        assert not self.is_up, "Perhaps you called ray.init twice by accident?"
        self.is_up, self.n_started = True, self.n_started + 1

    def shutdown(self):
        assert self.is_up
        self.is_up, self.n_ended = False, self.n_ended + 1


@pytest.fixture
def ray(monkeypatch):
    fake = Ray()
    monkeypatch.setattr("ray.init", fake.init)
    monkeypatch.setattr("ray.shutdown", fake.shutdown)
    monkeypatch.setattr("ray.is_initialized", lambda: fake.is_up)
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": N_CPUS})
    return fake


class Elsewhere:
    """A session in another thread, open from `begin` to `end`."""

    def __init__(self, compute: ComputeConfig) -> None:
        self.error: IsdError | None = None
        self.entered, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, args=(compute,))

    def _run(self, compute):
        try:
            with ray_session(compute):
                self.entered.set()
                self._over.wait()
        except IsdError as error:
            self.error = error

    def begin(self):
        self._thread.start()
        return self

    def end(self):
        self._over.set()
        self._thread.join()
        return self


@pytest.fixture
def elsewhere():
    begun = []

    def begin(**compute):
        begun.append(Elsewhere(ComputeConfig(**compute)).begin())
        return begun[-1]

    yield begin
    for session in begun:
        session.end()


def test_two_threads_share_one_ray_which_ends_with_the_last(ray, elsewhere):
    first = elsewhere()
    assert first.entered.wait(60)
    with ray_session(ComputeConfig(**HASTY)):
        first.end()
        assert ray.is_up
    assert (ray.n_started, ray.n_ended) == (1, 1)


def test_one_without_room_waits_for_its_turn(ray, elsewhere):
    with ray_session(ComputeConfig(scorers=3)):
        second = elsewhere(scorers=3, **PATIENT)
        assert not second.entered.is_set()
    assert second.entered.wait(60)
    second.end()
    assert second.error is None
    assert not ray.is_up


def test_one_that_waits_in_vain_is_refused_in_words(ray, elsewhere):
    with ray_session(ComputeConfig(scorers=3)):
        second = elsewhere(scorers=3, **HASTY).end()
        assert "made no room for 4 CPUs within 0.05 s" in second.error.what
        other = elsewhere(address="192.0.2.1:6379", **HASTY).end()
        assert isinstance(other.error, ResourceError)
    assert not ray.is_up


def test_a_session_inside_another_takes_no_room_of_its_own(ray, elsewhere):
    with ray_session(ComputeConfig()):
        with ray_session(ComputeConfig()):
            beside = elsewhere(**HASTY)
            assert beside.entered.wait(60)
        assert ray.is_up
        beside.end()
    assert (ray.n_started, ray.n_ended) == (1, 1)


@pytest.mark.parametrize("n_parallel", [1, 2])
def test_variants_of_a_comparison_need_no_room_beside_its_own(n_parallel, ray, make_config, tmp_path, monkeypatch):
    """Their actors wait for each other on Ray, where they take turns."""
    all_in = threading.Barrier(n_parallel)

    class EnteredError(Exception):
        pass

    def simulate(config, out, watcher):
        with ray_session(config.compute):
            all_in.wait(60)
            raise EnteredError

    monkeypatch.setattr(comparing, "simulate", simulate)
    config = make_config(compute={"backend": "ray", "scorers": 3, **HASTY})
    with pytest.raises(EnteredError):
        comparing.compare(config, tmp_path, ("active", "random")[:n_parallel], n_parallel=n_parallel)
    assert (ray.n_started, ray.n_ended) == (1, 1)


def test_a_ray_of_somebody_else_is_left_running(ray):
    ray.init()
    with ray_session(ComputeConfig(scorers=30, **HASTY)):
        pass
    assert ray.is_up


def test_a_ray_that_was_shut_down_meanwhile_is_started_again(ray):
    with ray_session(ComputeConfig()):
        ray.shutdown()
        with ray_session(ComputeConfig()):
            assert ray.is_up
    assert not ray.is_up
