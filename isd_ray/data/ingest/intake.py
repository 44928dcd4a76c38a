"""Sorting prepared records into rows and rejects, part by part."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isd_ray.chem.parents import STEPS
from isd_ray.chem.smiles import tautomer_hash_of
from isd_ray.config import DenseFeatures
from isd_ray.core.features import Dense, OnBits
from isd_ray.data.ingest.columns import convert
from isd_ray.data.ingest.dedupe import DuplicateIndex, hash_features, hash_keys
from isd_ray.data.ingest.dense import dense_rows
from isd_ray.data.ingest.ids import IdIndex, repeated_ids
from isd_ray.data.ingest.journal import Journal, Tally
from isd_ray.data.ingest.molecules import PreparedChunk
from isd_ray.data.ingest.origins import Origins
from isd_ray.data.ingest.pieces import Piece
from isd_ray.data.ingest.plan import BuildPlan
from isd_ray.data.ingest.stripped import Stripped, words
from isd_ray.data.layout import FEATURES, ID, RECORD, SMILES, arrow_to_features, features_to_arrow
from isd_ray.data.library import Library
from isd_ray.data.writer import LibraryWriter, RejectsWriter
from isd_ray.errors import InputFileError, LibraryError

_SHOWN = 5
"""Examples in a message."""
_NO_ID = "no id"
_ONE_IN, _MOST_AT_ONCE = 64, 1 << 15
"""Records wait until they are one in so many of the rows, or so many, and are looked up together: what a look-up costs
grows with the rows, and hardly with the records."""


@dataclass(frozen=True, slots=True)
class _Checked:
    """A piece of which it is not yet known which records are duplicates.

    Attributes
    ----------
    valid:
        int64, shape (v,): indices of the records without a fault, ascending.
    among_passed:
        int64, shape (v,): their places among the structures that passed; without structures every record passes.
    reasons:
        What is wrong with the others, by index.
    hashes:
        uint64, shape (v, 2), of what duplicates are told by; None where they are kept.
    """

    piece: Piece
    prepared: PreparedChunk
    valid: NDArray[np.int64]
    among_passed: NDArray[np.int64]
    reasons: dict[int, str]
    dense: Dense | None
    hashes: NDArray[np.uint64] | None


@dataclass(frozen=True, slots=True)
class _Sorted:
    """A piece, sorted.

    Attributes
    ----------
    kept:
        int64, shape (k,): indices of the records that become rows, ascending.
    among_passed:
        int64, shape (k,): their places among the structures that passed.
    rejects:
        Reason of each other record, and the row it is merged into, by index, ascending.
    on_bits:
        Of the structures that passed, contexts included.
    steps:
        uint8, shape (n,): what standardisation did to each record, 0 for one that did not pass.
    """

    kept: NDArray[np.int64]
    among_passed: NDArray[np.int64]
    rejects: dict[int, tuple[str, int | None]]
    on_bits: OnBits | None
    dense: Dense | None
    steps: NDArray[np.uint8]


class PieceIntake:
    """Takes pieces in order and writes them; notes every complete part in the journal.

    All that grows with the rows is the duplicate index. An intake that begins behind the parts of an interrupted build
    reads them back and goes on as if nothing had happened.

    Parameters
    ----------
    onto:
        The library whose rows come before: its compounds are known, and new rows are numbered on behind them.

    Raises
    ------
    InputFileError
        If the id column of a source cannot be read.
    """

    def __init__(self, plan: BuildPlan, journal: Journal, onto: Library | None = None) -> None:
        self.tally: Tally = deepcopy(journal.tally)
        self._plan = plan
        self._journal = journal
        self._n_before = 0 if onto is None else onto.n_rows
        self._contexts = plan.contexts
        self._compounds = DuplicateIndex()
        self._stripped = Stripped(journal.stripped)
        self._ids = IdIndex(repeated_ids(plan, onto))
        config = plan.config
        self._writer = LibraryWriter(
            journal.library, config.block_rows, config.part_blocks, journal.parts, self._n_before
        )
        self._rejects = RejectsWriter(journal.rejects(len(journal.parts)))
        self._origins = Origins(journal.library, self._writer, self.tally.starts, self.tally.n_kept)
        self._waiting: list[_Checked] = []
        if onto is not None:
            for block in range(onto.n_blocks):
                self._remember(onto.block_table(block), onto.block_rows_range(block)[0])
        for part in journal.parts:
            self._remember_part(str(journal.library / part["file"]), self._n_before + part["first_row"])

    def take_in(self, piece: Piece, prepared: PreparedChunk) -> None:
        """Sort the records of a piece into rows and rejects, together with others once these are enough.

        Raises
        ------
        InputFileError
            If an id belongs to two compounds.
        LibraryError
            If duplicates are refused and there is one.
        """
        self._waiting.append(self._check(piece, prepared))
        if self.n_waiting >= min(self.tally.n_kept // _ONE_IN, _MOST_AT_ONCE):
            self.take_waiting()

    @property
    def n_waiting(self) -> int:
        """Records of pieces that wait for others."""
        return sum(len(checked.piece) for checked in self._waiting)

    def take_waiting(self) -> None:
        """Sort the pieces that wait for others (raises as `take_in`)."""
        waiting, self._waiting = self._waiting, []
        first_rows = [np.full(len(checked.valid), -1, dtype=np.int64) for checked in waiting]
        if hashes := [checked.hashes for checked in waiting if checked.hashes is not None]:
            ends = np.cumsum([len(keys) for keys in hashes])
            first_rows = np.split(self._compounds.add(np.concatenate(hashes), self._next_row), ends[:-1])
        for checked, first_row in zip(waiting, first_rows, strict=True):
            self._take(checked, first_row)

    def close(self) -> list[dict[str, Any]]:
        """Write what is left, and describe the parts."""
        self._rejects.close()
        return self._writer.close()

    def _check(self, piece: Piece, prepared: PreparedChunk) -> _Checked:
        plan, dense = self._plan, None
        reasons: dict[int, str] = {}
        if isinstance(plan.config.features, DenseFeatures):
            dense, reasons = dense_rows(piece.table[plan.config.features.column], plan.config.features)
        reasons.update(prepared.reasons)
        without_id = np.flatnonzero(piece.ids.is_null().to_numpy(zero_copy_only=False))
        reasons.update(dict.fromkeys(without_id.tolist(), _NO_ID))
        reasons.update(piece.problems)
        is_valid = np.ones(len(piece), dtype=bool)
        is_valid[list(reasons)] = False
        valid = np.flatnonzero(is_valid)
        among_passed = np.searchsorted(prepared.passed, valid) if plan.has_structures else valid
        hashes = None
        if plan.hash_by is not None and prepared.hashes is not None:
            hashes = self._contexts.paired(prepared.hashes[among_passed], piece.contexts[valid])
        elif plan.hash_by is not None:
            assert dense is not None  # plan: on-bits are hashed with the chemistry
            hashes = hash_features(dense.take(valid))
        return _Checked(piece, prepared, valid, among_passed, reasons, dense, hashes)

    def _take(self, checked: _Checked, first_row: NDArray[np.int64]) -> None:
        """Write the records of a piece; `first_row` says which rows the valid ones repeat, -1 for none."""
        piece, tally = checked.piece, self.tally
        while len(tally.starts) <= piece.source:
            tally.starts.append((piece.position, tally.n_kept))
        found = self._sort(checked, first_row)
        start = 0
        while start < len(piece):
            # Cut behind the last row of a part, so that the journal can say: everything up to this record is done.
            low = int(np.searchsorted(found.kept, start))
            room = self._writer.room
            high = min(low + room, len(found.kept))
            fills_part = high - low == room
            stop = int(found.kept[high - 1]) + 1 if fills_part else len(piece)
            self._write(piece, checked.prepared, found, slice(low, high), range(start, stop))
            if fills_part:
                self._complete_part()
            start = stop

    def _sort(self, checked: _Checked, first_row: NDArray[np.int64]) -> _Sorted:
        plan, piece, prepared, valid = self._plan, checked.piece, checked.prepared, checked.valid
        n, is_kept = len(piece), first_row < 0
        kept, among_passed = valid[is_kept], checked.among_passed[is_kept]
        self._origins.add(piece.first + kept)
        steps = np.zeros(n, dtype=np.uint8)
        if plan.has_structures:
            steps[valid] = prepared.steps[checked.among_passed]
        self._stripped.add(self._next_row, steps[kept])
        merged = dict(zip(valid[~is_kept].tolist(), first_row[~is_kept].tolist(), strict=True))
        if merged and plan.config.duplicates == "refuse":
            raise self._duplicates_refused(piece, merged)
        self._check_ids(piece, kept)
        is_gone = np.ones(n, dtype=bool)
        is_gone[kept] = False
        rejects: dict[int, tuple[str, int | None]] = {}
        for index in np.flatnonzero(is_gone).tolist():
            row = merged.get(index)
            rejects[index] = (
                (checked.reasons[index], None) if row is None else (self._merged(row, int(steps[index])), row)
            )
        on_bits = prepared.features
        if on_bits is not None:
            on_bits = self._contexts.append(on_bits, piece.contexts[prepared.passed])
        return _Sorted(kept, among_passed, rejects, on_bits, checked.dense, steps)

    def _merged(self, row: int, steps: int) -> str:
        """Why a record is merged into a row: it is the same, or only becomes it by what was stripped of either."""
        if self._plan.hash_by == "tautomer":
            same = f"same tautomer as row {row}"
        elif self._plan.hash_by == "smiles" and words(steps | self._stripped.of(row)):
            same = f"same parent as row {row}"
        else:
            return f"duplicate of row {row}"
        done = words(steps | self._stripped.of(row))
        return f"{same} ({done})" if done else same

    def _write(self, piece: Piece, prepared: PreparedChunk, found: _Sorted, kept: slice, records: range) -> None:
        tally = self.tally
        shows_smiles = self._plan.has_structures and piece.options.structure == "smiles"
        for index, (reason, row) in found.rejects.items():
            if index not in records:
                continue
            self._rejects.add(
                file=piece.file.name,
                line=int(piece.lines[index]),
                record=piece.first + index,
                id=piece.ids[index].as_py(),
                smiles=piece.structures[index] if shows_smiles else None,
                reason=reason,
                row=row,
            )
            if row is None:
                tally.reasons[reason.split(":", 1)[0]] += 1
            else:
                tally.n_duplicates += 1
        steps = found.steps[records.start : records.stop]
        tally.changes.update({word: n for bit, word in STEPS.items() if (n := int(np.count_nonzero(steps & bit)))})
        n_kept = kept.stop - kept.start
        tally.n_read += len(records)
        tally.n_kept += n_kept
        tally.share = piece.share
        if n_kept:
            self._writer.append(self._rows(piece, prepared, found, kept))

    def _complete_part(self) -> None:
        self._rejects.close()
        self._journal.record(self._writer.parts[-1], self.tally, self._stripped.news(self._next_row))
        self._rejects = RejectsWriter(self._journal.rejects(len(self._journal.parts)))
        self._origins.flushed(self.tally.n_kept)

    def _rows(self, piece: Piece, prepared: PreparedChunk, found: _Sorted, which: slice) -> pa.Table:
        kept, among_passed = found.kept[which], found.among_passed[which]
        take = pa.array(kept)
        has_structures = self._plan.has_structures
        smiles = [prepared.canonical[i] for i in among_passed.tolist()] if has_structures else [None] * len(kept)
        columns: dict[str, Any] = {
            ID: piece.ids.take(take),
            SMILES: pa.array(smiles, pa.string()),
            RECORD: pa.array(piece.first + kept),
        }
        for name, kind in self._plan.kept.items():
            columns[name] = convert(piece.table[name].take(take), kind)
        for place, descriptor in enumerate(self._plan.config.descriptor_columns):
            columns[descriptor] = pa.array(prepared.descriptors[among_passed, place])
        if found.dense is not None:
            columns[FEATURES] = features_to_arrow(found.dense.take(kept))
        else:
            assert found.on_bits is not None  # plan: without a dense column there are fingerprints
            columns[FEATURES] = features_to_arrow(found.on_bits.take(among_passed))
        return pa.table(columns)

    @property
    def _next_row(self) -> int:
        return self._n_before + self.tally.n_kept

    def _remember_part(self, file: str, first_row: int) -> None:
        """Put the compounds and ids of a complete part back into the indices."""
        with pa.memory_map(file) as source:
            reader = pa.ipc.open_file(source)
            for index in range(reader.num_record_batches):
                batch = reader.get_batch(index)
                self._remember(batch, first_row)
                first_row += batch.num_rows

    def _remember(self, block: pa.RecordBatch, first_row: int) -> None:
        if self._plan.hash_by is not None:
            self._compounds.add(self._keys(block), first_row)
        self._ids.add(block[ID], first_row)

    def _keys(self, batch: pa.RecordBatch) -> NDArray[np.uint64]:
        """What tells the rows of a written block from others: the hashes that `_sort` knew them by."""
        smiles = None
        if self._plan.hash_by in ("smiles", "tautomer"):
            texts = batch[SMILES].to_pylist()
            if self._plan.hash_by == "tautomer":
                texts = [tautomer_hash_of(text) for text in texts]
            smiles = hash_keys(text.encode() for text in texts)
        if smiles is not None and not len(self._contexts):
            return smiles
        features = arrow_to_features(batch[FEATURES], self._plan.config.features.width)
        if isinstance(features, Dense):
            return hash_features(features)
        fingerprints, contexts = self._contexts.split(features)
        return self._contexts.paired(hash_features(fingerprints) if smiles is None else smiles, contexts)

    def _check_ids(self, piece: Piece, kept: NDArray[np.int64]) -> None:
        ids = piece.ids.take(pa.array(kept))
        repeated = self._ids.add(ids, self._next_row)
        if repeated is None:
            return
        index, row = repeated
        raise InputFileError(
            f"id {ids[index].as_py()!r} belongs to two compounds: {self._named(row, piece)} and record "
            f"{piece.first + int(kept[index])} (line {int(piece.lines[kept[index]])})",
            str(piece.file),
            f"make the ids of column {self._plan.config.id_column!r} unique, or leave id_column out to number the "
            "records",
        )

    def _duplicates_refused(self, piece: Piece, merged: dict[int, int]) -> LibraryError:
        shown = [
            f"line {int(piece.lines[index])} (record {piece.first + index}) repeats {self._named(row, piece)}"
            for index, row in list(merged.items())[:_SHOWN]
        ]
        return LibraryError(
            f"duplicate compounds: {'; '.join(shown)}",
            str(piece.file),
            'remove them, or set duplicates = "merge" to keep the first of each, or "keep" to keep all',
        )

    def _named(self, row: int, piece: Piece) -> str:
        """The record of a row, in words; the file too where it is not that of the piece."""
        if row < self._n_before:
            return f"row {row} of the library"
        source, record = self._origins.of(row - self._n_before)
        of_file = "" if source == piece.source else f" of {self._plan.sources[source].source.file.name}"
        return f"record {record}{of_file}"
