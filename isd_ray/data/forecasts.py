"""What each family of models forecasts of a batch, in a file that is written before the batch is released."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from isd_ray.data.layout import ROW
from isd_ray.errors import CorruptFileError
from isd_ray.storage.files import sha256_file


def write_forecasts(
    rows: NDArray[np.int64], families: Sequence[str], forecasts: NDArray[np.float32], path: Path
) -> str:
    """Write a column for each family, and return the file's SHA-256.

    Parameters
    ----------
    forecasts:
        float32 (F, n, K) probabilities, or values (F, n).
    """
    columns = {ROW: pa.array(rows)}
    for name, values in zip(families, forecasts, strict=True):
        flat = values.reshape(len(rows), -1)
        columns[name] = pa.FixedSizeListArray.from_arrays(pa.array(flat.reshape(-1)), flat.shape[1])
    pq.write_table(pa.table(columns), path, compression="zstd")
    return sha256_file(path)


def read_forecasts(path: Path) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """The families and their forecasts, float32 (F, n, K), K = 1 for values.

    Raises
    ------
    CorruptFileError
        If the file cannot be read.
    """
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise CorruptFileError(f"cannot be read: {error}", str(path), "restore it from a backup") from error
    families = tuple(name for name in table.column_names if name != ROW)
    columns = [table[name].combine_chunks() for name in families]
    arrays = [column.flatten().to_numpy().reshape(len(column), column.type.list_size) for column in columns]
    return families, np.stack(arrays)
