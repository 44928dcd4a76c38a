"""The plan of a campaign as a table for the terminal."""

from __future__ import annotations

from rich.table import Table

from isd_ray.campaign.constant import COMPARED
from isd_ray.core.outlay import CampaignPlan
from isd_ray.core.replay import TripsOption, TripsPlan
from isd_ray.report.numbers import counted, duration, size
from isd_ray.report.tables import two_columns

MANY_ROUNDS = 500
"""More than a laboratory would do: the size of a batch is then pointed at."""


def plan_lines(plan: CampaignPlan) -> list[tuple[str, str]]:
    """The plan as (what, answer) pairs."""
    demand, forecast = plan.demand, plan.outlay
    device = (
        counted(demand.gpus, "GPU")
        if demand.gpus
        else f"{counted(demand.trainers, 'trainer')} and {counted(demand.scorers, 'scorer')}"
    )
    lines = [
        *([("Goal", plan.goal), (COMPARED, plan.constant or "–")] if plan.goal else []),
        *(("Warning", words) for words in plan.warnings),
        ("Compounds in the target set", f"{demand.n_rows:,}"),
        (
            "Measured at the stop (assumed)",
            f"{forecast.n_acquired:,} in {counted(forecast.rounds, 'round')}; with audits "
            f"{counted(forecast.n_trips, 'trip')} to the laboratory",
        ),
        ("Library", f"{size(forecast.disk_bytes)} on disk, {duration(forecast.build_s)} to build"),
        ("First round with a model", f"fit {duration(forecast.first[0])}, score {duration(forecast.first[1])}"),
        ("Last round", f"fit {duration(forecast.last[0])}, score {duration(forecast.last[1])}"),
        ("All rounds", f"fit {duration(forecast.fit_s)}, score {duration(forecast.score_s)}"),
        ("Computing in all", f"{duration(forecast.total_s)} on {device}"),
        ("GPU hours" if demand.gpus else "Core hours", f"{forecast.device_hours:,.1f}"),
    ]
    lines += [(f"Memory of a {kind}", size(n_bytes)) for kind, n_bytes in forecast.memory.items()]
    if plan.money is not None:
        lines.append(("Money", f"{plan.money:,.2f}"))
    if forecast.rounds > MANY_ROUNDS:
        words = f"batches of {demand.n_batch:,} are few compounds for so many rounds; raise acquisition.batch_size"
        lines.append(("Many rounds", words))
    if plan.trips is not None:
        lines += trips_lines(plan.trips)
    lines += [("Does NOT fit", problem) for problem in plan.problems]
    lines += [("Assumed", text) for text in plan.assumptions]
    return lines


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
