"""Raw values made comparable between plates, by the method of hit calling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isd_ray.config import HitCallingConfig, PlateFormat
from isd_ray.errors import LabelError
from isd_ray.plates.layout import SAMPLE
from isd_ray.plates.quality import Values, by_plate
from isd_ray.plates.robust import MAD_SCALE, mad, median_polish
from isd_ray.plates.wells import SHAPES

MIN_LINE = 4
"""Fewest samples in a row or column for a B-score: of fewer, the medians of the line leave next to nothing."""


@dataclass(frozen=True, slots=True)
class GoodReadings:
    """Good readings: not flagged, with a value, on plates that count; n of them.

    Attributes
    ----------
    values:
        float64, shape (n,).
    plates:
        str objects, shape (n,); empty where a reading has no plate.
    wells:
        int64, shape (n,): index on the plate; -1 where a reading has no plate.
    contents:
        str objects, shape (n,): sample, or a kind of control.
    """

    values: Values
    plates: NDArray[np.object_]
    wells: NDArray[np.int64]
    contents: NDArray[np.object_]

    def of(self, content: str) -> NDArray[np.bool_]:
        """True for wells with this content, shape (n,)."""
        return np.asarray(self.contents == content, dtype=bool)


@dataclass(frozen=True, slots=True)
class Normalised:
    """Normalised values of the wells; NaN with a reason where there is none.

    Attributes
    ----------
    values:
        float64, shape (n,).
    reasons:
        str objects, shape (n,); empty where there is a value.
    center, scale:
        What was, or is to be, frozen; None where the method has none.
    """

    values: Values
    reasons: NDArray[np.object_]
    center: float | None = None
    scale: float | None = None


def normalise(
    wells: GoodReadings,
    config: HitCallingConfig,
    plate_format: PlateFormat,
    center: float | None,
    scale: float | None,
) -> Normalised:
    """Values in the unit of the cut.

    Parameters
    ----------
    center, scale:
        Frozen before; None estimates them from `wells`.

    Raises
    ------
    LabelError
        If there are too few wells to estimate from, or more than half of them are equal.
    """
    match config.method:
        case "threshold":
            return Normalised(wells.values, np.full(len(wells.values), "", dtype=object))
        case "percent_inhibition":
            return _percent_inhibition(wells, config)
        case "robust_z":
            return _robust_z(wells, config, center, scale)
        case "b_score":
            return _b_score(wells, config, plate_format, scale)


def _without(wells: GoodReadings) -> tuple[Values, NDArray[np.object_]]:
    """Values and reasons before any plate is looked at."""
    return np.full(len(wells.values), np.nan), np.full(len(wells.values), "its plate is not known", dtype=object)


def _percent_inhibition(wells: GoodReadings, config: HitCallingConfig) -> Normalised:
    """100 (x - median of negative) / (median of positive - median of negative), plate by plate."""
    values, reasons = _without(wells)
    of_kind = {kind: wells.of(kind) for kind in ("positive", "negative")}
    for here in by_plate(wells.plates).values():
        groups = {kind: wells.values[here[of_this[here]]] for kind, of_this in of_kind.items()}
        if reason := "; ".join(filter(None, (_too_few(kind, group, config) for kind, group in groups.items()))):
            reasons[here] = reason
            continue
        high, low = (float(np.median(group)) for group in groups.values())
        if high == low:
            reasons[here] = "positive and negative controls of the plate have the same median"
            continue
        values[here] = 100 * (wells.values[here] - low) / (high - low)
        reasons[here] = ""
    return Normalised(values, reasons)


def _too_few(kind: str, group: Values, config: HitCallingConfig) -> str:
    if len(group) >= config.min_controls:
        return ""
    return f"{len(group)} {kind} controls on the plate, {config.min_controls} are needed"


def _robust_z(wells: GoodReadings, config: HitCallingConfig, center: float | None, scale: float | None) -> Normalised:
    group = SAMPLE if config.reference == "samples" else config.reference
    of_group = wells.of(group)
    if config.reference == "samples":
        # Later batches are richer or poorer in hits, on purpose: their own median would move the labels.
        if center is None:
            _check_number(of_group, config)
            center = float(np.median(wells.values[of_group]))
        residuals, reasons = wells.values - center, np.full(len(wells.values), "", dtype=object)
    else:
        residuals, reasons = _without(wells)
        for here in by_plate(wells.plates).values():
            controls = wells.values[here[of_group[here]]]
            if reason := _too_few(group, controls, config):
                reasons[here] = reason
                continue
            residuals[here] = wells.values[here] - np.median(controls)
            reasons[here] = ""
    if scale is None:
        used = of_group & ~np.isnan(residuals)
        _check_number(used, config)
        scale = _not_zero(MAD_SCALE * float(np.median(np.abs(residuals[used]))))
    return Normalised(residuals / scale, reasons, center, scale)


def _b_score(
    wells: GoodReadings, config: HitCallingConfig, plate_format: PlateFormat, scale: float | None
) -> Normalised:
    """Residuals of a median polish of the samples over their MAD.

    Brideau et al. 2003, doi:10.1177/1087057103258285; but one MAD for all plates of the first round, kept from then on:
    that of a plate would grow with its hits.
    """
    residuals, reasons = _without(wells)
    is_sample = wells.of(SAMPLE)
    reasons[~is_sample & (wells.plates != "")] = "not a sample"
    for every in by_plate(wells.plates).values():
        here = every[is_sample[every]]
        grid = np.full(plate_format, np.nan)
        for well in np.unique(wells.wells[here]):
            grid[well] = np.median(wells.values[here[wells.wells[here] == well]])
        table = _long_lines(grid.reshape(SHAPES[plate_format]))
        fit = (table - median_polish(table)).ravel()
        residuals[here] = wells.values[here] - fit[wells.wells[here]]
        reasons[here] = np.where(
            np.isnan(residuals[here]), f"fewer than {MIN_LINE} samples in its row or column of the plate", ""
        )
    if scale is None:
        used = ~np.isnan(residuals)
        _check_number(used, config)
        scale = _not_zero(mad(residuals[used]))
    return Normalised(residuals / scale, reasons, None, scale)


def _long_lines(table: Values) -> Values:
    """The table without wells in rows or columns of fewer than `MIN_LINE`."""
    while True:
        present = ~np.isnan(table)
        enough = (present.sum(axis=1) >= MIN_LINE)[:, None] & (present.sum(axis=0) >= MIN_LINE)
        if not (present & ~enough).any():
            return table
        table = np.where(enough, table, np.nan)


def _check_number(used: NDArray[np.bool_], config: HitCallingConfig) -> None:
    if (n := int(used.sum())) < config.min_reference:
        raise LabelError(
            f"{n} good wells to estimate median and MAD from; {config.min_reference} are needed",
            "hits.min_reference",
            "tell the rest of the first round, or check the controls of its plates",
        )


def _not_zero(scale: float) -> float:
    if scale == 0:
        raise LabelError(
            "of the wells that the MAD (a robust standard deviation) is estimated from, more than half do not vary",
            "hits",
            "check the readouts, or use method = 'threshold'",
        )
    return scale
