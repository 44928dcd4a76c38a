"""Hit calling: from matched readings to labels of compounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
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
"""One line for each reading of a sample that gave no label, or no part in one."""
_IDENTITY = ("name", "version", "method", "cut", "direction", "reference")


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
        What later rounds pass in: what identifies the hit calling, and `center` and `scale` where they were estimated.
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
    identity = {key: getattr(config, key) for key in _IDENTITY}
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
            "hit_calling",
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
    rows = wells["row"].take(pa.array(used)).to_numpy()
    used = used[np.argsort(rows, kind="stable")]
    table = wells.select(["row", "id", "plate", "well"]).take(pa.array(used)).to_pylist()
    verdicts = dict(zip(quality["plate"].to_pylist(), quality["verdict"].to_pylist(), strict=True))
    lines = []
    for _, members in groupby(range(len(used)), key=lambda place: table[place]["row"]):
        indices = list(members)
        group, places = used[indices], [table[index] for index in indices]
        value = float(np.median(scores[group]))
        plates = [place["plate"] for place in places if place["plate"] is not None]
        lines.append(
            {
                "row": places[0]["row"],
                "id": places[0]["id"],
                "label": int(value >= config.cut if config.direction == ">=" else value <= config.cut),
                "value": value,
                "raw_value": float(np.median(values[group])),
                "n_replicates": len(group),
                "plate": ";".join(plates) or None,
                "well": ";".join(place["well"] for place in places if place["well"] is not None) or None,
                "qc": ";".join(dict.fromkeys(verdicts[plate] for plate in plates)) or None,
            }
        )
    return pa.Table.from_pylist(lines, schema=LABELS)


def _unlabelled(wells: pa.Table, reasons: NDArray[np.object_]) -> pa.Table:
    lost = np.flatnonzero((reasons != "") & (_objects(wells["content"]) == SAMPLE))
    table = wells.select(["line", "row", "id", "plate", "well"]).take(pa.array(lost))
    return table.append_column("reason", pa.array(reasons[lost].tolist(), pa.string())).cast(UNLABELLED)
