"""Corrections of readouts: nothing is overwritten, and a certificate that rests on what was corrected is withdrawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from isd_ray.campaign.store import CampaignStore, RoundFiles
from isd_ray.config import HIT_QUANTITIES, CampaignConfig
from isd_ray.data.hybrid import amend_hybrid_part
from isd_ray.errors import LabelError
from isd_ray.messages import Rows

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
    """What an amendment did: readouts that changed, and whether the certificate was withdrawn by it."""

    n_changed: int
    withdrawn: bool


def amend(store: CampaignStore, amendment: Amendment, classes: tuple[str, ...]) -> Amended:
    """Put an amendment on record, correct the hybrid screen, and withdraw the certificate if it rests on old readouts.

    Earlier decisions stay as they were taken. Models fitted from now on use the corrected readouts.

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
            str(store.path),
            "remove them from the file",
        )
    changed = np.array(
        [
            before[row] != (label, None if np.isnan(value) else value)
            for row, label, value in zip(
                amendment.rows.tolist(), amendment.labels.tolist(), amendment.values.tolist(), strict=True
            )
        ],
        dtype=np.bool_,
    )
    rows, labels, values = amendment.rows[changed], amendment.labels[changed], amendment.values[changed]
    if not len(rows):
        return Amended(0, False)
    lines = zip(rows.tolist(), labels.tolist(), [None if np.isnan(v) else v for v in values.tolist()], strict=True)
    number = store.amend([{"row": r, "label": y, "value": v} for r, y, v in lines], amendment.reason)
    certificate = store.certificate()
    touched = certificate is not None and bool(np.isin(rows, certified_rows(store)).any())
    withdrawn = touched and store.withdraw(
        f"amendment {number} corrected {len(rows)} readouts that it may rest on: {amendment.reason}"
    )
    for file in sorted(store.hybrid_dir.glob("part-*.parquet")):
        amend_hybrid_part(file, rows, labels, values, classes, withdrawn)
    return Amended(len(rows), withdrawn)


def measured_readouts(store: CampaignStore) -> dict[int, tuple[float, float | None]]:
    """Label and raw value of every measured row, as they stand now."""
    found: dict[int, tuple[float, float | None]] = {}
    for files in store.rounds():
        if files.committed is not None:
            told = store.read_readouts(files.committed["readouts_sha256"])
            columns = (told[name].to_pylist() for name in ("row", "label", "value"))
            found.update({row: (label, value) for row, label, value in zip(*columns, strict=True)})
    return found | store.amended()


def certified_rows(store: CampaignStore) -> Rows:
    """Rows whose readouts the certificate rests on: the audit, and, where measured hits are counted, all measured rows.

    Not those that only trained the model: nothing is assumed of it.
    """
    config = CampaignConfig.model_validate(store.manifest["config"])
    rounds = [files for files in store.rounds() if files.committed is not None]
    if config.stopping.quantity in HIT_QUANTITIES:
        return np.concatenate([files.read_batch()["row"].to_numpy() for files in rounds])
    if config.stopping.rule == "reserved":
        return _with_role(rounds[0], "reserve")
    look = next(files for files in reversed(rounds) if files.committed and files.committed["look"])
    return _with_role(look, "audit")


def _with_role(files: RoundFiles, role: str) -> Rows:
    batch: pa.Table = files.read_batch()
    rows: Rows = batch.filter(pc.equal(batch["role"], role))["row"].to_numpy()
    return rows
