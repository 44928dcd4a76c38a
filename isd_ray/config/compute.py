"""Workers, extras of simulations, and what is logged."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, ByteSize, Field, model_validator

from isd_ray.config.section import Day, Fraction, Section

_OF_RAY = ("CPU", "GPU", "memory", "object_store_memory")


def _custom(name: str) -> str:
    if name in _OF_RAY:
        raise ValueError(f"{name} is a resource of Ray's own; trainer_cpus, trainer_gpus and the like set it")
    return name


Amounts = dict[Annotated[str, AfterValidator(_custom)], Annotated[float, Field(gt=0.0)]]
Labels = dict[str, Annotated[str, Field(min_length=1)]]


class ComputeConfig(Section):
    """Where and with what the computation runs."""

    backend: Literal["ray", "local"] = "ray"
    """`ray`: trainers and scorers are actors; `local`: everything in this process, with the same results."""
    address: str | None = None
    """A running Ray cluster, which also builds the library: HOST:PORT of its GCS, or `auto`, that of RAY_ADDRESS or of
    this machine; the machine must be one of its nodes. Default: an embedded Ray of its own; never attached to by
    accident."""
    allow_cluster_without_authentication: bool = False
    """Use a cluster that other machines can reach although it asks for no token: whoever reaches its ports runs code on
    it, as you, and reads and changes what you can."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto`: a GPU where there is one to use (on Ray, for actors that are given one), else the CPU."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """`auto`: bfloat16 where the processor computes in it, else float32."""
    threads: int = Field(default=1, ge=1)
    """Threads of torch and XGBoost in each actor; part of what makes a run repeatable, so stored with it. Products of
    numpy and SciPy have one."""
    trainers: int = Field(default=1, ge=1)
    """Actors that fit members of the committee side by side."""
    scorers: int = Field(default=1, ge=1)
    """Actors that score parts of the library side by side."""
    trainer_cpus: float = Field(default=1.0, ge=0.0)
    """CPUs of one trainer."""
    trainer_gpus: float = Field(default=0.0, ge=0.0)
    """GPUs of one trainer; a fraction shares a card."""
    scorer_cpus: float = Field(default=1.0, ge=0.0)
    """CPUs of one scorer."""
    scorer_gpus: float = Field(default=0.0, ge=0.0)
    """GPUs of one scorer; a fraction shares a card."""
    trainer_resources: Amounts = Field(default_factory=dict)
    """Further logical resources of one trainer, by Ray's names of them: { isd_trainer = 1 }."""
    scorer_resources: Amounts = Field(default_factory=dict)
    """Further logical resources of one scorer."""
    trainer_labels: Labels = Field(default_factory=dict)
    """Labels of the nodes for trainers, as Ray selects them: { "ray.io/accelerator-type" = "in(H100, A100)" }."""
    scorer_labels: Labels = Field(default_factory=dict)
    """Labels of the nodes for scorers: { "ray.io/market-type" = "spot" }."""
    coordinator_labels: Labels = Field(default_factory=dict)
    """Labels of the node for coordinator and bound actor, which should last; default: the head node."""
    min_scorers: int | None = Field(default=None, ge=1)
    """Scorers that must run before work begins; the others join when there is room, in the middle of a round too. Keep
    them off the nodes of the trainers (resources, labels), or they take the room of a lost one. Default: all."""
    memory: ByteSize | None = None
    """Memory the run may use on this machine, such as "8 GiB"; default: what is free at the start."""
    object_store_memory: ByteSize = Field(default=ByteSize(512 << 20), ge=80 << 20)
    """Object store of an embedded Ray."""
    resident: ByteSize = ByteSize(0)
    """Memory of each scorer for copies of the library's parts, such as "4 GiB"; the others are memory-mapped, which is
    as fast where the library is on a local disk and fits into the page cache."""
    start_timeout_s: float = Field(default=300.0, gt=0.0)
    """Longest wait for an actor to start, and for nodes to come where the cluster has no room for all actors."""
    room_timeout_s: float = Field(default=86400.0, gt=0.0)
    """Longest wait for room that others use: trainers and scorers (`min_scorers` of them) are placed all at once."""
    priority: int = 0
    """Of campaigns that wait for room on a cluster, those with a higher one come first, among equals the oldest; what
    runs already is not ended."""
    call_timeout_s: float = Field(default=7200.0, gt=0.0)
    """Longest wait for one fit or one shard."""
    lost_actor_retries: int = Field(default=8, ge=0)
    """Replacements of dead actors (lost nodes, preemption) in one phase before the run gives up."""

    @model_validator(mode="after")
    def _fewer_scorers_are_enough(self) -> ComputeConfig:
        if self.min_scorers is not None and self.min_scorers > self.scorers:
            raise ValueError(f"min_scorers={self.min_scorers} is more than scorers={self.scorers}; lower it")
        return self


class SimulationConfig(Section):
    """Extras of a replay in which every label is known."""

    random_baseline: bool = False
    """Also run random acquisition until it is as accurate as the hybrid screen, to tell what was saved."""
    baseline_fraction: Fraction = 0.1
    """Batch of the random baseline, as a share of the target set."""
    date: Day | None = None
    """Day on which the screen that is replayed began: earlier assays that are younger (`library.history.dates`) are
    warned of. In a laboratory that is the day of the campaign."""
    known: str | None = None
    """File with the ids of compounds whose labels are known before the start (`labels.known`, which it goes before):
    a table with the id column, or a `.txt` with one id a line."""
    lost_share: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of the compounds asked for that give no readout, at random, as wells fail in a laboratory. Asked again, a
    compound may have one. Which are lost follows from the seed, the compound and the round."""


class LoggingConfig(Section):
    """The log of the driver, the coordinator and what they do, on standard error of each process."""

    format: Literal["none", "text", "json"] = "none"
    """`json`: an object a line, for programs; where standard error is no terminal, it takes the place of the lines of
    progress. `text`: a line for people. `none`: no log beside the progress."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level that is logged."""
