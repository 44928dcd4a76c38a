"""Gauges that last as long as their process: Ray drops a value that was not set again within two report intervals."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import ray

REFRESH_S = 2.0
"""From one time that all gauges are set to the next: two report intervals are 20 s by default, and 2 s at least."""

MetricT = TypeVar("MetricT")
Put = Callable[[MetricT, float, Mapping[str, str]], None]


def ray_process() -> str | None:
    """What Ray calls this process, anew each time that it is initialised; None where it is not."""
    return str(ray.get_runtime_context().get_worker_id()) if ray.is_initialized() else None


class LastingGauges(Generic[MetricT]):
    """The values of this process's gauges, set again every few seconds by a thread, until its Ray is shut down.

    The thread begins with the first value, and ends once Ray is shut down or initialised anew; the first value of
    another Ray takes the place of all, so that nothing of one cluster is shown on another. It keeps no process from
    ending.

    Parameters
    ----------
    put:
        Sets a gauge once.
    refresh_s:
        How often.
    process:
        Which process of which Ray this is; None for none.
    """

    def __init__(
        self, put: Put[MetricT], refresh_s: float = REFRESH_S, process: Callable[[], str | None] = ray_process
    ) -> None:
        self._put, self._refresh_s, self._process = put, refresh_s, process
        self._lock = threading.Lock()
        self._values: dict[Any, tuple[MetricT, float, Mapping[str, str]]] = {}
        self._of: str | None = None
        """The process that the values and the thread are of."""

    def set(self, metric: MetricT, value: float, labels: Mapping[str, str]) -> None:
        """Set a gauge, now and from now on."""
        with self._lock:
            process = self._process()
            if process != self._of:
                self._values, self._of = {}, process
                if process is not None:
                    threading.Thread(target=self._keep, args=(process,), name="isd-gauges", daemon=True).start()
            self._values[metric, tuple(sorted(labels.items()))] = (metric, value, labels)
            self._put(metric, value, labels)

    def _keep(self, process: str) -> None:
        while True:
            time.sleep(self._refresh_s)
            with self._lock:
                if self._process() != process:
                    return  # those of a Ray that comes after are kept by another thread
                for metric, value, labels in self._values.values():
                    self._put(metric, value, labels)
