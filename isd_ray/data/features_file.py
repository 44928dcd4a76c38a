"""The features of one batch, in a file of its own: what trainers read instead of the library."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from isd_ray.core.features import Block, FeatureBlocks, Texts
from isd_ray.data.layout import FEATURES, arrow_to_features, features_to_arrow
from isd_ray.errors import CorruptFileError

_CHUNK_ROWS = 1 << 17
"""Rows of one record batch: few, as each costs the trainers time, but list offsets are 32-bit, so not all in one."""


def write_features(blocks: FeatureBlocks, path: Path) -> None:
    """Write blocks of the same rows as an Arrow IPC file, each as the column of its name."""
    edges = range(0, max(1, len(blocks)), _CHUNK_ROWS)
    chunks = (np.arange(start, min(start + _CHUNK_ROWS, len(blocks))) for start in edges)
    sink: pa.RecordBatchFileWriter | None = None
    try:
        for chunk in chunks:
            columns = {name: _to_arrow(block.take(chunk)) for name, block in blocks.blocks.items()}
            batch = pa.record_batch(columns)
            if sink is None:
                sink = pa.ipc.new_file(path, batch.schema)
            sink.write_batch(batch)
    finally:
        if sink is not None:
            sink.close()


def read_features(path: Path, widths: Mapping[str, int], main: str) -> list[FeatureBlocks]:
    """Map what `write_features` wrote: its rows in one or more parts, views of the memory map but for texts.

    Parameters
    ----------
    widths:
        Columns of each block to read, by its name; 1 for texts. What else the file holds is left.
    main:
        Name of the main block: files of campaigns that began before there were names hold that one only.

    Raises
    ------
    CorruptFileError
        If the file is missing, truncated or altered, or lacks a block.
    """
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        columns = {main if name == FEATURES else name: name for name in reader.schema.names}
        if lost := [name for name in widths if name not in columns]:
            raise ValueError(f"there is no block {lost[0]!r}, only {', '.join(columns)}")
        batches = [reader.get_batch(index) for index in range(reader.num_record_batches)]
        return [
            FeatureBlocks({name: _from_arrow(batch.column(columns[name]), width) for name, width in widths.items()})
            for batch in batches
        ]
    except (OSError, ValueError, IndexError) as error:
        raise CorruptFileError(
            f"the features of a batch cannot be read: {error}", str(path), "restore the file from a backup"
        ) from error


def _to_arrow(block: Block) -> pa.Array:
    return pa.array(block.values, pa.string()) if isinstance(block, Texts) else features_to_arrow(block)


def _from_arrow(array: pa.Array, width: int) -> Block:
    if pa.types.is_string(array.type):
        array.validate(full=True)
        return Texts(array.to_numpy(zero_copy_only=False))
    return arrow_to_features(array, width)
