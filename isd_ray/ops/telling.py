"""Telling readouts: what a file would change is made out first, writing nothing; then it goes on record."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from isd_ray.campaign.entries import KNOWN, LOST, NEW, REFUSED, WAITING, Outcome, of_file
from isd_ray.campaign.intake import ReadAs
from isd_ray.campaign.laboratory import Laboratory
from isd_ray.campaign.ledger import Ledger
from isd_ray.campaign.refused import refused_table, with_refused
from isd_ray.campaign.telling import Note, Place, Refusal, n_missing, newly_lost, note_lost, note_new, placed
from isd_ray.card import card, pairs, paragraphs, rows
from isd_ray.errors import LabelError, StoreError
from isd_ray.messages import Rows
from isd_ray.ops.opened import Opened
from isd_ray.ops.tables import as_file, naming
from isd_ray.plates.collect import ReadoutFile
from isd_ray.plates.quality import PlateQuality
from isd_ray.report.plate_quality import quality_table

_SHOWN = 5
"""Lines in a message."""


class FailedPlate(NamedTuple):
    """A plate whose readouts do not count, as its controls miss a limit; `reason` says which, and by how much."""

    plate: str
    reason: str


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a file of readouts.

    Attributes
    ----------
    n_new, n_unchanged:
        Readouts that were taken in, and those on record already; of a panel entries are counted, here and below.
    n_lost:
        Compounds whose wells were read but gave no readout: they count as failed.
    refused:
        Lines that were not used, and why.
    n_missing:
        Readouts that the open round still waits for.
    n_waiting:
        Compounds of the file whose other wells were not read yet: they count once these are.
    failed_plates:
        Plates of the file that failed their quality: their wells gave no readout.
    plates:
        Z′ and the like of every plate of the file, where hits are called, those that pass too.
    lost:
        Wells that were read but have no value, controls too, and why: line, well and reason.
    n_revived:
        Of the new readouts, those of compounds that had failed in the open round before.
    n_read, fates:
        Readings and lines of the file, and what became of them: the numbers add up to all.
    n_transfers:
        Of the report of a dispenser: transfers that were made.
    head:
        SHA-256 of the log as it is now (`isd_ray.campaign.status.Status.head`).
    """

    n_new: int
    n_unchanged: int
    n_lost: int
    refused: tuple[Refusal, ...]
    n_missing: int
    n_waiting: int = 0
    failed_plates: tuple[FailedPlate, ...] = ()
    plates: tuple[PlateQuality, ...] = ()
    lost: tuple[Refusal, ...] = ()
    n_revived: int = 0
    n_read: int = 0
    fates: Mapping[str, int] = field(default_factory=dict)
    n_transfers: int | None = None
    head: str | None = field(default=None, compare=False)

    @property
    def account(self) -> str:
        """What was read and what became of it: ``96 read = 16 controls + 80 new``."""
        fates = " + ".join(f"{n:,} {what}" for what, n in self.fates.items())
        made = "" if self.n_transfers is None else f"; {self.n_transfers:,} transfers were made"
        return f"{self.n_read:,} read = {fates or 0}{made}"

    @property
    def not_counted(self) -> dict[str, tuple[Refusal, ...]]:
        """Lines that gave no readout: by what became of them."""
        return {"lost": self.lost, "refused": self.refused}

    def __repr__(self) -> str:
        lines = [*self._lines(), *self._failed()]
        return f"Told({', '.join(f'{what}: {answer}' for what, answer in lines)}; {self.account})"

    def _repr_html_(self) -> str:
        lines = [(f"line {refusal.line}", refusal.reason) for refusal in self.refused[:_SHOWN]]
        more = [f"… and {len(self.refused) - _SHOWN:,} more refusals"] if len(self.refused) > _SHOWN else []
        told = pairs([*self._lines(), *self._failed(), *lines])
        judged = quality_table(self.plates)
        plates = rows(judged.headings, judged.rows) if self.plates else ""
        return card("Readouts told", told, paragraphs([self.account, *more]), plates)

    def _lines(self) -> list[tuple[str, str]]:
        counts = {
            "new": self.n_new,
            "known": self.n_unchanged,
            "without a readout": self.n_lost,
            "waiting for other wells": self.n_waiting,
            "refused": len(self.refused),
            "missing in the round": self.n_missing,
        }
        return [(what, f"{n:,}") for what, n in counts.items()]

    def _failed(self) -> list[tuple[str, str]]:
        return [(f"plate {plate} does not count", reason) for plate, reason in self.failed_plates]


