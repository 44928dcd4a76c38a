"""Correcting readouts of a campaign from a file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from isd_ray.campaign.amend import Amended, Amendment, amend, amended_readouts
from isd_ray.campaign.store import CampaignStore
from isd_ray.config import CampaignConfig
from isd_ray.data.label_table import read_labels
from isd_ray.data.labels import LabelRule, labels_for
from isd_ray.data.library import Library
from isd_ray.errors import LabelError
from isd_ray.ops.results import write_results


def amend_from_file(path: str | Path, file: Path, reason: str) -> Amended:
    """Correct readouts of the campaign in `path` by a file with the id and label columns of its configuration.

    Where the configuration names no id column, the file's is ``id``.

    The hybrid screen, the summary and the report follow; the certificate is withdrawn if it rests on a corrected
    readout (`isd_ray.campaign.amend.certified_rows`).

    Raises
    ------
    IsdError
        If there is no campaign, or the file names compounds that it never measured.
    """
    store = CampaignStore.open(path)
    config = CampaignConfig.model_validate(store.manifest["config"])
    if config.task == "panel":
        raise LabelError(
            "readouts of a panel cannot be corrected yet", str(path), "screen again with the corrected labels"
        )
    library = Library.open(store.manifest["library"])
    classes, cut = tuple(store.manifest["classes"]), store.manifest["cut"]
    # Where ids are record numbers, those of this file would be others.
    id_column = config.labels.id_column or config.library.id_column or "id"
    settings = config.labels.model_copy(update={"source": str(file), "format": "auto", "id_column": id_column})
    table = read_labels(settings, config.library, Path.cwd())
    rule = LabelRule(config.task, classes, cut)
    labels = labels_for(table, library, config.task, allow_missing=True, rule=rule)
    if labels.n_unused:
        raise LabelError(
            f"{labels.n_unused} lines have no label, or an id that is not in the target set", str(file), "correct them"
        )
    rows = np.flatnonzero(labels.labels >= 0 if config.task == "classification" else np.isfinite(labels.labels))
    ids = [str(name) for name in library.ids(rows)]
    amendment = Amendment(rows, ids, labels.labels[rows].astype(np.float64), labels.values[rows], reason)
    amended = amend(store, amendment, classes)
    if (summary_file := store.latest("summary.json")).is_file():
        summary = json.loads(summary_file.read_bytes())
        summary["n_amended"] = len(amended_readouts(store))
        if (why := store.withdrawn()) is not None:
            summary.update(certified=False, claim=f"certificate WITHDRAWN: {why}", accuracy_claimed=None)
        write_results(summary, store)
    return amended
