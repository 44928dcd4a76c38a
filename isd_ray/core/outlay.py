"""What a campaign will cost before it begins: rounds, time, memory and money, from measured rates and assumptions."""

from __future__ import annotations

import math
from dataclasses import dataclass

from isd_ray.core.growth import LARGEST_SHARE, grown
from isd_ray.core.memory import ScreenSize, memory_of_each
from isd_ray.core.replay import TripsPlan


@dataclass(frozen=True, slots=True)
class FamilyRates:
    """Speed of one core for a family of models that has no epochs.

    Attributes
    ----------
    name, members:
        The family, and its members in the committee.
    fit_row_s:
        One observed row in the whole fit of one member.
    score_row_s, member_bytes:
        As of `Rates`.
    """

    name: str
    members: int
    fit_row_s: float
    score_row_s: float
    member_bytes: int


@dataclass(frozen=True, slots=True)
class Rates:
    """Speed of one core, or of one GPU if `gpu_speedup` is applied.

    Attributes
    ----------
    build_row_s:
        Standardising and fingerprinting one record; 0 if the library is there already.
    fit_row_s:
        One observed row in one epoch of one member.
    score_row_s:
        One inference row by one member.
    row_bytes:
        Features of one row on disk.
    member_bytes:
        Weights of one member.
    row_values:
        Set bits, or values, of one row.
    others:
        Of the families beside the networks, of which the above speaks.
    """

    build_row_s: float
    fit_row_s: float
    score_row_s: float
    row_bytes: float
    member_bytes: int
    row_values: float = 0.0
    others: tuple[FamilyRates, ...] = ()


@dataclass(frozen=True, slots=True)
class Workload:
    """A campaign's size and workers.

    Attributes
    ----------
    stop_share:
        Share of the target set assumed to be acquired at the stop.
    gpus:
        GPUs that trainers and scorers use; 0 for cores alone.
    gpu_speedup:
        How many cores of the calibrated kind one GPU is assumed to be worth.
    n_outputs, has_numbers, block_rows, part_rows, resident_bytes:
        As of `ScreenSize`.
    growth:
        As `acquisition.growth`.
    n_audits:
        Trips to the laboratory for an audit at the end, beside the batches.
    """

    n_rows: int
    n_initial: int
    n_batch: int
    members: int
    epochs: int
    trained_share: float
    trainers: int
    scorers: int
    builders: int
    stop_share: float
    gpus: int
    gpu_speedup: float
    growth: float = 1.0
    n_audits: int = 0
    n_outputs: int = 0
    has_numbers: bool = False
    block_rows: int = 8192
    part_rows: int = 131_072
    resident_bytes: float = 0.0


@dataclass(frozen=True, slots=True)
class Outlay:
    """The forecast; seconds of wall time, the laboratory's not counted.

    Attributes
    ----------
    rounds, n_trips:
        Batches; and trips to the laboratory, with those for audits.
    first, last:
        Seconds of (fit, score) in the first and in the last round with a model.
    size, memory:
        What memory depends on, and bytes of one process of each kind (`isd_ray.core.memory`).
    """

    rounds: int
    n_trips: int
    n_acquired: int
    build_s: float
    fit_s: float
    score_s: float
    first: tuple[float, float]
    last: tuple[float, float]
    disk_bytes: float
    size: ScreenSize
    memory: dict[str, float]
    device_hours: float

    @property
    def total_s(self) -> float:
        """All phases together."""
        return self.build_s + self.fit_s + self.score_s


@dataclass(frozen=True, slots=True)
class CampaignPlan:
    """A forecast with what it rests on.

    Attributes
    ----------
    problems:
        What cannot fit; empty if nothing was found.
    assumptions:
        In words.
    money:
        In the unit of the prices; None without a price.
    goal, constant:
        What will be claimed, and what it is held against; None where nothing is.
    warnings:
        Why the claim may be worth nothing.
    trips:
        What a limit on trips to the laboratory costs in wells; None where none was asked for.
    """

    demand: Workload
    outlay: Outlay
    problems: tuple[str, ...]
    assumptions: tuple[str, ...]
    money: float | None
    goal: str | None = None
    constant: str | None = None
    warnings: tuple[str, ...] = ()
    trips: TripsPlan | None = None


def outlay(demand: Workload, rates: Rates) -> Outlay:
    """Forecast a campaign: every member runs all epochs, every round refits from scratch and scores all that is left.

    Networks are shared out to the trainers in turns, members of other families and rows to the workers evenly.
    """
    n_acquired = max(demand.n_initial, round(demand.stop_share * demand.n_rows))
    observed = _observed(demand, n_acquired)
    speed = demand.gpu_speedup if demand.gpus else 1.0
    trainers, scorers = demand.gpus or demand.trainers, demand.gpus or demand.scorers
    turns = math.ceil(demand.members / trainers)
    # Seconds of one observed row, in a round; of the networks by one member.
    network_s = demand.epochs * demand.trained_share * rates.fit_row_s / speed
    others_s = sum(family.members * family.fit_row_s for family in rates.others) / speed
    fit_s = turns * network_s + others_s / trainers
    row_s = demand.members * rates.score_row_s + sum(family.members * family.score_row_s for family in rates.others)
    score_s = row_s / scorers / speed
    n_scored = observed.rounds * demand.n_rows - observed.total
    used = (network_s * demand.members + others_s) * observed.total + score_s * scorers * n_scored
    size = ScreenSize(
        n_rows=demand.n_rows,
        n_observed=n_acquired,
        n_outputs=demand.n_outputs,
        has_numbers=demand.has_numbers,
        members=demand.members + sum(family.members for family in rates.others),
        member_bytes=max([rates.member_bytes, *(family.member_bytes for family in rates.others)]),
        row_values=rates.row_values if rates.others else 0.0,
        block_rows=demand.block_rows,
        part_rows=min(demand.n_rows, demand.part_rows),
        trainers=trainers,
        scorers=scorers,
        resident_bytes=min(demand.resident_bytes, demand.n_rows * rates.row_bytes),
    )
    return Outlay(
        rounds=observed.rounds,
        n_trips=observed.rounds + demand.n_audits,
        n_acquired=n_acquired,
        build_s=demand.n_rows * rates.build_row_s / demand.builders,
        fit_s=fit_s * observed.total,
        score_s=score_s * n_scored,
        first=(fit_s * observed.first, score_s * (demand.n_rows - observed.first)),
        last=(fit_s * observed.last, score_s * (demand.n_rows - observed.last)),
        disk_bytes=demand.n_rows * rates.row_bytes,
        size=size,
        memory=memory_of_each(size),
        device_hours=used / 3600.0,
    )


@dataclass(frozen=True, slots=True)
class _Observed:
    """Rounds until so many rows are observed; rows observed in the first and the last, and in all rounds together."""

    rounds: int
    first: int
    last: int
    total: int


def _observed(demand: Workload, n_acquired: int) -> _Observed:
    first, n_batch = demand.n_initial, demand.n_batch
    if demand.growth == 1.0:
        n_after = math.ceil((n_acquired - first) / n_batch)
        last = min(demand.n_rows, first + n_batch * n_after)
        before = n_after * first + n_batch * n_after * (n_after - 1) // 2
        return _Observed(1 + n_after, first, last, before + last)
    observed = [first]
    while observed[-1] < n_acquired:
        most = LARGEST_SHARE * (demand.n_rows - observed[-1])
        observed.append(min(demand.n_rows, observed[-1] + grown(n_batch, demand.growth, len(observed), most)))
    return _Observed(len(observed), first, observed[-1], sum(observed))