class Telling:
    """Takes readouts in.

    Parameters
    ----------
    opened:
        The campaign.
    """

    def __init__(self, opened: Opened) -> None:
        self._opened = opened

    def tell(self, readouts: Any, *, external: bool, said: ReadAs) -> Told:
        """See `isd_ray.ops.campaign.Campaign.tell`."""
        with naming(readouts):
            read = self._read(readouts, said, external=external)
            while True:
                ledger, place = self._opened.ledger(), self._opened.place()
                outcome, notes = self._decided(read, ledger, place, external=external)
                if self._write(notes, ledger.n_events):
                    told = _told(read, outcome, notes, self._opened.n_missing())
                    return replace(told, head=self._opened.store.head())

    def preview(self, readouts: Any, *, external: bool, said: ReadAs) -> Told:
        """See `isd_ray.ops.campaign.Campaign.preview`."""
        with naming(readouts):
            read = self._read(readouts, said, external=external)
            # A ledger of its own, as it will not be what is on record.
            ledger, place = Laboratory(self._opened.store).ledger(), self._opened.place()
            outcome, notes = self._decided(read, ledger, place, external=external)
            for note in notes:
                note.enter(ledger)
            return _told(read, outcome, notes, n_missing(ledger, place))

    def settle(self, rows: Rows) -> None:
        """Have compounds of the batch that is out counted by those of their wells that were read."""
        opened = self._opened
        open_round = opened.store.rounds()[-1:]
        while open_round and open_round[0].committed is None:
            ledger = opened.ledger()
            outcome = opened.intake.settle(open_round[0], rows, ledger)
            if outcome is None:
                break
            note = note_new(
                outcome,
                len(opened.rule.outputs),
                open_round[0].round,
                has_numbers=bool(opened.rule.numbers),
            )
            if note.write(opened.store, after=ledger.n_events):
                break

    def _read(self, readouts: Any, said: ReadAs, *, external: bool) -> ReadoutFile:
        self._opened.refuse_simulation()
        self._opened.refuse_after_end("readouts")
        if external:
            self._opened.refuse_beside_reserve()
        with tempfile.TemporaryDirectory() as folder:
            return self._opened.intake.read(as_file(readouts, Path(folder), self._opened.config.readouts), said)

    def _decided(
        self, read: ReadoutFile, ledger: Ledger, place: Place, *, external: bool
    ) -> tuple[Outcome, list[Note]]:
        """What becomes of a file, and what is to go on record of it, in this order; nothing is written.

        Raises
        ------
        StoreError
            If no batch was ever out, so that no line can count.
        """
        if not (external or len(place.released_rows) or len(ledger.rows)):
            raise StoreError(
                f"no batch is out yet, so nothing in {read.name!r} was asked for",
                self._opened.store.address,
                "ask for one first; or, if it was measured outside the plan, tell it as external (--external)",
            )
        outputs = self._opened.rule.outputs
        outcome = placed(self._opened.intake.label(read, ledger), ledger, place, outputs, external=external)
        outcome = replace(outcome, account=_account(read, outcome))
        notes = []
        if outcome.is_new or len(outcome.fated(NEW)):
            has_numbers = bool(self._opened.rule.numbers)
            new = note_new(outcome, len(outputs), place.open_round, read, external=external, has_numbers=has_numbers)
            notes.append(new)
        lost = newly_lost(outcome.fated(LOST), ledger, place)
        notes += note_lost(lost, len(outputs), place.open_round, read, None if notes else outcome.quality)
        refused = _refused(outcome)
        if refused and _is_used(read, outcome):
            store = self._opened.store
            plate_maps = [table for files in store.rounds() if (table := files.read_plates()) is not None]
            notes = with_refused(notes, refused_table(refused, read, plate_maps), read.source, store)
        return outcome, notes

    def _write(self, notes: Sequence[Note], n_events: int) -> bool:
        """Put notes on record; False if somebody else was faster: decide again by what is on record now."""
        store = self._opened.store
        if notes and not notes[0].write(store, after=n_events):
            return False
        for note in notes[1:]:
            note.write(store)
        return True


