"""What the configuration says of each kind of actor: how many, what they reserve, and where."""

from __future__ import annotations

from isd_ray.actors.failure import FailurePolicy
from isd_ray.actors.group import ON_HEAD, GroupOptions
from isd_ray.config import ComputeConfig
from isd_ray.core.placement import Demand


def trainer_demand(compute: ComputeConfig) -> Demand:
    """What a trainer asks of its node."""
    amounts = {"CPU": compute.trainer_cpus, "GPU": compute.trainer_gpus, **compute.trainer_resources}
    return Demand(amounts, compute.trainer_labels)


def scorer_demand(compute: ComputeConfig) -> Demand:
    """What a scorer asks of its node."""
    amounts = {"CPU": compute.scorer_cpus, "GPU": compute.scorer_gpus, **compute.scorer_resources}
    return Demand(amounts, compute.scorer_labels)


def trainer_options(campaign: str, compute: ComputeConfig) -> GroupOptions:
    """The trainers of a campaign, all of which must run before work begins."""
    return _options(campaign, compute, "trainer", compute.trainers, compute.trainers, trainer_demand(compute))


def scorer_options(campaign: str, compute: ComputeConfig) -> GroupOptions:
    """The scorers of a campaign, of which `min_scorers` must run."""
    least = compute.scorers if compute.min_scorers is None else compute.min_scorers
    return _options(campaign, compute, "scorer", compute.scorers, least, scorer_demand(compute))


def stable_options(campaign: str, compute: ComputeConfig, name: str) -> GroupOptions:
    """One actor of a campaign that should outlive the workers: on the head, or where the configuration says."""
    labels = compute.coordinator_labels
    return _options(campaign, compute, name, 1, 1, Demand({}, labels) if labels else Demand(ON_HEAD))


def _options(
    campaign: str, compute: ComputeConfig, name: str, size: int, min_size: int, demand: Demand
) -> GroupOptions:
    return GroupOptions(
        name=name,
        campaign=campaign,
        size=size,
        min_size=min_size,
        demand=demand,
        start_timeout_s=compute.start_timeout_s,
        call_timeout_s=compute.call_timeout_s,
        policy=FailurePolicy(compute.lost_actor_retries),
    )
