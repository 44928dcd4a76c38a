"""One thread for the products of numpy and SciPy while something is fitted, predicted or decided."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import ContextDecorator
from types import TracebackType

from threadpoolctl import LibController, ThreadpoolController


class _OneBlasThread(ContextDecorator):
    """Holds the BLAS of numpy and SciPy to one thread, as a context or a decorator; may be nested.

    Split over threads a long sum is rounded otherwise, and how many threads there are hangs on the machine and its
    environment: Ray gives its actors as many as their CPUs, any other process has all of them. The setting is mostly
    of the whole process and may be its user's own, so it lasts as long as any thread is inside, and no longer.
    `compute.threads` stays with torch and with families that take a number of threads: what they find hangs on that
    number alone. Apple's Accelerate has no such setting.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_inside = 0
        self._libraries: list[LibController] = []
        self._before: list[int] = []

    def __enter__(self) -> None:
        with self._lock:
            if not self._n_inside:
                # SciPy has a BLAS of its own, and one that is loaded later would keep its threads.
                import scipy.linalg  # noqa: F401

                self._libraries = ThreadpoolController().select(user_api="blas").lib_controllers
                self._before = [library.get_num_threads() for library in self._libraries]
            self._n_inside += 1
            # Whoever is inside already: some libraries have a setting for each thread.
            _set(self._libraries, [1] * len(self._libraries))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._n_inside -= 1
            if not self._n_inside:
                _set(self._libraries, self._before)


def _set(libraries: Sequence[LibController], numbers: Sequence[int]) -> None:
    for library, n_threads in zip(libraries, numbers, strict=True):
        # Since 3.8 threadpoolctl silently ignores all threads but the first that has set a number.
        take_over = getattr(library, "clear_controlling_thread", None)
        if take_over is not None:
            take_over(force=True)
        library.set_num_threads(n_threads)
        if take_over is not None:
            take_over(force=True)


one_blas_thread = _OneBlasThread()
