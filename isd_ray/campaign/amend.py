"""Corrections of readouts: nothing is overwritten, and a certificate that rests on what was corrected is withdrawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from isd_ray.campaign.events import Event
from isd_ray.campaign.laboratory import Laboratory
from isd_ray.campaign.store import CampaignStore
from isd_ray.config import HIT_QUANTITIES, CampaignConfig
from isd_ray.data.hybrid import amend_hybrid_part
from isd_ray.errors import LabelError
from isd_ray.messages import Rows

_CORRECTED = pa.schema([("row", pa.int64()), ("label", pa.float64()), ("value", pa.float64())])
_SHOWN = 5
"""Examples in a message."""


@dataclass(frozen=True, slots=True)
class Amendment:
    """Corrected readouts.

    Attributes
    ----------
    rows:
        int64 (n,): measured rows.
    ids:
        Their ids, for messages.
    labels, values:
        float64 (n,): class index or value, and the raw readout (NaN for a class name), as they should have been.
    reason:
        Why, in the user's words.
    """

    rows: Rows
    ids: Sequence[str]
    labels: NDArray[np.float64]
    values: NDArray[np.float64]
    reason: str


@dataclass(frozen=True, slots=True)
class Amended:
    """What an amendment did: how many readouts it changed, and whether the campaign's certificate is withdrawn now."""

    n_changed: int
    withdrawn: bool


def amend(store: CampaignStore, amendment: Amendment, classes: tuple[str, ...]) -> Amended:
    """Put an amendment on record, and let certificate and hybrid screen follow (`settle_amendments`).

    Earlier decisions stay as they were taken. Models fitted from now on use the corrected readouts. The same amendment
    again changes nothing, and ends one that was cut off.

    Raises
    ------
    LabelError
        If a row was never measured, or no reason is given.
    """
    if not amendment.reason.strip():
        raise LabelError("an amendment needs a reason", remedy="say what was wrong: the lot, the plate, the reader")
    before = measured_readouts(store)
    unknown = [name for row, name in zip(amendment.rows.tolist(), amendment.ids, strict=True) if row not in before]
    if unknown:
        named = ", ".join(map(repr, unknown[:_SHOWN]))
        raise LabelError(
            f"{len(unknown)} compounds were never measured in this campaign, among them {named}",
            store.address,
            "remove them from the file",
        )
    values = [None if np.isnan(value) else value for value in amendment.values.tolist()]
    readouts = zip(amendment.rows.tolist(), amendment.labels.tolist(), values, strict=True)
    changed = [{"row": row, "label": y, "value": value} for row, y, value in readouts if before[row] != (y, value)]
    if changed:
        details = {"readouts_sha256": store.keep(pa.Table.from_pylist(changed, _CORRECTED)), "n": len(changed)}
        store.append_event("amend", {**details, "reason": amendment.reason})
    settle_amendments(store, classes)
    return Amended(len(changed), store.withdrawn() is not None)


def amendments(store: CampaignStore) -> list[Event]:
    """The amendments on record, oldest first."""
    return [event for event in store.events() if event["kind"] == "amend"]


def amended_readouts(store: CampaignStore, since: int = 0) -> dict[int, tuple[float, float | None]]:
    """Label and value of every row corrected by amendment `since` or a later one; of several corrections the last.

    The value is None where the readout is a class name.
    """
    tables = [store.read_readouts(event["readouts_sha256"]) for event in amendments(store)[since:]]
    return {line["row"]: (line["label"], line["value"]) for table in tables for line in table.to_pylist()}


def settle_amendments(store: CampaignStore, classes: tuple[str, ...]) -> None:
    """Withdraw a certificate that rests on a readout corrected since its look, and correct the hybrid screen.

    Nothing is done twice: it may be repeated after a crash, and does nothing in a campaign without amendments.
    """
    amended = amended_readouts(store)
    if not amended:
        return
    if store.certificate() is not None:
        since = _certified_look(store)["n_amendments"]
        touched = np.intersect1d(list(amended_readouts(store, since)), certified_rows(store))
        if len(touched):
            reasons = "; ".join(event["reason"] for event in amendments(store)[since:])
            store.withdraw(f"{len(touched)} readouts that it rests on were corrected ({reasons})")
    withdrawn = store.withdrawn() is not None
    store.bring_hybrid()
    for file in sorted(store.hybrid_dir.glob("part-*.parquet")):
        if amend_hybrid_part(file, amended, classes, withdrawn):
            store.keep_file(file)
    if store.is_delivered():
        store.note_hybrid()


def measured_readouts(store: CampaignStore) -> dict[int, tuple[float, float | None]]:
    """Label and raw value of every measured row, as they stand now."""
    tables = [Laboratory(store).ledger().all()]
    tables += [store.read_readouts(files.committed["readouts_sha256"]) for files in store.rounds() if files.committed]
    found: dict[int, tuple[float, float | None]] = {}
    for table in tables:
        columns = (table[name].to_pylist() for name in ("row", "label", "value"))
        found.update({row: (y, value) for row, y, value in zip(*columns, strict=True) if y is not None})
    return found | amended_readouts(store)


def certified_rows(store: CampaignStore) -> Rows:
    """Rows whose readouts the certificate rests on: the audit, and, where measured hits are counted, all measured rows.

    Not those that only trained the model: nothing is assumed of it.
    """
    config = CampaignConfig.model_validate(store.manifest["config"])
    rounds = [files for files in store.rounds() if files.committed is not None]
    if config.stopping.quantity in HIT_QUANTITIES:
        return np.concatenate([files.read_batch()["row"].to_numpy() for files in rounds])
    is_reserved = config.stopping.rule == "reserved"
    batch: pa.Table = rounds[0 if is_reserved else _certified_look(store)["round"]].read_batch()
    rows: Rows = batch.filter(pc.equal(batch["role"], "reserve" if is_reserved else "audit"))["row"].to_numpy()
    return rows


def _certified_look(store: CampaignStore) -> Mapping[str, Any]:
    """The record of the round whose look the certificate rests on."""
    return next(files.committed for files in reversed(store.rounds()) if files.committed and files.committed["look"])
