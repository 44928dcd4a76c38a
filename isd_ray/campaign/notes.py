"""What is about to go on record: events with the tables they name, made first and written afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from isd_ray.campaign.entries import NEW, Outcome, lost_table, readouts_table
from isd_ray.campaign.ledger import Ledger
from isd_ray.campaign.store import CampaignStore
from isd_ray.messages import Rows
from isd_ray.plates.collect import ReadoutFile

_SAID = "readouts_sha256"


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
    tables = {"quality_sha256": outcome.quality, _SAID: readouts_table(new, n_outputs, has_numbers=has_numbers)}
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


def note_lost(lost: pa.Table, n_outputs: int, open_round: int | None, read: ReadoutFile | None = None) -> list[Note]:
    """Entries that gave no readout (`isd_ray.campaign.entries.ENTRIES`), a note for each reason."""
    notes, source = [], {} if read is None else read.source
    for reason in sorted(pc.unique(lost["reason"]).to_pylist()):
        entries = lost.filter(pc.equal(lost["reason"], reason))
        details = {"n": len(entries), "reason": reason, "round": open_round, **source}
        notes.append(Note("fail", details, {_SAID: lost_table(entries, n_outputs)}))
    return notes
