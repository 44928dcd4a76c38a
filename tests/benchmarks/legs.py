"""What each leg of a long work costs: seconds, processor time of all processes, and the most memory of each of them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.benchmarks.memory_by_process import MemoryWatch

INTERVAL_S = 2.0
SERVICES_OF_RAY = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")


@dataclass
class Leg:
    """One leg of a work.

    Attributes
    ----------
    wall, cpu:
        Seconds; processor time is that of this process, of those that share its work, and of Ray's actors. What Ray's
        services take by the clock, and looking at memory, are left out.
    peak:
        Most bytes that a process of each role held, file-backed pages left out.
    """

    name: str
    wall: float
    cpu: float
    peak: dict[str, int] = field(default_factory=dict)


def works(process: psutil.Process) -> bool:
    """Whether a process is one of a pool, or an actor."""
    if process.name().startswith("ray::"):
        return process.name() not in SERVICES_OF_RAY
    return any("spawn_main" in word for word in process.cmdline())


def cpu_seconds() -> float:
    """Processor time until now, with that of processes of a pool that have ended, but without looking at memory."""
    me = psutil.Process()
    seconds: float = sum(me.cpu_times()[:4]) - MemoryWatch.seconds
    for process in me.children(recursive=True):
        with suppress(psutil.Error):  # it has just ended: its parent has its time
            if works(process):
                seconds += sum(process.cpu_times()[:2])
    return seconds


class Legs:
    """Writes each leg to a file as it ends: a line of JSON, so that what a break-off costs is one leg."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def done(self) -> list[Leg]:
        """The legs until now."""
        if not self._file.exists():
            return []
        return [Leg(**json.loads(line)) for line in self._file.read_text().splitlines()]

    @contextmanager
    def leg(self, name: str) -> Iterator[None]:
        """Measure the block."""
        start, cpu = time.perf_counter(), cpu_seconds()
        with MemoryWatch(interval_s=INTERVAL_S) as memory:
            yield
        leg = Leg(name, time.perf_counter() - start, cpu_seconds() - cpu, dict(memory.peak))
        with self._file.open("a") as stream:
            stream.write(json.dumps(asdict(leg)) + "\n")


class LegsOfCalls:
    """A backend each of whose calls is a leg of the name of its method."""

    def __init__(self, backend: Any, legs: Legs) -> None:
        self._backend, self._legs = backend, legs

    def __getattr__(self, name: str) -> Any:
        def measured(*arguments: Any) -> Any:
            with self._legs.leg(name):
                return getattr(self._backend, name)(*arguments)

        return measured
