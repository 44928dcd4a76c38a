"""Room is had whole or not at all, and who waits for it holds nothing."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
import ray

from isd_ray.actors import room as rooms
from isd_ray.actors.group import ActorGroup
from isd_ray.actors.room import Room, ahead_of
from isd_ray.campaign.watcher import Watcher
from isd_ray.core.placement import Demand
from isd_ray.errors import ResourceError
from isd_ray.ops.simulate import simulate
from tests.ray.test_faults import Worker, options

WAIT_S = 120.0
CPUS = 16.0
TRAINERS, SCORERS = (options(name=name, size=2, demand=Demand({"CPU": 3.0})) for name in ("trainer", "scorer"))
"""12 of 16 CPUs: two of them at once, one actor each in turn, would hold 15 and wait for ever."""


def free() -> float:
    return ray.available_resources().get("CPU", 0.0)


def waits_for(n_cpus: float) -> bool:
    """Whether so many are free before long: what was given back is told to all with some delay."""
    done = threading.Event()
    for _ in range(int(10 * WAIT_S)):
        if free() == n_cpus:
            return True
        done.wait(0.1)
    return False


def test_who_waits_for_room_holds_nothing_and_gets_all_of_it_in_the_end(ray_cluster, monkeypatch, caplog):
    monkeypatch.setattr(rooms, "STILL_WAITING_S", 0.5)
    first = Room((TRAINERS, SCORERS), WAIT_S)
    taken: list[Room] = []
    with caplog.at_level("WARNING", "isd_ray"):
        second = threading.Thread(target=lambda: taken.append(Room((TRAINERS, SCORERS), WAIT_S)))
        second.start()
        while "waiting for room" not in caplog.text:
            second.join(0.1)
        assert waits_for(CPUS - 12.0)
        assert not taken
        first.give_back()
        second.join(WAIT_S)
    taken[0].give_back()
    assert (
        "asked for are 2 trainer actors of 3 CPU, 2 scorer actors of 3 CPU, all at once; free now: 4 CPU" in caplog.text
    )
    assert waits_for(CPUS)


def test_actors_run_in_it_lost_ones_too_and_later_ones_beside_it(ray_cluster, tmp_path):
    scorers = options(name="scorer", size=3, min_size=2, demand=Demand({"CPU": 4.0}))
    room = Room((scorers,), WAIT_S)
    group = ActorGroup(Worker, (str(tmp_path / "marker"),), scorers, room.place)
    group.wait_until_ready()
    assert group.map("square", [(x,) for x in range(6)]) == [0, 1, 4, 9, 16, 25]  # one dies on the way
    assert (tmp_path / "marker").exists()
    ray.get(list(group._starting), timeout=WAIT_S)
    assert waits_for(CPUS - 12.0)
    group.close()
    assert waits_for(CPUS - 8.0)
    room.give_back()
    assert waits_for(CPUS)


def test_a_list_of_labels_with_spaces_is_met_by_its_second_value_in_a_room_and_beside_it(ray_cluster, tmp_path):
    [here] = [node["NodeID"] for node in ray.nodes()]
    demand = Demand({"CPU": 1.0}, {"ray.io/node-id": f"in(elsewhere, {here})"})
    asked = options(size=2, min_size=1, demand=demand, start_timeout_s=60.0)
    room = Room((asked,), WAIT_S)
    group = ActorGroup(Worker, (str(tmp_path / "marker"),), asked, room.place)
    group.wait_until_ready()
    ray.get(list(group._starting), timeout=WAIT_S)
    group.close()
    room.give_back()
    assert waits_for(CPUS)


def test_who_comes_first_is_who_has_the_higher_priority_and_then_who_has_waited_longest(ray_cluster, monkeypatch):
    asking, order = set(), []

    def note(mine, asked):
        asking.add(mine)
        return ahead_of(mine, asked)

    def wait(name, priority):
        room = Room((TRAINERS, SCORERS), WAIT_S, name, priority)
        order.append(name)
        used.wait(3.0)  # the others line up meanwhile
        room.give_back()

    monkeypatch.setattr(rooms, "ahead_of", note)
    used, taken = threading.Event(), Room((TRAINERS, SCORERS), WAIT_S)
    waiting = []
    for name, priority in [("low", -1), ("first", 0), ("second", 0), ("urgent", 5)]:
        waiting.append(threading.Thread(target=wait, args=(name, priority)))
        waiting[-1].start()
        while len(asking) <= len(waiting):  # the one that has it asked as well
            waiting[-1].join(0.1)
    taken.give_back()
    for thread in waiting:
        thread.join(WAIT_S)
    assert order == ["urgent", "first", "second", "low"]
    assert waits_for(CPUS)


def test_who_waits_for_something_else_or_for_what_is_nowhere_keeps_nobody_waiting(ray_cluster):
    huge = options(name="trainer", size=1, demand=Demand({"CPU": 3.0, "isd_trainer": 1.0}), start_timeout_s=5.0)
    failed = []

    def wait():
        with pytest.raises(ResourceError, match="did not start within 5"):
            Room((huge,), WAIT_S, "huge", priority=9)
        failed.append(True)

    waiting = threading.Thread(target=wait)
    waiting.start()
    room = Room((TRAINERS, SCORERS), WAIT_S)
    assert not failed
    room.give_back()
    waiting.join(WAIT_S)
    assert failed
    assert waits_for(CPUS)


def test_room_that_others_use_and_room_that_is_nowhere_have_limits_of_their_own(ray_cluster):
    taken = Room((TRAINERS, SCORERS), WAIT_S)
    patient = options(name="trainer", size=2, demand=Demand({"CPU": 3.0}), start_timeout_s=WAIT_S)
    with pytest.raises(ResourceError, match="others left no room within 1 s; asked for are ") as busy:
        Room((patient, SCORERS), 1.0)
    assert "compute.room_timeout_s" in str(busy.value)
    taken.give_back()
    huge = options(name="trainer", size=2, demand=Demand({"CPU": 3.0, "isd_trainer": 1.0}), start_timeout_s=1.0)
    with pytest.raises(
        ResourceError, match=r"2 of 2 trainer actors did not start within 1\.0 s; each asks for 3 CPU, 1 "
    ):
        Room((huge, SCORERS), WAIT_S)
    assert waits_for(CPUS)


def test_actors_that_ask_for_nothing_need_no_room(ray_cluster):
    nothing = options(name="trainer", demand=Demand({"CPU": 0.0}))
    room = Room((nothing,), 0.0)
    assert room.place(nothing, 0) is None
    room.give_back()


class Taker:
    """Takes room, as a coordinator does, and is killed before it can give it back."""

    def __init__(self, owner: str) -> None:
        self._room = Room((TRAINERS, SCORERS), WAIT_S, owner)

    def ready(self) -> bool:
        return True


def test_what_a_killed_process_had_is_given_back_by_the_next_of_its_campaign(ray_cluster):
    """Ray keeps it until the driver ends: 12 of 16 CPUs, so that the next one could have none."""
    killed = ray.remote(Taker).options(num_cpus=0).remote("runs/kinase")
    assert ray.get(killed.ready.remote())
    ray.kill(killed)
    with pytest.raises(ResourceError, match="others left no room"):
        Room((TRAINERS, SCORERS), 1.0, "runs/herg")
    room = Room((TRAINERS, SCORERS), 20.0, "runs/kinase")
    room.give_back()
    assert waits_for(CPUS)


def test_what_another_driver_has_is_its_own_whatever_its_campaign_is_called(ray_cluster):
    context = ray.get_runtime_context()
    code = f"""
import ray
from tests.ray.test_room import Room, SCORERS, TRAINERS, WAIT_S
ray.init({context.gcs_address!r}, namespace={context.namespace!r}, log_to_driver=False)
room = Room((TRAINERS, SCORERS), WAIT_S, "runs/kinase")
print("taken", flush=True)
input()
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as other:
        assert "taken\n" in other.stdout
        with pytest.raises(ResourceError, match="others left no room"):
            Room((TRAINERS, SCORERS), 1.0, "runs/kinase")
        other.communicate("\n")
    assert waits_for(CPUS)


class Leaves(Watcher):
    """Ends a screen at its first step, as whoever interrupts it does."""

    def step(self, name, progress):
        raise KeyboardInterrupt


def test_a_screen_that_is_left_in_the_middle_gives_its_room_back(make_config, ray_cluster, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        simulate(make_config(compute={"backend": "ray"}), tmp_path / "run", Leaves())
    assert waits_for(CPUS)
