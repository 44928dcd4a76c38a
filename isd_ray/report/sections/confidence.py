"""How sure the models were, and how often they were right."""

from __future__ import annotations

from dataclasses import replace

from isd_ray.report.blocks import ReportSection, Table, Text
from isd_ray.report.figures import Line, bars, lines
from isd_ray.report.record import Record


def calibration(record: Record) -> ReportSection | None:
    """Stated uncertainty against the share that was wrong."""
    bins = [line for line in record.calibration if line["n"]]
    if not bins or not record.goal.has_losses:
        return None
    random = [line for line in bins if line["n_random"]]
    error = "mean loss (0 to 1)" if record.goal.is_error else "wrong (share of the measured, 0 to 1)"
    spread = record.goal.is_regression
    drawn = [
        Line("all measured", [b["uncertainty"] for b in bins], [b["errors"] / b["n"] for b in bins]),
        Line(
            "random ones only",
            [b["uncertainty"] for b in random],
            [b["random_errors"] / b["n_random"] for b in random],
        ),
    ]
    figure = lines(
        "calibration",
        drawn,
        x=f"standard deviation of the committee (unit of {record.readout})"
        if spread
        else "uncertainty stated (0 to 1)",
        y=error,
        diagonal=None if spread else "as often wrong as stated",
        alt="Share of predictions that turned out wrong against the uncertainty that the model had stated",
        caption="Each point is a group of compounds of like uncertainty.",
    )
    table = Table.of(
        "Predictions of like uncertainty",
        {
            "uncertainty": [f"{b['low']:.3g} to {b['high']:.3g}" for b in bins],
            "mean": [b["uncertainty"] for b in bins],
            "measured": [b["n"] for b in bins],
            "share wrong": [b["errors"] / b["n"] for b in bins],
            "of them random": [b["n_random"] for b in bins],
            "share of the random wrong": [b["random_errors"] / b["n_random"] if b["n_random"] else None for b in bins],
        },
    )
    words = (
        "How sure the models of the last rounds were of compounds before these were measured, and how often they were "
        "wrong. Measured compounds are the hardest of their round; those drawn at random are a fair sample of their "
        "group, but few. "
    )
    if not spread:
        words += "Points above the dashed line were wrong more often than stated, points below it less often."
    return ReportSection("Calibration", "calibration", (Text(words), replace(figure, table=table)))


def confidence(record: Record) -> ReportSection | None:
    """Histogram of the uncertainty of what is delivered as predicted."""
    digest = record.digest
    if digest is None or not digest.uncertainty.counts.sum():
        return None
    histogram, spread = digest.uncertainty, record.goal.is_regression
    places = histogram.centres if spread else [1 - centre for centre in histogram.centres]
    unit = f"standard deviation of the committee (unit of {record.readout})" if spread else "confidence (0 to 1)"
    n = int(histogram.counts.sum())
    figure = bars(
        "confidence",
        [float(f"{place:.4g}") for place in places],
        {"predicted compounds": histogram.counts.tolist()},
        x=unit,
        y="predicted compounds (number)",
        logarithmic=True,
        alt="Number of predicted compounds by how sure the model is of them",
        caption="The scale of the numbers is logarithmic: each line is ten times the one below.",
    )
    words = f"How sure the delivered model is of the {n:,} compounds that are predicted (the inference set). "
    words += (
        "The members of the committee give different values; their standard deviation is its uncertainty."
        if spread
        else "Confidence is the probability that the model gives to the class it predicts"
        + (", on average over the outputs" if digest.outputs else "")
        + ("; of a number it is by how much the members differ, in tolerances." if digest.numbers else ".")
    )
    return ReportSection("Confidence of the predictions", "confidence", (Text(words), figure))
