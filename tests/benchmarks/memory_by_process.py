"""Memory of this process and of everything it started, file-backed pages left out."""

from __future__ import annotations

import threading
from collections import defaultdict
from pathlib import Path
from types import TracebackType

import psutil

INTERVAL_S = 1.0


def anonymous_bytes(pid: int) -> int:
    """Memory that is the process's own, and its share of what it shares with others: `Pss_Anon` and `Pss_Shmem`."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(("Pss_Anon:", "Pss_Shmem:")))


def role(process: psutil.Process) -> str:
    """What a process is for: the class of a Ray actor, a service of Ray, or the driver."""
    name = process.name()
    if name.startswith("ray::"):
        return name.removeprefix("ray::").split(".")[0]
    return "driver" if process.pid == psutil.Process().pid else f"ray service {name}"


class MemoryWatch:
    """Largest memory by role, and of all together, sampled while it is open."""

    def __enter__(self) -> MemoryWatch:
        self.peak: dict[str, int] = defaultdict(int)
        self.total = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._ended.wait(INTERVAL_S):
            total = 0
            for process in [me, *me.children(recursive=True)]:
                try:
                    size, name = anonymous_bytes(process.pid), role(process)
                except (psutil.Error, OSError):
                    continue
                self.peak[name] = max(self.peak[name], size)
                total += size
            self.total = max(self.total, total)
