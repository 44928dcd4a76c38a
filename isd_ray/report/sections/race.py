"""The race of the families of models: which forecast the batches best, and how much each counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from isd_ray.core.race import CONSTANT
from isd_ray.report.blocks import Block, ReportSection, Text
from isd_ray.report.figures import Line, bars, lines
from isd_ray.report.record import Record

CONSTANT_NAME = "constant answer"
"""What a reader calls `CONSTANT`."""


def race(record: Record) -> ReportSection | None:
    """Losses and shares of the families by round; only where a committee has several."""
    rounds = [row for row in record.rounds if row.get("race")]
    if not rounds:
        return None
    families = [line["family"] for line in rounds[0]["race"] if line["family"] != CONSTANT]
    judged = [row for row in rounds if any(line["loss"] is not None for line in row["race"])]
    blocks: list[Block] = [Text(_words(record, judged, families))]
    blocks += [Text(words, "alarm") for words in _warnings(record)]
    if judged:
        blocks.append(
            lines(
                "race-losses",
                [
                    Line(_name(family), [row["round"] for row in judged], [_of(row, family, "loss") for row in judged])
                    for family in (*families, CONSTANT)
                ],
                x="round",
                y="mean loss on the batch (nats a compound)",
                alt="How badly each family of models had forecast the batch of each round, beside the constant answer",
                caption="Lower is better. Forecasts were frozen before any readout of the batch was known.",
            )
        )
    blocks.append(
        bars(
            "race-shares",
            [row["round"] for row in rounds],
            {family: [_of(row, family, "share") for row in rounds] for family in families},
            x="round",
            y="share of the committee's answer (0 to 1)",
            alt="How much each family of models counted in each round",
            caption="Shares follow from the forecasts of the latest batches before the round.",
        )
    )
    return ReportSection("The race of the models", "race", tuple(blocks))


def _of(row: Mapping[str, Any], family: str, what: str) -> float:
    return next((float(line[what]) for line in row["race"] if line["family"] == family), 0.0)


def _name(family: str) -> str:
    return CONSTANT_NAME if family == CONSTANT else family


def _words(record: Record, judged: Sequence[Mapping[str, Any]], families: Sequence[str]) -> str:
    """What the race is, who led when, and who lost against the constant answer."""
    fixed = record.config.model.mixing == "equal"
    words = (
        f"The committee has members of {len(families)} families: {', '.join(families)}. Each forecasts every batch "
        "before it is released; what the readouts then say is an honest test that costs no compound. "
    )
    words += "All count the same here. " if fixed else "By it the families count in the next rounds. "
    if not judged:
        return words + "No batch that they forecast is measured yet."
    leaders = [(row["round"], min(families, key=lambda family: _of(row, family, "loss"))) for row in judged]
    stretches = [(family, [number for number, _ in part]) for family, part in groupby(leaders, lambda pair: pair[1])]
    led = ", then by ".join(f"{family} in {_rounds(numbers)}" for family, numbers in stretches)
    words += f"The best forecast was made by {led}. "
    behind = [
        f"{family} in {_rounds(lost)}"
        for family in families
        if (lost := [r["round"] for r in judged if _of(r, family, "loss") > _of(r, CONSTANT, "loss")])
    ]
    words += (
        f"Worse than the {CONSTANT_NAME}, which forecasts the shares known before, was {'; '.join(behind)}."
        if behind
        else f"None was ever worse than the {CONSTANT_NAME}, which forecasts the shares known before."
    )
    return words


def _rounds(numbers: Sequence[int]) -> str:
    """Rounds in words; runs of them as `2 to 5`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    said = [str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs]
    return f"round{'s' if len(numbers) > 1 else ''} {', '.join(said)}"


def _warnings(record: Record) -> list[str]:
    """What the last decided round says of the race."""
    last = next((files.committed for files in reversed(record.files) if files.committed), None) or {}
    return [caution["words"] for caution in last.get("warnings", ()) if caution["about"].startswith("race:")]
