"""The plan of a campaign as a table for the terminal."""

from __future__ import annotations

import math
from collections.abc import Callable

from rich.table import Table

from isd_ray.campaign.constant import COMPARED
from isd_ray.core.outlay import CampaignPlan, Outlay, Workload
from isd_ray.core.replay import TripsOption, TripsPlan
from isd_ray.report.numbers import counted, duration, size
from isd_ray.report.tables import two_columns

MANY_ROUNDS = 500
"""More than a laboratory would do: the size of a batch is then pointed at."""


def plan_lines(plan: CampaignPlan) -> list[tuple[str, str]]:
    """The plan as (what, answer) pairs; of a range of courses with both ends."""
    demand, forecast = plan.demand, plan.outlay
    kind = "GPU" if demand.has_gpus else "Core"
    lines = [
        *([("Goal", plan.goal), (COMPARED, plan.constant or "–")] if plan.goal else []),
        *(("Warning", words) for words in plan.warnings),
        ("Compounds in the target set", f"{demand.n_rows:,}"),
        ("Measured at the stop", _ranged(plan, lambda end: f"{end.n_acquired:,}", " compounds")),
        ("Rounds", _ranged(plan, lambda end: f"{end.rounds:,}", f"; {_trips(plan)}")),
        ("Library", f"{size(forecast.disk_bytes)} on disk, {duration(forecast.build_s)} to build"),
        ("First round with a model", f"fit {duration(forecast.first[0])}, score {duration(forecast.first[1])}"),
        ("Last round", f"fit {duration(forecast.last[0])}, score {duration(forecast.last[1])}"),
        ("All rounds", f"fit {duration(forecast.fit_s)}, score {duration(forecast.score_s)}"),
        ("Computing in all", _ranged(plan, lambda end: duration(end.total_s), f" {_workers(demand)}")),
        ("Processor time", _ranged(plan, lambda end: duration(end.core_s), " of one core, with all processes' starts")),
        (f"{kind} hours at work", _ranged(plan, lambda end: f"{end.used_hours:,.1f}")),
    ]
    held = _ranged(plan, lambda end: f"{end.held_hours:,.1f}")
    given_back = _ranged(plan, lambda end: f"{end.computing_hours:,.1f}")
    if demand.processes > 1:
        lines += [(f"{kind} hours held", f"{held} {_FIXED}"), ("  given back between", f"{given_back} {_SCALED}")]
    longest = plan.most or forecast
    lines += [(f"Memory of a {kind}", size(n_bytes)) for kind, n_bytes in longest.memory.items()]
    if (price := plan.price_hour) is not None:
        words = _ranged(plan, lambda end: f"{price * end.held_hours:,.2f}")
        if demand.processes > 1:
            less = _ranged(plan, lambda end: f"{price * end.computing_hours:,.2f}")
            words = f"{words} held all the time; {less} given back between"
        lines.append(("Money", words))
    if forecast.rounds > MANY_ROUNDS:
        words = f"batches of {demand.n_batch:,} are few compounds for so many rounds; raise acquisition.batch_size"
        lines.append(("Many rounds", words))
    if plan.trips is not None:
        lines += trips_lines(plan.trips)
    lines += [("Does NOT fit", problem) for problem in plan.problems]
    lines += [("Assumed", text) for text in plan.assumptions]
    return lines


_FIXED = "from the start to the end, also while they wait: what a cluster of a fixed size takes"
_SCALED = (
    "held while a round is computed: nodes that scale to zero while a library is built and wells are measured, with no "
    "coordinator that stays (`isd coordinators stop`)"
)


def _workers(demand: Workload) -> str:
    """Who computes, in words."""
    if demand.processes == 1:
        return "in one process"
    workers = f"on {counted(demand.trainers, 'trainer')} and {counted(demand.scorers, 'scorer')}"
    return f"{workers}, {counted(math.ceil(demand.devices), 'GPU')}" if demand.has_gpus else workers


def _trips(plan: CampaignPlan) -> str:
    """The trips to the laboratory in words."""
    trips = _ranged(plan, lambda end: f"{end.n_trips:,}")
    return f"with audits {trips} trip{'' if trips == '1' else 's'} to the laboratory"


def _ranged(plan: CampaignPlan, words: Callable[[Outlay], str], what: str = "") -> str:
    """What the likely course takes, with both ends of the range; without a likely one the ends alone."""
    likely = words(plan.outlay)
    if plan.least is None or plan.most is None:
        return f"{likely}{what}"
    least, most = words(plan.least), words(plan.most)
    if plan.courses.likely is None:
        return f"{least} to {most}{what}"
    return f"{likely} ({least} to {most}){what}"


def trips_lines(plan: TripsPlan) -> list[tuple[str, str]]:
    """What at most so many trips to the laboratory cost in wells, as (what, answer) pairs."""
    limit, unlimited, best = counted(plan.most_trips, "trip"), plan.unlimited, plan.best
    lines = [("As configured", _option(unlimited))]
    if best is None or best.n_wells is None or best.n_trips is None:
        words = "LIKELY NOT REACHED: no batches that were tried end in so few"
        if plan.fewest is not None:
            words += f"; the fewest: {_option(plan.fewest)} ({_keys(plan.fewest)})"
        lines.append((f"In at most {limit}", words))
    else:
        lines.append((f"In at most {limit}", f"{_keys(best)}: {_option(best)}"))
        if unlimited.n_wells is not None and unlimited.n_trips is not None:
            wells = _against(best.n_wells - unlimited.n_wells, "well")
            trips = _against(best.n_trips - unlimited.n_trips, "trip")
            lines.append(("  against as configured", f"about {wells}, {trips}"))
        if best.n_within < len(plan.curves):
            beyond = len(plan.curves) - best.n_within
            lines.append(("  not certain", f"on {beyond} of {len(plan.curves)} learning curves it takes more trips"))
        lines.append(("  to hold it", f"stopping.max_rounds = {plan.most_trips}; not certified by then, it never is"))
    return [*lines, *(("Trips, assumed", text) for text in plan.assumptions)]


def _against(difference: int, noun: str) -> str:
    return f"{counted(abs(difference), noun)} {'more' if difference > 0 else 'fewer'}"


def _option(option: TripsOption) -> str:
    """What an option takes, in words."""
    if option.n_wells is None or option.n_trips is None:
        return "not likely to end within its budget"
    words = f"about {option.n_wells:,} wells in {counted(option.n_trips, 'trip')}"
    if option.wells is None or option.trips is None:
        return f"{words} (with many errors it does not end)"
    return f"{words} ({option.wells[0]:,} to {option.wells[1]:,} in {option.trips[0]} to {option.trips[1]})"


def _keys(option: TripsOption) -> str:
    return f"{option.key} = {option.size}, growth = {option.growth:g}"


def plan_table(plan: CampaignPlan, name: str) -> Table:
    """The plan as a table."""
    return two_columns(f"Plan of {name}", plan_lines(plan))
