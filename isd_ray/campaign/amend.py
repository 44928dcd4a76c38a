"""Corrections of readouts: nothing is overwritten, and a certificate that rests on what was corrected is withdrawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from isd_ray.campaign.claimed import stored_goal
from isd_ray.campaign.events import Event
from isd_ray.campaign.judged import passes_still
from isd_ray.campaign.laboratory import Laboratory
from isd_ray.campaign.look_rounds import rounds_of_look
from isd_ray.campaign.oracle import Readout, Readouts, with_amendments, with_entries
from isd_ray.campaign.recount import Recount, differences, measured_by, recount
from isd_ray.campaign.store import CampaignStore
from isd_ray.config import CampaignConfig
from isd_ray.core.goals import Goal
from isd_ray.core.panels import are_values, count_bits, has_readout, overlay
from isd_ray.data.hybrid import amend_hybrid_part
from isd_ray.data.packed import label_columns, labels_from, to_arrow
from isd_ray.errors import LabelError
from isd_ray.messages import LabelArray, Rows

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
        float64 (n,): class index or value, and the raw readout (NaN for a class name), as they should have been. Of a
        panel as `isd_ray.core.panels` has them, whose measured entries are those that are corrected or were missing.
    reason:
        Why, in the user's words.
    """

    rows: Rows
    ids: Sequence[str]
    labels: LabelArray
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
    n_changed = _put_on_record(store, amendment)
    settle_amendments(store, classes)
    return Amended(n_changed, store.withdrawn() is not None)


def _put_on_record(store: CampaignStore, amendment: Amendment) -> int:
    """How many readouts the amendment changes; none that somebody takes back in this moment."""
    n_events = len(store.events())
    measured, readouts = measured_readouts(store)
    is_known = np.isin(amendment.rows, measured).tolist()
    unknown = [name for name, known in zip(amendment.ids, is_known, strict=True) if not known]
    if unknown:
        named = ", ".join(map(repr, unknown[:_SHOWN]))
        raise LabelError(
            f"{len(unknown)} compounds were never measured in this campaign, among them {named}",
            store.address,
            "remove them from the file",
        )
    table, n_changed = _changed(amendment, readouts.take(np.searchsorted(measured, amendment.rows)))
    if n_changed:
        details = {"readouts_sha256": store.keep(table), "n": n_changed, "reason": amendment.reason}
        if not store.append_event("amend", details, after=n_events):
            return _put_on_record(store, amendment)
    return n_changed


def _changed(amendment: Amendment, before: Readouts) -> tuple[pa.Table, int]:
    """What an amendment changes of the readouts of its rows, for the record, and how many entries that are."""
    if amendment.labels.ndim == 1:
        values, known = amendment.values, before.values
        kept = (amendment.labels != before.labels) | ~((values == known) | (np.isnan(values) & np.isnan(known)))
        rows, labels = pa.array(amendment.rows[kept]), label_columns(amendment.labels[kept])
        return pa.table({"row": rows, **labels, "value": to_arrow(values[kept])}), int(kept.sum())
    old, new = before.labels, overlay(before.labels, amendment.labels)
    # An entry has changed if it was not measured, or was measured as another one.
    if are_values(new):
        is_changed = ~np.isnan(new) & (new != old)
        kept = is_changed.any(axis=1)
        labels = label_columns(np.where(is_changed, new, np.nan)[kept])
        return pa.table({"row": pa.array(amendment.rows[kept]), **labels}), int(is_changed.sum())
    changed = new[:, 1] & ~old[:, 1] | new[:, 1] & (new[:, 0] ^ old[:, 0])
    corrected = np.stack([new[:, 0] & changed, changed], axis=1)
    kept = changed.any(axis=1)
    rows = pa.array(amendment.rows[kept])
    return pa.table({"row": rows, **label_columns(corrected[kept])}), int(count_bits(changed).sum())


def amendments(store: CampaignStore) -> list[Event]:
    """The amendments on record, oldest first."""
    return [event for event in store.events() if event["kind"] == "amend"]


def amended_readouts(store: CampaignStore, since: int = 0, until: int | None = None) -> dict[int, Readout]:
    """Label and value of every row corrected by the amendments `since` to `until`; of several corrections the last.

    The value is None where the readout is a class name. Of a panel the label has the corrected entries, packed.
    """
    tables = [store.read_readouts(event["readouts_sha256"]) for event in amendments(store)[since:until]]
    found: dict[int, Readout] = {}
    for table in tables:
        found |= _overlaid(found, _readouts(table))
    return found


