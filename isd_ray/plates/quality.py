"""Whether a plate is good enough for its readouts to count, judged from its controls."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isd_ray.config import HitCallingConfig
from isd_ray.errors import LabelError
from isd_ray.plates.robust import mad

Values = NDArray[np.float64]

PASSED = "pass"
FAILED = "fail"
NOT_ASSESSED = "not assessed"
QUALITY = pa.schema(
    {
        "plate": pa.string(),
        "n_positive": pa.int64(),
        "n_negative": pa.int64(),
        "z_prime": pa.float64(),
        "robust_z_prime": pa.float64(),
        "ssmd": pa.float64(),
        "signal_window": pa.float64(),
        "cv_positive": pa.float64(),
        "cv_negative": pa.float64(),
        "verdict": pa.string(),
        "reason": pa.string(),
        "counts": pa.bool_(),
    }
)
"""One line for each plate; statistics are null where controls are too few, CVs are in percent; `counts`: whether the
labels of the plate count."""


@dataclass(frozen=True, slots=True)
class PlateQuality:
    """A line of `QUALITY`; statistics that are not finite are None, too."""

    plate: str
    n_positive: int
    n_negative: int
    z_prime: float | None
    robust_z_prime: float | None
    ssmd: float | None
    signal_window: float | None
    cv_positive: float | None
    cv_negative: float | None
    verdict: str
    reason: str
    counts: bool

    @classmethod
    def of(cls, quality: pa.Table) -> tuple[PlateQuality, ...]:
        """The lines of a table with the schema `QUALITY`."""
        return tuple(cls(**{name: _finite(value) for name, value in line.items()}) for line in quality.to_pylist())


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not isfinite(value) else value


def z_prime(positive: Values, negative: Values) -> float:
    """Z' = 1 - 3 (σp + σn) / |μp - μn|, sample standard deviations (Zhang, Chung and Oldenburg 1999).

    doi:10.1177/108705719900400206. Minus infinity for equal means.
    """
    return _separation(
        float(np.std(positive, ddof=1) + np.std(negative, ddof=1)), float(np.mean(positive) - np.mean(negative))
    )


def robust_z_prime(positive: Values, negative: Values) -> float:
    """Z' with medians and scaled MADs in place of means and standard deviations."""
    return _separation(mad(positive) + mad(negative), float(np.median(positive) - np.median(negative)))


def _separation(spread: float, difference: float) -> float:
    return 1 - 3 * spread / abs(difference) if difference else -np.inf


def ssmd(positive: Values, negative: Values) -> float:
    """Strictly standardised mean difference (μp - μn) / √(σp² + σn²) of independent groups (Zhang 2007).

    doi:10.1016/j.ygeno.2006.12.014. Signed; infinite where nothing varies, 0 if the means are equal too.
    """
    difference = float(np.mean(positive) - np.mean(negative))
    spread = float(np.sqrt(np.var(positive, ddof=1) + np.var(negative, ddof=1)))
    return difference / spread if spread else np.copysign(np.inf, difference) if difference else 0.0


def signal_window(positive: Values, negative: Values) -> float:
    """Distance between 3 σ below the high and 3 σ above the low control, in σ of the high one.

    Sittampalam et al. 1997, doi:10.1177/108705719700200306. Infinite, with the sign of the distance, where the high
    control does not vary.
    """
    low, high = sorted((positive, negative), key=lambda group: float(np.mean(group)))
    sigma = float(np.std(high, ddof=1))
    window = float(np.mean(high) - 3 * sigma - np.mean(low) - 3 * np.std(low, ddof=1))
    return window / sigma if sigma else float(np.copysign(np.inf, window))


def cv_percent(values: Values) -> float:
    """Coefficient of variation in percent: sample standard deviation over the absolute mean; NaN for a mean of 0."""
    mean = float(np.mean(values))
    return 100 * float(np.std(values, ddof=1)) / abs(mean) if mean else np.nan


def failed_because(verdict: str, reason: str) -> str:
    """Why wells gave no readout whose plate does not count, by its line of `QUALITY`."""
    return f"plate {verdict}: {reason}"


