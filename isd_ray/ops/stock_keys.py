"""Where compounds lie in stock, by columns of plates and wells: what pick lists of a laboratory need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from isd_ray.config import PlateFormat
from isd_ray.data.layout import RESERVED_COLUMNS
from isd_ray.data.look.columns import ColumnLook
from isd_ray.data.look.roles import plain
from isd_ray.ops.goal_keys import ProposedKey, proposed
from isd_ray.plates.wells import well_index

_PLATE = frozenset({"plate", "plates", "rack", "barcode"})
_WELL = frozenset({"well", "wells", "position", "pos"})
_NUMBERED = frozenset({"id", "no", "number", "name"})
_STOCK = frozenset({"stock", "source", "src", "library", "mother", "master"})
_VOLUME = "25 nL"


@dataclass(frozen=True, slots=True)
class StockPlaces:
    """Columns that say where each compound lies.

    Attributes
    ----------
    plate, well:
        Names of the columns.
    format:
        Wells of the smallest plate that has all the wells.
    """

    plate: str
    well: str
    format: PlateFormat


def stock_places(columns: Sequence[ColumnLook]) -> StockPlaces | None:
    """The columns of plate and well that belong together by their names; those of a stock before others, or None."""
    full = [column for column in columns if not column.n_missing and column.name not in RESERVED_COLUMNS]
    formats = {column.name: n for column in full if _WELL & _words(column) and (n := _format(column)) is not None}
    wells = {_stem(column): column.name for column in reversed(full) if column.name in formats}
    plates = {_stem(column): column.name for column in reversed(full) if _PLATE & _words(column) - _WELL}
    plates = {stem: name for stem, name in plates.items() if name not in wells.values()}
    pairs = [(stem, plates[stem], wells[stem]) for stem in sorted(plates.keys() & wells.keys())]
    if not pairs and len(plates) == len(wells) == 1:
        [plate], [well] = plates.values(), wells.values()
        pairs = [((), plate, well)]
    found = [pair for pair in pairs if _STOCK & set(pair[0])] or pairs
    if len(found) != 1:
        return None
    [(_, plate, well)] = found
    return StockPlaces(plate, well, formats[well])


def _words(column: ColumnLook) -> frozenset[str]:
    return frozenset(plain(column.name).split("_"))


def _stem(column: ColumnLook) -> tuple[str, ...]:
    """What a name says beside plate or well: the same for both columns of a place."""
    return tuple(word for word in plain(column.name).split("_") if word not in _PLATE | _WELL | _NUMBERED)


def _format(column: ColumnLook) -> PlateFormat | None:
    """The smallest plate that has all wells of a column; None where its values are none."""
    names = [*column.counts, *column.examples]
    return next((n for n in get_args(PlateFormat) if all(well_index(name, n) is not None for name in names)), None)


def stock_keys(places: StockPlaces) -> list[ProposedKey]:
    """Plates with pick lists from these places."""
    return [
        proposed("plates.source_plate_column", places.plate, "by its name, and wells beside it: for pick lists"),
        proposed("plates.source_well_column", places.well, "its values are wells"),
        proposed("plates.source_format", places.format, "the smallest plate that has all of them"),
        proposed("plates.transfer_volume", _VOLUME, "a GUESS: pick lists need the volume for each well"),
    ]


def stock_doubt(places: StockPlaces, *, is_measured: bool) -> str:
    """What has to be looked at, of a laboratory's campaign or of a replay, which picks nothing."""
    if not is_measured:
        return "how much is transferred, and on which plates with which controls you measure ([plates])"
    return (
        f"whether {places.plate!r} and {places.well!r} say where compounds lie now: for pick lists of a laboratory add "
        "both to library.columns, and name them in plates.source_plate_column and plates.source_well_column"
    )
