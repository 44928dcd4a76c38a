"""Gauges are set again as long as their process is part of a Ray, and nothing of one Ray is shown on another."""

from __future__ import annotations

import threading
from queue import Queue

import pytest

from isd_ray.actors.metrics import LastingGauges

WAIT_S = 60.0
N = 5


class Ray:
    """Which process this is, and what it was told."""

    def __init__(self) -> None:
        self.process: str | None = "first"
        self.told: Queue[tuple[str, float]] = Queue()
        self.threads: set[threading.Thread] = set()

    def put(self, metric, value, labels):
        self.threads.add(threading.current_thread())
        self.told.put((f"{metric} {labels['campaign']}", value))

    def next(self, n: int) -> list[tuple[str, float]]:
        return [self.told.get(timeout=WAIT_S) for _ in range(n)]

    @property
    def keepers(self) -> set[threading.Thread]:
        return self.threads - {threading.current_thread()}


@pytest.fixture
def ray():
    ray = Ray()
    yield ray
    ray.process = None
    for keeper in ray.keepers:
        keeper.join(WAIT_S)
        assert not keeper.is_alive()


@pytest.fixture
def gauges(ray):
    return LastingGauges(ray.put, 0.001, lambda: ray.process)


def test_the_last_value_of_each_is_set_again_and_again(ray, gauges):
    gauges.set("round", 1.0, {"campaign": "a"})
    gauges.set("round", 2.0, {"campaign": "a"})
    gauges.set("round", 7.0, {"campaign": "b"})
    while ray.next(1) != [("round b", 7.0)]:
        pass
    assert set(ray.next(2 * N)) == {("round a", 2.0), ("round b", 7.0)}
    [keeper] = ray.keepers
    assert keeper.daemon, "it keeps the process from ending"


def test_values_of_a_ray_that_is_gone_are_not_those_of_the_next(ray, gauges):
    gauges.set("round", 1.0, {"campaign": "a"})
    ray.next(N)
    [keeper] = ray.keepers
    ray.process = "second"
    gauges.set("round", 7.0, {"campaign": "b"})
    keeper.join(WAIT_S)
    assert not keeper.is_alive()
    while ray.next(1) != [("round b", 7.0)]:
        pass
    assert set(ray.next(N)) == {("round b", 7.0)}


def test_it_ends_with_ray_and_begins_again_with_it(ray, gauges):
    gauges.set("round", 1.0, {"campaign": "a"})
    ray.next(N)
    [keeper] = ray.keepers
    ray.process = None
    keeper.join(WAIT_S)
    assert not keeper.is_alive()
    ray.process = "second"
    gauges.set("round", 7.0, {"campaign": "b"})
    while ray.next(1) != [("round b", 7.0)]:
        pass
    assert set(ray.next(N)) == {("round b", 7.0)}


def test_without_ray_nothing_is_kept(ray, gauges):
    ray.process = None
    gauges.set("round", 1.0, {"campaign": "a"})
    assert ray.next(1) == [("round a", 1.0)]
    assert not ray.keepers
