"""Telling readouts: what a file would change is made out first, writing nothing; then it goes on record."""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from isd_ray.campaign.entries import lost_entries, n_entries, place_entries
from isd_ray.campaign.intake import ReadAs
from isd_ray.campaign.laboratory import Laboratory, Ledger
from isd_ray.campaign.notes import Note, note_lost_entries, note_lost_rows, note_readouts
from isd_ray.campaign.readings import Labelled
from isd_ray.campaign.refused import refused_table, with_refused
from isd_ray.campaign.replicates import ON_RECORD
from isd_ray.campaign.telling import Place, Placed, Refusal, lost_rows, n_missing, place_readouts
from isd_ray.card import card, pairs, paragraphs
from isd_ray.config import CampaignConfig
from isd_ray.core.panels import MISSING, unpack_labels
from isd_ray.data.packed import labels_from
from isd_ray.errors import IsdError, LabelError, StoreError
from isd_ray.ops.opened import Opened
from isd_ray.ops.tables import as_table
from isd_ray.plates.collect import ReadoutFile
from isd_ray.storage.files import sha256_file

_SHOWN = 5
"""Lines in a message."""
_WRITTEN = "readouts.parquet"
"""What a table that is told is written to, to be read as files are."""


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

    def __repr__(self) -> str:
        lines = [*self._lines(), *self._plates()]
        return f"Told({', '.join(f'{what}: {answer}' for what, answer in lines)}; {self.account})"

    def _repr_html_(self) -> str:
        lines = [(f"line {refusal.line}", refusal.reason) for refusal in self.refused[:_SHOWN]]
        more = [f"… and {len(self.refused) - _SHOWN:,} more refusals"] if len(self.refused) > _SHOWN else []
        told = pairs([*self._lines(), *self._plates(), *lines])
        return card("Readouts told", told, paragraphs([self.account, *more]))

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

    def _plates(self) -> list[tuple[str, str]]:
        return [(f"plate {plate} does not count", reason) for plate, reason in self.failed_plates]


