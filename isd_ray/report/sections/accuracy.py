"""Accuracy of the screen and its bound, round by round, and of what was acquired."""

from __future__ import annotations

from isd_ray.campaign.constant import COMPARED
from isd_ray.core.goals.base import SQUARED
from isd_ray.report.blocks import ReportSection, Text
from isd_ray.report.figures import Line, lines
from isd_ray.report.record import Record, series
from isd_ray.report.words import capital

MEASURED = "measured so far (% of the target set)"
"""Title of the axis of what is acquired."""


def accuracy(record: Record) -> ReportSection | None:
    """The claimed quantity, its bound and the goal."""
    goal, claimed = record.goal, record.goal.is_share_right
    audited = record.config.stopping.in_force.is_audited
    bound = "bound, this round" if audited else "bound of the paper (Eq. 6)"
    drawn = [
        Line("whole screen, true", *series(record.rounds, "system_accuracy" if claimed else "system_value")),
        # By the random rows it speaks of the screen before the batch, as the interval does; the paper's, after it.
        Line(bound, *series(record.rounds, "system_bound", "n_observed" if audited else "n_acquired")),
    ]
    if claimed:
        drawn.append(Line("predicted compounds only, true", *series(record.rounds, "inference_accuracy")))
    if record.baseline and claimed:
        drawn.append(Line("random selection, true", *series(record.baseline, "system_accuracy")))
    (x, low), (_, high) = series(record.rounds, "interval_low"), series(record.rounds, "interval_high")
    drawn = [line for line in (*drawn, Line("interval, this round", x, low=low, high=high)) if line.x]
    if not drawn:
        return None  # what the screen is compared to is no figure by itself
    if (constant := _constant(record)).x:
        drawn.append(constant)
    figure = lines(
        "accuracy-by-round",
        drawn,
        x=MEASURED,
        y=_axis(record),
        level=record.goal_line,
        alt=f"{capital(goal.name)} of the screen, with its bounds, against the share of compounds measured",
        caption="Each point is a round, at the moment its model was fitted"
        + ("." if audited else "; the bound, after its batch."),
    )
    words = [f"The {goal.name} of the whole screen, measured and predicted compounds together, by what was measured."]
    if audited:
        words.append(
            "Bound and interval come from the random compounds of one batch alone (confidence "
            f"{1 - record.config.stopping.delta:.4g} for that round); they are for reading, and no stop rests on "
            "them. What is certified rests on an audit."
        )
    if (compared := record.compared) is not None:
        words.append(f"{COMPARED}: {compared}.")
    return ReportSection(f"{capital(goal.name)} and bound by round", "accuracy", (Text(" ".join(words)), figure))


def _constant(record: Record) -> Line:
    """What one answer for every compound, or random picking, reaches; nothing in records of earlier versions."""
    name = "as many picked at random" if record.goal.takes_hits else "constant answer"
    if record.config.stopping.mixes_hits:
        name = "constant answer, or as many picked at random"
    (x, low), (_, high) = (series(record.rounds, f"constant_{end}", "n_acquired") for end in ("low", "high"))
    return Line(name, x, low) if low == high else Line(name, x, low=low, high=high)


def _axis(record: Record) -> str:
    goal = record.goal
    if goal.is_error:
        if goal.is_panel:  # its name says so
            return goal.name
        unit = f"unit of {record.readout}"
        return f"{goal.name} ({unit}{' squared' if goal.power == SQUARED else ''})"
    return f"{goal.name} (share, 0 to 1)"


def batch_accuracy(record: Record) -> ReportSection | None:
    """How right the model was on what it found hardest."""
    x, y = series(record.rounds, "batch_accuracy", "n_acquired")
    if not x:
        return None
    name = record.goal.name if record.goal.is_share_right else "accuracy"
    figure = lines(
        "batch-accuracy",
        [
            Line("hardest compounds of each batch", x, y),
            Line("held-out test set", *series(record.rounds, "test_accuracy")),
        ],
        x=MEASURED,
        y=f"{name} (share, 0 to 1)",
        level=record.goal_line if record.goal.is_share_right else None,
        alt=f"{capital(name)} of each batch, predicted before it was measured, against the share measured",
        caption="Each point is a batch; its predictions were frozen before any of its readouts was known.",
    )
    words = (
        "Each batch holds the compounds that the model of its round was least sure of. The share of them that it "
        "predicted right is therefore below that of the compounds left; where it is high, little is left to learn."
    )
    return ReportSection("Accuracy on each batch", "batches", (Text(words), figure))
