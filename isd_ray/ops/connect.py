"""Connecting to Ray: an embedded one of our own, or a cluster that was named."""

from __future__ import annotations

import logging
import math
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import psutil

from isd_ray.config import ComputeConfig
from isd_ray.errors import ClusterError, ResourceError
from isd_ray.ops.reach import located, require_reachable, same_cluster, started_here
from isd_ray.ops.security import refuse_open_gcs

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Session:
    """A block of this process that uses a Ray of ours, the thread that it is of, and what its actors ask for."""

    thread: int
    address: str | None
    cpus: float
    gpus: float


_DOOR = threading.Condition()
"""Held by whoever starts or ends Ray, of which a process has one at a time."""
_SESSIONS: list[_Session] = []
"""Of the Ray that `ray_session` has started, which ends with the last of them."""
_WORKS_FOR = threading.local()
"""The thread whose sessions those of this one are inside (`work_for`)."""


@contextmanager
def ray_session(compute: ComputeConfig) -> Iterator[None]:
    """A connected Ray for the time of the block.

    Without `compute.address` an embedded Ray is started, with enough logical CPUs for the configured actors (trainers
    and scorers take turns, so they may share cores), and shut down at the end. A Ray that this process has already
    initialised is used as it is and left running, unless another cluster is named. Never attaches to a cluster that was
    not named.

    Blocks in several threads share one Ray; a block waits for its turn, for `compute.start_timeout_s` at most, where
    the others leave no room for its actors or are connected elsewhere.

    Raises
    ------
    ResourceError
        If the cluster cannot be reached, this process is connected to another one, a demanded GPU does not exist, or
        other threads do not make room in time.
    ClusterError
        If other machines reach the cluster without a token, unless `compute` allows it.
    """
    ray = _import_ray()
    thread = getattr(_WORKS_FOR, "thread", threading.get_ident())
    session = _Session(thread, compute.address, *_demand(compute))
    with _DOOR:
        if not _may_enter(session):
            _LOGGER.warning("other threads of this process use Ray; waiting for room")
            if not _DOOR.wait_for(lambda: _may_enter(session), compute.start_timeout_s):
                raise ResourceError(
                    f"other threads of this process use Ray, and made no room for {session.cpus:g} CPUs"
                    f"{f' and {session.gpus:g} GPUs' if session.gpus else ''} within {compute.start_timeout_s:g} s",
                    "compute.start_timeout_s",
                    "run one after the other or in a process of its own, ask for less in [compute], or connect with "
                    "ray.init to a Ray that has room for all",
                )
        is_ours = bool(_SESSIONS) or not ray.is_initialized()
        _join(compute)
        if is_ours:
            _SESSIONS.append(session)
    try:
        _check_gpus(compute, float(ray.cluster_resources().get("GPU", 0.0)))
        yield
    finally:
        if is_ours:
            with _DOOR:
                _SESSIONS.remove(session)
                if not _SESSIONS:
                    ray.shutdown()
                _DOOR.notify_all()


def work_for(thread: int) -> None:
    """Have blocks of this thread be inside those of another: their actors find room by turns, on Ray."""
    _WORKS_FOR.thread = thread


def _demand(compute: ComputeConfig) -> tuple[float, float]:
    """CPUs and GPUs of all actors."""
    cpus = compute.trainers * compute.trainer_cpus + compute.scorers * compute.scorer_cpus
    return cpus, compute.trainers * compute.trainer_gpus + compute.scorers * compute.scorer_gpus


def _may_enter(session: _Session) -> bool:
    """Whether a session can begin beside the others: inside one of its own thread, or where there is room for both.

    Each gets all its actors or none: sessions that each hold a part of what they need would wait for ever.
    """
    import ray

    if not _SESSIONS or not ray.is_initialized() or any(other.thread == session.thread for other in _SESSIONS):
        return True
    if session.address is not None or any(other.address is not None for other in _SESSIONS):
        return all(other.address == session.address for other in _SESSIONS)  # a cluster finds room by itself
    there = ray.cluster_resources()
    together = {one.thread: one for one in reversed((*_SESSIONS, session))}.values()  # the outermost of each thread
    return sum(one.cpus for one in together) <= there.get("CPU", 0.0) and (
        sum(one.gpus for one in together) <= there.get("GPU", 0.0)
    )


