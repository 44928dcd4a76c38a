"""What is about to go on record: events with the tables they name, made first and written afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from isd_ray.campaign.entries import masks_table, n_entries
from isd_ray.campaign.laboratory import Ledger
from isd_ray.campaign.readings import Labelled
from isd_ray.campaign.store import CampaignStore

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


def note_readouts(
    told: pa.Table,
    labelled: Labelled,
    *,
    round_number: int | None,
    n: int,
    external: bool = False,
    readings: pa.Table | None = None,
    source: Mapping[str, Any] | None = None,
    n_revived: int = 0,
) -> Note:
    """Readouts that count.

    Parameters
    ----------
    told:
        The readouts.
    labelled:
        What they were chosen from.
    n:
        How many they are; of a panel entries are counted.
    readings, source:
        Of a file: its readings, its name and its hash.
    n_revived:
        How many of the readouts are of compounds that had failed in the open round before.
    """
    tables = {"readings_sha256": readings, "quality_sha256": labelled.quality, _SAID: told}
    hits = {} if labelled.hits is None else {"hits": labelled.hits}
    revived = {"n_revived": n_revived} if n_revived else {}
    details = {**(source or {}), **hits, **revived, "round": round_number, "n": n, "external": external}
    return Note("tell", details, {name: table for name, table in tables.items() if table is not None})


def note_rows(kind: str, rows: Sequence[int], reason: str, **details: Any) -> Note:
    """Something that is said of whole compounds."""
    table = pa.table({"row": pa.array(sorted(rows), pa.int64())})
    return Note(kind, {"n": len(rows), "reason": reason, **details}, {_SAID: table})


def note_lost_rows(lost: Mapping[int, str], open_round: int | None, **source: Any) -> list[Note]:
    """Compounds that gave no readout, by reason; `source` as of `note_readouts`."""
    rows_of = {reason: [row for row, why in lost.items() if why == reason] for reason in sorted(set(lost.values()))}
    return [note_rows("fail", rows, reason, round=open_round, **source) for reason, rows in rows_of.items()]


def note_lost_entries(
    lost: Mapping[str, Mapping[int, int]], n_outputs: int, open_round: int | None, **source: Any
) -> list[Note]:
    """Entries of a panel that gave no readout (`isd_ray.campaign.entries.lost_entries`), as `note_lost_rows`."""
    return [
        Note(
            "fail",
            {"n": n_entries(masks.values()), "reason": reason, "round": open_round, **source},
            {_SAID: masks_table(masks, n_outputs)},
        )
        for reason, masks in sorted(lost.items())
    ]