def was_plate_failed(why: str) -> bool:
    """Whether `failed_because` said why wells gave no readout, and not people in words of their own."""
    return why.startswith((failed_because(FAILED, ""), failed_because(NOT_ASSESSED, "")))


def values_of(wells: pa.Table) -> Values:
    """Values of matched readings as float64, NaN where a well has none, is flagged, or has only a bound; shape (n,).

    Raises
    ------
    LabelError
        If values are class names.
    """
    if not pa.types.is_floating(wells["value"].type):
        raise LabelError("hits are called on numbers, but the readouts are class names", "hits", "remove [hits]")
    values = wells["value"].to_numpy().astype(np.float64)
    values[wells["flag"].is_valid().to_numpy()] = np.nan
    values[np.array([text is not None for text in censored_of(wells)], np.bool_)] = np.nan
    return values


def censored_of(wells: pa.Table) -> list[str | None]:
    """The values that are bounds, as they came; None where one is exact. Older records do not know any."""
    if "censored" not in wells.column_names:
        return [None] * len(wells)
    found: list[str | None] = wells["censored"].to_pylist()
    return found


def by_plate(plates: NDArray[np.object_]) -> dict[str, NDArray[np.int64]]:
    """Indices of the readings of each plate, plates ascending; those without one (empty) are left out."""
    groups: dict[str, list[int]] = {}
    for index, plate in enumerate(plates.tolist()):
        if plate:
            groups.setdefault(plate, []).append(index)
    return {plate: np.array(groups[plate], np.int64) for plate in sorted(groups)}


def plate_quality(wells: pa.Table, config: HitCallingConfig) -> pa.Table:
    """Judge every plate from its controls; flagged wells are left out.

    A plate counts if it keeps all limits that are set; one that cannot be assessed counts only where no limit is set.

    Parameters
    ----------
    wells:
        Of `isd_ray.plates.match.match_readings`, any number of plates.

    Returns
    -------
    Table with the schema `QUALITY`, plates ascending. Readings without a plate belong to none.

    Raises
    ------
    LabelError
        If values are class names.
    """
    values = values_of(wells)
    plates = np.array(wells["plate"].fill_null("").to_pylist(), dtype=object)
    contents = np.array(wells["content"].to_pylist(), dtype=object)
    good = ~np.isnan(values)
    lines = []
    for plate, here in by_plate(plates).items():
        positive, negative = (values[here[good[here] & (contents[here] == kind)]] for kind in ("positive", "negative"))
        lines.append({"plate": plate, **_judged(positive, negative, config)})
    return pa.Table.from_pylist(lines, schema=QUALITY)


def _judged(positive: Values, negative: Values, config: HitCallingConfig) -> dict[str, object]:
    numbers: dict[str, object] = {"n_positive": len(positive), "n_negative": len(negative)}
    needed = config.min_controls
    if min(len(positive), len(negative)) < needed:
        reason = f"{len(positive)} positive and {len(negative)} negative controls; each needs {needed}"
        return {**numbers, "verdict": NOT_ASSESSED, "reason": reason, "counts": not config.has_limits}
    separation, difference = z_prime(positive, negative), ssmd(positive, negative)
    numbers |= {
        "z_prime": separation,
        "robust_z_prime": robust_z_prime(positive, negative),
        "ssmd": difference,
        "signal_window": signal_window(positive, negative),
        "cv_positive": cv_percent(positive),
        "cv_negative": cv_percent(negative),
    }
    broken = []
    if config.min_z_prime is not None and separation < config.min_z_prime:
        broken.append(f"Z' {separation:.3g} is below {config.min_z_prime:g}")
    if config.min_ssmd is not None and difference < config.min_ssmd:
        broken.append(f"SSMD {difference:.3g} is below {config.min_ssmd:g}")
    if config.max_ssmd is not None and difference > config.max_ssmd:
        broken.append(f"SSMD {difference:.3g} is above {config.max_ssmd:g}")
    if broken:
        return {**numbers, "verdict": FAILED, "reason": "; ".join(broken), "counts": False}
    if not config.has_limits:
        return {**numbers, "verdict": NOT_ASSESSED, "reason": "no limit is set", "counts": True}
    return {**numbers, "verdict": PASSED, "reason": f"Z' {separation:.3g}, SSMD {difference:.3g}", "counts": True}
