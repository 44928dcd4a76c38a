"""Readings gathered one by one from a file: checked, bad ones set aside with a reason, repetitions settled."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import NamedTuple

import pyarrow as pa

from isd_ray.config import PlateFormat
from isd_ray.errors import InputFileError
from isd_ray.plates.wells import indices_of, names_of, no_such_well

GOOD_FLAGS = frozenset({"", "0", "ok", "pass", "passed", "good", "valid", "none", "false"})
"""Flags that mean nothing is wrong, in small letters; any other marks a bad well."""
NO_VALUE = frozenset({"", "na", "n/a", "nan", "null", "none", "#n/a"})
"""Values that mean there is none, in small letters."""
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+(?:[eE][+-]?[0-9]+)?")
_N_SHOWN = 3

REJECTS = pa.schema({"line": pa.int64(), "reason": pa.string()})


@dataclass(frozen=True, slots=True)
class ReadoutFile:
    """What a file of readouts says.

    Attributes
    ----------
    readings:
        line (int64, from 1; records of Parquet), plate, well (``A01``) and id (string, null where not given), value
        (float64, or string for classes; null where a bad well has none), flag (string; null for good wells), replicate
        (string), timestamp (UTC, microseconds), output (string; of a panel). In the order of the file.
    rejects:
        line (int64) and reason (string) of what could not be read, by line.
    """

    readings: pa.Table
    rejects: pa.Table


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


@dataclass(slots=True)
class Collector:
    """Takes readings in, in the order of the file.

    Attributes
    ----------
    classes:
        Names of the classes where values are such; empty for numbers.
    good_flags:
        Flags, in small letters, that mean nothing is wrong.
    outputs, output:
        Names of a panel's outputs, and the one that all readings are of if they do not say it.
    rejects:
        Line and reason.
    """

    plate_format: PlateFormat
    classes: Sequence[str]
    good_flags: frozenset[str] = GOOD_FLAGS
    outputs: Sequence[str] = ()
    output: str | None = None
    rejects: list[tuple[int, str]] = field(default_factory=list)
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
        name = None
        if "\ufffd" in plate or "\ufffd" in id or "\ufffd" in value:
            return self.reject(line, "the line is not UTF-8 text; save the file as UTF-8")
        if plate and well:
            index = indices_of(self.plate_format).get(well.upper())
            if index is None:
                return self.reject(line, no_such_well(well, self.plate_format))
            name = names_of(self.plate_format)[index]
        elif not id:
            return self.reject(line, "no plate" if well else "no well" if plate else "neither an id nor a plate")
        output = assay or self.output
        if self.outputs and output not in self.outputs:
            return self.reject(line, f"{assay!r} is none of the panel's outputs" if output else "no assay is named")
        bad = None if flag.lower() in self.good_flags else flag
        try:
            number = self._value(value)
            time = _time(timestamp) if timestamp else None
        except ValueError as error:
            return self.reject(line, f"well {name}: {error}" if name else str(error))
        if number is None and bad is None:
            return self.reject(line, "no value")
        known = plate if name else None
        self._readings.append(_Reading(line, known, name, id or None, number, bad, replicate or None, time, output))
        return None

    def _value(self, text: str) -> float | str | None:
        if self.classes:
            if text in self.classes:
                return text
            if text.lower() in NO_VALUE:
                return None
            if _NUMBER.fullmatch(text) and f"{float(text):g}" in self.classes:
                return f"{float(text):g}"  # a class 1 that a table with gaps turned into 1.0
            raise ValueError(f"{text!r} is none of the classes {', '.join(map(repr, self.classes))}")
        if _NUMBER.fullmatch(text):
            number = float(text)
            if math.isinf(number):
                raise ValueError(f"{text!r} is too large")
            return number
        if text.lower() in NO_VALUE:
            return None
        if _DECIMAL_COMMA.fullmatch(text):
            raise ValueError(f"{text!r} has a decimal comma; export numbers with a decimal point")
        raise ValueError(f"{text!r} is not a number")

    def finish(self, where: str) -> ReadoutFile:
        """All that was taken in.

        Raises
        ------
        InputFileError
            If no reading is left.
        """
        readings = self._without_repetitions()
        if not readings:
            reasons = Counter(reason for _, reason in self.rejects)
            shown = "; ".join(f"{reason} ({n})" for reason, n in reasons.most_common(_N_SHOWN)) or "no line has data"
            raise InputFileError(
                f"no reading in the file can be used: {shown}", where, "check the table [readouts] and the export"
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
            }
        )
        columns = [
            pa.array(column, kind) for column, kind in zip(zip(*readings, strict=True), schema.types, strict=True)
        ]
        self.rejects.sort()
        return ReadoutFile(pa.table(columns, schema=schema), rejects_table(self.rejects))

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
        elif len({(reading.value, reading.flag) for reading in group}) == 1:
            kept, reason = group[0], f"repeats line {group[0].line}"
        else:
            shown = ", ".join(f"line {reading.line}: {reading.value}" for reading in group[:_N_SHOWN])
            for reading in group:
                self.reject(
                    reading.line,
                    f"several readings of well {reading.well} of plate {reading.plate!r} ({shown}); tell them apart by "
                    "a replicate or timestamp column",
                )
            return {id(reading) for reading in group}
        others = [reading for reading in group if reading is not kept]
        for reading in others:
            self.reject(reading.line, reason)
        return {id(reading) for reading in others}


def rejects_table(rejects: Sequence[tuple[int, str]]) -> pa.Table:
    """Lines and reasons as a table with the schema `REJECTS`."""
    return pa.Table.from_pylist([{"line": line, "reason": reason} for line, reason in rejects], schema=REJECTS)


def _time(text: str) -> datetime:
    """A time of ISO 8601; without a zone it is taken as UTC."""
    # Python 3.10 knows no "Z".
    ending = text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text
    try:
        time = datetime.fromisoformat(ending)
    except ValueError as error:
        raise ValueError(f"{text!r} is no time of ISO 8601, as 2025-03-01T14:05:00") from error
    return time.replace(tzinfo=timezone.utc) if time.tzinfo is None else time.astimezone(timezone.utc)
