"""The plan of a campaign as a table for the terminal."""

from __future__ import annotations

from rich.table import Table

from isd_ray.campaign.constant import COMPARED
from isd_ray.core.outlay import CampaignPlan
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
        ("Acquired at the stop (assumed)", f"{forecast.n_acquired:,} in {counted(forecast.rounds, 'round')}"),
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
    lines += [("Does NOT fit", problem) for problem in plan.problems]
    lines += [("Assumed", text) for text in plan.assumptions]
    return lines


def plan_table(plan: CampaignPlan, name: str) -> Table:
    """The plan as a table."""
    return two_columns(f"Plan of {name}", plan_lines(plan))
