"""Readings gathered one by one from a file: checked, bad ones set aside with a reason, repetitions settled."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import NamedTuple

import pyarrow as pa

from isd_ray.config import PlateFormat
from isd_ray.core.censored import is_number
from isd_ray.errors import InputFileError
from isd_ray.plates.cells import (
    MAX_CELL_CHARS,
    NO_VALUE,
    UnreadableError,
    flag_is_bad,
    is_unreadable,
    parse_cell,
    shown,
    unreadable,
)
from isd_ray.plates.wells import names_of, no_such_well, well_index

_N_SHOWN = 3
_N_JUDGED = 8
"""Of fewer wells it is no wonder if all are flagged."""

REJECTS = pa.schema({"line": pa.int64(), "reason": pa.string()})


@dataclass(frozen=True, slots=True)
class ReadoutFile:
    """What a file of readouts says.

    Attributes
    ----------
    readings:
        line (int64, from 1; records of Parquet), plate, well (``A01``) and id (string, null where not given), value
        (float64, or string for classes, and for numbers beside classes; null where a bad well has none), flag (string;
        null for good wells, and for one that cannot be read why), replicate (string), timestamp (UTC, microseconds),
        output (string; of a panel), censored (string: the value as it came, where that is a bound, as ``>10``). In the
        order of the file.
    rejects:
        line (int64) and reason (string) of what could not be read, by line.
    n_transfers:
        Of the report of a dispenser, whose readings are the wells that it left out: transfers that were made; None of
        readouts.
    named:
        Of rejected lines id, plate and well as they stand in the file, as far as they do.
    name, sha256:
        Of the file, without its folder.
    """

    readings: pa.Table
    rejects: pa.Table
    n_transfers: int | None = None
    named: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    name: str = ""
    sha256: str = ""

    @property
    def source(self) -> dict[str, str]:
        """What events of the file say of it."""
        return {"file": self.name, "file_sha256": self.sha256}


class _Reading(NamedTuple):
    line: int
    plate: str | None
    well: str | None
    id: str | None
    value: float | str | None
    flag: str | None
    replicate: str | None
    timestamp: datetime | None
    output: str | None
    censored: str | None = None


@dataclass(slots=True)
class Collector:
    """Takes readings in, in the order of the file.

    Attributes
    ----------
    classes:
        Names of the classes where values are such; empty for numbers.
    good_flags, bad_flags:
        Words, in small letters, that mean a well is good, or bad, whatever else they may mean.
    whole_plates:
        A well without a value is a lost one, as plates are told whole; otherwise its line has nothing to tell yet.
    known_plates:
        Barcodes that there are.
    outputs, output:
        Names of a panel's outputs, and the one that all readings are of if they do not say it.
    numbers:
        Outputs whose values are numbers, where those of the others are classes.
    rejects:
        Line and reason.
    """

    plate_format: PlateFormat
    classes: Sequence[str]
    good_flags: frozenset[str] = frozenset()
    outputs: Sequence[str] = ()
    output: str | None = None
    bad_flags: frozenset[str] = frozenset()
    whole_plates: bool = False
    known_plates: frozenset[str] = frozenset()
    numbers: frozenset[str] = frozenset()
    rejects: list[tuple[int, str]] = field(default_factory=list)
    _named: dict[int, dict[str, str]] = field(default_factory=dict)
    _readings: list[_Reading] = field(default_factory=list)

    def reject(self, line: int, reason: str) -> None:
        """Set a line aside."""
        self.rejects.append((line, reason))

    def add(
        self,
        line: int,
        value: str,
        *,
        plate: str = "",
        well: str = "",
        id: str = "",  # noqa: A002  (the name of the column)
        flag: str = "",
        replicate: str = "",
        timestamp: str = "",
        assay: str = "",
    ) -> None:
        """Take in one reading, texts as they stand in the file, blank where there is none; or reject it."""
        said = {"id": id, "plate": plate, "well": well}
        if (reason := self._take(line, value, flag, replicate, timestamp, assay, **said)) is not None:
            self.reject(line, reason)
            self._named[line] = {what: text[:MAX_CELL_CHARS] for what, text in said.items() if text}

    def _take(
        self,
        line: int,
        value: str,
        flag: str,
        replicate: str,
        timestamp: str,
        assay: str,
        *,
        plate: str,
        well: str,
        id: str,  # noqa: A002
    ) -> str | None:
        """As `add`; returns why a reading is rejected."""
        name = None
        if long := next((cell for cell in (value, plate, well, id, flag) if len(cell) > MAX_CELL_CHARS), None):
            return f"a cell of {len(long):,} characters; at most {MAX_CELL_CHARS:,} are read"
        if "\ufffd" in plate or "\ufffd" in id or "\ufffd" in value:
            return "the line is not UTF-8 text; save the file as UTF-8"
        if plate and well:
            index = well_index(well, self.plate_format)
            if index is None:
                return no_such_well(shown(well)[1:-1], self.plate_format)
            name = names_of(self.plate_format)[index]
        elif not id:
            return "no plate" if well else "no well" if plate else "neither an id nor a plate"
        output = assay or self.output
        if self.outputs and output not in self.outputs:
            return f"{shown(assay)} is none of the panel's outputs" if output else "no assay is named"
        try:
            bad = flag if self.is_bad(flag) else None
            number, censored = self._value(value, output)
            time = _time(timestamp) if timestamp else None
        except UnreadableError as error:
            if name is None:
                return str(error)
            number, censored, bad, time = None, None, bad or unreadable(str(error)), None
        except ValueError as error:
            return f"well {name}: {error}" if name else str(error)
        if number is None and bad is None:
            if name is None or not self.whole_plates:
                return "no value"
            bad = unreadable("no value")
        known = plate if name else None
        self._readings.append(
            _Reading(line, known, name, id or None, number, bad, replicate or None, time, output, censored)
        )
        return None

    def add_lost(self, line: int, plate: str, well: str, flag: str) -> None:
        """Take in a well that has no value and will have none."""
        index = well_index(well, self.plate_format)
        if not plate or index is None:
            self.reject(line, no_such_well(shown(well)[1:-1], self.plate_format) if plate else "no plate")
            return
        name = names_of(self.plate_format)[index]
        output = self.output or (self.outputs[0] if self.outputs else None)
        if not any((known.plate, known.well) == (plate, name) for known in self._readings):
            self._readings.append(_Reading(line, plate, name, None, None, flag, None, None, output))

    def barcode(self, found: str, given: str | None) -> str:
        """The plate that counts: the given one, unless the file names another one that is known."""
        return found if given is None or (found in self.known_plates and found != given) else given

    def is_bad(self, flag: str) -> bool:
        """Whether a flag marks a bad well (raises as `isd_ray.plates.cells.flag_is_bad`)."""
        return flag_is_bad(flag, self.good_flags, self.bad_flags)

    def _value(self, text: str, output: str | None) -> tuple[float | str | None, str | None]:
        """The value, and the text as it came if that is a bound."""
        if self.classes and output not in self.numbers:
            if text in self.classes:
                return text, None
            if text.lower() in NO_VALUE:
                return None, None
            if is_number(text) and f"{float(text):g}" in self.classes:
                return f"{float(text):g}", None  # a class 1 that a table with gaps turned into 1.0
            raise ValueError(f"{shown(text)} is none of the classes {', '.join(map(repr, self.classes))}")
        cell = parse_cell(text)
        if cell is None:
            return None, None
        return (repr(cell.number) if self.classes else cell.number), text if cell.mark else None

    def finish(self, where: str, n_transfers: int | None = None) -> ReadoutFile:
        """All that was taken in.

        Raises
        ------
        InputFileError
            If no reading is left.
        """
        self._readings = self._without_repetitions()
        readings = self._judged()
        if not readings and not n_transfers:
            reasons = Counter(reason for _, reason in self.rejects)
            first = {reason: line for line, reason in sorted(self.rejects, reverse=True)}
            counts = {reason: f"{n:,} lines from {first[reason]} on" for reason, n in reasons.items() if n > 1}
            shown_reasons = [reason for reason, _ in reasons.most_common(_N_SHOWN)]
            listed = "; ".join(f"{reason} ({counts.get(reason, f'line {first[reason]}')})" for reason in shown_reasons)
            listed = listed or "no line has data"
            raise InputFileError(
                f"no reading in the file can be used: {listed}", where, "check the table [readouts] and the export"
            )
        kind = pa.string() if self.classes else pa.float64()
        texts = {name: pa.string() for name in ("plate", "well", "id")}
        schema = pa.schema(
            {
                "line": pa.int64(),
                **texts,
                "value": kind,
                "flag": pa.string(),
                "replicate": pa.string(),
                "timestamp": pa.timestamp("us", tz="UTC"),
                "output": pa.string(),
                "censored": pa.string(),
            }
        )
        cells = zip(*readings, strict=True) if readings else [()] * len(schema)
        columns = [pa.array(column, kind) for column, kind in zip(cells, schema.types, strict=True)]
        self.rejects.sort()
        return ReadoutFile(
            pa.table(columns, schema=schema), rejects_table(self.rejects), n_transfers, named=self._named
        )

    def _judged(self) -> list[_Reading]:
        """Without plates, or files by id, of which every well is flagged: the column of flags means something else."""
        groups: defaultdict[str | None, list[_Reading]] = defaultdict(list)
        for reading in self._readings:
            groups[reading.plate].append(reading)
        refused: set[str | None] = set()
        for plate, group in groups.items():
            flags = Counter(reading.flag for reading in group if reading.flag and not is_unreadable(reading.flag))
            if len(group) >= _N_JUDGED and sum(flags.values()) == len(group):
                words = ", ".join(f"{shown(flag)} ({n})" for flag, n in flags.most_common(_N_SHOWN))
                what = (
                    f"every one of {len(group)} {'lines' if plate is None else f'wells of plate {plate!r}'} is flagged"
                )
                for reading in group:
                    self.reject(
                        reading.line,
                        f"{what}: {words}; name words for good wells in readouts.good_flags, or note them as failed",
                    )
                    self._name(reading)
                refused.add(plate)
        return [reading for reading in self._readings if reading.plate not in refused] if refused else self._readings

    def _without_repetitions(self) -> list[_Reading]:
        """One reading for each (plate, well, output, replicate); lines of an id without a place are replicates."""
        groups: defaultdict[tuple[str | None, ...], list[_Reading]] = defaultdict(list)
        for reading in self._readings:
            if reading.well is not None:
                groups[reading.plate, reading.well, reading.output, reading.replicate].append(reading)
        dropped: set[int] = set()
        for group in groups.values():
            if len(group) > 1:
                dropped |= self._settle(group)
        return [reading for reading in self._readings if id(reading) not in dropped] if dropped else self._readings

    def _settle(self, group: list[_Reading]) -> set[int]:
        """Identities of the readings of one well that do not count."""
        times = [reading.timestamp for reading in group]
        if None not in times and len(set(times)) == len(times):
            kept = max(group, key=lambda reading: reading.timestamp or datetime.min)
            reason = f"read again later, in line {kept.line}"
        elif len({(reading.value, reading.flag, reading.censored) for reading in group}) == 1:
            kept, reason = group[0], f"repeats line {group[0].line}"
        else:
            listed = ", ".join(f"line {reading.line}: {reading.value}" for reading in group[:_N_SHOWN])
            for reading in group:
                self.reject(
                    reading.line,
                    f"several readings of well {reading.well} of plate {reading.plate!r} ({listed}); tell them apart "
                    "by a replicate or timestamp column",
                )
                self._name(reading)
            return {id(reading) for reading in group}
        others = [reading for reading in group if reading is not kept]
        for reading in others:
            self.reject(reading.line, reason)
            self._name(reading)
        return {id(reading) for reading in others}

    def _name(self, reading: _Reading) -> None:
        said = {"id": reading.id, "plate": reading.plate, "well": reading.well}
        self._named[reading.line] = {what: text for what, text in said.items() if text is not None}


def rejects_table(rejects: Sequence[tuple[int, str]]) -> pa.Table:
    """Lines and reasons as a table with the schema `REJECTS`."""
    return pa.Table.from_pylist([{"line": line, "reason": reason} for line, reason in rejects], schema=REJECTS)


def _time(text: str) -> datetime:
    """A time of ISO 8601; without a zone it is taken as UTC."""
    # Python 3.10 knows no "Z".
    ending = text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text
    try:
        time = datetime.fromisoformat(ending)
        return time.replace(tzinfo=timezone.utc) if time.tzinfo is None else time.astimezone(timezone.utc)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{shown(text)} is no time of ISO 8601, as 2025-03-01T14:05:00") from error
