"""Files of readouts: from lines of a file to readouts of compounds of the library."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from isd_ray.campaign.batch import wells_by_row
from isd_ray.campaign.entries import ENTRY_SCHEMA, label_entries
from isd_ray.campaign.laboratory import Ledger
from isd_ray.campaign.oracle import READOUT_SCHEMA
from isd_ray.campaign.readings import Labelled, label_readings
from isd_ray.campaign.replicates import (
    ON_RECORD,
    Well,
    merge_readings,
    note_lost_wells,
    of_file,
    readings_on_record,
    wait_for_wells,
)
from isd_ray.campaign.round_files import RoundFiles
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.telling import Refusal
from isd_ray.config import CampaignConfig, PlateFormat
from isd_ray.config.readouts import SHAPES
from isd_ray.data.labels import LabelRule
from isd_ray.data.library import Library
from isd_ray.errors import LabelError
from isd_ray.messages import Rows
from isd_ray.plates.cells import bad_because, is_unreadable, was_not_dispensed
from isd_ray.plates.collect import REJECTS, ReadoutFile
from isd_ray.plates.hits import call_hits
from isd_ray.plates.layout import EMPTY, SAMPLE
from isd_ray.plates.match import match_readings
from isd_ray.plates.readers import read_readouts

ESTIMATED = ("robust_z", "b_score")
"""Methods of hit calling that freeze an estimate with the first readouts."""
CONTROLS = "controls"
NOT_WHOLE = "on plates that are not whole"
NO_SAMPLE = "of empty wells, or unknown"
CONTRADICTING = "refused"
"""What readings are of that are of no compound, or count for nothing."""
_NO_LINES = np.empty(0, np.int64)
_SHOWN = 3
"""Wells, lines or reasons in a message."""
LARGEST_FORMAT: PlateFormat = 1536
"""Wells that a file may name where the campaign lays out no plates."""


@dataclass(frozen=True, slots=True)
class ReadAs:
    """How a file of readouts is read, where it does not say or the configuration does not.

    Attributes
    ----------
    plate:
        Barcode of the plate, whatever titles the file has.
    assay:
        Of a panel: the output that the file speaks of.
    value, well:
        Columns of a table, in the place of `readouts.value` and `readouts.well`.
    shape:
        In the place of `readouts.shape`.
    read:
        Which of several reads of an export counts.
    """

    plate: str | None = None
    assay: str | None = None
    value: str | None = None
    well: str | None = None
    shape: str | None = None
    read: str | None = None


def recorded_rule(store: CampaignStore) -> LabelRule:
    """How readouts of a campaign become labels."""
    manifest = store.manifest
    lists = (tuple(manifest.get(name, ())) for name in ("outputs", "cuts"))
    return LabelRule(manifest["config"]["task"], tuple(manifest["classes"]), manifest["cut"], *lists)


NOTHING_SAID = ReadAs()


class Intake:
    """Reads and labels files of readouts.

    Parameters
    ----------
    store, library, config, rule:
        The campaign, its target library, its configuration, and how readouts become labels.
    """

    def __init__(self, store: CampaignStore, library: Library, config: CampaignConfig, rule: LabelRule) -> None:
        self._store = store
        self._library = library
        self._config = config
        self._rule = rule

    @property
    def _plate_format(self) -> PlateFormat:
        return self._config.plates.format if self._config.plates else LARGEST_FORMAT

    def read(self, file: Path, said: ReadAs = NOTHING_SAID) -> ReadoutFile:
        """The lines of a file (`isd_ray.plates.readers.read_readouts`).

        Raises
        ------
        LabelError
            If the campaign has no such assay.
        """
        rule, assay = self._rule, said.assay
        names = {name: text for name in ("value", "well", "shape") if (text := getattr(said, name)) is not None}
        if assay is not None and assay not in rule.outputs:
            raise LabelError(
                f"there is no assay {assay!r}; there are {', '.join(map(repr, rule.outputs)) or 'none'}",
                str(file),
                "name one of them",
            )
        are_numbers = self._config.hits is not None or rule.cut is not None or any(c is not None for c in rule.cuts)
        return read_readouts(
            file,
            self._config.readouts.model_copy(update=names),
            self._plate_format,
            plate=said.plate,
            read=said.read,
            is_exported=said.shape is None or said.shape not in SHAPES,
            classes=() if are_numbers else rule.classes,
            outputs=rule.outputs,
            output=assay,
            whole_plates=self._config.hits is not None,
            known_plates=self._known_plates(),
        )

    def _known_plates(self) -> set[str]:
        """Barcodes of all plates that went out."""
        tables = (files.read_plates() for files in self._store.rounds())
        return {name for table in tables if table is not None for name in pc.unique(table["plate"]).to_pylist()}

    @property
    def _takes_bounds(self) -> bool:
        return self._config.readouts.censored == "bound"

    def label(self, read: ReadoutFile, ledger: Ledger, name: str) -> Labelled:
        """Readouts of compounds. Nothing is written.

        Parameters
        ----------
        ledger:
            What is on record: estimates of the hit calling are frozen with the first readouts.
        name:
            The file, for messages.

        Raises
        ------
        LabelError
            If readings belong to none of the campaign's plates, or hit calling cannot begin with them.
        """
        rounds = [(files, table) for files in self._store.rounds() if (table := files.read_plates()) is not None]
        if read.n_transfers is not None:
            return self._not_dispensed(read, [table for _, table in rounds], ledger, name)
        if self._config.replicates == 1:
            return self._labelled(read.readings, read.rejects, [table for _, table in rounds], ledger, name)
        plates = read.readings["plate"]
        told = [(files, table) for files, table in rounds if pc.any(pc.is_in(plates, table["plate"])).as_py()]
        merged = merge_readings(read.readings, self._on_record(ledger, [table for _, table in told]))
        labelled = self._labelled(merged.readings, read.rejects, [table for _, table in rounds], ledger, name)
        is_new = not merged.new.isdisjoint(labelled.wells)
        labelled = self._whole(of_file(labelled), told, ledger)
        refused = [refusal for refusal in (*labelled.refused, *merged.refused) if refusal.line != ON_RECORD]
        n_dropped = len(read.readings) - _n_of_file(merged.readings)
        others = {**labelled.others, CONTRADICTING: n_dropped}
        return replace(labelled, refused=tuple(refused), is_new=is_new, others=others)

    def _not_dispensed(self, read: ReadoutFile, released: Sequence[pa.Table], ledger: Ledger, name: str) -> Labelled:
        """Compounds of which no well was dispensed, by the report of a dispenser."""
        refused, lost = _refusals(read.rejects), dict[int, str]()
        is_new, wells = False, tuple[Refusal, ...]()
        if len(read.readings):
            if not released:
                raise LabelError("this campaign lays out no plates", name, "note what failed: isd fail")
            plate_map = pa.concat_tables(released)
            matched = match_readings(read.readings, plate_map, name)
            samples = matched.readings.filter(pc.equal(matched.readings["content"], SAMPLE))
            wells, refused = _lost_wells(matched.readings), [*refused, *_refusals(matched.rejects)]
            places = wells_by_row(plate_map)
            known = {
                (reading["plate"], reading["well"])
                for sha256 in ledger.readings
                for reading in self._store.read_readouts(sha256).to_pylist()
                if was_not_dispensed(reading["flag"])
            }
            empty = {(plate, well) for plate, well in _lines(samples, "plate", "well")} | known
            for line, row, compound, flag in _lines(samples, "line", "row", "id", "flag"):
                if row in ledger.told:
                    refused.append(
                        Refusal(
                            line,
                            f"{compound!r} has a readout already, and was {bad_because(flag)}; amend it, with a reason",
                        )
                    )
                elif empty.issuperset(places[row]):
                    lost[row] = bad_because(flag)
            is_new = self._config.replicates > 1 and not known.issuperset(_lines(samples, "plate", "well"))
        nothing = pa.Table.from_pylist([], READOUT_SCHEMA)
        if outputs := self._rule.outputs:
            entries = {(row, output): why for row, why in lost.items() for output in range(len(outputs))}
            nothing, lost = ENTRY_SCHEMA.empty_table(), {}
            return Labelled(nothing, _NO_LINES, (), lost, tuple(refused), entries, lost_wells=wells)
        return Labelled(nothing, _NO_LINES, (), lost, tuple(refused), lost_wells=wells, is_new=is_new)

    def settle(self, open_round: RoundFiles, rows: Rows, ledger: Ledger) -> Labelled | None:
        """New readouts of compounds of the open round by the wells that were read, as no other will be, or None."""
        plates = open_round.read_plates()
        record = {} if plates is None or self._config.replicates == 1 else self._on_record(ledger, [plates])
        if plates is None or not record:
            return None
        nothing = self._store.read_readouts(ledger.readings[-1]).slice(0, 0)
        merged = merge_readings(nothing, record)
        labelled = self._labelled(merged.readings, REJECTS.empty_table(), [plates], ledger, "the record")
        read = labelled.readouts["row"].to_numpy()
        is_new = np.isin(read, rows) & ~np.isin(read, list(ledger.told))
        if not is_new.any():
            return None
        return note_lost_wells(labelled.only(is_new, labelled.lost), wells_by_row(plates))

    def _on_record(self, ledger: Ledger, plates: Sequence[pa.Table]) -> dict[Any, Any]:
        if not plates:
            return {}
        tables = [self._store.read_readouts(sha256) for sha256 in ledger.readings]
        return readings_on_record(tables, pa.concat_tables(plates))

    def _whole(self, labelled: Labelled, told: Sequence[tuple[RoundFiles, pa.Table]], ledger: Ledger) -> Labelled:
        """Without compounds of the open round that wait for readings of their other wells."""
        every: dict[int, list[Well]] = {}
        waiting: dict[int, list[Well]] = {}
        for files, table in told:
            every |= wells_by_row(table)
            if files.committed is None and files.round not in ledger.closed:
                waiting = wells_by_row(table)
        return note_lost_wells(wait_for_wells(labelled, waiting), every)

    def _labelled(
        self, readings: pa.Table, rejects: pa.Table, released: Sequence[pa.Table], ledger: Ledger, name: str
    ) -> Labelled:
        refused = _refusals(rejects)
        on_plates = pc.and_(pc.is_valid(readings["plate"]), bool(released))
        by_place, by_id = readings.filter(on_plates), readings.filter(pc.invert(on_plates))
        if self._config.hits is not None:
            if len(by_id):
                raise LabelError(
                    f"{len(by_id)} readings name no plate of this campaign, and hits are called plate by plate",
                    name,
                    "give plate and well of each reading, controls included",
                )
            plate_map = pa.concat_tables(released)
            matched = match_readings(by_place, plate_map, name)
            wells, incomplete = _whole_plates(matched.readings, plate_map)
            if not len(wells):
                raise _no_plate(incomplete, refused, name)
            refused += [*_refusals(matched.rejects), *incomplete]
            self._need_first_round(wells, ledger, released[-1], name)
            others = {
                CONTROLS: _n_of_file(wells.filter(pc.not_equal(wells["content"], SAMPLE))),
                NOT_WHOLE: _n_of_file(matched.readings) - _n_of_file(wells),
                NO_SAMPLE: _n_of_file(readings) - _n_of_file(matched.readings),
            }
            samples = self._samples(wells.filter(pc.equal(wells["content"], SAMPLE)))
            called = replace(self._called(wells, ledger), lost_wells=_lost_wells(wells), samples=samples, others=others)
            return _with_refusals(called, refused)
        rows = self._library.rows_of(by_id["id"])
        for line, compound, plate in _lines(by_id.filter(pa.array(rows < 0)), "line", "id", "plate"):
            what = f"plate {plate!r} is none of this campaign" if compound is None else f"unknown id {compound!r}"
            refused.append(Refusal(line, what))
        found = by_id.append_column("row", pa.array(rows)).filter(pa.array(rows >= 0))
        n_controls = 0
        if len(by_place):
            matched = match_readings(by_place, pa.concat_tables(released), name)
            refused += _refusals(matched.rejects)
            samples = matched.readings.filter(pc.equal(matched.readings["content"], SAMPLE))
            found = pa.concat_tables([found, samples.select(found.column_names)])
            n_controls = _n_of_file(matched.readings) - _n_of_file(samples)
        lost = _lost_wells(found)
        of_rows = (found, found["row"].to_numpy(), found["id"].to_pylist(), self._rule)
        if self._rule.outputs:
            labelled = label_entries(*of_rows, takes_bounds=self._takes_bounds)
        else:
            by_majority = self._config.replicates > 1
            labelled = label_readings(*of_rows, by_majority=by_majority, takes_bounds=self._takes_bounds)
        others = {CONTROLS: n_controls, NO_SAMPLE: _n_of_file(readings) - _n_of_file(found) - n_controls}
        return _with_refusals(replace(labelled, lost_wells=lost, samples=self._samples(found), others=others), refused)

    def _samples(self, readings: pa.Table) -> tuple[tuple[int, int, int, bool], ...]:
        """`Labelled.samples` of readings of compounds, those of the file."""
        place_of = {name: place for place, name in enumerate(self._rule.outputs)}
        return tuple(
            (row, place_of.get(output, 0), line, flag is not None)
            for row, output, line, flag in _lines(readings, "row", "output", "line", "flag")
            if line != ON_RECORD
        )

    def _need_first_round(self, wells: pa.Table, ledger: Ledger, plate_map: pa.Table, name: str) -> None:
        """Estimates are made once, from the whole first round."""
        hits = self._config.hits
        if ledger.hits is not None or hits is None or hits.method not in ESTIMATED:
            return
        if missing := sorted(set(plate_map["plate"].to_pylist()) - set(wells["plate"].to_pylist())):
            raise LabelError(
                f"{hits.method} is estimated from the first round, and plates {', '.join(missing)} are not in the file",
                name,
                "tell all plates of the first round in one file",
            )

    def _called(self, wells: pa.Table, ledger: Ledger) -> Labelled:
        """Labels by hit calling."""
        assert self._config.hits is not None, "asked for with hit calling only"
        calls = call_hits(wells, self._config.hits, self._plate_format, ledger.hits, takes_bounds=self._takes_bounds)
        labels = calls.labels
        first: dict[int, int] = {}
        for line, row in _lines(wells, "line", "row"):
            first.setdefault(row, line)
        readouts = pa.table(
            {
                "row": labels["row"],
                "label": labels["label"].cast(pa.float64()),
                "value": labels["raw_value"],
                **{name: labels[name] for name in ("plate", "well", "n_replicates", "qc")},
            }
        )
        good = set(labels["row"].to_pylist())
        lost = {row: reason for row, reason in _lines(calls.unlabelled, "row", "reason") if row not in good}
        lines = np.array([first[row] for row in labels["row"].to_pylist()], np.int64)
        samples = wells.filter(pc.equal(wells["content"], SAMPLE))
        read = frozenset(_lines(samples, "plate", "well"))
        ids = tuple(labels["id"].to_pylist())
        return Labelled(readouts, lines, ids, lost, (), wells=read, hits=calls.frozen, quality=calls.quality)


def _whole_plates(wells: pa.Table, plate_map: pa.Table) -> tuple[pa.Table, list[Refusal]]:
    """The readings of plates that are there whole, and why others are refused: their controls may be missing.

    A plate of which most wells cannot be read is not there either: a column of something else, or a list that is not
    filled in yet, would take its compounds out as failed.
    """
    places = _lines(plate_map, "plate", "well", "content")
    expected: dict[str, list[str]] = defaultdict(list)
    for plate, well, content in places:
        if content != EMPTY:
            expected[plate].append(well)
    found: dict[str, set[str]] = defaultdict(set)
    unread: dict[str, dict[str, str]] = defaultdict(dict)
    first: dict[str, int] = {}
    for line, plate, well, flag in _lines(wells, "line", "plate", "well", "flag"):
        found[plate].add(well)
        first.setdefault(plate, line)
        if is_unreadable(flag):
            unread[plate][well] = bad_because(flag)
    refused: dict[str, Refusal] = {}
    for plate, names in found.items():
        n_wells = len(expected[plate])
        if missing := [well for well in expected[plate] if well not in names]:
            listed = ", ".join(missing[:_SHOWN]) + (" …" if len(missing) > _SHOWN else "")
            reason = f"{len(names)} of {n_wells} wells of plate {plate!r}; hits are called on whole plates: {listed}"
            refused[plate] = Refusal(first[plate], f"{reason} {'is' if len(missing) == 1 else 'are'} missing")
        elif 2 * len(unread[plate]) > n_wells:
            reasons = Counter(unread[plate].values()).most_common(_SHOWN)
            listed = ", ".join(f"{reason} ({n})" for reason, n in reasons)
            reason = f"{len(unread[plate])} of {n_wells} wells of plate {plate!r} cannot be read: {listed}"
            refused[plate] = Refusal(first[plate], f"{reason}; this is no readout of the plate")
    whole = [plate not in refused for plate in wells["plate"].to_pylist()]
    return wells.filter(pa.array(whole, pa.bool_())), list(refused.values())


def _no_plate(incomplete: Sequence[Refusal], refused: Sequence[Refusal], name: str) -> LabelError:
    """That no plate is there whole, and which lines may be why."""
    shown = [f"; line {refusal.line}: {refusal.reason}" for refusal in refused[:_SHOWN]]
    reason = incomplete[0].reason if incomplete else "no well was read"
    return LabelError(f"no plate is whole: {reason}{''.join(shown)}", name, "tell every well of a plate at once")


def _n_of_file(readings: pa.Table) -> int:
    """How many of the readings are of the file, not of earlier ones."""
    return int(pc.sum(pc.not_equal(readings["line"], ON_RECORD)).as_py() or 0)


def _lost_wells(wells: pa.Table) -> tuple[Refusal, ...]:
    """Line and reason of each reading that has no value, flagged or unreadable."""
    bad = wells.filter(pc.is_valid(wells["flag"]))
    return tuple(
        Refusal(line, f"{'well ' + well + ' of plate ' + repr(plate) if well else repr(compound)}: {bad_because(flag)}")
        for line, plate, well, compound, flag in _lines(bad, "line", "plate", "well", "id", "flag")
    )


def _lines(table: pa.Table, *columns: str) -> list[tuple[Any, ...]]:
    return list(zip(*(table[name].to_pylist() for name in columns), strict=True))


def _refusals(rejects: pa.Table) -> list[Refusal]:
    return [Refusal(line, reason) for line, reason in _lines(rejects, "line", "reason")]


def _with_refusals(labelled: Labelled, refused: Sequence[Refusal]) -> Labelled:
    return replace(labelled, refused=(*refused, *labelled.refused))
