"""Readouts as they are given: a file, or objects of Python, which are written as one to be read as files are.

Objects become a table of texts, any value on its own, so that a bad one spoils no other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from isd_ray.config import ReadoutsConfig
from isd_ray.errors import IsdError, LabelError
from isd_ray.plates.readers.parquet import as_text

_WRITTEN = "readouts.parquet"
"""What a table that is told is written to, to be read as files are."""


def as_file(readouts: Any, folder: Path, config: ReadoutsConfig) -> Path:
    """A file with the readouts: the given one, or one written from a table.

    Raises
    ------
    LabelError
        If they are of a type that no table can be made of.
    """
    if isinstance(readouts, str | Path):
        return Path(readouts)
    try:
        pq.write_table(as_table(readouts, config), folder / _WRITTEN)
    except (AttributeError, TypeError, ValueError, OverflowError, pa.ArrowException) as error:
        detail = f" ({error})" if not isinstance(error, AttributeError | TypeError) else ""
        raise LabelError(
            f"no readouts can be taken from a {type(readouts).__name__}{detail}",
            "readouts",
            "give a file, an Arrow table, a pandas frame, or a mapping from id to readout; see Campaign.tell",
        ) from error
    return folder / _WRITTEN


@contextmanager
def naming(readouts: Any) -> Iterator[None]:
    """Have errors name the readouts as their teller knows them, not the copy that was read."""
    if is_file := isinstance(readouts, str | Path):
        name, copy = str(readouts), Path(readouts).name
    else:
        name, copy = "the mapping" if isinstance(readouts, Mapping) else "the table", _WRITTEN
    try:
        yield
    except IsdError as error:
        # The name of a file alone is right wherever its copy lies.
        if Path(error.where).name != copy or (is_file and error.where == copy):
            raise
        raise type(error)(error.what, name, error.remedy) from error


def as_table(readouts: Any, config: ReadoutsConfig) -> pa.Table:
    """A table with a column for each thing that is said; what is no Arrow table comes as texts.

    Parameters
    ----------
    readouts:
        An Arrow table; a mapping from id to value, or to a mapping from output to value; a pandas series with ids in
        its index; a pandas frame, with ids, or plates and wells, in columns or in its index; or what has Arrow's
        interface for tables.

    Raises
    ------
    AttributeError, TypeError, ValueError, OverflowError, pyarrow.ArrowException
        If it is none of these.
    """
    if isinstance(readouts, pa.Table):
        return readouts
    if isinstance(readouts, Mapping):
        return _of_mapping(readouts, config)
    if hasattr(readouts, "to_frame") and hasattr(readouts, "index"):
        if _is_counted(readouts.index):
            raise TypeError("a series without ids in its index")
        readouts = readouts.to_frame(config.value)  # whatever a series is called, it is what was measured
    if hasattr(readouts, "reset_index"):
        return _of_frame(readouts, config)
    return pa.table(readouts)


def _of_mapping(readouts: Mapping[Any, Any], config: ReadoutsConfig) -> pa.Table:
    ids, values = [as_text(name) for name in readouts], list(readouts.values())
    outputs = list(dict.fromkeys(name for entries in values if isinstance(entries, Mapping) for name in entries))
    if not outputs:
        return pa.table({config.id: _texts(ids), config.value: _texts(values)})
    columns = {}
    for name in outputs:
        # What is no mapping among others says nothing of any output: the first one refuses it, with what it is.
        others = (entries if name == outputs[0] else None for entries in values)
        cells = [
            entries.get(name) if isinstance(entries, Mapping) else other
            for entries, other in zip(values, others, strict=True)
        ]
        columns[str(name)] = _texts(cells)
    return pa.table({config.id: _texts(ids), **columns})


def _is_counted(index: Any) -> bool:
    """Whether an index of pandas only numbers its lines."""
    return type(index).__name__ == "RangeIndex" and index.name is None


def _of_frame(frame: Any, config: ReadoutsConfig) -> pa.Table:
    names = list(frame.columns)
    known = {config.id, config.plate, config.well}
    index_names = [name for name in frame.index.names if name is not None]
    if not _is_counted(frame.index) and known.isdisjoint(map(str, names)):
        if not known.intersection(map(str, index_names)) and frame.index.nlevels == 1:
            frame = frame.rename_axis(index=config.id)
        frame = frame.reset_index()
    elif known.intersection(map(str, index_names)) - set(map(str, names)):
        frame = frame.reset_index()
    names = [str(name) for name in frame.columns]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"several columns are called {doubled[0]!r}")
    return pa.table({name: _texts(frame.iloc[:, place].tolist()) for place, name in enumerate(names)})


def _texts(values: Sequence[Any]) -> pa.Array:
    return pa.array([_text(value) for value in values], pa.string())


def _text(value: Any) -> str | None:
    """A value as text, from which a float comes back as it was; None for none."""
    if value is None:
        return None
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()  # of numpy
    try:
        return as_text(value) or None
    except (TypeError, ValueError):  # pandas' NA is neither equal to itself nor not; an array is both
        return None if type(value).__name__ == "NAType" else str(value)
