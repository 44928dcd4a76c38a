"""What the library says of its compounds: whether they can be had, at what price, and in which order."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isd_ray.campaign.store import CampaignStore
from isd_ray.config import AcquisitionConfig, StoppingConfig
from isd_ray.core.acquisition import IN_ORDER
from isd_ray.data.library import Library
from isd_ray.errors import LibraryError
from isd_ray.messages import Rows

_SHOWN = 5
_N_ROWS = "n_rows"
"""Key of how many rows of the library a note on stock is of; without it, of those that the campaign began with."""


def out_of_stock(acquisition: AcquisitionConfig, library: Library) -> Rows:
    """Rows of which there is too little to be measured, ascending; none where no column says so.

    Raises
    ------
    LibraryError
        If there is no such column, it does not hold numbers, or nothing is left.
    """
    if acquisition.stock_column is None:
        return np.empty(0, np.int64)
    amounts = _numbers(library, acquisition.stock_column, "acquisition.stock_column")
    with np.errstate(invalid="ignore"):
        enough = amounts > 0 if acquisition.min_stock is None else amounts >= acquisition.min_stock
    enough |= np.isnan(amounts) & (acquisition.unknown_stock == "enough")
    if not enough.any():
        raise LibraryError(
            f"no compound is in stock by the column {acquisition.stock_column!r}",
            "acquisition.stock_column",
            "correct the column, acquisition.min_stock or acquisition.unknown_stock",
        )
    return np.flatnonzero(~enough)


def prices_of(
    stopping: StoppingConfig, acquisition: AcquisitionConfig, replicates: int, library: Library
) -> NDArray[np.float64] | None:
    """What measuring each row costs in all its wells, float64 (n_rows,); None where money has no limit.

    What cannot be had needs no price; should it come back into stock without one, it counts as the dearest.

    Raises
    ------
    LibraryError
        If there is no such column, it does not hold numbers, or a compound has no price or one below 0.
    """
    usual = np.nan if stopping.cost_per_compound is None else stopping.cost_per_compound * replicates
    if stopping.cost_column is None:
        return None if np.isnan(usual) else np.broadcast_to(np.float64(usual), library.n_rows)
    prices = _numbers(library, stopping.cost_column, "stopping.cost_column") * replicates
    prices[np.isnan(prices)] = usual
    wrong = ~(np.isfinite(prices) & (prices >= 0))
    unavailable = out_of_stock(acquisition, library)
    wrong[unavailable[np.isnan(prices[unavailable])]] = False
    if wrong.any():
        shown = ", ".join(map(repr, library.ids(np.flatnonzero(wrong)[:_SHOWN])))
        raise LibraryError(
            f"{int(wrong.sum())} compounds have no price in the column {stopping.cost_column!r}, or one below 0: "
            f"{shown}",
            "stopping.cost_column",
            "complete the column, or give stopping.cost_per_compound for those that have none",
        )
    prices[np.isnan(prices)] = np.nanmax(prices)
    return prices


def check_order(acquisition: AcquisitionConfig, library: Library) -> None:
    """Refuse a column that compounds cannot be put in order by, before the first batch.

    What cannot be had needs no value.

    Raises
    ------
    LibraryError
        If there is no such column, it does not hold numbers, or, of `in_order`, a compound has none.
    """
    if acquisition.column is None:
        return
    values = _numbers(library, acquisition.column, "acquisition.column")
    with np.errstate(over="ignore"):
        wrong = ~np.isfinite(values.astype(np.float32))
    wrong[out_of_stock(acquisition, library)] = False
    if acquisition.function == IN_ORDER and wrong.any():
        shown = ", ".join(map(repr, library.ids(np.flatnonzero(wrong)[:_SHOWN])))
        raise LibraryError(
            f"{int(wrong.sum()):,} compounds have no finite number in the column {acquisition.column!r}, and no place "
            f"in an order by it: {shown}",
            "acquisition.column",
            "complete the column (what is to come last needs a number, too), or name another",
        )


def note_stock(acquisition: AcquisitionConfig, library: Library, store: CampaignStore) -> None:
    """Put on record, once of each row, which compounds leave the target set because they are not in stock."""
    column = acquisition.stock_column
    noted = [event for event in store.events() if column is not None and event.get("stock_column") == column]
    n_noted = max((event.get(_N_ROWS, store.manifest["n_target"]) for event in noted), default=0)
    if column is None or n_noted >= library.n_rows:
        return
    rows, limit = out_of_stock(acquisition, library), acquisition.min_stock
    rows = rows[rows >= n_noted]
    reason = f"out of stock: {column} is " + ("0" if limit is None else f"below {limit:g}")
    if acquisition.unknown_stock == "none":
        reason += " or missing"
    details = {"readouts_sha256": store.keep(pa.table({"row": rows})), "n": len(rows), "reason": reason}
    of_rows = {_N_ROWS: library.n_rows} if noted else {}
    store.append_event("exclude", {**details, "stock_column": column, **of_rows})


def _numbers(library: Library, column: str, key: str) -> NDArray[np.float64]:
    values = library.column(column)
    if values.dtype == object:
        raise LibraryError(f"the column {column!r} holds text, not numbers", key, "name a column of numbers")
    return values.astype(np.float64)
