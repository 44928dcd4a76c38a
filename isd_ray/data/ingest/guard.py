"""Structures on trial: their chemistry in a process of its own, which may crash or be ended."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING

from isd_ray.config.limits import MAX_STRUCTURE_SECONDS

if TYPE_CHECKING:
    from isd_ray.data.ingest.molecules import MoleculeOptions

_START_SECONDS = 120.0
"""Until the process has begun: it imports RDKit, perhaps on a busy machine."""
CRASHES = "RDKit crashes on it"


def failure(structure: str, options: MoleculeOptions) -> str | None:
    """Why a structure cannot be prepared: it crashes the process, or takes too long; None if it can."""
    return _guard.failure(structure, options)


class _Guard:
    """One process, started when it is first needed and again when a structure has ended it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None

    def failure(self, structure: str, options: MoleculeOptions) -> str | None:
        with self._lock:
            if self._process is None or not self._process.is_alive():
                self._start()
            assert self._pipe is not None
            try:
                self._pipe.send((structure, options))
                if self._pipe.poll(MAX_STRUCTURE_SECONDS):
                    self._pipe.recv()
                    return None
            except (EOFError, OSError):
                self.end()
                return CRASHES
            self.end()
            return f"takes longer than {MAX_STRUCTURE_SECONDS:g} seconds"

    def end(self) -> None:
        """End the process, if there is one."""
        if self._pipe is not None:
            self._pipe.close()
        if self._process is not None:
            self._process.kill()
            self._process.join()
        self._process = self._pipe = None

    def _start(self) -> None:
        self.end()
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        with hidden_main():
            self._process.start()
        theirs.close()
        if self._pipe.poll(_START_SECONDS):
            self._pipe.recv()


_guard = _Guard()
atexit.register(_guard.end)


def _serve(pipe: Connection) -> None:
    """Prepare what comes, and say so when it is done."""
    from isd_ray.data.ingest import molecules

    initialise()
    pipe.send(None)
    while True:
        try:
            structure, options = pipe.recv()
        except EOFError:
            return
        molecules.try_one(structure, options)
        pipe.send(None)


@contextmanager
def hidden_main() -> Iterator[None]:
    """Keep spawned processes from running the user's script again.

    A spawned process imports `__main__` first, so a plain script without the ``if __name__ == "__main__"`` guard would
    start its campaign once more in each. Nothing here needs it: what they run is found by its own module.
    """
    main = sys.modules.get("__main__")
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        if main is not None:
            sys.modules["__main__"] = main


def initialise() -> None:
    """Leave Ctrl-C to the parent, and end when the parent is gone, however it ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
