"""Memory of this process and of everything it started, file-backed pages left out."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from pathlib import Path
from types import TracebackType

import psutil

OWN, SHARED = "Pss_Anon", "Pss_Shmem"
"""Memory that is the process's own; and its share of what it shares with others, as Ray's object store."""


def memory_of(pid: int, kinds: tuple[str, ...] = (OWN, SHARED)) -> int:
    """Bytes of a process, by the kinds of `/proc/PID/smaps_rollup`."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.partition(":")[0] in kinds)


def role(process: psutil.Process) -> str:
    """What a process is for: the class of a Ray actor, a service of Ray, or the driver."""
    name = process.name()
    if name.startswith("ray::"):
        return name.removeprefix("ray::").split(".")[0]
    return "driver" if process.pid == psutil.Process().pid else f"ray service {name}"


class MemoryWatch:
    """Largest memory of a process by role, and of all together, sampled while it is open.

    Parameters
    ----------
    kinds:
        What counts as memory of a process.
    interval_s:
        Seconds between two looks.

    Attributes
    ----------
    peak, together:
        Bytes of the largest process of each role, and of all of a role at once.
    total, shared:
        Bytes of all processes at once; and of what they share.
    seconds:
        Processor time of looking, of all watches of this process.
    """

    seconds = 0.0

    def __init__(self, kinds: tuple[str, ...] = (OWN, SHARED), interval_s: float = 1.0) -> None:
        self._kinds = kinds
        self._interval_s = interval_s

    def __enter__(self) -> MemoryWatch:
        self.peak: dict[str, int] = defaultdict(int)
        self.together: dict[str, int] = defaultdict(int)
        self.total = self.shared = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._look()  # what was shorter than the time between two looks is seen too

    def _watch(self) -> None:
        while not self._ended.wait(self._interval_s):
            self._look()

    def _look(self) -> None:
        start, me = time.thread_time(), psutil.Process()
        shared, now = 0, defaultdict(int)
        for process in [me, *me.children(recursive=True)]:
            try:
                size, name = memory_of(process.pid, self._kinds), role(process)
                shared += memory_of(process.pid, (SHARED,))
            except (psutil.Error, OSError):
                continue
            self.peak[name] = max(self.peak[name], size)
            now[name] += size
        for name, size in now.items():
            self.together[name] = max(self.together[name], size)
        self.shared, self.total = max(self.shared, shared), max(self.total, sum(now.values()))
        MemoryWatch.seconds += time.thread_time() - start
