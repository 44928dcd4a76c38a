"""Files of readouts: from lines of a file to readouts of compounds of the library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from isd_ray.campaign.calling import called_entries, need_first_round, whole_plates
from isd_ray.campaign.entries import (
    CONTROLS,
    ENTRIES,
    LOST,
    NEW,
    NO_SAMPLE,
    NOT_WHOLE,
    ON_RECORD,
    REFUSED,
    SAMPLES,
    Outcome,
    lost_entries,
    of_file,
    places_of,
)
from isd_ray.campaign.ledger import Ledger
from isd_ray.campaign.readings import label_readings
from isd_ray.campaign.replicates import (
    merge_readings,
    not_dispensed,
    note_lost_wells,
    readings_on_record,
    wait_for_wells,
    wells,
)
from isd_ray.campaign.round_files import RoundFiles
from isd_ray.campaign.store import CampaignStore
from isd_ray.config import CampaignConfig, HitCallingConfig, PlateFormat
from isd_ray.config.patterns import shown
from isd_ray.config.readouts import SHAPES
from isd_ray.data.labels import LabelRule
from isd_ray.data.library import Library
from isd_ray.errors import LabelError
from isd_ray.messages import Rows
from isd_ray.plates.assign import PLATE_MAP
from isd_ray.plates.cells import bad_because
from isd_ray.plates.collect import REJECTS, ReadoutFile, rejects_table
from isd_ray.plates.hits import call_hits
from isd_ray.plates.layout import SAMPLE
from isd_ray.plates.match import match_readings
from isd_ray.plates.readers import read_readouts
from isd_ray.storage.files import sha256_file

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
    outputs, cuts = (tuple(manifest.get(name, ())) for name in ("outputs", "cuts"))
    numbers = CampaignConfig.from_stored(manifest["config"]).labels.are_numbers(outputs)
    task, classes = manifest["config"]["task"], tuple(manifest["classes"])
    return LabelRule(task, classes, manifest["cut"], outputs, cuts, numbers)


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
                f"there is no assay {assay!r}; there are {shown(rule.outputs)}",
                str(file),
                "name one of them",
            )
        are_numbers = self._config.hits is not None or rule.cut is not None or any(c is not None for c in rule.cuts)
        numbers = frozenset() if are_numbers else frozenset(rule.names_of_numbers)
        content = read_readouts(
            file,
            self._config.readouts.model_copy(update=names),
            self._plate_format,
            plate=said.plate,
            read=said.read,
            is_exported=said.shape is None or said.shape not in SHAPES,
            classes=() if are_numbers else rule.classes,
            outputs=rule.outputs,
            output=assay,
            numbers=numbers,
            whole_plates=self._config.hits is not None,
            known_plates=self._known_plates(),
        )
        return replace(content, name=file.name, sha256=sha256_file(file))

    def _known_plates(self) -> set[str]:
        """Barcodes of all plates that went out."""
        tables = (files.read_plates() for files in self._store.rounds())
        return {name for table in tables if table is not None for name in pc.unique(table["plate"]).to_pylist()}

    @property
    def _takes_bounds(self) -> bool:
        return self._config.readouts.censored == "bound"

    def label(self, read: ReadoutFile, ledger: Ledger) -> Outcome:
        """Readouts of compounds, not placed yet. Nothing is written.

        Parameters
        ----------
        ledger:
            What is on record: estimates of the hit calling are frozen with the first readouts.

        Raises
        ------
        LabelError
            If readings belong to none of the campaign's plates, or hit calling cannot begin with them.
        """
        rounds = [(files, table) for files in self._store.rounds() if (table := files.read_plates()) is not None]
        released = [table for _, table in rounds]
        if read.n_transfers is not None:
            return self._not_dispensed(read, released, ledger)
        if self._config.replicates == 1:
            return self._labelled(read, released, ledger)
        told = [(files, table) for files, table in rounds if _meet(read.readings["plate"], table["plate"])]
        plate_map = pa.concat_tables([PLATE_MAP.empty_table(), *(table for _, table in told)])
        record = readings_on_record(self._readings_told(ledger), plate_map, read.readings.schema)
        merged, refused, new_wells = merge_readings(read.readings, record)
        outcome = self._labelled(replace(read, readings=merged), released, ledger)
        # Without compounds of which the file itself has no reading.
        is_lost = pc.equal(outcome.entries["fate"], LOST).fill_null(False)
        entries = outcome.entries.filter(pc.or_(is_lost, pc.not_equal(outcome.entries["line"], ON_RECORD)))
        outcome = replace(
            outcome,
            entries=entries,
            refused=pa.concat_tables([of_file(outcome.refused), refused]),
            others={**outcome.others, REFUSED: len(refused)},
            is_new=_meet(new_wells, wells(outcome.samples)),
        )
        for files, table in told[-1:]:
            if files.committed is None and files.round not in ledger.closed:
                outcome = wait_for_wells(outcome, table)
        return replace(outcome, entries=note_lost_wells(outcome.entries, plate_map))

    def settle(self, open_round: RoundFiles, rows: Rows, ledger: Ledger) -> Outcome | None:
        """New readouts of compounds of the open round by the wells that were read, as no other will be, or None."""
        plates = open_round.read_plates()
        if plates is None or self._config.replicates == 1 or not ledger.readings:
            return None
        told = self._readings_told(ledger)
        nothing = told[-1].slice(0, 0)
        record, *_ = merge_readings(nothing, readings_on_record(told, plates, nothing.schema))
        if not len(record):
            return None
        outcome = self._labelled(ReadoutFile(record, REJECTS.empty_table(), name="the record"), [plates], ledger)
        entries = outcome.entries.filter(outcome.entries["fate"].is_null())
        read = entries["row"].to_numpy()
        entries = entries.filter(pa.array(np.isin(read, rows) & ~ledger.is_told(read)))
        if not len(entries):
            return None
        settled = replace(outcome, entries=note_lost_wells(entries, plates))
        return settled.with_fates(np.full(len(entries), NEW, np.object_), {})

    def _readings_told(self, ledger: Ledger) -> list[pa.Table]:
        """Readings of the files that were told, oldest first."""
        return [self._store.read_readouts(sha256) for sha256 in ledger.readings]

    def _not_dispensed(self, read: ReadoutFile, released: Sequence[pa.Table], ledger: Ledger) -> Outcome:
        """Compounds of which no well was dispensed, by the report of a dispenser."""
        outcome = Outcome(ENTRIES.empty_table(), SAMPLES.empty_table(), read.rejects, REJECTS.empty_table())
        if not len(read.readings):
            return outcome
        if not released:
            raise LabelError("this campaign lays out no plates", read.name, "note what failed: isd fail")
        plate_map = pa.concat_tables(released)
        matched = match_readings(read.readings, plate_map, read.name)
        samples = matched.readings.filter(pc.equal(matched.readings["content"], SAMPLE))
        known = [wells(table.filter(not_dispensed(table["flag"]))) for table in self._readings_told(ledger)]
        before = pa.chunked_array([chunk for column in known for chunk in column.chunks], pa.string())
        is_empty = pc.or_(*(pc.is_in(wells(plate_map), value_set=found) for found in (wells(samples), before)))
        in_part = plate_map["row"].filter(pc.and_(pc.invert(is_empty), plate_map["row"].is_valid()))
        rows = samples["row"].to_numpy()
        is_told = ledger.is_told(rows)
        refused = rejects_table(list(map(_told_before, samples.filter(pa.array(is_told)).to_pylist())))
        # Of several reasons of a compound the last one.
        lost = samples.filter(pa.array(~is_told & ~np.isin(rows, in_part.to_numpy())))
        each, last = np.unique(lost["row"].to_numpy()[::-1], return_index=True)
        lost = lost.take(pa.array(len(lost) - 1 - last))
        why = list(map(bad_because, lost["flag"].to_pylist()))
        return replace(
            outcome,
            entries=lost_entries(each, range(max(1, len(self._rule.outputs))), why, line=lost["line"], id=lost["id"]),
            refused=pa.concat_tables([read.rejects, matched.rejects, refused]),
            lost_wells=_lost_wells(matched.readings),
            is_new=self._config.replicates > 1 and False in pc.is_in(wells(samples), value_set=before).to_pylist(),
        )

    def _labelled(self, read: ReadoutFile, released: Sequence[pa.Table], ledger: Ledger) -> Outcome:
        readings = read.readings
        on_plates = pc.and_(pc.is_valid(readings["plate"]), bool(released))
        by_place, by_id = readings.filter(on_plates), readings.filter(pc.invert(on_plates))
        if self._config.hits is not None:
            if len(by_id):
                raise LabelError(
                    f"{len(by_id)} readings name no plate of this campaign, and hits are called plate by plate",
                    read.name,
                    "give plate and well of each reading, controls included",
                )
            return self._called(read, self._config.hits, released, ledger)
        rows = self._library.rows_of(by_id["id"])
        unknown = by_id.filter(pa.array(rows < 0))
        refused = [read.rejects, rejects_table(list(map(_unknown, unknown.to_pylist())))]
        found = by_id.append_column("row", pa.array(rows)).filter(pa.array(rows >= 0))
        n_controls = 0
        if len(by_place):
            matched = match_readings(by_place, pa.concat_tables(released), read.name)
            refused.append(matched.rejects)
            samples = matched.readings.filter(pc.equal(matched.readings["content"], SAMPLE))
            found = pa.concat_tables([found, samples.select(found.column_names)])
            n_controls = len(of_file(matched.readings)) - len(of_file(samples))
        by_majority = self._config.replicates > 1
        return Outcome(
            label_readings(found, self._rule, by_majority=by_majority, takes_bounds=self._takes_bounds),
            self._samples(found),
            pa.concat_tables(refused),
            _lost_wells(found),
            {CONTROLS: n_controls, NO_SAMPLE: len(of_file(readings)) - len(of_file(found)) - n_controls},
        )

    def _called(
        self, read: ReadoutFile, hits: HitCallingConfig, released: Sequence[pa.Table], ledger: Ledger
    ) -> Outcome:
        """Labels by hit calling."""
        plate_map = pa.concat_tables(released)
        matched = match_readings(read.readings, plate_map, read.name)
        whole, incomplete = whole_plates(matched.readings, plate_map, read.rejects, read.name)
        need_first_round(hits.method, whole, ledger, released[-1], read.name)
        calls = call_hits(whole, hits, self._plate_format, ledger.hits, takes_bounds=self._takes_bounds)
        samples = whole.filter(pc.equal(whole["content"], SAMPLE))
        others = {
            CONTROLS: len(of_file(whole)) - len(of_file(samples)),
            NOT_WHOLE: len(of_file(matched.readings)) - len(of_file(whole)),
            NO_SAMPLE: len(of_file(read.readings)) - len(of_file(matched.readings)),
        }
        return Outcome(
            called_entries(calls, samples),
            self._samples(samples),
            pa.concat_tables([read.rejects, matched.rejects, incomplete]),
            _lost_wells(whole),
            others,
            hits=calls.frozen,
            quality=calls.quality,
        )

    def _samples(self, readings: pa.Table) -> pa.Table:
        """Readings of compounds, `SAMPLES`."""
        columns = {
            **{name: readings[name] for name in ("row", "line", "plate", "well")},
            "output": places_of(readings["output"], self._rule.outputs),
            "is_bad": readings["flag"].is_valid(),
        }
        return pa.table(columns).select(SAMPLES.names).cast(SAMPLES)


def _meet(some: pa.ChunkedArray, others: pa.ChunkedArray) -> bool:
    """Whether texts have one in common; null is none."""
    return bool(pc.any(pc.is_in(some.drop_null(), value_set=others)).as_py())


def _lost_wells(readings: pa.Table) -> pa.Table:
    """Line and reason of each reading of the file that has no value, flagged or unreadable."""
    bad = of_file(readings.filter(readings["flag"].is_valid()))
    return rejects_table([(line["line"], f"{_place(line)}: {bad_because(line['flag'])}") for line in bad.to_pylist()])


def _place(reading: Mapping[str, Any]) -> str:
    """Where a reading was taken, or the compound that it is of."""
    well, plate = reading["well"], reading["plate"]
    return f"well {well} of plate {plate!r}" if well else repr(reading["id"])


def _unknown(reading: Mapping[str, Any]) -> tuple[int, str]:
    """Line and reason of a reading of something that the campaign does not have."""
    if reading["id"] is None:
        return reading["line"], f"plate {reading['plate']!r} is none of this campaign"
    return reading["line"], f"unknown id {reading['id']!r}"


def _told_before(reading: Mapping[str, Any]) -> tuple[int, str]:
    """Line and reason of a well that was not dispensed though its compound has a readout."""
    why = bad_because(reading["flag"])
    return reading["line"], f"{reading['id']!r} has a readout already, and was {why}; amend it, with a reason"
