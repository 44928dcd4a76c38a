"""A hybrid screen in numbers: its files are streamed, so that millions of compounds cost little memory."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from isd_ray.core.features import OnBits, tanimoto
from isd_ray.core.panels import unpack
from isd_ray.data.library import Library
from isd_ray.data.packed import from_arrow

N_SHOWN = 8
"""Compounds that are drawn of each kind."""
N_BINS = 40
"""Bins of a histogram."""
_LINES = 1 << 17
"""Lines held at a time."""
_SHOWN = ("row", "id", "smiles", "label", "value", "uncertainty")
_COLUMNS = ("row", "id", "smiles", "source", "label", "value", "uncertainty", "round", "role", "labels", "measured")
Counts = NDArray[np.int64]


@dataclass(slots=True)
class Histogram:
    """Counts in bins of equal width between `low` and `high`, both ends included."""

    low: float
    high: float
    counts: Counts = field(default_factory=lambda: np.zeros(N_BINS, np.int64))

    @property
    def centres(self) -> list[float]:
        """Middle of each bin."""
        edges = np.linspace(self.low, self.high, len(self.counts) + 1)
        return [float(value) for value in (edges[1:] + edges[:-1]) / 2]

    def add(self, values: NDArray[np.floating]) -> None:
        """Count values; those that are no numbers are left out."""
        width = (self.high - self.low) or 1.0
        places = ((values[np.isfinite(values)] - self.low) / width * len(self.counts)).astype(np.int64)
        self.counts += np.bincount(np.clip(places, 0, len(self.counts) - 1), minlength=len(self.counts))


@dataclass(slots=True)
class Digest:
    """What the lines of a hybrid screen add up to.

    Attributes
    ----------
    sources:
        Lines by source.
    labels:
        Lines by (source, class).
    found:
        Measured lines by (round, role, class); round None for those of no round.
    roles:
        Measured lines by role.
    uncertainty:
        Of the predicted lines.
    values:
        Of a regression: by source, measured or predicted.
    outputs:
        Of a panel: names, and by output the readouts, those of the second class, and predictions of the second class;
        of those that are numbers the sums of readouts and of predictions in their place.
    numbers:
        Which of the outputs are numbers.
    hardest, surest:
        Predicted lines of largest and smallest uncertainty, in this order.
    measured_rows:
        Rows that are measured, ascending.
    """

    uncertainty: Histogram
    values: dict[str, Histogram]
    sources: Counter[str] = field(default_factory=Counter)
    labels: Counter[tuple[str, str]] = field(default_factory=Counter)
    found: Counter[tuple[int | None, str, str]] = field(default_factory=Counter)
    roles: Counter[str] = field(default_factory=Counter)
    outputs: tuple[str, ...] = ()
    output_counts: NDArray[Any] = field(default_factory=lambda: np.zeros((3, 0), np.int64))
    numbers: tuple[str, ...] = ()
    hardest: list[dict[str, Any]] = field(default_factory=list)
    surest: list[dict[str, Any]] = field(default_factory=list)
    measured_rows: Counts = field(default_factory=lambda: np.empty(0, np.int64))


def digest_of(hybrid: Path, task: str) -> Digest:
    """Read the files of a hybrid screen once; `task` is that of the campaign."""
    files = sorted(hybrid.glob("part-*.parquet"))
    schema = pq.read_schema(files[0])
    digest = Digest(Histogram(*_range(files, "uncertainty")), {})
    if task == "panel":
        digest.outputs = tuple(json.loads(schema.metadata[b"outputs"]))
        digest.numbers = tuple(json.loads(schema.metadata.get(b"numbers", b"[]")))
        digest.output_counts = np.zeros((3, len(digest.outputs)), np.float64 if digest.numbers else np.int64)
    elif task == "regression":
        digest.values = {source: Histogram(*_range(files, "value")) for source in ("measured", "predicted")}
    measured = [digest.measured_rows]
    for lines in _tables(files, [name for name in _COLUMNS if name in schema.names]):
        digest.sources.update(_counts(lines, "source"))
        is_measured, is_predicted = (pc.equal(lines["source"], name) for name in ("measured", "predicted"))
        observed, predicted = lines.filter(is_measured), lines.filter(is_predicted)
        measured.append(observed["row"].to_numpy())
        digest.roles.update(_counts(observed, "role"))
        if task == "classification":
            digest.found.update(_counts(observed, "round", "role", "label"))
            digest.labels.update(_counts(lines.filter(pc.is_valid(lines["label"])), "source", "label"))
        uncertainty = _numbers(predicted["uncertainty"])
        digest.uncertainty.add(uncertainty)
        known = predicted.select([name for name in _SHOWN if name in schema.names])
        digest.hardest = _first(digest.hardest, known, -uncertainty)
        digest.surest = _first(digest.surest, known, uncertainty)
        for histogram, part in zip(digest.values.values(), (observed, predicted), strict=False):
            histogram.add(_numbers(part["value"]))
        if digest.outputs:
            digest.output_counts += _output_counts(observed, predicted, len(digest.outputs))
    digest.measured_rows = np.concatenate(measured)
    return digest


def _range(files: Sequence[Path], column: str) -> tuple[float, float]:
    """Smallest and largest value of a column, by the statistics of the files; (0, 1) of one without values."""
    ends: list[float] = []
    for file in files:
        metadata = pq.ParquetFile(file).metadata
        place = metadata.schema.names.index(column)
        for group in range(metadata.num_row_groups):
            statistics = metadata.row_group(group).column(place).statistics
            if statistics is not None and statistics.has_min_max:
                ends += [statistics.min, statistics.max]
    return (min(ends), max(ends)) if ends else (0.0, 1.0)


def _tables(files: Sequence[Path], columns: list[str]) -> Iterator[pa.Table]:
    for file in files:
        for batch in pq.ParquetFile(file).iter_batches(_LINES, columns=columns):
            yield pa.table(batch)


def _counts(lines: pa.Table, *columns: str) -> dict[Any, int]:
    """Lines by the value of a column, or by the values of several."""
    found = lines.group_by(list(columns)).aggregate([([], "count_all")]).to_pydict()
    keys = [found[name] for name in columns]
    return dict(zip(keys[0] if len(keys) == 1 else zip(*keys, strict=True), found["count_all"], strict=True))


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Values as float64, NaN where there is none."""
    return np.asarray(column.to_numpy(), np.float64)


