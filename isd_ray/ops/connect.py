"""Connecting to Ray: an embedded one of our own, or a cluster that was named."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager

from isd_ray.config import ComputeConfig
from isd_ray.errors import ResourceError
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
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    ours = not ray.is_initialized()
    if ours:
        _init(compute)
    try:
        if ours and compute.address is not None:
            reached = ray.get_runtime_context().gcs_address
            refuse_open_gcs(reached, allowed=compute.allow_cluster_without_authentication)
        _check_gpus(compute, float(ray.cluster_resources().get("GPU", 0.0)))
        yield
    finally:
        if ours:
            ray.shutdown()


def _init(compute: ComputeConfig) -> None:
    import ray

    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if compute.address is not None:
            ray.init(address=compute.address, log_to_driver=False, logging_level=logging.ERROR)
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


def _check_gpus(compute: ComputeConfig, available: float) -> None:
    demand = max(compute.trainer_gpus, compute.scorer_gpus)
    if compute.address is None and demand > available:
        raise ResourceError(
            f"{demand:g} GPU demanded for one actor, but this machine has {available:g}",
            "compute.trainer_gpus, compute.scorer_gpus",
            "run where there is a GPU, or set both to 0 and device to 'cpu'",
        )
