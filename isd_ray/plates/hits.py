"""Hit calling: from matched readings to labels of compounds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isd_ray.config import HitCallingConfig, PlateFormat
from isd_ray.errors import LabelError
from isd_ray.plates.layout import SAMPLE
from isd_ray.plates.normalise import Wells, normalise
from isd_ray.plates.quality import plate_quality, values_of
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
medians over its good readings, `n_replicates` of them; places of several readings are joined by semicolons."""
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
        Wells(
            values[good],
            plates[good],
            well_indices(wells["well"].take(pa.array(good)).to_pylist(), plate_format),
            _objects(wells["content"])[good],
        ),
        config,
        plate_format,
        *((None, None) if frozen is None else (frozen.get("center"), frozen.get("scale"))),
    )
    scores = np.full(len(values), np.nan)
    scores[good], reasons[good] = normalised.values, normalised.reasons
    estimates = {"center": normalised.center, "scale": normalised.scale}
    settled = {**identity, **{key: value for key, value in estimates.items() if value is not None}}
    return HitCalls(
        _labels(wells, values, scores, quality, config),
        _unlabelled(wells, reasons),
        quality,
        settled if frozen is None else dict(frozen),
    )


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
        line["plate"]: f"plate {line['verdict']}: {line['reason']}"
        for line in quality.to_pylist()
        if not line["counts"]
    }
    if config.has_limits:
        verdicts[None] = "its plate is not known, so that it cannot be judged"
    reasons = np.array([verdicts.get(plate, "") for plate in wells["plate"].to_pylist()], dtype=object)
    for place in np.flatnonzero(np.isnan(values)).tolist():
        flag = wells["flag"][place].as_py()
        reasons[place] = "no value" if flag is None else f"flagged {flag!r}"
    return reasons


def _labels(
    wells: pa.Table,
    values: NDArray[np.float64],
    scores: NDArray[np.float64],
    quality: pa.Table,
    config: HitCallingConfig,
) -> pa.Table:
    used = np.flatnonzero(~np.isnan(scores) & (_objects(wells["content"]) == SAMPLE))
    rows, group, counts = np.unique(
        wells["row"].take(pa.array(used)).to_numpy(), return_inverse=True, return_counts=True
    )
    order = np.argsort(group, kind="stable")
    used, group = used[order], group[order]
    value = _medians(scores[used], group, counts)
    is_hit = value >= config.cut if config.direction == ">=" else value <= config.cut
    verdicts = dict(zip(quality["plate"].to_pylist(), quality["verdict"].to_pylist(), strict=True))
    plates, places = _objects(wells["plate"])[used], _objects(wells["well"])[used]
    starts = np.cumsum(counts) - counts
    members = [slice(start, start + n) for start, n in zip(starts.tolist(), counts.tolist(), strict=True)]
    return pa.table(
        {
            "row": rows.astype(np.int64),
            "id": wells["id"].take(pa.array(used[starts])),
            "label": is_hit.astype(np.int8),
            "value": value,
            "raw_value": _medians(values[used], group, counts),
            "n_replicates": counts.astype(np.int32),
            "plate": [_joined(plates[one]) for one in members],
            "well": [_joined(places[one]) for one in members],
            "qc": [_joined(dict.fromkeys(verdicts.get(plate, "") for plate in plates[one])) for one in members],
        },
        schema=LABELS,
    )


def _medians(values: NDArray[np.float64], group: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Median of each group: mean of the two in the middle; `group` ascending from 0, `counts` the size of each."""
    ordered = values[np.lexsort((values, group))]
    starts = np.cumsum(counts) - counts
    medians: NDArray[np.float64] = (ordered[starts + (counts - 1) // 2] + ordered[starts + counts // 2]) / 2
    return medians


def _joined(words: Iterable[str]) -> str | None:
    """Words between semicolons, without empty ones; None if there are none."""
    return ";".join(filter(None, words)) or None


def _unlabelled(wells: pa.Table, reasons: NDArray[np.object_]) -> pa.Table:
    lost = np.flatnonzero((reasons != "") & (_objects(wells["content"]) == SAMPLE))
    table = wells.select(["line", "row", "id", "plate", "well"]).take(pa.array(lost))
    return table.append_column("reason", pa.array(reasons[lost].tolist(), pa.string())).cast(UNLABELLED)
