"""What the configuration says of each kind of actor: how many, what they reserve, and where."""

from __future__ import annotations

from isd_ray.actors.failure import FailurePolicy
from isd_ray.actors.group import ON_HEAD, GroupOptions
from isd_ray.config import CampaignConfig, ComputeConfig
from isd_ray.core.placement import Demand


def trainer_demand(compute: ComputeConfig) -> Demand:
    """What a trainer asks of its node."""
    amounts = {"CPU": compute.trainer_cpus, "GPU": compute.trainer_gpus, **compute.trainer_resources}
    return Demand(amounts, compute.trainer_labels)


def scorer_demand(compute: ComputeConfig) -> Demand:
    """What a scorer asks of its node."""
    amounts = {"CPU": compute.scorer_cpus, "GPU": compute.scorer_gpus, **compute.scorer_resources}
    return Demand(amounts, compute.scorer_labels)


def trainer_options(config: CampaignConfig) -> GroupOptions:
    """The trainers, all of which must run before work begins."""
    compute = config.compute
    return _options(config, "trainer", compute.trainers, compute.trainers, trainer_demand(compute))


def scorer_options(config: CampaignConfig) -> GroupOptions:
    """The scorers, of which `min_scorers` must run."""
    compute = config.compute
    least = compute.scorers if compute.min_scorers is None else compute.min_scorers
    return _options(config, "scorer", compute.scorers, least, scorer_demand(compute))


def stable_options(config: CampaignConfig, name: str) -> GroupOptions:
    """One actor that should outlive the workers: on the head, or where the configuration says."""
    labels = config.compute.coordinator_labels
    return _options(config, name, 1, 1, Demand({}, labels) if labels else Demand(ON_HEAD))


def _options(config: CampaignConfig, name: str, size: int, min_size: int, demand: Demand) -> GroupOptions:
    compute = config.compute
    return GroupOptions(
        name=name,
        campaign=config.name,
        size=size,
        min_size=min_size,
        demand=demand,
        start_timeout_s=compute.start_timeout_s,
        call_timeout_s=compute.call_timeout_s,
        policy=FailurePolicy(compute.lost_actor_retries),
    )
