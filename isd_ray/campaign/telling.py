"""Placing readouts in a campaign: which count, which are known or refused and why; and the events that say so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from isd_ray.campaign.entries import KNOWN, NEW, REFUSED, Outcome, lost_table, named, readouts_table
from isd_ray.campaign.ledger import Ledger, has_entry
from isd_ray.campaign.round_files import RoundFiles
from isd_ray.campaign.store import CampaignStore
from isd_ray.core.censored import mark_of
from isd_ray.messages import Rows
from isd_ray.plates.cells import was_not_dispensed
from isd_ray.plates.collect import ReadoutFile
from isd_ray.plates.quality import was_plate_failed

_AUDITED = ("audit", "reserve")
"""Roles of compounds that a look is judged by."""
_SAID, _QUALITY = "readouts_sha256", "quality_sha256"
"""What an event calls the table that it speaks of."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A line of a file that could not be used.

    Attributes
    ----------
    line:
        From 1, in the file; 0 where there is none.
    reason:
        Why.
    """

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where rows stand in a campaign.

    Attributes
    ----------
    open_round:
        The released round that is not decided yet; None without one.
    open_rows:
        Its rows, ascending.
    released_rows:
        Rows of all released rounds, ascending.
    audit_rows:
        Those of the open round that an audit drew.
    """

    open_round: int | None
    open_rows: Rows
    released_rows: Rows
    audit_rows: frozenset[int] = frozenset()

    @classmethod
    def of(cls, rounds: Sequence[RoundFiles]) -> Place:
        """The place of all rows, by the released rounds."""
        tables = [files.read_batch() for files in rounds]
        batches = [table["row"].to_numpy() for table in tables]
        is_open = bool(rounds) and rounds[-1].committed is None
        nothing = np.empty(0, np.int64)
        return cls(
            open_round=rounds[-1].round if is_open else None,
            open_rows=np.sort(batches[-1]) if is_open else nothing,
            released_rows=np.unique(np.concatenate([nothing, *batches])),
            audit_rows=frozenset(
                row
                for table in tables[-1:]
                if is_open
                for row, role in zip(table["row"].to_pylist(), table["role"].to_pylist(), strict=True)
                if role in _AUDITED
            ),
        )


def placed(outcome: Outcome, ledger: Ledger, place: Place, outputs: Sequence[str], *, external: bool) -> Outcome:
    """Decide on each entry that has no fate yet: `NEW`, `KNOWN` or `REFUSED`.

    An entry counts if its compound is in the open round and it has none yet, or if nothing at all is on record of a
    compound that was asked for earlier, whose well had failed or was late: what a model has learnt from is not added
    to. With `external` also if its compound was never asked for. The same readout again changes nothing; another one is
    refused, as only an amendment, with a reason, corrects what is on record.

    Parameters
    ----------
    outputs:
        Names of a panel's outputs; empty of single labels.
    """
    entries = outcome.entries
    fates = np.array(entries["fate"].to_pylist(), np.object_)
    places = np.flatnonzero(entries["fate"].is_null().to_numpy())
    entries = entries.take(pa.array(places))
    rows, at = entries["row"].to_numpy(), entries["output"].to_numpy()
    known = ledger.on_record(rows, at)
    was_told, has_any = known["label"].is_valid().to_numpy(), ledger.is_told(rows)
    is_open, is_asked = np.isin(rows, place.open_rows), np.isin(rows, place.released_rows)
    is_new = ~was_told & (is_open | (~has_any & (is_asked | external)))
    is_known = was_told & _says_the_same(known, entries)
    reasons: dict[int, str] = {}
    n_revived = 0
    # Of compounds that are out a failure counts in this round only, of others that of the last round with one.
    since = np.where(is_open, place.open_round if place.open_round is not None else 0, 0)
    for index, why in ledger.why_lost(rows, at, since).items():
        if not is_new[index]:
            continue
        if (reason := _stays_failed(why, is_audited=int(rows[index]) in place.audit_rows)) is None:
            n_revived += int(is_open[index])
        else:
            reasons[index], is_new[index] = reason, False
    ids, names = entries["id"], [outputs[output] for output in at.tolist()] if outputs else None
    for index in np.flatnonzero(~is_new & ~is_known).tolist():
        compound, output = ids[index].as_py(), names[index] if names else None
        if index in reasons:
            reasons[index] = f"{named(compound, output)}: {reasons[index]}"
        elif was_told[index]:
            what = "another readout" if output is None else f"another readout of {output!r}"
            reasons[index] = f"{compound!r} has {what} already; only an amendment or undo, with a reason, corrects it"
        elif has_any[index]:
            reasons[index] = f"{compound!r} was taken in without {output!r}; only an amendment, with a reason, adds it"
        else:
            outside = "if it was measured outside the plan, tell it as external"
            reasons[index] = f"{compound!r} was never asked for; {outside}"
    fates[places] = np.where(is_new, NEW, np.where(is_known, KNOWN, REFUSED))
    return outcome.with_fates(fates, {int(places[index]): why for index, why in reasons.items()}, n_revived=n_revived)


