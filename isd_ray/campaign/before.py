"""What was measured before a campaign: readouts that start it, in a laboratory by a file, in a simulation by ids.

Known compounds are no random sample, and need not be one. They belong to the observation set before the first batch,
as any readout from outside the plan: models learn from them, they are delivered as measured, and no compound of them is
ever drawn. So the inference set of every look is a part of the others, its audit a uniform sample of that part, and
what the test says of it holds whatever was known and why (docs/guarantees.md).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from isd_ray.campaign.oracle import Readouts, unplated
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.telling import Note
from isd_ray.campaign.versions import open_library
from isd_ray.config import CampaignConfig, LabelsConfig, LibraryConfig
from isd_ray.core.panels import pack_labels
from isd_ray.data.ingest.columns import ids_as_text
from isd_ray.data.ingest.sources import open_source, resolve_source
from isd_ray.data.label_rule import MISSING_CLASS
from isd_ray.data.label_table import label_sources, read_label_columns
from isd_ray.data.labels import LabelRule, as_readouts, match, place_labels
from isd_ray.data.library import Library
from isd_ray.errors import LabelError, StoreError
from isd_ray.messages import Rows
from isd_ray.storage.addresses import working_folder

DEFAULT_ID = "id"
"""Column of ids where the configuration names none: numbers of records of another file would mean other compounds."""


def id_column_of(labels: LabelsConfig, library: LibraryConfig) -> str:
    """The column of ids of a file with readouts of before."""
    return labels.id_column or library.id_column or DEFAULT_ID


def known_rows(named: str | None, column: str, library: Library) -> Rows:
    """Rows of a simulation whose labels are known before it starts, ascending, int64 (n,); none without a file.

    Parameters
    ----------
    named:
        The file, whose ids are in `column`.

    Raises
    ------
    InputFileError
        If the file cannot be read or has no column of ids.
    LabelError
        If none of its ids is in the library.
    """
    if named is None:
        return np.empty(0, np.int64)
    file = resolve_source(named, working_folder(), "simulation.known")
    if file.format_suffix == ".txt":
        with file.open() as stream:
            ids = [line.strip() for line in stream.read().decode("utf-8-sig").splitlines() if line.strip()]
    else:
        source = open_source(file, columns=(column,))
        source.require(column, "labels.id_column")
        ids = [
            name
            for records in source.read((column,))
            for name in ids_as_text(records.table[column]).to_pylist()
            if name is not None
        ]
    rows = np.unique(library.rows_of(ids))
    rows = rows[rows >= 0]
    if not len(rows):
        raise LabelError(
            f"none of its {len(ids):,} ids is in the library",
            str(file),
            f"give the library's ids, in column {column!r} or one a line of a .txt",
        )
    return rows


def known_readouts(config: CampaignConfig, library: Library, rule: LabelRule) -> tuple[Rows, Readouts]:
    """Rows and readouts of the file of a campaign in a laboratory, ascending; those without a label are not there.

    Of a panel only compounds that were read in every output: the others stay to be measured, and predicted, as a whole.

    Raises
    ------
    InputFileError, LabelError
        As `isd_ray.data.label_table.read_label_columns` and `isd_ray.data.labels.place_labels`.
    """
    settings = _settings(config)
    sources = label_sources(settings, config.library, working_folder())
    columns = rule.outputs or (str(settings.column),)
    tables = read_label_columns(settings, columns, config.library, sources)
    if rule.outputs:
        placed = []
        for place, table in enumerate(tables):
            own = rule.of_output(place)
            labels = place_labels(table, match(table, library), own.task, own).labels.astype(np.float64)
            placed.append(labels if own.task == "regression" else np.where(labels == MISSING_CLASS, np.nan, labels))
        entries = np.stack(placed, axis=1)
        rows = np.flatnonzero(~np.isnan(entries).any(axis=1))
        known = entries[rows] if rule.numbers else pack_labels(entries[rows].astype(np.int8))
        return rows, Readouts(known, np.full(len(rows), np.nan), unplated(len(rows)))
    found = place_labels(tables[0], match(tables[0], library), config.task, rule)
    labels = as_readouts(found.labels)
    rows = np.flatnonzero(~np.isnan(labels))
    wells = unplated(len(rows))
    as_it_came = pa.array([found.censored.get(row) for row in rows.tolist()], pa.string())
    wells = wells.set_column(wells.column_names.index("qc"), "qc", as_it_came)
    return rows, Readouts(labels[rows], found.values[rows], wells)


def _settings(config: CampaignConfig) -> LabelsConfig:
    update: dict[str, Any] = {
        "source": config.labels.known,
        "format": "auto",
        "id_column": id_column_of(config.labels, config.library),
        "censored": config.readouts.censored,
    }
    return config.labels.model_copy(update=update)


def tell_known(store: CampaignStore, config: CampaignConfig, rule: LabelRule) -> str | None:
    """Put the readouts of before on record, once; in words, what was done. None where there is no file.

    Raises
    ------
    StoreError
        If the campaign was created without them, or with a file of another content.
    IsdError
        As `known_readouts`.
    """
    if config.labels.known is None:
        return None
    if CampaignConfig.from_stored(store.config).labels.known is None:
        raise StoreError(
            "the campaign was created without readouts of before",
            store.address,
            f"tell them from outside the plan: isd tell {store.address} {config.labels.known} --external; or begin a "
            "new campaign",
        )
    sha256 = resolve_source(config.labels.known, working_folder(), "labels.known").sha256()
    if (event := _told(store)) is not None:
        if event["file_sha256"] != sha256:
            raise StoreError(
                f"the campaign began with another content of {config.labels.known}",
                store.address,
                "restore the file; readouts that are new are told from outside the plan (isd tell --external)",
            )
        return None
    rows, readouts = known_readouts(config, open_library(store), rule)
    if not len(rows):
        raise LabelError(
            "no compound of the library has a readout in it", config.labels.known, "check ids and label columns"
        )
    details = {"file": Path(config.labels.known).name, "file_sha256": sha256, "round": None, "n": len(rows)}
    note = Note("tell", {**details, "external": True, "known": True}, {"readouts_sha256": readouts.to_table(rows)})
    note.write(store)
    return f"{len(rows):,} compounds were measured before; no limit counts them"


def note_known(store: CampaignStore, file: str | None, rows: Rows, readouts: Readouts) -> None:
    """Put what a simulation starts from, by a file, on record, once, as a laboratory's readouts of before are."""
    if len(rows) and _told(store) is None:
        details = {"file": Path(str(file)).name, "round": None, "n": len(rows), "external": True, "known": True}
        Note("tell", details, {"readouts_sha256": readouts.to_table(rows)}).write(store)


def _told(store: CampaignStore) -> dict[str, Any] | None:
    return next((dict(event) for event in store.events() if event["kind"] == "tell" and event.get("known")), None)


def require_known(store: CampaignStore) -> None:
    """Refuse to begin a campaign whose creation was cut off before its known readouts were on record.

    Raises
    ------
    StoreError
        If they are not.
    """
    known = CampaignConfig.from_stored(store.config).labels.known
    if known is not None and _told(store) is None:
        raise StoreError(
            f"the readouts of before ({known}) are not on record: the creation of the campaign was cut off",
            store.address,
            "repeat `isd create` with the same configuration and folder",
        )
