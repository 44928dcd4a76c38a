"""Transfer reports of Echo acoustic dispensers: which wells did not get what they were to get."""

from __future__ import annotations

from isd_ray.core.censored import is_number
from isd_ray.plates.cells import not_dispensed, shown
from isd_ray.plates.collect import Collector
from isd_ray.plates.readers.blocks import lines_of
from isd_ray.plates.readers.export import HEAD_CHARS

_PLATE = ("destination plate barcode", "dest plate barcode", "destination barcode", "destination plate name")
_WELL = ("destination well", "dest well")
_ASKED, _DONE = ("transfer volume",), ("actual volume",)
_STATUS = ("transfer status", "status", "error", "exception")
_N_REMARK = 2
"""Most fields of a remark behind a table, as the name of the instrument."""
MIN_SHARE = 0.9
"""Of the volume that was asked for: less, and the well counts as not dispensed."""


def is_transfer_report(text: str) -> bool:
    """Whether a text is a transfer report: it says what was really dispensed, which a pick list does not."""
    head = text[:HEAD_CHARS].casefold()
    return any(name in head for name in _WELL) and _DONE[0] in head


def read_transfers(text: str, collector: Collector, plate: str | None) -> int:
    """Note as lost each well that was not dispensed, or too little; returns the number of transfers that were made.

    The report has tables under [EXCEPTIONS] and [DETAILS]; of several transfers to a well each has to succeed.
    """
    places: dict[str, int] = {}
    in_exceptions = False
    n_made = 0
    for line, fields in lines_of(text):
        if not fields:
            continue
        folded = [cell.casefold() for cell in fields]
        if folded[0].startswith("["):
            in_exceptions, places = folded[0].startswith("[exception"), {}
            continue
        if any(name in folded for name in _WELL):
            columns = (("plate", _PLATE), ("well", _WELL), ("asked", _ASKED), ("done", _DONE), ("status", _STATUS))
            places = {
                column: at
                for column, names in columns
                for at, cell in enumerate(folded)
                if cell.split(" (")[0] in names
            }
            continue
        if "well" not in places:
            continue
        if len(fields) <= max(places["well"], places.get("done", 0)):
            if len(fields) > _N_REMARK:
                collector.reject(line, f"{len(fields)} fields, and too few for a transfer")
            continue
        cells = {column: fields[at] if len(fields) > at else "" for column, at in places.items()}
        done = cells.get("done")
        if done is not None and not in_exceptions and not is_number(done):
            collector.reject(line, f"the actual volume {shown(done)} is no number, so whether it was dispensed is open")
            continue
        reason = _problem(cells, in_exceptions=in_exceptions)
        if reason is None:
            n_made += 1
        else:
            barcode = collector.barcode(cells.get("plate", ""), plate)
            collector.add_lost(line, barcode, cells["well"], not_dispensed(reason))
    return n_made


def _problem(cells: dict[str, str], *, in_exceptions: bool) -> str | None:
    status, asked, done = (cells.get(name, "") for name in ("status", "asked", "done"))
    if is_number(asked) and is_number(done) and float(done) < MIN_SHARE * float(asked):
        return f"{done} of {asked} nL{f' ({status})' if status else ''}"
    return (status or "an exception") if in_exceptions else None
