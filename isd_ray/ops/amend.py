"""Correcting readouts of a campaign from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from isd_ray.campaign.amend import Amended, Amendment, amend
from isd_ray.campaign.entries import LOST, REFUSED, readouts_table
from isd_ray.campaign.intake import Intake, recorded_rule
from isd_ray.campaign.laboratory import Laboratory
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.versions import newest, open_library
from isd_ray.config import CampaignConfig
from isd_ray.data.label_table import read_labels
from isd_ray.data.labels import LabelRule, labels_for, match
from isd_ray.data.library import Library
from isd_ray.data.packed import labels_from
from isd_ray.errors import LabelError
from isd_ray.ops.opened import check_reason
from isd_ray.ops.results import follow_amendments
from isd_ray.storage.addresses import working_folder

_SHOWN = 5
"""Lines in a message."""


def amend_from_file(path: str | Path, file: Path, reason: str) -> Amended:
    """Correct readouts of the campaign in `path` by a file with the id and label columns of its configuration.

    Where the configuration names no id column, the file's is ``id``. Of a panel it has the ids and some
    outputs, or id, assay and value: single entries are corrected, or added to compounds measured without them.

    The hybrid screen, the summary and the report follow; the certificate is withdrawn if it rests on a corrected
    readout (`isd_ray.campaign.amend.certified_rows`).

    Raises
    ------
    IsdError
        If there is no campaign, or the file names compounds that it never measured.
    """
    store = CampaignStore.open(path)
    config = CampaignConfig.from_stored(store.config)
    check_reason(reason)
    library, rule = open_library(store, newest(store)), recorded_rule(store)
    read = _entries if config.task == "panel" else _labels
    amended = amend(store, read(store, config, library, rule, file, reason), rule.classes)
    follow_amendments(store)
    return amended


def _labels(
    store: CampaignStore, config: CampaignConfig, library: Library, rule: LabelRule, file: Path, reason: str
) -> Amendment:
    # Where ids are record numbers, those of this file would be others.
    id_column = config.labels.id_column or config.library.id_column or "id"
    takes_bounds = "bound" in (config.labels.censored, config.readouts.censored)  # of simulations, of laboratories
    changes = {"source": str(file), "format": "auto", "id_column": id_column}
    settings = config.labels.model_copy(update={**changes, "censored": "bound" if takes_bounds else "refuse"})
    table = read_labels(settings, config.library, working_folder())
    labels = labels_for(table, library, config.task, allow_missing=True, rule=rule)
    if labels.n_unused:
        raise LabelError(
            f"{labels.n_unused} lines have no label, or an id that is not in the target set", str(file), "correct them"
        )
    infinite = np.flatnonzero(np.isinf(labels.values))
    if len(infinite):
        raise LabelError(
            f"{len(infinite)} labels in column {table.column!r} are not finite: "
            + table.examples(match(table, library)[infinite]),
            str(file),
            "write the numbers that were measured",
        )
    rows = np.flatnonzero(labels.labels >= 0 if config.task == "classification" else np.isfinite(labels.labels))
    ids = [str(name) for name in library.ids(rows)]
    return Amendment(rows, ids, labels.labels[rows].astype(np.float64), labels.values[rows], reason)


def _entries(
    store: CampaignStore, config: CampaignConfig, library: Library, rule: LabelRule, file: Path, reason: str
) -> Amendment:
    """Entries of a panel, from a file as `isd_ray.ops.campaign.Campaign.tell` reads it; any bad line refuses it."""
    # Simulations name their ids in the table of labels; so may this file.
    id_column = config.labels.id_column or config.library.id_column or config.readouts.id
    readouts = config.readouts.model_copy(update={"id": id_column})
    intake = Intake(store, library, config.model_copy(update={"readouts": readouts}), rule)
    outcome = intake.label(intake.read(file), Laboratory(store).ledger())
    refused = [f"line {line}: {reason}" for line, reason in _lines(outcome.refused, "line")]
    refused += [f"line {line}: {reason}" for line, reason in _lines(outcome.fated(REFUSED), "line")]
    refused += [f"{compound!r}: {reason}" for compound, reason in _lines(outcome.fated(LOST), "id")]
    if refused:
        raise LabelError(
            f"{len(refused)} lines cannot be used: {'; '.join(refused[:_SHOWN])}", str(file), "correct them"
        )
    table = readouts_table(outcome.entries, len(rule.outputs), has_numbers=bool(rule.numbers))
    rows = table["row"].to_numpy()
    ids = [str(name) for name in library.ids(rows)]
    return Amendment(rows, ids, labels_from(table), np.full(len(rows), np.nan), reason)


def _lines(table: pa.Table, name: str) -> zip[tuple[Any, str]]:
    return zip(table[name].to_pylist(), table["reason"].to_pylist(), strict=True)
