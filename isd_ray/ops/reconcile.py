"""Whether a hybrid screen says what was measured, and of all other compounds what was predicted before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from isd_ray.campaign.amend import amended_readouts
from isd_ray.campaign.laboratory import Laboratory
from isd_ray.campaign.round_files import RoundFiles
from isd_ray.campaign.store import CampaignStore
from isd_ray.core.panels import count_bits, has_readout
from isd_ray.data.hybrid import is_source
from isd_ray.data.library import Library
from isd_ray.data.packed import from_arrow, labels_from
from isd_ray.data.predictions import part_name, read_predictions
from isd_ray.messages import LabelArray, Rows
from isd_ray.storage.addresses import within
from isd_ray.storage.copies import fetched


def hybrid_problems(store: CampaignStore, library: Library, rounds: Sequence[RoundFiles]) -> Iterator[str]:
    """What is wrong with the hybrid screen, part by part."""
    (planned, on_record), in_part = _planned(store, rounds), _told_in_part(store, rounds)
    told, amended = Laboratory(store).ledger().rows, np.array(sorted(amended_readouts(store)), np.int64)
    classes = store.manifest["classes"]
    frozen = within(store.address, store.delivered()["frozen"])
    store.bring_hybrid()
    seen = 0
    for part in range(library.n_parts):
        first, stop = library.part_rows_range(part)
        table = pq.read_table(store.hybrid_dir / part_name(part))
        rows = table["row"].to_numpy()
        if not np.array_equal(rows, np.arange(first, stop)):
            yield f"{part_name(part)} does not hold the rows {first} to {stop - 1}, each once"
            continue
        is_measured, is_predicted = is_source(table, "measured"), is_source(table, "predicted")
        seen += int(np.count_nonzero(is_measured))
        here = slice(*np.searchsorted(planned, (first, stop)))
        is_known = np.zeros(stop - first, np.bool_)
        is_known[planned[here] - first] = is_known[_between(told, first, stop) - first] = True
        may_stay = np.zeros(stop - first, np.bool_)
        may_stay[_between(in_part, first, stop) - first] = True
        n_lost = np.count_nonzero(is_known & ~is_measured & ~(may_stay & is_predicted))
        n_invented = np.count_nonzero(is_measured & ~is_known)
        if n_lost or n_invented:
            yield f"{part_name(part)}: {n_lost} readouts are not in it, {n_invented} in it are not on record"
        labels = _labels(table, classes)
        stands = is_measured[planned[here] - first] & ~np.isin(planned[here], amended)
        wrong = np.count_nonzero(stands & _differ(labels[planned[here] - first], on_record[here]))
        if wrong:
            yield f"{part_name(part)}: {wrong} measured labels are not those on record"
        before, predicted = read_predictions(fetched(within(frozen, part_name(part)))), rows[is_predicted]
        places = np.searchsorted(before.rows, predicted)
        if not np.array_equal(before.rows[np.minimum(places, len(before.rows) - 1)], predicted):
            yield f"{part_name(part)}: compounds are predicted in it that were not predicted before"
        elif not np.array_equal(labels[predicted - first], _as_labels(before.prediction[places], labels)):
            yield f"{part_name(part)}: predictions in it are not those that were frozen"
    if seen < len(planned):
        yield f"{len(planned) - seen} readouts are missing"


def _between(rows: Rows, first: int, stop: int) -> Rows:
    """Those of ascending rows that lie in a part."""
    low, high = np.searchsorted(rows, (first, stop))
    return rows[low:high]


def _differ(labels: LabelArray, others: LabelArray) -> NDArray[np.bool_]:
    """Which labels are not those on record, bool (n,); NaN is equal to NaN."""
    if labels.shape != others.shape:  # of another number of outputs: none of them is
        return np.ones(len(labels), np.bool_)
    differ: NDArray[np.bool_] = (labels != others) & ~((labels != labels) & (others != others))
    some: NDArray[np.bool_] = np.any(differ.reshape(len(labels), -1), axis=1)
    return some


def _told_in_part(store: CampaignStore, rounds: Sequence[RoundFiles]) -> Rows:
    """Rows that stay predicted though some of their entries were told, ascending: after the last model (`deliver`)."""
    if store.manifest["config"]["stopping"].get("panel") is None:
        return np.empty(0, np.int64)
    laboratory, n_outputs = Laboratory(store), len(store.manifest["outputs"])
    n_events = next(n for files in reversed(rounds) if (n := files.released.get("n_events")) is not None)
    known, ledger = laboratory.standing(n_events).rows, laboratory.ledger()
    in_part = ledger.rows[count_bits(ledger.told(ledger.rows)) < n_outputs]
    return np.setdiff1d(in_part, known)


def _planned(store: CampaignStore, rounds: Sequence[RoundFiles]) -> tuple[Rows, LabelArray]:
    """Every row that a decided round measured, ascending, and its label: of several the last."""
    found: list[tuple[Rows, LabelArray]] = []
    for files in rounds:
        if files.committed is not None:
            table = store.read_readouts(files.committed["readouts_sha256"])
            labels = labels_from(table)
            present = np.flatnonzero(has_readout(labels))
            found.append((table["row"].to_numpy()[present], labels[present]))
    if not found:
        return np.empty(0, np.int64), np.empty(0)
    rows, labels = (np.concatenate(parts) for parts in zip(*found, strict=True))
    distinct, from_end = np.unique(rows[::-1], return_index=True)
    return distinct, labels[::-1][from_end]


def _labels(table: pa.Table, classes: Sequence[str]) -> LabelArray:
    """Labels or predictions of all lines, as readouts have them."""
    if "labels" in table.column_names and "measured" not in table.column_names:
        return from_arrow(table["labels"])
    if "labels" in table.column_names:
        return np.stack([from_arrow(table[name]) for name in ("labels", "measured")], axis=1)
    if not classes:
        values: LabelArray = table["value"].to_numpy()
        return values
    places = pc.index_in(table["label"], value_set=pa.array(classes, pa.string())).cast(pa.float64())
    return np.asarray(places.to_numpy())


def _as_labels(prediction: LabelArray, labels: LabelArray) -> LabelArray:
    """Predictions in the form of `labels`; of a panel of bits none is measured."""
    if labels.ndim == prediction.ndim:
        return prediction
    return np.stack([prediction, np.zeros_like(prediction)], axis=1)