def _first(best: list[dict[str, Any]], lines: pa.Table, order: NDArray[np.float64]) -> list[dict[str, Any]]:
    """The `N_SHOWN` lines that come first by `order`, then by row, among those so far and new ones."""
    finite = np.flatnonzero(np.isfinite(order))
    if len(finite) > N_SHOWN:
        finite = finite[np.argpartition(order[finite], N_SHOWN)[:N_SHOWN]]
    new = [{**line, "order": float(order[at])} for at, line in zip(finite, lines.take(finite).to_pylist(), strict=True)]
    return sorted([*best, *new], key=lambda line: (line["order"], line["row"]))[:N_SHOWN]


def _output_counts(observed: pa.Table, predicted: pa.Table, n_outputs: int) -> NDArray[Any]:
    """By output: readouts, those of the second class, and predictions of it; int64 (3, n_outputs).

    Of a panel with numbers float64: sums of readouts and of predictions.
    """
    if "measured" not in observed.column_names:
        values, said_values = from_arrow(observed["labels"]), from_arrow(predicted["labels"])
        return np.stack([(~np.isnan(values)).sum(axis=0), np.nansum(values, axis=0), said_values.sum(axis=0)])
    there, ones, said = (
        unpack(from_arrow(column), n_outputs)
        for column in (observed["measured"], observed["labels"], predicted["labels"])
    )
    return np.stack([part.sum(axis=0, dtype=np.int64) for part in (there, ones & there, said)])


def nearest_measured(library: Library, rows: Counts, measured: Counts) -> list[tuple[int, float]] | None:
    """The most similar measured compound of each row, and the Tanimoto similarity of their fingerprints (0 to 1).

    None for a library without fingerprints, or a screen without a measured compound.

    Parameters
    ----------
    measured:
        int64, ascending.
    """
    queries = library.features(rows)
    if not isinstance(queries, OnBits) or not len(measured):
        return None
    best, nearest = np.full(len(rows), -1.0), np.zeros(len(rows), np.int64)
    for first in range(0, len(measured), _LINES):
        others = measured[first : first + _LINES]
        features = library.features(others)
        assert isinstance(features, OnBits), "one library holds one kind of features"
        similar = tanimoto(queries, features)
        place = similar.argmax(axis=1)
        found = similar[np.arange(len(rows)), place]
        nearest, best = np.where(found > best, others[place], nearest), np.maximum(found, best)
    return list(zip(nearest.tolist(), best.tolist(), strict=True))


def lines_of(hybrid: Path, rows: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Lines of a few rows, by row."""
    known = pq.read_schema(next(hybrid.glob("part-*.parquet"))).names
    columns = [name for name in _SHOWN if name in known]
    table = pq.read_table(hybrid, columns=columns, filters=[("row", "in", list(rows))])
    return {line["row"]: line for line in table.to_pylist()}
