"""Time and money."""

from __future__ import annotations

from isd_ray.campaign.round_files import n_target_of
from isd_ray.report.blocks import Block, Facts, ReportSection, Text
from isd_ray.report.figures import bars
from isd_ray.report.numbers import duration
from isd_ray.report.record import Record

PHASES = {"fit_seconds": "fitting the models", "score_seconds": "scoring the library"}
CLOCKS_DIFFER = (
    "The clocks of the machines that wrote the two differ (isd doctor compares those of a cluster), so no time between "
    "is shown. Nothing is decided by clocks."
)
REST = "freezing, measuring, deciding, writing"


def cost(record: Record) -> ReportSection | None:
    """Computing time by phase, the laboratory's time, and money."""
    if not record.rounds:
        return None
    phases = {name: [float(row[column] or 0.0) for row in record.rounds] for column, name in PHASES.items()}
    phases[REST] = [
        max(0.0, float(row["round_seconds"] or 0.0) - sum(parts))
        for row, *parts in zip(record.rounds, *phases.values(), strict=True)
    ]
    pairs = [(f"{name.capitalize()}, all rounds", duration(sum(values))) for name, values in phases.items()]
    in_laboratory = record.store.manifest["in_laboratory"]
    misdated = record.misdated() if in_laboratory else []
    waits = {number: seconds for number, seconds in record.waits().items() if seconds >= 0} if in_laboratory else {}
    if waits:
        which = "the other rounds" if misdated else "all rounds"
        pairs.append((f"From a batch's release to its decision, {which}", duration(sum(waits.values()))))
    last, price = record.rounds[-1], record.config.stopping.cost_per_compound
    if (spent := last.get("spent")) is not None:
        pairs.append(("Spent on wells that were asked for", f"{spent:,.2f}"))
    elif price is not None:
        pairs.append(("Spent on measurements", f"{price * last['n_acquired']:,.2f}"))
    if price is not None:
        saved = price * (n_target_of(last) - last["n_acquired"])
        pairs.append(("Saved by predicting", f"{saved:,.2f} ({price:g} a compound)"))
    blocks: list[Block] = [Facts(tuple(pairs), "Time and money")]
    numbers = [row["round"] for row in record.rounds]
    blocks.append(
        bars(
            "time-by-phase",
            numbers,
            phases,
            x="round",
            y="computing time (seconds)",
            alt="Computing time of each round by phase",
            caption="One bar a round; the laboratory's time is not in it." if in_laboratory else "One bar a round.",
        )
    )
    if waits:
        blocks.append(
            bars(
                "waiting",
                list(waits),
                {"release to decision": [seconds / 3600 for seconds in waits.values()]},
                x="round",
                y="release to decision (hours)",
                alt="Hours from the release of each batch to the decision on it",
                caption="By the clocks of the machines that wrote the two events.",
            )
        )
    if misdated:
        which = ", ".join(map(str, misdated))
        words = f"Dated before the release of its batch: the decision of round {which}. {CLOCKS_DIFFER}"
        blocks.append(Text(words, "note"))
    if price is None and spent is None:
        blocks.append(
            Text("No price of a measurement is configured (stopping.cost_per_compound), so no money is counted.")
        )
    return ReportSection("Cost and time", "cost", tuple(blocks))
