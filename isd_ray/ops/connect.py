"""Connecting to Ray: an embedded one of our own, or a cluster that was named."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from isd_ray.config import ComputeConfig
from isd_ray.errors import ClusterError, ResourceError
from isd_ray.ops.security import refuse_open_gcs


@contextmanager
def ray_session(compute: ComputeConfig) -> Iterator[None]:
    """A connected Ray for the time of the block.

    Without `compute.address` an embedded Ray is started, with enough logical CPUs for the configured actors (trainers
    and scorers take turns, so they may share cores), and shut down at the end. A Ray that this process has already
    initialised is used as it is and left running. Never attaches to a cluster that was not named.

    Raises
    ------
    ResourceError
        If the cluster cannot be reached, or a demanded GPU does not exist.
    ClusterError
        If other machines reach the cluster without a token, unless `compute` allows it.
    """
    ray = _import_ray()
    ours = not ray.is_initialized()
    if ours:
        _init(compute)
    try:
        _check_gpus(compute, float(ray.cluster_resources().get("GPU", 0.0)))
        yield
    finally:
        if ours:
            ray.shutdown()


def connect(compute: ComputeConfig) -> None:
    """Connect this process to the cluster at `compute.address`, to stay; a Ray that is initialised is used as it is.

    Raises
    ------
    ResourceError
        If no cluster is named, or it cannot be reached.
    ClusterError
        If other machines reach the cluster without a token, unless `compute` allows it.
    """
    if _import_ray().is_initialized():
        return
    if compute.address is None:
        raise ResourceError(
            "no cluster is named, and an embedded Ray would end with this process",
            "compute.address",
            "give the address of a cluster ('auto' on one of its machines), or connect with ray.init first",
        )
    _init(compute)


def _import_ray() -> ModuleType:
    """Ray, which reads its environment when it is imported."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    return ray


def _init(compute: ComputeConfig) -> None:
    import ray

    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if compute.address is not None:
            ray.init(address=compute.address, log_to_driver=False, logging_level=logging.ERROR)
            _refuse_open(compute)
            return
        demand = compute.trainers * compute.trainer_cpus + compute.scorers * compute.scorer_cpus
        ray.init(
            address="local",
            num_cpus=max(os.cpu_count() or 1, math.ceil(demand)),
            object_store_memory=int(compute.object_store_memory),
            **quiet,
        )
    except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.AuthenticationError) as error:
        raise ResourceError(
            f"Ray cannot be started or reached: {error}",
            f"compute.address={compute.address!r}",
            "check the address, that the cluster runs, and, where it asks for one, the token (RAY_AUTH_MODE=token, "
            "RAY_AUTH_TOKEN_PATH); without an address an embedded Ray is started",
        ) from error


def _refuse_open(compute: ComputeConfig) -> None:
    """Leave a cluster that other machines reach without a token, unless the configuration allows it."""
    import ray

    try:
        refuse_open_gcs(ray.get_runtime_context().gcs_address, allowed=compute.allow_cluster_without_authentication)
    except ClusterError:
        ray.shutdown()
        raise


def _check_gpus(compute: ComputeConfig, available: float) -> None:
    demand = max(compute.trainer_gpus, compute.scorer_gpus)
    if compute.address is None and demand > available:
        raise ResourceError(
            f"{demand:g} GPU demanded for one actor, but this machine has {available:g}",
            "compute.trainer_gpus, compute.scorer_gpus",
            "run where there is a GPU, or set both to 0 and device to 'cpu'",
        )
