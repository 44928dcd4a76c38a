"""A command in a process of its own: processor time and memory of it and of everything that it started."""

from __future__ import annotations

import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType

import psutil

from tests.benchmarks.memory_by_process import OWN, memory_of, role


def _role(process: psutil.Process) -> str:
    """The class of a Ray actor, the start of a pool, or the name of a command."""
    return role(process) if process.name().startswith("ray::") else " ".join(process.cmdline()[-2:])[-60:]


class Watched:
    """Processes are looked at while they live: of one that ends between two looks the last moment is lost.

    Parameters
    ----------
    command:
        What is run.
    interval_s:
        Seconds between two looks.

    Attributes
    ----------
    core_s:
        Processor seconds of all processes together.
    peak_bytes:
        Most memory of all of them at once, without what they share.
    wall_s:
        Seconds from start to end.
    """

    def __init__(self, command: Sequence[str], interval_s: float = 0.5) -> None:
        self._command = command
        self._interval_s = interval_s
        self._taken: dict[tuple[int, float], tuple[str, float]] = {}
        self.peak_bytes = 0
        self.wall_s = 0.0

    def __enter__(self) -> Watched:
        self._started = time.perf_counter()
        self._process = subprocess.Popen(self._command)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait()
        self._thread.join()

    @property
    def core_s(self) -> float:
        return sum(seconds for _, seconds in self._taken.values())

    @property
    def by_role(self) -> dict[str, float]:
        """Processor seconds by what processes are for."""
        found: dict[str, float] = defaultdict(float)
        for name, seconds in self._taken.values():
            found[name] += seconds
        return dict(found)

    def wait(self) -> None:
        """Until it has ended.

        Raises
        ------
        subprocess.CalledProcessError
            If it failed.
        """
        if code := self._process.wait():
            raise subprocess.CalledProcessError(code, self._command)
        self.wall_s = time.perf_counter() - self._started

    def _watch(self) -> None:
        root = psutil.Process(self._process.pid)
        while self._process.poll() is None:
            family = [root]
            with suppress(psutil.Error):
                family += root.children(recursive=True)
            self.peak_bytes = max(self.peak_bytes, sum(map(self._look_at, family)))
            time.sleep(self._interval_s)

    def _look_at(self, process: psutil.Process) -> int:
        """Note the processor time of a process, if it lives; bytes of its memory."""
        try:
            times = process.cpu_times()
            self._taken[process.pid, process.create_time()] = (_role(process), times.user + times.system)
            return memory_of(process.pid, (OWN,))
        except (psutil.Error, OSError):
            return 0