def connect(compute: ComputeConfig) -> None:
    """Connect this process to the cluster at `compute.address`, to stay; a Ray that is initialised must be that one.

    Without an address a Ray that is initialised is used as it is.

    Raises
    ------
    ResourceError
        If no cluster is named, it cannot be reached, or this process is connected to another one.
    ClusterError
        If other machines reach the cluster without a token, unless `compute` allows it.
    """
    ray = _import_ray()
    with _DOOR:
        if compute.address is None and not ray.is_initialized():
            raise ResourceError(
                "no cluster is named, and an embedded Ray would end with this process",
                "compute.address",
                "give the address of a cluster ('auto' on one of its machines), or connect with ray.init first",
            )
        _join(compute)


def _import_ray() -> ModuleType:
    """Ray, which reads its environment when it is imported."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    return ray


def _join(compute: ComputeConfig) -> None:
    """Connect this process to the Ray that is meant: the one that it has initialised, a cluster, or one of its own."""
    import ray

    if ray.is_initialized():
        if compute.address is not None:
            _require_named(compute, compute.address, ray.get_runtime_context().gcs_address)
    elif compute.address is not None:
        address = located(compute.address) or started_here()
        require_reachable(address)
        _init(compute, address=address, log_to_driver=False)
        try:
            _refuse_open(compute)
        except ClusterError:
            ray.shutdown()
            raise
    else:
        cpus, _ = _demand(compute)
        _init(
            compute,
            address="local",
            num_cpus=max(os.cpu_count() or 1, math.ceil(cpus)),
            object_store_memory=int(compute.object_store_memory),
            include_dashboard=False,
            log_to_driver=False,
        )


def _init(compute: ComputeConfig, **options: Any) -> None:
    import ray

    try:
        ray.init(logging_level=logging.ERROR, **options)
    # Ray says that its own processes did not start in time by a plain Exception.
    except Exception as error:
        ray.shutdown()
        if compute.address is None:
            raise ResourceError(
                f"an embedded Ray did not start: {error} {_room()}",
                remedy="make room and try again; start Ray by hand (`ray start --head`), and give compute.address = "
                "'auto'; or compute.backend = 'local', which needs no Ray and has the same results",
            ) from error
        raise ResourceError(
            f"Ray cannot be reached: {error}",
            f"compute.address={compute.address!r}",
            "check the address, that the cluster runs, and, where it asks for one, the token (RAY_AUTH_MODE=token, "
            "RAY_AUTH_TOKEN_PATH); without an address an embedded Ray is started",
        ) from error


def _room() -> str:
    """What this machine has for a Ray that starts."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    memory, folder = psutil.virtual_memory().available, tempfile.gettempdir()
    disk = shutil.disk_usage(folder).free
    return (
        f"(load {load:.1f} on {cores} cores; free: {memory / 2**30:.1f} GiB memory, {disk / 2**30:.1f} GiB in {folder})"
    )


def _require_named(compute: ComputeConfig, address: str, connected: str) -> None:
    """Refuse to work on another cluster than the one that is named, or on one that is open to everybody.

    ``auto`` is whichever this process is connected to, unless RAY_ADDRESS says which.
    """
    named = located(address)
    if named is not None and not same_cluster(named, connected):
        raise ResourceError(
            f"this process is connected to another Ray, at {connected}",
            f"compute.address={address!r}",
            "call ray.shutdown() first, use another process, or leave the address out to work where it is connected",
        )
    _refuse_open(compute)


def _refuse_open(compute: ComputeConfig) -> None:
    """Refuse a cluster that other machines reach without a token, unless the configuration allows it."""
    import ray

    refuse_open_gcs(ray.get_runtime_context().gcs_address, allowed=compute.allow_cluster_without_authentication)


def _check_gpus(compute: ComputeConfig, available: float) -> None:
    demand = max(compute.trainer_gpus, compute.scorer_gpus)
    if compute.address is None and demand > available:
        raise ResourceError(
            f"{demand:g} GPU demanded for one actor, but this machine has {available:g}",
            "compute.trainer_gpus, compute.scorer_gpus",
            "run where there is a GPU, or set both to 0 and device to 'cpu'",
        )