def _readouts(table: pa.Table) -> dict[int, Readout]:
    """Label and raw value of each row that has a readout."""
    labels = labels_from(table)
    present = has_readout(labels)
    if labels.ndim == 1:
        lines = zip(*(table[name].to_pylist() for name in ("row", "label", "value")), strict=True)
        return {row: (y, value) for row, y, value in lines if y is not None}
    return {
        row: (y, None) for row, y, is_there in zip(table["row"].to_pylist(), labels, present, strict=True) if is_there
    }


def _overlaid(before: Mapping[int, Readout], newer: Mapping[int, Readout]) -> dict[int, Readout]:
    """The newer readouts; those of a panel with the entries that they leave as before."""
    return {row: (with_entries(before[row][0], y) if row in before else y, value) for row, (y, value) in newer.items()}


def settle_amendments(store: CampaignStore, classes: tuple[str, ...]) -> None:
    """Withdraw a certificate that rests on a readout corrected since its look, and correct the hybrid screen.

    Nothing is done twice: it may be repeated after a crash, and does nothing in a campaign without amendments.
    """
    amended = amended_readouts(store)
    if not amended:
        return
    if (why := objection(store)) is not None:
        store.withdraw(why)
    withdrawn = store.withdrawn() is not None
    store.bring_hybrid()
    for file in sorted(store.hybrid_dir.glob("part-*.parquet")):
        if amend_hybrid_part(file, amended, classes, withdrawn):
            store.keep_file(file)
    if store.is_delivered():
        store.note_hybrid()


def objection(store: CampaignStore) -> str | None:
    """Why a certificate that was not withdrawn has to be: what was corrected, or is counted otherwise; None if not.

    In a campaign without amendments nothing could be: then what a look was judged by is what was told.
    """
    if not amendments(store) or store.certificate() is None or store.withdrawn() is not None:
        return None
    counted = recounted(store)
    touched = corrected_since(store, counted)
    if touched is not None and not touched.passes:
        return f"{_corrected(touched.n)} ({touched.reasons})"
    return None if counted is None or counted.passes else f"{counted.words}; with that its look does not pass"


def no_longer_claimed(store: CampaignStore) -> str | None:
    """Why a certificate was withdrawn, or has to be (`objection`): what shows it says so in both cases; else None."""
    return store.withdrawn() or objection(store)


@dataclass(frozen=True, slots=True)
class CorrectedSince:
    """What was corrected since the look that a certificate rests on.

    Attributes
    ----------
    n:
        Readouts that it rests on.
    reasons:
        Of the amendments.
    passes:
        Whether the look passes with each of them that is of its audit counted as an error (`passes_still`).
    """

    n: int
    reasons: str
    passes: bool


def recounted(store: CampaignStore) -> Recount | None:
    """What the look that a certificate rests on, or would, was judged by, once more; None where none was kept."""
    rounds = store.rounds()
    look = next((files.committed for files in reversed(rounds) if files.committed and files.committed["look"]), None)
    if look is None or not {"audits_sha256", "judged"} <= look.keys():
        return None
    # A release of an earlier version does not say which corrections it knew.
    known = rounds_of_look(rounds, look["round"])[0].released.get("n_amendments", 0)
    until = look.get("n_amendments", 0)
    corrections = amended_readouts(store, until=until), amended_readouts(store, known, until)
    return recount(store, _goal(store), rounds, look, *corrections)


def certificate_differences(store: CampaignStore, certificate: Mapping[str, Any]) -> list[str]:
    """In words, which numbers of measured compounds a certificate has otherwise than the readouts on record."""
    goal, rounds = _goal(store), store.rounds()
    at_stop = next(n for n, one in enumerate(rounds, 1) if one.committed and one.committed["decision"] == "stop")
    known = (rounds[at_stop - 1].committed or {}).get("n_amendments", 0)
    # Between the last decision and the certificate people may have corrected something: it may know that or not.
    issued = next((event["sequence"] for event in store.events() if event["kind"] == "certificate"), None)
    before = len([event for event in amendments(store) if issued is None or event["sequence"] < issued])
    found: list[list[str]] = []
    for until in range(known, before + 1):
        _, labels = measured_by(store, rounds[:at_stop], amended_readouts(store, until=until))
        found.append(list(differences("measured compounds", [certificate["n_measured"]], [len(labels)])))
        if (n_hits := certificate.get("n_hits_measured")) is not None:
            found[-1] += differences("measured hits at the end", [n_hits], [sum(goal.count_hits(labels))])
    return min(found, key=len, default=[])