@dataclass(frozen=True, slots=True)
class _Read:
    """A file of readouts as it was read; `external` as in `Telling.tell`."""

    name: str
    sha256: str
    content: ReadoutFile
    external: bool


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What a file changes by what is on record.

    Attributes
    ----------
    notes:
        What is to go on record, in this order.
    is_useless:
        Whether no line of the file says anything, new or known.
    """

    name: str
    notes: tuple[Note, ...]
    is_useless: bool
    n_new: int
    n_unchanged: int
    n_lost: int
    n_waiting: int
    refused: tuple[Refusal, ...]
    failed_plates: tuple[FailedPlate, ...]
    lost: tuple[Refusal, ...]
    n_revived: int
    fates: Mapping[str, int]
    n_transfers: int | None

    def told(self, missing: int) -> Told:
        """The answer, with what is missing once the notes are on record.

        Raises
        ------
        LabelError
            If nothing in the file can be used.
        """
        if self.is_useless:
            shown = "; ".join(f"line {refusal.line}: {refusal.reason}" for refusal in self.refused[:_SHOWN])
            raise LabelError(f"none of {len(self.refused)} lines can be used: {shown}", self.name, "correct the file")
        return Told(
            n_new=self.n_new,
            n_unchanged=self.n_unchanged,
            n_lost=self.n_lost,
            refused=self.refused,
            n_missing=missing,
            n_waiting=self.n_waiting,
            failed_plates=self.failed_plates,
            lost=self.lost,
            n_revived=self.n_revived,
            n_read=sum(self.fates.values()),
            fates=self.fates,
            n_transfers=self.n_transfers,
        )


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
                outcome = self._outcome(read, ledger, place)
                if self._write(outcome.notes, ledger.n_events):
                    return replace(outcome.told(self._opened.n_missing()), head=self._opened.store.head())

    def preview(self, readouts: Any, *, external: bool, said: ReadAs) -> Told:
        """See `isd_ray.ops.campaign.Campaign.preview`."""
        with naming(readouts):
            read = self._read(readouts, said, external=external)
            # A ledger of its own, as it will not be what is on record.
            ledger, place = Laboratory(self._opened.store).ledger(), self._opened.place()
            outcome = self._outcome(read, ledger, place)
            for note in outcome.notes:
                note.enter(ledger)
            return outcome.told(n_missing(ledger, place))

    def settle(self, rows: Sequence[int]) -> None:
        """Have compounds of the batch that is out counted by those of their wells that were read."""
        open_round = self._opened.store.rounds()[-1:]
        while open_round and open_round[0].committed is None:
            ledger = self._opened.ledger()
            labelled = self._opened.intake.settle(open_round[0], np.array(rows, np.int64), ledger)
            if labelled is None:
                break
            told, number = labelled.readouts, open_round[0].round
            note = note_readouts(told, labelled, round_number=number, n=len(told))
            if note.write(self._opened.store, after=ledger.n_events):
                break

    def _read(self, readouts: Any, said: ReadAs, *, external: bool) -> _Read:
        self._opened.refuse_after_end("readouts")
        if external:
            self._opened.refuse_beside_reserve()
        with tempfile.TemporaryDirectory() as folder:
            file = as_file(readouts, Path(folder), self._opened.config)
            content = self._opened.intake.read(file, said)
            return _Read(file.name, sha256_file(file), content, external)

    def _outcome(self, read: _Read, ledger: Ledger, place: Place) -> _Outcome:
        """Decide on each line; nothing is written.

        Raises
        ------
        StoreError
            If no batch was ever out, so that no line can count.
        """
        if not (read.external or len(place.released_rows) or ledger.told):
            raise StoreError(
                f"no batch is out yet, so nothing in {read.name!r} was asked for",
                self._opened.store.address,
                "ask for one first; or, if it was measured outside the plan, tell it as external (--external)",
            )
        labelled, outputs = self._opened.intake.label(read.content, ledger, read.name), self._opened.rule.outputs
        if outputs:
            placed = place_entries(labelled, ledger, place, outputs, external=read.external)
        else:
            line_of = (labelled.readouts, labelled.lines, labelled.ids)
            placed = place_readouts(*line_of, ledger, place, external=read.external)
        notes: list[Note] = []
        source = {"file": read.name, "file_sha256": read.sha256}
        if placed.n_new or labelled.is_new:
            notes.append(
                note_readouts(
                    placed.told,
                    labelled,
                    round_number=place.open_round,
                    n=placed.n_new,
                    external=read.external,
                    readings=read.content.readings,
                    source=source,
                    n_revived=placed.n_revived,
                )
            )
        rows, entries = lost_rows(labelled.lost, ledger, place), lost_entries(labelled.lost_entries, ledger, place)
        notes += note_lost_rows(rows, place.open_round, **source)
        notes += note_lost_entries(entries, len(outputs), place.open_round, **source)
        is_used = (
            read.content.n_transfers is not None
            or placed.n_new
            or placed.n_unchanged
            or labelled.n_waiting
            or labelled.lost
            or labelled.lost_entries
        )
        refused = tuple(sorted((*labelled.refused, *placed.refused), key=lambda refusal: refusal.line))
        if is_used and refused:
            store = self._opened.store
            plate_maps = [table for files in store.rounds() if (table := files.read_plates()) is not None]
            notes = with_refused(notes, refused_table(refused, read.content, plate_maps), source, store)
        return _Outcome(
            name=read.name,
            notes=tuple(notes),
            is_useless=not is_used,
            n_new=placed.n_new,
            n_unchanged=placed.n_unchanged,
            n_lost=len(rows) + sum(n_entries(masks.values()) for masks in entries.values()),
            n_waiting=labelled.n_waiting,
            refused=refused,
            failed_plates=_failed_plates(labelled.quality, read.content.readings["plate"]),
            n_revived=placed.n_revived,
            fates=_fates(read.content, labelled, placed, len(outputs)),
            n_transfers=read.content.n_transfers,
            lost=tuple(lost for lost in labelled.lost_wells if lost.line != ON_RECORD),
        )

    def _write(self, notes: Sequence[Note], n_events: int) -> bool:
        """Put notes on record; False if somebody else was faster: decide again by what is on record now."""
        store = self._opened.store
        if notes and not notes[0].write(store, after=n_events):
            return False
        for note in notes[1:]:
            note.write(store)
        return True


def _fates(content: ReadoutFile, labelled: Labelled, placed: Placed, n_outputs: int) -> dict[str, int]:
    """What became of every reading and every refused line of a file, by number.

    Raises
    ------
    LabelError
        If they do not add up: one was dropped in silence, which must not be.
    """
    n_all = len(content.readings) + len(content.rejects)
    if content.n_transfers is not None:
        return {"wells that were not dispensed": len(content.readings), "refused": len(content.rejects)}
    outputs = labelled.readouts["output"].to_pylist() if n_outputs else [0] * len(labelled.readouts)
    keys = list(zip(labelled.readouts["row"].to_pylist(), outputs, strict=True))
    refused_lines = {refusal.line for refusal in placed.refused}
    taken = _told_keys(placed, n_outputs)
    fate = {
        key: "new" if key in taken else "refused" if line in refused_lines else "known"
        for key, line in zip(keys, labelled.lines.tolist(), strict=True)
    }
    lost = labelled.lost_entries.keys() | {(row, 0) for row in labelled.lost}
    lines_refused = {refusal.line for refusal in labelled.refused}
    of_key: defaultdict[tuple[int, int], set[int]] = defaultdict(set)
    for row, output, line, _ in labelled.samples:
        of_key[row, output].add(line)
    found = Counter({"refused": len(content.rejects), **labelled.others})
    found["refused"] = len(content.rejects) + labelled.others.get("refused", 0)
    for row, output, _, is_bad in labelled.samples:
        key = row, output
        if is_bad or key in lost:
            found["lost"] += 1
        elif key in fate:
            found[fate[key]] += 1
        else:
            found["refused" if of_key[key] & lines_refused else "waiting"] += 1
    if (n_found := sum(found.values())) != n_all:
        raise LabelError(
            f"of {n_all} lines and wells {n_found} are accounted for; nothing was written",
            "readouts",
            "this is a fault of isd_ray: report it with the file",
        )
    return {what: n for what, n in sorted(found.items()) if n}


def _told_keys(placed: Placed, n_outputs: int) -> set[tuple[int, int]]:
    rows = placed.told["row"].to_pylist()
    if not n_outputs:
        return {(row, 0) for row in rows}
    known = unpack_labels(labels_from(placed.told), n_outputs) if rows else np.empty((0, n_outputs))
    return {(row, int(at)) for row, line in zip(rows, known, strict=True) for at in np.flatnonzero(line != MISSING)}


def _failed_plates(quality: pa.Table | None, told: pa.ChunkedArray) -> tuple[FailedPlate, ...]:
    """The plates that do not count, of those that a file is of: with replicates others are judged again with them."""
    if quality is None:
        return ()
    failed = quality.filter(pc.and_(pc.is_in(quality["plate"], told), pc.invert(quality["counts"])))
    return tuple(map(FailedPlate, failed["plate"].to_pylist(), failed["reason"].to_pylist()))


def as_file(readouts: Any, folder: Path, config: CampaignConfig) -> Path:
    """A file with the readouts: the given one, or one written from a table.

    Raises
    ------
    LabelError
        If they are of a type that no table can be made of.
    """
    if isinstance(readouts, str | Path):
        return Path(readouts)
    try:
        pq.write_table(as_table(readouts, config.readouts), folder / _WRITTEN)
    except (AttributeError, TypeError, ValueError, OverflowError, pa.ArrowException) as error:
        detail = f" ({error})" if not isinstance(error, AttributeError | TypeError) else ""
        raise LabelError(
            f"no readouts can be taken from a {type(readouts).__name__}{detail}",
            "readouts",
            "give a file, an Arrow table, a pandas frame, or a mapping from id to readout; see Campaign.tell",
        ) from error
    return folder / _WRITTEN


@contextmanager
def naming(readouts: Any) -> Iterator[None]:
    """Have errors name the readouts as their teller knows them, not the copy that was read."""
    if is_file := isinstance(readouts, str | Path):
        name, copy = str(readouts), Path(readouts).name
    else:
        name, copy = "the mapping" if isinstance(readouts, Mapping) else "the table", _WRITTEN
    try:
        yield
    except IsdError as error:
        # The name of a file alone is right wherever its copy lies.
        if Path(error.where).name != copy or (is_file and error.where == copy):
            raise
        raise type(error)(error.what, name, error.remedy) from error
