"""Where the library says that compounds lie: the wells that a pick list takes them from."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from isd_ray.campaign.stock import out_of_stock
from isd_ray.config import CampaignConfig, PlatesConfig
from isd_ray.data.library import Library
from isd_ray.messages import Rows
from isd_ray.plates.exports import has_source

_SHOWN = 5
_ROWS_AT_ONCE = 1 << 20


def source_places(library: Library, plates: PlatesConfig | None, rows: Rows) -> pa.Table | None:
    """Columns id, plate and well (strings, null where there is none) of rows; None where no columns say it.

    Raises
    ------
    LibraryError, CorruptFileError
        As `isd_ray.data.library.Library.column`.
    """
    if plates is None or plates.source_plate_column is None or plates.source_well_column is None:
        return None
    places = {
        key: pa.array([_text(cell) for cell in library.column(name, rows).tolist()], pa.string())
        for key, name in (("plate", plates.source_plate_column), ("well", plates.source_well_column))
    }
    return pa.table({"id": pa.array(library.ids(rows), pa.string()), **places})


def unplaced_warning(config: CampaignConfig, library: Library) -> str | None:
    """What to say of compounds in stock that no pick list can name; None where there are none."""
    plates, shown, n_lost = config.plates, list[str](), 0
    if plates is None or plates.source_well_column is None:
        return None
    in_stock = np.setdiff1d(np.arange(library.n_rows), out_of_stock(config.acquisition, library))
    for start in range(0, len(in_stock), _ROWS_AT_ONCE):
        places = source_places(library, plates, in_stock[start : start + _ROWS_AT_ONCE])
        assert places is not None
        lost = places["id"].filter(pa.array(~has_source(places, plates.source_format)))
        shown += lost.slice(0, _SHOWN - len(shown)).to_pylist()
        n_lost += len(lost)
    if not n_lost:
        return None
    names = ", ".join(map(repr, shown)) + (" …" if n_lost > len(shown) else "")
    return (
        f"{plates.source_plate_column!r} and {plates.source_well_column!r} do not say in which well of a "
        f"{plates.source_format}-well plate {n_lost:,} of {len(in_stock):,} compounds lie: {names}; where they are "
        "asked for they are not on the pick list, but in a list to be dispensed by hand. Complete the columns and "
        "create the campaign anew, or take the compounds out by isd exclude"
    )


def _text(cell: object) -> str | None:
    """As it was written: numbers beside missing ones come as floats."""
    if cell is None or cell != cell:
        return None
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)