def corrected_since(store: CampaignStore, counted: Recount | None) -> CorrectedSince | None:
    """The corrections of readouts that the certificate rests on, by what was `recounted`; None if there are none."""
    look = _certified_look(store)
    since = look["n_amendments"]
    touched = np.intersect1d(list(amended_readouts(store, since)), certified_rows(store)).tolist()
    if not touched:
        return None
    reasons = "; ".join(event["reason"] for event in amendments(store)[since:])
    # Campaigns of earlier versions kept no audits to judge by.
    passes = False
    if counted is not None:
        measured, readouts = measured_readouts(store, since)
        then = readouts.take(np.searchsorted(measured, touched))
        judged_by = dict(zip(touched, zip(then.labels, then.values.tolist(), strict=True), strict=True))
        passes = passes_still(_goal(store), counted.look, counted.audits, judged_by)
    return CorrectedSince(len(touched), reasons, passes)


def upheld_words(store: CampaignStore) -> str | None:
    """What was corrected since the look and leaves the certificate standing; None if nothing was."""
    if not amendments(store) or store.certificate() is None or store.withdrawn() is not None:
        return None
    touched = corrected_since(store, recounted(store))
    if touched is None or not touched.passes:
        return None
    return (
        f"{_corrected(touched.n)} since ({touched.reasons}). Judged again with every "
        "corrected compound of the audit as an error, the look passes, so the certificate stands."
    )


def _corrected(n: int) -> str:
    subject = "1 readout that it rests on was" if n == 1 else f"{n:,} readouts that it rests on were"
    return f"{subject} corrected"


def _goal(store: CampaignStore) -> Goal:
    return stored_goal(store)


def measured_readouts(store: CampaignStore, n_amendments: int | None = None) -> tuple[Rows, Readouts]:
    """Every measured row, ascending, int64 (n,), and its readout, as the first amendments, or all, leave it."""
    tables = [Laboratory(store).ledger().all()]
    tables += [store.read_readouts(files.committed["readouts_sha256"]) for files in store.rounds() if files.committed]
    first, *more = map(Readouts.of, tables)
    readouts = first.joined(*more)
    there = np.flatnonzero(readouts.present)
    # Of a row that is in several tables the last one counts.
    rows, last = np.unique(
        np.concatenate([table["row"].to_numpy() for table in tables])[there][::-1], return_index=True
    )
    found = readouts.take(there[::-1][last])
    return rows, with_amendments(found, rows, amended_readouts(store, until=n_amendments))


def certified_rows(store: CampaignStore) -> Rows:
    """Rows whose readouts the certificate rests on: the audit, and, where measured hits are counted, all measured rows.

    Among these what was measured outside the plan and known to the model of the look. Not rows that only trained the
    model: nothing is assumed of it. Nor those of the finish: its cut was shown by hits of before, and what is measured
    of it is missed no more, whatever it is.
    """
    config, look = CampaignConfig.from_stored(store.config), _certified_look(store)
    rounds = [files for files in store.rounds() if files.committed is not None and files.round <= look["round"]]
    if config.goal_class.knows_hits:
        known = Laboratory(store).standing(look["n_events"]).rows
        starts = [event for event in store.events() if event.get("known")]  # of simulations as well
        before = [store.read_readouts(event["readouts_sha256"])["row"].to_numpy() for event in starts]
        return np.concatenate([known, *before, *(files.read_batch()["row"].to_numpy() for files in rounds)])
    is_reserved = config.stopping.in_force.is_reserved
    if "audits_sha256" in look and not is_reserved:
        audited: Rows = store.read_readouts(look["audits_sha256"])["row"].to_numpy()
        return audited
    # Campaigns of earlier versions kept no audits.
    batch: pa.Table = rounds[0 if is_reserved else look["round"]].read_batch()
    rows: Rows = batch.filter(pc.equal(batch["role"], "reserve" if is_reserved else "audit"))["row"].to_numpy()
    return rows


def _certified_look(store: CampaignStore) -> Mapping[str, Any]:
    """The record of the round whose look the certificate rests on."""
    return next(files.committed for files in reversed(store.rounds()) if files.committed and files.committed["look"])
