"""Hit calling: from matched readings to labels of compounds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isd_ray.config import HitCallingConfig, PlateFormat
from isd_ray.core.censored import interval, mark_of
from isd_ray.errors import LabelError
from isd_ray.plates.cells import bad_because, shown
from isd_ray.plates.layout import SAMPLE
from isd_ray.plates.normalise import GoodReadings, Normalised, normalise
from isd_ray.plates.quality import censored_of, failed_because, plate_quality, values_of
from isd_ray.plates.wells import well_indices

LABELS = pa.schema(
    {
        "row": pa.int64(),
        "id": pa.string(),
        "label": pa.int8(),
        "value": pa.float64(),
        "raw_value": pa.float64(),
        "n_replicates": pa.int32(),
        "plate": pa.string(),
        "well": pa.string(),
        "qc": pa.string(),
    }
)
"""One line for each compound with a label. `label`: 1 for a hit; `value`, in the unit of the cut, and `raw_value` are
medians over its good readings, `n_replicates` of them, null where some are bounds, which `qc` then has as they came;
places of several readings are joined by semicolons."""
UNLABELLED = pa.schema(
    {
        "line": pa.int64(),
        "row": pa.int64(),
        "id": pa.string(),
        "plate": pa.string(),
        "well": pa.string(),
        "reason": pa.string(),
    }
)
"""One line for each reading of a sample that gave no label, or had no part in one."""


@dataclass(frozen=True, slots=True)
class HitCalls:
    """What hit calling says.

    Attributes
    ----------
    labels:
        With the schema `LABELS`, ascending by row.
    unlabelled:
        With the schema `UNLABELLED`, in the order of the readings. A compound with other, good readings is in
        both.
    quality:
        Verdict on each plate (`isd_ray.plates.quality.QUALITY`).
    frozen:
        What later rounds pass in: the table of the hit calling, and `center` and `scale` where they were estimated.
        Plain values, fit for JSON.
    """

    labels: pa.Table
    unlabelled: pa.Table
    quality: pa.Table
    frozen: dict[str, Any]


def call_hits(
    wells: pa.Table,
    config: HitCallingConfig,
    plate_format: PlateFormat,
    frozen: Mapping[str, Any] | None = None,
    *,
    takes_bounds: bool = False,
) -> HitCalls:
    """Judge plates, normalise their readings and label their compounds.

    A label depends on the readings of its compound, on those of its plate, and on what was frozen: give the readings of
    whole plates. Flagged wells, and plates that do not count, give no label.

    Parameters
    ----------
    wells:
        `readings` of `isd_ray.plates.match.match_readings`, those of controls included.
    frozen:
        Of the first call; None estimates what has to be from `wells`, which must then be the whole first round.
    takes_bounds:
        Of bounds (``>10``) that do not decide whether a compound is a hit the number counts; otherwise it has no label.

    Raises
    ------
    LabelError
        If values are class names; `frozen` is of another hit calling; or there are too few wells to estimate from.
    """
    identity = config.model_dump(mode="json")
    if frozen is not None:
        _refuse_other(identity, frozen)
    values = values_of(wells)
    quality = plate_quality(wells, config)
    plates = _objects(wells["plate"])
    reasons = _reasons_before(wells, values, quality, config)
    good = np.flatnonzero(reasons == "")
    normalised = normalise(
        GoodReadings(
            values[good],
            plates[good],
            well_indices(wells["well"].take(pa.array(good)).to_pylist(), plate_format),
            _objects(wells["content"])[good],
        ),
        config,
        plate_format,
        *((None, None) if frozen is None else (frozen.get("center"), frozen.get("scale"))),
    )
    low = np.full(len(values), np.nan)
    low[good], reasons[good] = normalised.values, normalised.reasons
    high = low.copy()
    bounded = _bounds(wells, values, reasons, normalised, config, plate_format)
    at_bound = low.copy()
    for place, (lower, upper, number) in bounded.items():
        low[place], high[place], at_bound[place] = lower, upper, number
    estimates = {"center": normalised.center, "scale": normalised.scale}
    settled = {**identity, **{key: value for key, value in estimates.items() if value is not None}}
    labels, undecided = _labels(wells, values, (low, high), quality, config, at_bound if takes_bounds else None)
    censored = censored_of(wells)
    for place in undecided:
        text = censored[place]
        reasons[place] = (
            "another reading of it is a bound that does not decide its class"
            if text is None
            else f"{shown(text)} does not decide whether it is a hit; readouts.censored = 'bound' takes the bound"
        )
    return HitCalls(
        labels,
        _unlabelled(wells, reasons),
        quality,
        settled if frozen is None else dict(frozen),
    )


def _bounds(
    wells: pa.Table,
    values: NDArray[np.float64],
    reasons: NDArray[np.object_],
    normalised: Normalised,
    config: HitCallingConfig,
    plate_format: PlateFormat,
) -> dict[int, tuple[float, float, float]]:
    """Between which values, in the unit of the cut, samples lie of which a bound was read, and the bound; by place.

    `reasons` gets why those that no method normalises cannot be used. Values between the bounds lie between theirs, as
    all methods that are used are straight lines on each plate.
    """
    censored, contents = censored_of(wells), _objects(wells["content"])
    places = [at for at, text in enumerate(censored) if text is not None and contents[at] == SAMPLE and not reasons[at]]
    if not places:
        return {}
    if config.method == "b_score":
        for at in places:
            reasons[at] = f"{shown(censored[at] or '')} is a bound, and a B-score needs a number"
        return {}
    numbers = wells["value"].to_numpy()
    ends = np.array([(*interval(float(numbers[at]), mark_of(censored[at])), numbers[at]) for at in places])
    plates, names = _objects(wells["plate"]), wells["well"].to_pylist()
    controls = np.flatnonzero(~np.isnan(values) & (contents != SAMPLE))
    every = np.concatenate([controls, np.array(places, np.int64)])
    sides = []
    for side in ends.T:
        with np.errstate(invalid="ignore"):
            scored = normalise(
                GoodReadings(
                    np.concatenate([values[controls], side]),
                    plates[every],
                    well_indices([names[at] for at in every.tolist()], plate_format),
                    contents[every],
                ),
                config,
                plate_format,
                normalised.center,
                normalised.scale,
            )
        sides.append(scored.values[len(controls) :])
        for at, reason in zip(places, scored.reasons[len(controls) :].tolist(), strict=True):
            reasons[at] = reasons[at] or reason
    lower, upper = np.minimum(*sides[:2]), np.maximum(*sides[:2])
    found = zip(places, lower.tolist(), upper.tolist(), sides[2].tolist(), strict=True)
    return {at: (low, high, number) for at, low, high, number in found if not reasons[at]}


def _objects(column: pa.ChunkedArray) -> NDArray[np.object_]:
    """Strings as objects, empty for null."""
    return np.array(column.fill_null("").to_pylist(), dtype=object)


def _refuse_other(identity: Mapping[str, Any], frozen: Mapping[str, Any]) -> None:
    changed = [key for key, value in identity.items() if frozen.get(key) != value]
    if changed:
        shown = ", ".join(f"{key}={identity[key]!r} (was {frozen.get(key)!r})" for key in changed)
        raise LabelError(
            f"hit calling has changed since the first round: {shown}",
            "hits",
            "restore it; labels called in two ways would break the bound, so another one needs a new campaign",
        )


def _reasons_before(
    wells: pa.Table, values: NDArray[np.float64], quality: pa.Table, config: HitCallingConfig
) -> NDArray[np.object_]:
    """Why a reading cannot be used, whatever the method; empty where it can."""
    verdicts = {
        line["plate"]: failed_because(line["verdict"], line["reason"])
        for line in quality.to_pylist()
        if not line["counts"]
    }
    if config.has_limits:
        verdicts[None] = "its plate is not known, so that it cannot be judged"
    reasons = np.array([verdicts.get(plate, "") for plate in wells["plate"].to_pylist()], dtype=object)
    censored = censored_of(wells)
    for place in np.flatnonzero(np.isnan(values)).tolist():
        flag = wells["flag"][place].as_py()
        if flag is not None:
            reasons[place] = bad_because(flag)
        elif censored[place] is None:
            reasons[place] = "no value"
    return reasons


def _labels(
    wells: pa.Table,
    values: NDArray[np.float64],
    ends: tuple[NDArray[np.float64], NDArray[np.float64]],
    quality: pa.Table,
    config: HitCallingConfig,
    at_bound: NDArray[np.float64] | None,
) -> tuple[pa.Table, list[int]]:
    """Labels of compounds, and the places of readings that decide none.

    `ends` are the least and the largest value that each reading may mean, equal but for bounds; `at_bound` what counts
    where they decide nothing.
    """
    used = np.flatnonzero(~np.isnan(ends[0]) & ~np.isnan(ends[1]) & (_objects(wells["content"]) == SAMPLE))
    rows, group, counts = np.unique(
        wells["row"].take(pa.array(used)).to_numpy(), return_inverse=True, return_counts=True
    )
    order = np.argsort(group, kind="stable")
    used, group = used[order], group[order]
    low, high = (_medians(side[used], group, counts) for side in ends)
    upward = config.direction == ">="
    is_hit, is_none = (low >= config.cut, high < config.cut) if upward else (high <= config.cut, low > config.cut)
    is_exact = low == high
    if at_bound is not None:
        bound = _medians(at_bound[used], group, counts)
        is_hit |= ~is_hit & ~is_none & (bound >= config.cut if upward else bound <= config.cut)
        is_none |= ~is_hit
    decided = is_hit | is_none
    verdicts = dict(zip(quality["plate"].to_pylist(), quality["verdict"].to_pylist(), strict=True))
    plates, places = _objects(wells["plate"])[used], _objects(wells["well"])[used]
    censored = np.array([text or "" for text in censored_of(wells)], dtype=object)[used]
    starts = np.cumsum(counts) - counts
    members = [slice(start, start + n) for start, n in zip(starts.tolist(), counts.tolist(), strict=True)]
    raw = np.where(is_exact, _medians(values[used], group, counts), np.nan)
    table = pa.table(
        {
            "row": rows.astype(np.int64),
            "id": wells["id"].take(pa.array(used[starts])),
            "label": is_hit.astype(np.int8),
            "value": pa.array(np.where(is_exact, low, np.nan), from_pandas=True),
            "raw_value": pa.array(raw, from_pandas=True),
            "n_replicates": counts.astype(np.int32),
            "plate": [_joined(plates[one]) for one in members],
            "well": [_joined(places[one]) for one in members],
            "qc": [
                _joined(dict.fromkeys([*(verdicts.get(plate, "") for plate in plates[one]), *censored[one]]))
                for one in members
            ],
        },
        schema=LABELS,
    )
    left = [
        int(place)
        for one, is_there in zip(members, decided.tolist(), strict=True)
        if not is_there
        for place in used[one]
    ]
    return table.filter(pa.array(decided, pa.bool_())), left


def _medians(values: NDArray[np.float64], group: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Median of each group: mean of the two in the middle; `group` ascending from 0, `counts` the size of each."""
    ordered = values[np.lexsort((values, group))]
    starts = np.cumsum(counts) - counts
    with np.errstate(invalid="ignore"):  # of bounds: the mean of minus and plus infinity, which decides nothing
        medians: NDArray[np.float64] = (ordered[starts + (counts - 1) // 2] + ordered[starts + counts // 2]) / 2
    return medians


def _joined(words: Iterable[str]) -> str | None:
    """Words between semicolons, without empty ones; None if there are none."""
    return ";".join(filter(None, words)) or None


def _unlabelled(wells: pa.Table, reasons: NDArray[np.object_]) -> pa.Table:
    lost = np.flatnonzero((reasons != "") & (_objects(wells["content"]) == SAMPLE))
    table = wells.select(["line", "row", "id", "plate", "well"]).take(pa.array(lost))
    return table.append_column("reason", pa.array(reasons[lost].tolist(), pa.string())).cast(UNLABELLED)
