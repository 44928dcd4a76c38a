"""Actors die and the screen is the same; what cannot be mended is said clearly.

Invariants: a lost trainer, scorer or coordinator changes neither selections nor stop nor hybrid screen; errors of our
own code are not retried and keep their type; an actor that cannot be placed is named with what it asks for.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path

import psutil
import pytest
import ray
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    LocalRayletDiedError,
    NodeDiedError,
    ObjectFetchTimedOutError,
    ObjectLostError,
    ObjectReconstructionFailedError,
    OutOfDiskError,
    OutOfMemoryError,
    OwnerDiedError,
    WorkerCrashedError,
)

from isd_ray.actors.failure import FailureDecision, FailurePolicy
from isd_ray.actors.group import ActorGroup, GroupOptions
from isd_ray.actors.named import NamedActor, NamedOptions
from isd_ray.campaign.watcher import Watcher
from isd_ray.core.placement import Demand
from isd_ray.errors import ActorLostError, LabelError, ResourceError, StoreError
from isd_ray.ops.simulate import simulate

LOST = (
    *(ActorDiedError, ActorUnavailableError, WorkerCrashedError),
    *(LocalRayletDiedError, NodeDiedError, OutOfMemoryError),
    *(ObjectFetchTimedOutError, ObjectLostError, ObjectReconstructionFailedError, OwnerDiedError),
)
"""What Ray says of a process, a node or an object that is gone."""
TIMES = ["fit_seconds", "score_seconds", "round_seconds"]


def options(**changes) -> GroupOptions:
    size = changes.get("size", 2)
    values = {"name": "test", "size": size, "min_size": size, "demand": Demand({"CPU": 1.0})}
    patience = {"start_timeout_s": 240.0, "call_timeout_s": 60.0, "policy": FailurePolicy(3)}
    return GroupOptions(**{**values, **patience, **changes})


class Worker:
    """Squares numbers; dies, fails or hangs when told to."""

    def __init__(self, marker: str) -> None:
        self._marker = Path(marker)

    def ready(self) -> None:
        pass

    def square(self, x: int) -> int:
        if x == 3 and not self._marker.exists():
            self._marker.touch()
            os._exit(1)
        return x * x

    def always_dies(self) -> None:
        os._exit(1)

    def refuses(self) -> None:
        with self._marker.open("a") as file:
            file.write("called\n")
        raise LabelError("a NaN", "line 7", "remove it")

    def finds_the_disk_full(self) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/cache/part-00000.parquet")

    def finds_the_object_store_full(self) -> None:
        raise OutOfDiskError("Local disk is full")

    def who(self, seconds: float) -> int:
        time.sleep(seconds)
        return os.getpid()

    def never_answers(self) -> None:
        signal.pause()


class NeverStarts(Worker):
    def ready(self) -> None:
        raise LabelError("bad at the start", "here")


class DiesAtTheStart(Worker):
    """Dies once while it starts."""

    def ready(self) -> None:
        self.square(3)


class StartsSlowlyAgain(Worker):
    """In the place of one that was lost it takes a while."""

    def ready(self) -> None:
        if self._marker.exists():
            time.sleep(3.0)


class CannotBeMade(Worker):
    def __init__(self, marker: str) -> None:
        raise ModuleNotFoundError("no module named rdkit")


@pytest.fixture
def group(ray_cluster, tmp_path):
    made = ActorGroup(Worker, (str(tmp_path / "marker"),), options())
    made.wait_until_ready()
    yield made
    made.close()


def test_a_lost_actor_is_replaced_and_its_call_repeated_in_order(group):
    assert group.map("square", [(x,) for x in range(6)]) == [0, 1, 4, 9, 16, 25]


def test_equal_work_stays_with_its_actor_and_a_slow_one_is_relieved(group):
    first = group.map("who", [(0.1,)] * 8)
    assert len(set(first[:4])) == len(set(first[4:])) == 1
    assert first[0] != first[4]
    assert group.map("who", [(0.1,)] * 8) == first
    relieved = group.map("who", [(3.0,)] + [(0.0,)] * 7)
    assert relieved[0] == first[0]
    assert set(relieved[1:]) == {first[4]}


def test_actors_that_keep_dying_end_the_phase(group):
    with pytest.raises(ActorLostError, match="4 test actors were lost during always_dies"):
        group.map("always_dies", [()])


def test_our_own_errors_keep_their_type_and_are_not_retried(group, tmp_path):
    with pytest.raises(LabelError, match=r"line 7: a NaN"):
        group.map("refuses", [()])
    assert (tmp_path / "marker").read_text() == "called\n"


def test_who_waits_for_the_replacement_of_the_last_actor_says_so(ray_cluster, tmp_path, monkeypatch):
    monkeypatch.setattr("isd_ray.actors.group.STILL_WAITING_S", 0.5)
    alone = ActorGroup(StartsSlowlyAgain, (str(tmp_path / "marker"),), options(size=1, start_timeout_s=None))
    heard: list[str] = []
    alone.wait_until_ready(lambda: heard.append("waiting"))
    heard.clear()
    assert alone.map("square", [(3,)]) == [9]
    assert len(heard) > 2
    alone.close()


def test_a_full_disk_is_named_with_its_node_and_no_traceback(group):
    node = ray.util.get_node_ip_address()
    with pytest.raises(StoreError) as full:
        group.map("finds_the_disk_full", [()])
    assert full.value.where == f"/cache/part-00000.parquet, node {node}"
    assert "No space left" in full.value.what
    assert "Traceback" not in str(full.value)
    with pytest.raises(ResourceError, match="object store is full") as both:
        group.map("finds_the_object_store_full", [()])
    assert both.value.where == f"node {node}"
    assert "--temp-dir" in both.value.remedy


def test_silence_is_an_error_that_names_what_was_waited_for(ray_cluster, tmp_path):
    silent = ActorGroup(Worker, (str(tmp_path / "marker"),), options(size=1, call_timeout_s=1.0))
    silent.wait_until_ready()
    with pytest.raises(ActorLostError, match="no answer to never_answers"):
        silent.map("never_answers", [()])
    silent.close()


def test_an_actor_that_cannot_be_placed_is_named_with_what_it_asks_for(ray_cluster, tmp_path):
    demand = Demand({"CPU": 1.0, "GPU": 64.0, "isd_trainer": 1.0})
    huge = ActorGroup(
        Worker,
        ("",),
        options(size=1, demand=demand, start_timeout_s=1.0),
    )
    words = r"asks for 1 CPU, 64 GPU, 1 isd_trainer: .* lacks GPU \(0 of 64\), isd_trainer \(0 of 1\); free now: "
    with pytest.raises(ResourceError, match=words):
        huge.wait_until_ready()
    huge.close()


def test_who_waits_says_what_for_until_there_is_room(ray_cluster, monkeypatch, caplog):
    monkeypatch.setattr("isd_ray.actors.group.STILL_WAITING_S", 0.1)
    first, second = (ActorGroup(Worker, ("",), options(size=1, demand=Demand({"CPU": 12.0}))) for _ in range(2))
    first.wait_until_ready()

    def make_room() -> None:
        second._log_waiting()
        first.close()

    with caplog.at_level("WARNING", "isd_ray"):
        second.wait_until_ready(make_room)
    second.close()
    assert "waiting for 1 of 1 test actors; each asks for 12 CPU: what it asks for exists on" in caplog.text


def test_an_error_at_the_start_keeps_its_type(ray_cluster):
    broken = ActorGroup(NeverStarts, ("",), options(size=1))
    with pytest.raises(LabelError, match="bad at the start"):
        broken.wait_until_ready()
    broken.close()


def test_an_error_at_the_start_is_said_although_others_still_wait_for_room(ray_cluster):
    """Two find room; the third would wait for ever."""
    broken = ActorGroup(NeverStarts, ("",), options(size=3, demand=Demand({"CPU": 8.0}), start_timeout_s=None))
    with pytest.raises(LabelError, match="bad at the start"):
        broken.wait_until_ready()
    broken.close()


def test_an_actor_lost_while_it_starts_is_replaced_within_the_budget(ray_cluster, tmp_path):
    for budget in (0, 1):
        (tmp_path / "marker").unlink(missing_ok=True)
        policy = FailurePolicy(budget)
        group = ActorGroup(DiesAtTheStart, (str(tmp_path / "marker"),), options(size=1, policy=policy))
        if budget:
            group.wait_until_ready()
            assert group.map("square", [(4,)]) == [16]
        else:
            with pytest.raises(ActorLostError, match="1 test actors were lost during ready"):
                group.wait_until_ready()
        group.close()


def test_an_actor_that_cannot_be_made_is_not_tried_again(ray_cluster):
    group = ActorGroup(CannotBeMade, ("",), options(size=1))
    with pytest.raises(ActorLostError, match=r"cannot be made:[\s\S]*no module named rdkit"):
        group.wait_until_ready()
    group.close()


def test_an_actor_that_has_started_joins_before_answers_are_taken(ray_cluster, tmp_path):
    group = ActorGroup(Worker, (str(tmp_path / "marker"),), options(size=1))
    ray.wait(list(group._starting))
    assert group._next_event("square", {ray.put(0): (0, 0)}) in group._starting
    group.close()


def test_the_policy_replaces_within_its_budget():
    policy = FailurePolicy(2)
    assert [policy.decide(n) for n in (1, 2, 3)] == [*[FailureDecision.REPLACE] * 2, FailureDecision.GIVE_UP]


def test_whatever_a_loss_is_called_the_actor_is_replaced_and_its_call_repeated(group, monkeypatch):
    get, coming = ray.get, []

    def get_or_lose(reference):
        if coming:
            raise coming.pop()
        return get(reference)

    monkeypatch.setattr("ray.get", get_or_lose)
    for loss in LOST:
        coming.append(loss.__new__(loss))
        assert group.map("square", [(x,) for x in (0, 1, 2)]) == [0, 1, 4]
        assert not coming


def test_memory_that_keeps_running_out_is_named_with_what_helps(group, monkeypatch):
    def get(reference):
        raise OutOfMemoryError("90 lines of Ray's")

    monkeypatch.setattr("ray.get", get)
    with pytest.raises(ActorLostError, match="4 test actors were lost during square; the last: Ray ended it") as error:
        group.map("square", [(4,)])
    assert "memory of its node was running out" in str(error.value)
    assert "compute.scorers" in str(error.value)
    assert "90 lines" not in str(error.value)


@pytest.mark.parametrize("loss", [OutOfMemoryError, NodeDiedError])
def test_a_coordinator_that_is_lost_in_these_ways_is_called_again(loss, monkeypatch):
    actor = NamedActor.__new__(NamedActor)
    actor._options, n_started = NamedOptions("kinase", 1.0, FailurePolicy(2)), []
    monkeypatch.setattr(actor, "ready", lambda: n_started.append(True))
    answers = iter([*[loss("lost")] * 2, 7, *[loss("lost")] * 3])

    def attempt():
        if isinstance(answer := next(answers), Exception):
            raise answer
        return answer

    assert actor._insist("ask", attempt) == 7
    assert len(n_started) == 2
    with pytest.raises(ActorLostError, match=r"the coordinator was lost 3 times during ask; the last: .*its node"):
        actor._insist("ask", attempt)


class Killer(Watcher):
    """Kills the process of one kind of actor once, when a state of the loop is reached."""

    def __init__(self, actor: str, state: str) -> None:
        self.actor, self.state, self.n_killed = actor, state, 0

    def step(self, name, progress) -> None:
        if progress.round == 2 and progress.state == self.state and not self.n_killed:
            for process in psutil.Process().children(recursive=True):
                if any(part.startswith(f"ray::{self.actor}") for part in process.cmdline()):
                    process.kill()
                    self.n_killed += 1


@pytest.fixture(scope="module")
def undisturbed(make_config, tmp_path_factory):
    return simulate(make_config(), tmp_path_factory.mktemp("undisturbed") / "run")


@pytest.mark.parametrize(
    ("actor", "state"),
    [("Trainer", "fit"), ("Scorer", "score"), ("BoundActor", "decide"), ("Coordinator", "measure")],
)
def test_a_killed_actor_changes_nothing(actor, state, make_config, undisturbed, ray_cluster, tmp_path):
    killer = Killer(actor, state)
    layout = {"backend": "ray", "scorers": 1, "trainers": 1}
    result = simulate(make_config(compute=layout), tmp_path / "run", killer)
    assert killer.n_killed == 1
    assert result.rounds.drop(TIMES).equals(undisturbed.rounds.drop(TIMES))
    assert result.hybrid.equals(undisturbed.hybrid)


def test_a_gpu_that_the_machine_lacks_is_refused_at_once(make_config, ray_cluster, tmp_path):
    demanding = make_config(compute={"backend": "ray", "device": "cuda", "trainer_gpus": 1.0})
    with pytest.raises(ResourceError, match=r"1 GPU demanded for one actor, but this machine has 0"):
        simulate(demanding, tmp_path / "run")


def test_work_begins_with_those_that_found_room_and_nobody_waits_for_the_others(ray_cluster, tmp_path):
    """16 CPUs hold two actors of 8; the third would come when another node does."""
    group = ActorGroup(Worker, (str(tmp_path / "marker"),), options(size=3, min_size=2, demand=Demand({"CPU": 8.0})))
    group.wait_until_ready()
    assert group.map("square", [(x,) for x in (0, 1, 2, 4)]) == [0, 1, 4, 16]
    assert len(set(group.map("who", [(0.1,)] * 6, stay=True))) == 2
    group.close()


def test_a_preempted_actor_costs_nothing_of_the_budget():
    group = ActorGroup.__new__(ActorGroup)
    group._options, group._n_lost, group._actors, started = options(policy=FailurePolicy(0)), 0, [None], []
    group._start = started.append
    preempted = ActorDiedError()
    preempted._preempted = True
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ray.kill", lambda actor: None)
        group._replace(0, "fit", preempted)
        with pytest.raises(ActorLostError, match="1 test actors were lost"):
            group._replace(0, "fit", ActorDiedError())
    assert started == [0]
