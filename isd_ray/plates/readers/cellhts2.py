"""Files in the style of cellHTS2: plate, well, value, and perhaps a flag."""

from __future__ import annotations

from isd_ray.plates.collect import Collector
from isd_ray.plates.text import plain_delimiter, records

_COLUMNS = ("plate", "well", "value", "flag")
_N_NEEDED = 3
"""The first columns are needed, the flag is not."""


def read_cellhts2(text: str, collector: Collector) -> None:
    """Columns plate, well, value, and perhaps flag; a first line that begins with the word Plate is a header.

    The flag NA marks a bad well, as in the screen log of cellHTS2 (Boutros, Brás and Huber 2006,
    doi:10.1186/gb-2006-7-7-r66).
    """
    for number, (line, fields) in enumerate(records(text, plain_delimiter(text), collector.rejects)):
        if not any(fields) or (number == 0 and fields[0].lower() == "plate"):
            continue
        if len(fields) < _N_NEEDED or any(fields[len(_COLUMNS) :]):
            collector.reject(line, f"{len(fields)} fields instead of plate, well, value and perhaps flag")
        else:
            collector.add(line, **dict(zip(_COLUMNS, fields, strict=False)))
