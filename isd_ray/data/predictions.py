"""Frozen predictions: one Parquet file for each part of the library, hashed before a batch is released."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from isd_ray.data.packed import from_arrow, to_arrow
from isd_ray.errors import CorruptFileError
from isd_ray.messages import ScoredRows
from isd_ray.storage.files import sha256_file
from isd_ray.storage.output_files import replacing


def part_name(part: int) -> str:
    """File name of a library part's predictions and lines."""
    return f"part-{part:05d}.parquet"


def write_predictions(predictions: ScoredRows, path: Path) -> str:
    """Write row, prediction and uncertainty of a part's inference rows, ascending; returns the file's SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(
        {
            "row": predictions.rows,
            "prediction": to_arrow(predictions.prediction),
            "uncertainty": predictions.uncertainty,
        }
    )
    replace_table(table, path)
    return sha256_file(path)


def read_predictions(path: Path) -> ScoredRows:
    """What `write_predictions` wrote; both scores are the uncertainty and zero.

    Raises
    ------
    CorruptFileError
        If the file is missing or unreadable.
    """
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise CorruptFileError(
            f"frozen predictions cannot be read: {error}", str(path), "restore the folder of its round from a backup"
        ) from error
    rows, prediction, uncertainty = (from_arrow(table[name]) for name in ("row", "prediction", "uncertainty"))
    return ScoredRows(rows, uncertainty, np.zeros(len(rows), np.float32), prediction, uncertainty)


def replace_table(table: pa.Table, path: Path) -> None:
    """Write atomically: a repeated call replaces the file by an equal one, and no reader sees half of it."""
    with replacing(path) as partial:
        pq.write_table(table, partial, compression="zstd")
