"""What a campaign on Ray exports as metrics: the one table of their names, and where they are set.

Prometheus sees ``ray_<name>`` with Ray's own labels (`WorkerId`, `SessionName`, …) on top, as long as the process lives
that set it (`LastingGauges`), and some 20 s more. The port is open to whoever reaches it, so labels are names of ours
only: no ids, structures or paths.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import ray
from ray.util.metrics import Counter, Gauge

from isd_ray.campaign.states import RunState
from isd_ray.config import StoppingConfig
from isd_ray.messages import Progress

REFRESH_S = 2.0
"""From one time that all gauges are set to the next: two report intervals are 20 s by default, and 2 s at least."""
MetricT = TypeVar("MetricT")
Put = Callable[[MetricT, float, Mapping[str, str]], None]
Unit: TypeAlias = Literal["compounds", "rows/s", "seconds", "unix time", "share", "0 or 1", "count"]


def ray_process() -> str | None:
    """What Ray calls this process, anew each time that it is initialised; None where it is not."""
    return str(ray.get_runtime_context().get_worker_id()) if ray.is_initialized() else None


class LastingGauges(Generic[MetricT]):
    """The values of this process's gauges, set again every few seconds by a thread, until its Ray is shut down.

    Ray drops a value that was not set again within two report intervals.

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


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric; its name must hold no dot, or Ray drops it."""

    name: str
    kind: Literal["gauge", "counter"]
    unit: Unit
    description: str
    labels: tuple[str, ...] = ("campaign",)

    @property
    def exported(self) -> str:
        """Its name in Prometheus."""
        return f"ray_{self.name}"


STATE = Metric(
    "isd_state",
    "gauge",
    "0 or 1",
    "1 for the state the campaign is in: running, waiting (for readouts), ended, stopped (by its caller), failed. All "
    "gauges keep their last values as long as the process lives that set them.",
    ("campaign", "state"),
)
PROGRESS_TIME = Metric("isd_progress_timestamp_seconds", "gauge", "unix time", "When the last step was done.")
ROUND = Metric("isd_round", "gauge", "count", "Round that is under way, from 0.")
TARGET = Metric("isd_target_compounds", "gauge", "compounds", "Compounds of the target set.")
OBSERVED = Metric("isd_observed_compounds", "gauge", "compounds", "Compounds measured.")
INFERENCE = Metric("isd_inference_compounds", "gauge", "compounds", "Compounds left to predict.")
BUDGET = Metric(
    "isd_budget_compounds", "gauge", "compounds", "Compounds measured when the budget is spent, or the target set is."
)
SYSTEM_BOUND = Metric(
    "isd_system_bound", "gauge", "share", "Bound on the claimed quantity of the whole screen, by the last round."
)
GAMMA = Metric(
    "isd_gamma", "gauge", "share", "What the claimed quantity is held against: gamma, or max_loss of mae and mse."
)
CALIBRATION_ALARM = Metric(
    "isd_calibration_alarm", "gauge", "0 or 1", "1 if confident predictions are wrong more often than unconfident ones."
)
PHASE_SECONDS = Metric(
    "isd_phase_seconds", "gauge", "seconds", "How long a phase of a round took the last time.", ("campaign", "phase")
)
ROWS_PER_SECOND = Metric(
    "isd_scored_rows_per_second", "gauge", "rows/s", "Inference rows scored per second of the last scoring phase."
)
RESTARTS = Metric(
    "isd_actor_restarts_total",
    "counter",
    "count",
    "Actors replaced, because they were lost or their nodes taken back (preempted).",
    ("campaign", "group", "reason"),
)
METRICS = (
    STATE,
    PROGRESS_TIME,
    ROUND,
    TARGET,
    OBSERVED,
    INFERENCE,
    BUDGET,
    SYSTEM_BOUND,
    GAMMA,
    CALIBRATION_ALARM,
    PHASE_SECONDS,
    ROWS_PER_SECOND,
    RESTARTS,
)
"""All of them."""
Record: TypeAlias = Callable[[Metric, float, Mapping[str, str]], None]


def record(metric: Metric, value: float, labels: Mapping[str, str]) -> None:
    """Set a gauge from now on, or add to a counter, in this process of Ray."""
    if metric.kind == "gauge":
        _GAUGES.set(metric, value, labels)
    else:
        _instrument(metric).inc(value, dict(labels))


def _put(metric: Metric, value: float, labels: Mapping[str, str]) -> None:
    _instrument(metric).set(value, dict(labels))


_GAUGES = LastingGauges(_put)


@cache
def _instrument(metric: Metric) -> Any:
    kind = Gauge if metric.kind == "gauge" else Counter
    return kind(metric.name, f"{metric.description} Unit: {metric.unit}.", metric.labels)


class CampaignMetrics:
    """The gauges of one campaign.

    Parameters
    ----------
    campaign:
        Its name.
    stopping:
        Its goal.
    record:
        Where values go.
    """

    def __init__(self, campaign: str, stopping: StoppingConfig, record: Record = record) -> None:
        self._record, self._labels = record, {"campaign": campaign}
        self._goal = stopping.level if stopping.in_force.judges else None

    def enter(self, state: RunState, at: float | None = None) -> None:
        """The campaign is in a state, since a unix time; default: now."""
        for other in RunState:
            self._set(STATE, other is state, state=other.value)
        self._set(PROGRESS_TIME, time.time() if at is None else at)

    def step(self, progress: Progress) -> None:
        """A step was done."""
        taken = progress.taken
        self._set(PROGRESS_TIME, time.time())
        self.show(progress)
        self._set(PHASE_SECONDS, taken.seconds, phase=taken.name)
        if taken.n_scored:
            self._set(ROWS_PER_SECOND, taken.n_scored / taken.seconds)

    def show(self, progress: Progress) -> None:
        """Where the campaign stands, whatever was done last."""
        self._set(ROUND, progress.round)
        self._set(TARGET, progress.n_target)
        self._set(OBSERVED, progress.n_observed)
        self._set(INFERENCE, progress.n_inference)
        self._set(BUDGET, min(progress.n_observed + progress.n_affordable, progress.n_target))
        self._set(SYSTEM_BOUND, progress.system_bound)
        self._set(GAMMA, self._goal)
        self._set(CALIBRATION_ALARM, progress.calibration_alarm)

    def _set(self, metric: Metric, value: float | None, **labels: str) -> None:
        """Set a gauge; what is not known is not set."""
        if value is not None:
            self._record(metric, float(value), {**self._labels, **labels})