def _told(read: ReadoutFile, outcome: Outcome, notes: Sequence[Note], missing: int) -> Told:
    """The answer, with what is missing once the notes are on record.

    Raises
    ------
    LabelError
        If no line of the file says anything, new or known.
    """
    refused = _refused(outcome)
    if not _is_used(read, outcome):
        shown = "; ".join(f"line {refusal.line}: {refusal.reason}" for refusal in refused[:_SHOWN])
        shown += f"; … and {len(refused) - _SHOWN:,} more refusals" if len(refused) > _SHOWN else ""
        raise LabelError(
            f"none of {len(refused)} lines can be used: {shown}",
            read.name,
            "correct the file (is it of another plate?); what is on record is corrected by isd undo or isd amend",
        )
    plates = _judged(outcome.quality, read.readings["plate"])
    return Told(
        n_new=len(outcome.fated(NEW)),
        n_unchanged=len(outcome.fated(KNOWN)),
        n_lost=sum(note.details["n"] for note in notes if note.kind == "fail"),
        refused=refused,
        n_missing=missing,
        n_waiting=len(outcome.fated(WAITING)),
        failed_plates=tuple(FailedPlate(plate.plate, plate.reason) for plate in plates if not plate.counts),
        plates=plates,
        lost=_refusals(outcome.lost_wells),
        n_revived=outcome.n_revived,
        n_read=sum(outcome.account.values()),
        fates=outcome.account,
        n_transfers=read.n_transfers,
    )


def _refused(outcome: Outcome) -> tuple[Refusal, ...]:
    """All refused lines, in the order of the file."""
    lines = pa.concat_tables([outcome.refused, outcome.fated(REFUSED).select(outcome.refused.column_names)])
    return _refusals(lines.take(pa.array(np.argsort(lines["line"].to_numpy(), kind="stable"))))


def _is_used(read: ReadoutFile, outcome: Outcome) -> bool:
    """Whether any line of a file says something, new or known."""
    return read.n_transfers is not None or not set(pc.unique(outcome.entries["fate"]).to_pylist()) <= {REFUSED}


def _refusals(lines: pa.Table) -> tuple[Refusal, ...]:
    return tuple(map(Refusal, lines["line"].to_pylist(), lines["reason"].to_pylist()))


def _account(read: ReadoutFile, outcome: Outcome) -> dict[str, int]:
    """What became of every reading and every refused line of a file, by number.

    Raises
    ------
    LabelError
        If they do not add up: one was dropped in silence, which must not be.
    """
    n_all = len(read.readings) + len(read.rejects)
    if read.n_transfers is not None:
        return {"wells that were not dispensed": len(read.readings), REFUSED: len(read.rejects)}
    keys = ["row", "output"]
    fates = of_file(outcome.samples).join(outcome.entries.select([*keys, "fate"]), keys, join_type="inner")
    each = pc.value_counts(pc.if_else(fates["is_bad"], pa.scalar(LOST), fates["fate"])).to_pylist()
    found = Counter({line["values"]: line["counts"] for line in each})
    found.update(outcome.others)
    found[REFUSED] += len(read.rejects)
    if (n_found := sum(found.values())) != n_all:
        raise LabelError(
            f"of {n_all} lines and wells {n_found} are accounted for; nothing was written",
            "readouts",
            "this is a fault of isd_ray: report it with the file",
        )
    return {what: n for what, n in sorted(found.items()) if n}


def _judged(quality: pa.Table | None, told: pa.ChunkedArray) -> tuple[PlateQuality, ...]:
    """The plates that a file is of, by their controls: with replicates others are judged again with them."""
    return () if quality is None else PlateQuality.of(quality.filter(pc.is_in(quality["plate"], told)))
