"""Readings of several wells of a compound, which may come in several files: each counts once all of them are in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from isd_ray.campaign.entries import LOST, ON_RECORD, WAITING, Outcome, joined, set_column
from isd_ray.plates.cells import bad_because, was_not_dispensed
from isd_ray.plates.collect import rejects_table
from isd_ray.plates.layout import EMPTY, SAMPLE

_NO_TEXT = "\0"
"""Between the texts of a key, and in the place of one that is null: no cell has it."""


def wells(table: pa.Table) -> pa.ChunkedArray:
    """Plate and well of each line as one text, null where one of them is."""
    return pc.binary_join_element_wise(table["plate"], table["well"], _NO_TEXT)


def readings_on_record(tables: Sequence[pa.Table], plate_map: pa.Table, schema: pa.Schema) -> pa.Table:
    """The reading of each well of some plates, one for each plate, well and replicate, in the order that they came.

    The first one counts, unless it was flagged and a later one is good; what was not dispensed stays so.

    Parameters
    ----------
    tables:
        `readings` of the files that were told, oldest first.
    plate_map:
        The plates (`isd_ray.plates.assign.PLATE_MAP`).
    schema:
        Of readings as they are now; older records lack some of its columns.
    """
    told = pa.concat_tables([schema.empty_table(), *(_as_now(table, schema) for table in tables)]).combine_chunks()
    holds = plate_map.take(pc.index_in(wells(told), value_set=wells(plate_map).combine_chunks()))
    # What was refused then does not stand in the way now.
    is_other = pc.and_(pc.equal(holds["content"], SAMPLE), pc.not_equal(told["id"], holds["id"]))
    counts = pc.and_(pc.not_equal(holds["content"], EMPTY), pc.invert(is_other.fill_null(False)))
    told = told.filter(counts.fill_null(False))
    keys = _keys(told).to_numpy()
    _, first, of_key = np.unique(keys, return_index=True, return_inverse=True)
    rank = np.where(told["flag"].is_valid().to_numpy(), 2, 1)
    rank[first[not_dispensed(told["flag"]).to_numpy()[first]]] = 0
    best = np.lexsort((np.arange(len(told)), rank, of_key))
    best = best[np.flatnonzero(np.diff(of_key[best], prepend=-1))]
    return told.take(pa.array(best[np.argsort(first, kind="stable")]))


def merge_readings(readings: pa.Table, record: pa.Table) -> tuple[pa.Table, pa.Table, pa.ChunkedArray]:
    """Put a file's readings beside those on record; what was read without a plate stays as it is.

    Returns
    -------
    The readings, first those of the file, then the others with the line `ON_RECORD`; lines of the file that contradict
    the record (`isd_ray.plates.collect.REJECTS`); and `wells` of which the file brings a reading that is not on record.
    """
    places = pc.index_in(_keys(readings), value_set=_keys(record).combine_chunks())
    known, is_placed = record.take(places), readings["plate"].is_valid()
    is_known = pc.and_(is_placed, places.is_valid()).to_numpy()
    flag, known_flag = readings["flag"].is_valid().to_numpy(), known["flag"].is_valid().to_numpy()
    is_better = is_known & known_flag & ~not_dispensed(known["flag"]).to_numpy() & ~flag
    is_new = is_placed.to_numpy() & (~is_known | is_better)
    is_refused = is_known & ~is_new & ~_same(known, readings, ("value", "flag", "censored"))
    refused = readings.filter(pa.array(is_refused))
    cells = (refused[name].to_pylist() for name in ("line", "plate", "well"))
    flags = known["flag"].filter(pa.array(is_refused)).to_pylist()
    rejects = [(line, _contradicts(*said)) for line, *said in zip(*cells, flags, strict=True)]
    kept = readings.filter(pa.array(~is_refused))
    rest = record.filter(pc.invert(pc.is_in(_keys(record), value_set=_keys(kept).combine_chunks())))
    rest = set_column(rest, "line", pa.array(np.full(len(rest), ON_RECORD)))
    new = wells(readings.filter(pa.array(is_new)))
    return pa.concat_tables([kept, rest]), rejects_table(rejects), new


def _as_now(table: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = [
        table[field.name] if field.name in table.column_names else pa.nulls(len(table), field.type) for field in schema
    ]
    return pa.table(columns, names=schema.names).cast(schema)


def _keys(readings: pa.Table) -> pa.ChunkedArray:
    """Plate, well and replicate of each reading as one text."""
    cells = (readings[name].fill_null(_NO_TEXT) for name in ("plate", "well", "replicate"))
    return pc.binary_join_element_wise(*cells, _NO_TEXT)


def not_dispensed(flags: pa.ChunkedArray) -> pa.ChunkedArray:
    """Which flags were made by `isd_ray.plates.cells.not_dispensed`, bool."""
    words = [word for word in pc.unique(flags).to_pylist() if was_not_dispensed(word)]
    return pc.is_in(flags, value_set=pa.array(words, pa.string()))


def _same(one: pa.Table, other: pa.Table, names: Sequence[str]) -> NDArray[np.bool_]:
    same = np.ones(len(one), np.bool_)
    for name in names:
        equal = pc.equal(one[name], other[name]).fill_null(False)
        same &= pc.or_(equal, pc.and_(one[name].is_null(), other[name].is_null())).to_numpy()
    return same


def _contradicts(plate: str, well: str, known_flag: str | None) -> str:
    if was_not_dispensed(known_flag):
        why = bad_because(str(known_flag))
        return f"well {well} of plate {plate!r}: {why}; what is read there is none of the compound"
    return f"well {well} of plate {plate!r} has another reading already; only an amendment of its compound corrects it"


def wait_for_wells(outcome: Outcome, plate_map: pa.Table) -> Outcome:
    """Hold compounds of some plates back of which some wells were not read yet.

    Those without a well were read by id, which needs no others.
    """
    entries = outcome.entries
    is_read = pc.is_in(wells(plate_map), value_set=wells(outcome.samples).combine_chunks())
    unread = plate_map["row"].filter(pc.and_(pc.invert(is_read), plate_map["row"].is_valid())).to_numpy()
    is_good, is_lost = entries["fate"].is_null().to_numpy(), pc.equal(entries["fate"], LOST).fill_null(False).to_numpy()
    by_id = is_good & entries["plate"].is_null().to_numpy()
    waits = (is_good | is_lost) & ~by_id & np.isin(entries["row"].to_numpy(), unread)
    return outcome.with_fates(np.where(waits, WAITING, np.array(entries["fate"].to_pylist(), np.object_)), {})


def note_lost_wells(entries: pa.Table, plate_map: pa.Table) -> pa.Table:
    """Say in `qc` how many wells of a compound have no part in its readout.

    Places are put in order, as files come in any. Readouts of other plates than those of the map stay as they are.
    """
    rows = plate_map["row"].drop_null().to_numpy()
    here = np.flatnonzero(entries["plate"].is_valid().to_numpy() & np.isin(entries["row"].to_numpy(), rows))
    cells = entries.select(["plate", "well"]).take(pa.array(here)).combine_chunks()
    plates, names = (pc.split_pattern(column.combine_chunks(), ";") for column in cells.columns)
    used = pa.table(
        [pc.list_parent_indices(plates), pc.list_flatten(plates), pc.list_flatten(names)],
        names=["entry", "plate", "well"],
    ).sort_by([("entry", "ascending"), ("plate", "ascending"), ("well", "ascending")])
    of_entry = used["entry"].to_numpy()
    for name in ("plate", "well"):
        texts = entries[name].to_pylist()
        for place, text in zip(here.tolist(), joined(used[name], of_entry, len(here)).to_pylist(), strict=True):
            texts[place] = text
        entries = set_column(entries, name, pa.array(texts, pa.string()))
    n_used = np.bincount(of_entry[_begins(of_entry, wells(used))], minlength=len(here))
    each, n_wells = np.unique(rows, return_counts=True)
    n_expected = n_wells[np.searchsorted(each, entries["row"].to_numpy()[here])]
    remarks = entries["qc"].to_pylist()
    for at in np.flatnonzero(n_used < n_expected).tolist():
        words = f"{n_expected[at] - n_used[at]} of {n_expected[at]} wells without a readout"
        remarks[here[at]] = f"{remarks[here[at]]};{words}" if remarks[here[at]] else words
    return set_column(entries, "qc", pa.array(remarks, pa.string()))


def _begins(entry: NDArray[np.int64], texts: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Which of some sorted pairs are not as the one before."""
    codes = pc.index_in(texts, value_set=pc.unique(texts)).to_numpy()
    return (np.diff(entry, prepend=-1) != 0) | (np.diff(codes, prepend=-1) != 0)
