"""Whether a hybrid screen says what was measured, and of all other compounds what was predicted before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from isd_ray.campaign.amend import amended_readouts
from isd_ray.campaign.laboratory import Laboratory
from isd_ray.campaign.round_files import RoundFiles
from isd_ray.campaign.store import CampaignStore
from isd_ray.core.panels import count_bits, has_readout
from isd_ray.data.library import Library
from isd_ray.data.packed import from_arrow, labels_from
from isd_ray.data.predictions import part_name, read_predictions
from isd_ray.messages import LabelArray, Rows
from isd_ray.storage.addresses import within
from isd_ray.storage.copies import fetched


def hybrid_problems(store: CampaignStore, library: Library, rounds: Sequence[RoundFiles]) -> Iterator[str]:
    """What is wrong with the hybrid screen, part by part."""
    planned, in_part = _planned(store, rounds), _told_in_part(store, rounds)
    told = set(Laboratory(store).ledger().rows.tolist())
    amended, classes = amended_readouts(store), store.manifest["classes"]
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
        source = np.array(table["source"].to_pylist())
        measured, predicted = rows[source == "measured"], rows[source == "predicted"]
        seen += len(measured)
        kept = in_part.intersection(predicted.tolist())
        on_record = [row for row in range(first, stop) if (row in planned or row in told) and row not in kept]
        lost = [row for row in on_record if source[row - first] != "measured"]
        invented = [row for row in measured.tolist() if row not in planned and row not in told]
        if lost or invented:
            yield f"{part_name(part)}: {len(lost)} readouts are not in it, {len(invented)} in it are not on record"
        labels = _labels(table, classes)
        wrong = sum(
            not np.array_equal(labels[row - first], planned[row], equal_nan=True)
            for row in measured.tolist()
            if row in planned and row not in amended
        )
        if wrong:
            yield f"{part_name(part)}: {wrong} measured labels are not those on record"
        before = read_predictions(fetched(within(frozen, part_name(part))))
        places = np.searchsorted(before.rows, predicted)
        if not np.array_equal(before.rows[np.minimum(places, len(before.rows) - 1)], predicted):
            yield f"{part_name(part)}: compounds are predicted in it that were not predicted before"
        elif not np.array_equal(labels[predicted - first], _as_labels(before.prediction[places], labels)):
            yield f"{part_name(part)}: predictions in it are not those that were frozen"
    if seen < len(planned):
        yield f"{len(planned) - seen} readouts are missing"


def _told_in_part(store: CampaignStore, rounds: Sequence[RoundFiles]) -> set[int]:
    """Rows that stay predicted though some of their entries were told: after the last model (`CampaignLoop`)."""
    if store.manifest["config"]["stopping"].get("panel") is None:
        return set()
    laboratory, n_outputs = Laboratory(store), len(store.manifest["outputs"])
    n_events = next(n for files in reversed(rounds) if (n := files.released.get("n_events")) is not None)
    known, ledger = laboratory.standing(n_events).rows, laboratory.ledger()
    in_part = ledger.rows[count_bits(ledger.told(ledger.rows)) < n_outputs]
    return set(np.setdiff1d(in_part, known).tolist())


def _planned(store: CampaignStore, rounds: Sequence[RoundFiles]) -> dict[int, NDArray[np.generic]]:
    """Label of every row that a decided round measured."""
    found: dict[int, NDArray[np.generic]] = {}
    for files in rounds:
        if files.committed is not None:
            table = store.read_readouts(files.committed["readouts_sha256"])
            labels: LabelArray = labels_from(table)
            present: Rows = np.flatnonzero(has_readout(labels))
            found |= dict(zip(table["row"].to_numpy()[present].tolist(), labels[present], strict=True))
    return found


def _labels(table: pa.Table, classes: Sequence[str]) -> LabelArray:
    """Labels or predictions of all lines, as readouts have them."""
    if "labels" in table.column_names and "measured" not in table.column_names:
        return from_arrow(table["labels"])
    if "labels" in table.column_names:
        return np.stack([from_arrow(table[name]) for name in ("labels", "measured")], axis=1)
    if not classes:
        values: LabelArray = table["value"].to_numpy()
        return values
    index = {name: float(place) for place, name in enumerate(classes)}
    return np.array([index.get(name, np.nan) for name in table["label"].to_pylist()])


def _as_labels(prediction: LabelArray, labels: LabelArray) -> LabelArray:
    """Predictions in the form of `labels`; of a panel of bits none is measured."""
    if labels.ndim == prediction.ndim:
        return prediction
    return np.stack([prediction, np.zeros_like(prediction)], axis=1)
