"""What a campaign asks of its workers: its size, its committee, and the cores or GPUs that they have."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from isd_ray.config import RESMLP, CampaignConfig
from isd_ray.core.courses import Course
from isd_ray.core.outlay import Workload
from isd_ray.ops.prepare import panel_outputs
from isd_ray.plates.layout import batch_size, initial_size

DAY_S = 86400.0
OF_RAY = 3
"""An embedded Ray takes as much processor time to start and run as the start of so many processes of a screen."""


def workload(
    config: CampaignConfig,
    n_rows: int,
    course: Course,
    epochs: float | None = None,
    gpus: int = 0,
    gpu_speedup: float = 1.0,
    trip_days: float = 0.0,
) -> Workload:
    """The work of a campaign.

    Parameters
    ----------
    epochs:
        That a fit of a network takes; default: all of them.
    gpus:
        That fit and score; default: those of the configuration.
    gpu_speedup, trip_days:
        As of `isd_ray.ops.plan.plan_campaign`.
    """
    compute, model = config.compute, config.model
    demand = Workload(
        n_rows=n_rows,
        n_initial=min(initial_size(config.acquisition, config.plates), n_rows),
        n_batch=batch_size(config.acquisition, config.plates),
        members=model.members_of(RESMLP) if RESMLP in model.families else 0,
        epochs=model.epochs if epochs is None else epochs,
        trained_share=1.0 if config.validation.source == "external" else 1.0 - config.validation.fraction,
        builders=config.library.workers or os.cpu_count() or 1,
        n_acquired=0,
        # A reserve is measured with the first batch.
        n_audits=int(config.stopping.in_force.draws_audits),
        growth=config.acquisition.growth,
        trip_s=trip_days * DAY_S,
        n_outputs=len(panel_outputs(config.task, config.labels, config.library)),
        has_numbers=bool(config.labels.numbers),
        block_rows=config.library.block_rows,
        part_rows=config.library.block_rows * config.library.part_blocks,
        resident_bytes=float(compute.resident),
        processes=_processes(config, gpus),
        **_workers(config, gpus, gpu_speedup),
    )
    return going(demand, course)


def going(demand: Workload, course: Course) -> Workload:
    """The work of a campaign that goes so far."""
    return replace(demand, n_acquired=course.n_acquired, n_audit=course.n_audit)


def _processes(config: CampaignConfig, gpus: int) -> int:
    """Processes that are started: the driver; on Ray also coordinator, judge, trainers, scorers, and Ray itself."""
    compute = config.compute
    own_ray = OF_RAY if compute.address is None else 0
    if gpus:
        return 3 + 2 * gpus + own_ray
    if compute.backend == "local":
        return 1
    return 3 + min(compute.trainers, config.model.n_members) + compute.scorers + own_ray


def _workers(config: CampaignConfig, gpus: int, gpu_speedup: float) -> dict[str, Any]:
    """Trainers and scorers: on GPUs that both use in turn, on those that the configuration gives them, or on cores."""
    compute = config.compute
    if gpus:
        speeds = {"trainer_speed": gpu_speedup, "scorer_speed": gpu_speedup}
        return {"trainers": gpus, "scorers": gpus, "devices": float(gpus), "has_gpus": True, **speeds}
    if compute.backend == "local":
        # One process does all, one after the other.
        return {"trainers": 1, "scorers": 1, "devices": 1.0}
    trainers, scorers = min(compute.trainers, config.model.n_members), compute.scorers
    each = {"trainers": trainers, "scorers": scorers}
    if not compute.trainer_gpus and not compute.scorer_gpus:
        return {**each, "devices": float(trainers + scorers)}
    return {
        **each,
        "trainer_devices": compute.trainer_gpus,
        "scorer_devices": compute.scorer_gpus,
        # A process computes on one GPU, or on its share of one; without any, on a core.
        "trainer_speed": gpu_speedup * min(1.0, compute.trainer_gpus) or 1.0,
        "scorer_speed": gpu_speedup * min(1.0, compute.scorer_gpus) or 1.0,
        "devices": trainers * compute.trainer_gpus + scorers * compute.scorer_gpus,
        "has_gpus": True,
    }
