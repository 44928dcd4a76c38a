"""What a campaign will cost before it begins: rounds, time, memory and money, from measured rates and assumptions."""

from __future__ import annotations

import math
from dataclasses import dataclass

from isd_ray.core.courses import Courses
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
    fit_base_s, fit_row_s:
        The whole fit of one member: whatever its rows, and for each observed row.
    score_row_s, member_bytes:
        As of `Rates`.
    """

    name: str
    members: int
    fit_base_s: float
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
    start_s, builder_start_s:
        Starting one process of the campaign, and one that builds the library.
    pass_row_s:
        One inference row in a pass of scoring, beside what its members take.
    end_row_s:
        Writing the line of one row of the hybrid screen, and what else each row costs once.
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
    start_s: float = 0.0
    builder_start_s: float = 0.0
    pass_row_s: float = 0.0
    end_row_s: float = 0.0
    row_values: float = 0.0
    others: tuple[FamilyRates, ...] = ()


@dataclass(frozen=True, slots=True)
class Workload:
    """A campaign's size, how far it goes, and its workers.

    Attributes
    ----------
    n_acquired, n_audit:
        Rows measured at the end, and those of them that an audit takes.
    n_audits:
        Trips to the laboratory for an audit at the end, beside the batches.
    trainers, scorers, builders:
        Processes of each kind.
    trainer_speed, scorer_speed:
        How many cores of the calibrated kind one of them is worth.
    trainer_devices, scorer_devices:
        GPUs that one of them has; cores, where the campaign has no GPU.
    devices:
        GPUs, or cores, that all together hold, at work or not.
    has_gpus:
        Whether devices are GPUs.
    processes:
        That are started: those of the campaign, and of Ray as many as its own are worth.
    trip_s:
        Seconds of one trip to the laboratory.
    growth:
        As `acquisition.growth`.
    n_outputs, has_numbers, block_rows, part_rows, resident_bytes:
        As of `ScreenSize`.
    """

    n_rows: int
    n_initial: int
    n_batch: int
    members: int
    epochs: float
    trained_share: float
    trainers: int
    scorers: int
    builders: int
    n_acquired: int
    n_audit: int = 0
    n_audits: int = 0
    trainer_speed: float = 1.0
    scorer_speed: float = 1.0
    trainer_devices: float = 1.0
    scorer_devices: float = 1.0
    devices: float = 1.0
    has_gpus: bool = False
    processes: int = 1
    trip_s: float = 0.0
    growth: float = 1.0
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
    core_s:
        Seconds of one core for all of it, with those that a GPU does the work of: starts and the end are counted.
    used_hours:
        Hours of one GPU, or core, at work: each waits while the other kind of process works, or for its turn.
    held_hours:
        Hours for which they are held from the start to the end, as on a cluster of a fixed size: while the library is
        built, while they wait, and while the laboratory measures.
    computing_hours:
        Hours for which they are held if they are given back while the library is built and the laboratory measures.
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
    core_s: float
    used_hours: float
    held_hours: float
    computing_hours: float

    @property
    def total_s(self) -> float:
        """All phases together."""
        return self.build_s + self.fit_s + self.score_s


@dataclass(frozen=True, slots=True)
class CampaignPlan:
    """A forecast with what it rests on.

    Attributes
    ----------
    demand, outlay:
        Of the likely course; where nothing is known, of the longest that is thought of.
    least, most:
        Of the shortest and the longest course; None where there is but one.
    courses:
        How far the screen goes, and how that is known.
    problems:
        What cannot fit; empty if nothing was found.
    assumptions:
        In words.
    price_hour:
        Of an hour of one device; None without a price.
    goal, constant:
        What will be claimed, and what it is held against; None where nothing is.
    warnings:
        Why the claim may be worth nothing.
    trips:
        What a limit on trips to the laboratory costs in wells; None where none was asked for.
    """

    demand: Workload
    outlay: Outlay
    courses: Courses
    problems: tuple[str, ...]
    assumptions: tuple[str, ...]
    price_hour: float | None = None
    least: Outlay | None = None
    most: Outlay | None = None
    goal: str | None = None
    constant: str | None = None
    warnings: tuple[str, ...] = ()
    trips: TripsPlan | None = None


def outlay(demand: Workload, rates: Rates) -> Outlay:
    """Forecast a campaign: every member runs all epochs, every round refits from scratch and scores all that is left.

    Networks are shared out to the trainers in turns, members of other families evenly to as many trainers as there are
    such members, and rows evenly to the scorers.
    """
    observed = _observed(demand, demand.n_acquired - demand.n_audit)
    turns = math.ceil(demand.members / demand.trainers)
    # Of a whole fit: seconds whatever the rows, and of one observed row; of the networks by one member.
    network_s = demand.epochs * demand.trained_share * rates.fit_row_s / demand.trainer_speed
    base_s = sum(family.members * family.fit_base_s for family in rates.others) / demand.trainer_speed
    others_s = sum(family.members * family.fit_row_s for family in rates.others) / demand.trainer_speed
    busy = max(1, min(demand.trainers, sum(family.members for family in rates.others)))
    row_s = demand.members * rates.score_row_s + sum(family.members * family.score_row_s for family in rates.others)
    score_s = (row_s / demand.scorer_speed + rates.pass_row_s) / demand.scorers

    def fit_s(n_fits: int, n_rows: int) -> float:
        return turns * network_s * n_rows + (base_s * n_fits + others_s * n_rows) / busy

    def round_s(n_rows: int) -> tuple[float, float]:
        return fit_s(1, n_rows), score_s * (demand.n_rows - n_rows)

    # What is delivered, or judged by a look, is predicted in a pass of its own.
    n_scored = (observed.rounds + 1) * demand.n_rows - observed.total - observed.last
    fits_s, scores_s = fit_s(observed.rounds, observed.total), score_s * n_scored
    build_s = demand.n_rows * rates.build_row_s / demand.builders
    n_trips = observed.rounds + demand.n_audits
    at_work = (network_s * demand.members + others_s) * observed.total + base_s * observed.rounds
    used_s = at_work * demand.trainer_devices + scores_s * demand.scorers * demand.scorer_devices
    size = ScreenSize(
        n_rows=demand.n_rows,
        n_observed=demand.n_acquired,
        n_outputs=demand.n_outputs,
        has_numbers=demand.has_numbers,
        members=demand.members + sum(family.members for family in rates.others),
        member_bytes=max([rates.member_bytes, *(family.member_bytes for family in rates.others)]),
        row_values=rates.row_values if rates.others else 0.0,
        block_rows=demand.block_rows,
        part_rows=min(demand.n_rows, demand.part_rows),
        trainers=demand.trainers,
        scorers=demand.scorers,
        resident_bytes=min(demand.resident_bytes, demand.n_rows * rates.row_bytes),
    )
    return Outlay(
        rounds=observed.rounds,
        n_trips=n_trips,
        n_acquired=demand.n_acquired,
        build_s=build_s,
        fit_s=fits_s,
        score_s=scores_s,
        first=round_s(observed.first),
        last=round_s(observed.last),
        disk_bytes=demand.n_rows * rates.row_bytes,
        size=size,
        memory=memory_of_each(size),
        core_s=(build_s + rates.builder_start_s * (build_s > 0.0)) * demand.builders
        + at_work * demand.trainer_speed
        + (row_s + rates.pass_row_s) * n_scored
        + demand.processes * rates.start_s
        + demand.n_rows * rates.end_row_s,
        used_hours=used_s / 3600.0,
        held_hours=demand.devices * (build_s + fits_s + scores_s + n_trips * demand.trip_s) / 3600.0,
        computing_hours=demand.devices * (fits_s + scores_s) / 3600.0,
    )


@dataclass(frozen=True, slots=True)
class _Observed:
    """Rounds until so many rows are observed; rows observed in the first and the last, and in all rounds together."""

    rounds: int
    first: int
    last: int
    total: int


def _observed(demand: Workload, n_chosen: int) -> _Observed:
    """Of batches alone, until they have `n_chosen` rows."""
    first, n_batch = demand.n_initial, demand.n_batch
    n_chosen = max(first, n_chosen)
    if demand.growth == 1.0:
        n_after = math.ceil((n_chosen - first) / n_batch)
        last = min(demand.n_rows, first + n_batch * n_after)
        before = n_after * first + n_batch * n_after * (n_after - 1) // 2
        return _Observed(1 + n_after, first, last, before + last)
    observed = [first]
    while observed[-1] < n_chosen:
        most = LARGEST_SHARE * (demand.n_rows - observed[-1])
        observed.append(min(demand.n_rows, observed[-1] + grown(n_batch, demand.growth, len(observed), most)))
    return _Observed(len(observed), first, observed[-1], sum(observed))
