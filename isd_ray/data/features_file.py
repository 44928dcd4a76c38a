"""The features of one batch, in a file of its own: what trainers read instead of the library."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from isd_ray.core.features import Features
from isd_ray.data.layout import FEATURES, arrow_to_features, features_to_arrow
from isd_ray.errors import CorruptFileError

_CHUNK_ROWS = 1 << 17
"""Rows of one record batch: few, as each costs the trainers time, but list offsets are 32-bit, so not all in one."""


def write_features(features: Features, path: Path) -> None:
    """Write features as an Arrow IPC file with one column."""
    edges = range(0, max(1, len(features)), _CHUNK_ROWS)
    chunks = [np.arange(start, min(start + _CHUNK_ROWS, len(features))) for start in edges]
    arrays = [features_to_arrow(features.take(chunk)) for chunk in chunks]
    schema = pa.schema([(FEATURES, arrays[0].type)])
    with pa.ipc.new_file(path, schema) as sink:
        for array in arrays:
            sink.write_batch(pa.record_batch([array], schema=schema))


def read_features(path: Path, width: int) -> list[Features]:
    """Map what `write_features` wrote: its rows in one or more parts, views of the memory map.

    Raises
    ------
    CorruptFileError
        If the file is missing, truncated or altered.
    """
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        batches = [reader.get_batch(index) for index in range(reader.num_record_batches)]
        return [arrow_to_features(batch.column(0), width) for batch in batches]
    except (OSError, ValueError, IndexError) as error:
        raise CorruptFileError(
            f"the features of a batch cannot be read: {error}", str(path), "restore the file from a backup"
        ) from error
