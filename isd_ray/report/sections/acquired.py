"""What was measured, and why."""

from __future__ import annotations

from collections import Counter

from isd_ray.messages import ROLES, Role
from isd_ray.report.blocks import ReportSection, Table, Text, cell
from isd_ray.report.figures import bars
from isd_ray.report.numbers import counted
from isd_ray.report.record import Record

WHY: dict[Role, tuple[str, str]] = {
    "initial": ("first batch", "drawn at random, before there was a model"),
    "top": ("least certain", "what the model of the round was least sure of: where a measurement teaches most"),
    "random": ("random share", "drawn at random among all that were left, to watch the accuracy without bias"),
    "audit": ("audit (check sample)", "drawn at random after the model was frozen: the proof of the claim"),
    "finish": ("finish", "the most uncertain left after a passed audit, which had shown that measuring them suffices"),
    "hit": ("predicted hits", "every predicted hit that was left, measured for a claim on the recall"),
    "reserve": ("reserve", "an audit drawn at random before the first model, and never trained on"),
    "wanted": ("asked for", "asked for by people, whatever the model said"),
    "filling": ("filling", "the most uncertain left, on wells of an audit's plates that would have stayed empty"),
    "external": ("outside the plan", "measured elsewhere, to train the model, or told after the last round: no proof"),
}
"""Name of each role, and why its compounds were measured."""


def acquired(record: Record) -> ReportSection | None:
    """Batches by role."""
    by_round = record.roles()
    if not by_round:
        return None
    total = sum(by_round.values(), Counter())
    external = record.digest.roles["external"] if record.digest else 0
    if external:
        total["external"] = external
    present = [role for role in ROLES if total[role]]
    why = Table(
        "Compounds by the reason why they were asked for",
        ("reason", "compounds", "what it means"),
        tuple((WHY[role][0], cell(total[role]), WHY[role][1]) for role in present),
        frozenset({0, 2}),
    )
    figure = bars(
        "acquired-by-role",
        list(by_round),
        {WHY[role][0]: [by_round[r][role] for r in by_round] for role in present if role != "external"},
        x="round",
        y="compounds asked for (number)",
        alt="Compounds of each batch by the reason why they were asked for",
        caption="One bar a round.",
    )
    batches = "1 batch" if len(by_round) == 1 else f"{len(by_round):,} batches"
    n_asked, n_again = record.asked()
    words = f"Asked for: {counted(n_asked, 'compound')} in {batches}"
    words += f", {n_again:,} of them more than once, which the table counts each time." if n_again else "."
    if lost := sum(row["n_lost"] or 0 for row in record.rounds):
        words += f" {counted(lost, 'well')} gave no readout."
    return ReportSection("What was measured, and why", "acquired", (Text(words), why, figure))
