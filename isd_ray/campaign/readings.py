"""From readings of wells to readouts of compounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from isd_ray.campaign.entries import ENTRIES, LOST, REFUSED, joined, named, places_of
from isd_ray.core.censored import interval, mark_of
from isd_ray.data.labels import LabelRule
from isd_ray.plates.cells import bad_because, shown
from isd_ray.plates.quality import censored_of


@dataclass(frozen=True, slots=True)
class _Good:
    """The good readings of n entries, those of an entry side by side in the order of the file.

    Attributes
    ----------
    readings:
        Of a `ReadoutFile`.
    entry:
        Of which entry each is, int64, ascending.
    start, counts:
        Where those of each entry begin, and how many there are, int64 (n,).
    outputs:
        Names of a panel's outputs; empty of single labels.
    """

    readings: pa.Table
    entry: NDArray[np.int64]
    start: NDArray[np.int64]
    counts: NDArray[np.int64]
    outputs: Sequence[str]

    def of(self, place: int) -> pa.Table:
        """Those of an entry."""
        return self.readings.slice(self.start[place], self.counts[place])

    def what(self, place: int) -> str:
        """An entry, for messages."""
        first = self.readings.select(["id", "output"]).slice(self.start[place], 1).to_pylist()[0]
        return named(first["id"], first["output"] if self.outputs else None)

    def middle(self, values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """The two values in the middle of those of each entry that has some, one and the same of an odd number."""
        ordered, has = values[np.lexsort((values, self.entry))], self.counts > 0
        start, counts = self.start[has], self.counts[has]
        return ordered[start + (counts - 1) // 2], ordered[start + counts // 2]


@dataclass(slots=True)
class _Labels:
    """Label and value of n entries, float64 (n,), NaN for none; remarks, and fates with reasons, by their places."""

    label: NDArray[np.float64]
    value: NDArray[np.float64]
    qc: dict[int, str] = field(default_factory=dict)
    fates: dict[int, tuple[str, str]] = field(default_factory=dict)


def label_readings(
    readings: pa.Table, rule: LabelRule, *, by_majority: bool = False, takes_bounds: bool = False
) -> pa.Table:
    """Label entries by the median of their good readings, or by the class that all, or most, of them name.

    Parameters
    ----------
    readings:
        `readings` of `isd_ray.plates.collect.ReadoutFile`, with `row`, int64.
    rule:
        Classes, and the cuts between them.
    by_majority:
        Of class names, one that more than half of the readings give is enough.
    takes_bounds:
        Of bounds that decide no class the number counts.

    Returns
    -------
    Table with the schema `ENTRIES`; those without a readout have a fate.
    """
    if rule.numbers and pa.types.is_string(readings["value"].type):
        return _of_both_kinds(readings, rule, by_majority=by_majority, takes_bounds=takes_bounds)
    rows, outputs = readings["row"].to_numpy(), places_of(readings["output"], rule.outputs)
    order = np.lexsort((outputs, rows))
    readings, rows, outputs = readings.take(pa.array(order)), rows[order], outputs[order]
    is_first = np.ones(len(rows), np.bool_)
    is_first[1:] = (np.diff(rows) != 0) | (np.diff(outputs) != 0)
    first, entry, n = np.flatnonzero(is_first), np.cumsum(is_first) - 1, int(is_first.sum())
    is_good = pc.is_null(readings["flag"]).to_numpy()
    counts = np.bincount(entry[is_good], minlength=n)
    good = _Good(readings.filter(pa.array(is_good)), entry[is_good], np.cumsum(counts) - counts, counts, rule.outputs)
    if pa.types.is_string(readings["value"].type):
        labels = _by_names(good, rule.classes, by_majority=by_majority)
    else:
        cuts = np.array(rule.cuts or (rule.cut,), np.float64)
        labels = _by_numbers(good, cuts[outputs[first]], takes_bounds=takes_bounds)
    lost = np.flatnonzero(counts == 0)
    flags = readings["flag"].take(pa.array(first[lost])).to_pylist()
    labels.fates |= {place: (LOST, bad_because(flag)) for place, flag in zip(lost.tolist(), flags, strict=True)}
    kept = {"value": pa.array(labels.value, from_pandas=True), "n_replicates": counts, "qc": _texts(labels.qc, n)}
    if rule.outputs:
        kept = {name: pa.nulls(n, ENTRIES.field(name).type) for name in kept}
    return (
        pa.table(
            {
                "row": rows[first],
                "output": outputs[first],
                "label": pa.array(labels.label, from_pandas=True),
                "plate": joined(good.readings["plate"], good.entry, n),
                "well": joined(good.readings["well"], good.entry, n),
                **kept,
                "line": readings["line"].take(pa.array(first)),
                "id": readings["id"].take(pa.array(first)),
                "fate": _texts({place: fate for place, (fate, _) in labels.fates.items()}, n),
                "reason": _texts({place: reason for place, (_, reason) in labels.fates.items()}, n),
            }
        )
        .select(ENTRIES.names)
        .cast(ENTRIES)
    )


def _of_both_kinds(readings: pa.Table, rule: LabelRule, *, by_majority: bool, takes_bounds: bool) -> pa.Table:
    """As `label_readings`, of outputs that are numbers beside those that are classes, all of them as texts."""
    is_number = pc.is_in(readings["output"], value_set=pa.array(rule.names_of_numbers, pa.string()))
    numbers = readings.filter(is_number)
    at = numbers.column_names.index("value")
    numbers = numbers.set_column(at, "value", numbers["value"].cast(pa.float64()))
    of_classes = replace(rule, numbers=())
    of_kind = [part for part in (numbers, readings.filter(pc.invert(is_number))) if len(part)] or [numbers]
    parts = [label_readings(p, of_classes, by_majority=by_majority, takes_bounds=takes_bounds) for p in of_kind]
    return pa.concat_tables(parts).sort_by([("row", "ascending"), ("output", "ascending")])


def _texts(texts: dict[int, str], n: int) -> pa.Array:
    """A column of n texts, given by their places."""
    return pa.array([texts.get(place) for place in range(n)], pa.string()) if texts else pa.nulls(n, pa.string())


def _by_names(good: _Good, classes: Sequence[str], *, by_majority: bool) -> _Labels:
    codes = pc.index_in(good.readings["value"], value_set=pa.array(classes, pa.string())).to_numpy()
    n, has = len(good.counts), good.counts > 0
    # A class that most readings name is in the middle of them.
    named_most = np.zeros(n, codes.dtype)
    named_most[has], _ = good.middle(codes)
    n_votes = np.bincount(good.entry[codes == named_most[good.entry]], minlength=n)
    is_one = has & ((n_votes == good.counts) | (by_majority & (2 * n_votes > good.counts)))
    labels = _Labels(np.where(is_one, named_most, np.nan), np.full(n, np.nan))
    for place in np.flatnonzero(has & ~is_one).tolist():
        readings = good.of(place)
        lines = zip(readings["line"].to_pylist(), readings["value"].to_pylist(), strict=True)
        listed = ", ".join(f"line {line}: {name}" for line, name in lines)
        labels.fates[place] = (REFUSED, f"readings of {good.what(place)} contradict each other ({listed})")
    return labels


def _by_numbers(good: _Good, cuts: NDArray[np.float64], *, takes_bounds: bool) -> _Labels:
    """As `label_readings`; `cuts` float64 (n,), NaN where the number is the label."""
    values, has = np.full(len(good.counts), np.nan), good.counts > 0
    low, high = good.middle(good.readings["value"].to_numpy())
    with np.errstate(over="ignore"):  # twice one number, which stays as it is
        values[has] = np.where(low == high, low, (low + high) / 2)

    def label(value: NDArray[np.float64], cut: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(np.isnan(cut) | np.isnan(value), value, (value > cut).astype(np.float64))

    labels = _Labels(label(values, cuts), values)
    censored = censored_of(good.readings)
    is_bound = np.array([text is not None for text in censored], np.bool_)
    for place in np.unique(good.entry[is_bound]).tolist():
        cut = None if np.isnan(cuts[place]) else float(cuts[place])
        texts = censored[good.start[place] : good.start[place] + good.counts[place]]
        bounds = list(dict.fromkeys(text for text in texts if text is not None))
        labels.qc[place] = ";".join(bounds)
        decided = _decided(good.of(place)["value"].to_pylist(), texts, cut)
        if decided is None and takes_bounds:
            continue
        labels.label[place], labels.value[place] = np.nan if decided is None else decided, np.nan
        if decided is None:
            labels.fates[place] = _undecided(good, place, bounds, cut)
    return labels


def _decided(values: Sequence[float], texts: Sequence[str | None], cut: float | None) -> float | None:
    """The class of readings of which some are bounds, if their median is in it wherever between the bounds they are."""
    if cut is None:
        return None
    ends = [interval(value, mark_of(text)) for value, text in zip(values, texts, strict=True)]
    with np.errstate(invalid="ignore"):  # the mean of minus and plus infinity: not decided
        low, high = (float(np.median(side)) for side in zip(*ends, strict=True))
    return 1.0 if low > cut else 0.0 if high <= cut else None


def _undecided(good: _Good, place: int, bounds: Sequence[str], cut: float | None) -> tuple[str, str]:
    """What becomes of an entry whose bounds are no number: in a well it is lost, else refused."""
    reason = f"{', '.join(map(shown, bounds))} is no number" + (
        ", and a regression needs one; readouts.censored = 'bound' takes the bound for it"
        if cut is None
        else f", and the cut at {cut:g} does not decide its class; readouts.censored = 'bound' takes the bound"
    )
    if cut is not None and good.of(place)["well"].null_count == 0:
        return LOST, reason
    return REFUSED, f"{good.what(place)}: {reason}"