def _stays_failed(why: str, *, is_audited: bool) -> str | None:
    """Why a readout of an entry that has failed changes nothing; None where it counts.

    What was not dispensed has no readout. In an audit a failed compound is asked for once more or counts as an error,
    whoever looked at what was read since; but a plate that failed its quality did so by its controls alone, and may be
    read again.
    """
    if was_not_dispensed(why):
        return f"it failed before: {why}; what is read there is none of the compound"
    if is_audited and not was_plate_failed(why):
        return f"it failed in this audit before ({why}): a later readout changes nothing, unless it is asked for again"
    return None


def _says_the_same(known: pa.Table, entries: pa.Table) -> NDArray[np.bool_]:
    """Whether label, value, and the bounds as they came where there is no value, are those on record, bool (n,)."""
    label, value = ((known[name].to_numpy(), entries[name].to_numpy()) for name in ("label", "value"))
    same_value = (value[0] == value[1]) | (np.isnan(value[0]) & np.isnan(value[1]))
    same: NDArray[np.bool_] = (label[0] == label[1]) & same_value
    remarks = pc.or_(known["qc"].is_valid(), entries["qc"].is_valid()).to_numpy()
    for place in np.flatnonzero(same & np.isnan(value[0]) & remarks).tolist():
        same[place] = _bounds(known["qc"][place].as_py()) == _bounds(entries["qc"][place].as_py())
    return same


def _bounds(qc: str | None) -> list[str]:
    """What is a bound in the remarks on a readout."""
    return [part for part in (qc or "").split(";") if mark_of(part)]


def newly_lost(lost: pa.Table, ledger: Ledger, place: Place) -> pa.Table:
    """Of entries without a readout (`ENTRIES`) those that the open round waited for until now."""
    if place.open_round is None:
        return lost.slice(0, 0)
    rows = lost["row"].to_numpy()
    settled = has_entry(ledger.told(rows) | ledger.lost(place.open_round, rows), lost["output"].to_numpy())
    return lost.filter(pa.array(np.isin(rows, place.open_rows) & ~settled))


def n_missing(ledger: Ledger, place: Place) -> int:
    """Readouts that the open round waits for; none in a closed round."""
    if place.open_round is None or place.open_round in ledger.closed:
        return 0
    return int(ledger.missing(place.open_round, place.open_rows).sum())


@dataclass(frozen=True, slots=True)
class Note:
    """An event that is not written yet.

    Attributes
    ----------
    kind, details:
        As `isd_ray.campaign.events.EventLog.append` takes them, without the hashes of the tables.
    tables:
        What the event rests on, by the name of its hash in the event.
    """

    kind: str
    details: Mapping[str, Any]
    tables: Mapping[str, pa.Table]

    def write(self, store: CampaignStore, *, after: int | None = None) -> bool:
        """Keep the tables, then append the event; False as `EventLog.append`."""
        hashes = {name: store.keep(table) for name, table in self.tables.items()}
        return store.append_event(self.kind, {**self.details, **hashes}, after=after)

    def enter(self, ledger: Ledger) -> None:
        """Have a ledger stand as if this were written."""
        ledger.enter({"kind": self.kind, **self.details}, self.tables.get(_SAID))


def note_new(
    outcome: Outcome,
    n_outputs: int,
    round_number: int | None,
    read: ReadoutFile | None = None,
    *,
    external: bool = False,
    has_numbers: bool = False,
) -> Note:
    """The new readouts of an outcome.

    Parameters
    ----------
    n_outputs:
        Of a panel; 0 of single labels.
    read:
        The file that they are from; None of readouts by what was on record.
    has_numbers:
        Of a panel: some outputs are numbers.
    """
    new = outcome.fated(NEW)
    tables = {_QUALITY: outcome.quality, _SAID: readouts_table(new, n_outputs, has_numbers=has_numbers)}
    details: dict[str, Any] = {"round": round_number, "n": len(new), "external": external}
    if read is not None:
        tables["readings_sha256"] = read.readings
        details |= read.source
    if outcome.hits is not None:
        details["hits"] = outcome.hits
    if outcome.n_revived:
        details["n_revived"] = outcome.n_revived
    return Note("tell", details, {name: table for name, table in tables.items() if table is not None})


def note_rows(kind: str, rows: Rows, reason: str, **details: Any) -> Note:
    """Something that is said of whole compounds."""
    table = pa.table({"row": pa.array(sorted(rows.tolist()), pa.int64())})
    return Note(kind, {"n": len(rows), "reason": reason, **details}, {_SAID: table})


def note_lost(
    lost: pa.Table,
    n_outputs: int,
    open_round: int | None,
    read: ReadoutFile | None = None,
    quality: pa.Table | None = None,
) -> list[Note]:
    """Entries that gave no readout (`isd_ray.campaign.entries.ENTRIES`), a note for each reason.

    Parameters
    ----------
    quality:
        Of the plates, where no other note of the file has it.
    """
    notes, source = [], {} if read is None else read.source
    judged = {} if quality is None else {_QUALITY: quality}
    for reason in sorted(pc.unique(lost["reason"]).to_pylist()):
        entries = lost.filter(pc.equal(lost["reason"], reason))
        details = {"n": len(entries), "reason": reason, "round": open_round, **source}
        notes.append(Note("fail", details, {**judged, _SAID: lost_table(entries, n_outputs)}))
    return notes
