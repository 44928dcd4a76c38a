"""Ready-made feature vectors of a Parquet column as rows of one dtype."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from isd_ray.config import DenseFeatures
from isd_ray.core.features import Dense
from isd_ray.data.ingest.columns import is_text
from isd_ray.errors import ConfigError, InputFileError

_UINT8_MAX = 255


def check_dense_column(kind: pa.DataType, spec: DenseFeatures, where: str) -> None:
    """Refuse a column that cannot hold the features.

    Raises
    ------
    InputFileError
        If the column is neither binary nor a list of numbers.
    ConfigError
        If a binary column is asked for as another dtype than uint8.
    """
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        if spec.dtype != "uint8":
            raise ConfigError(
                f"dtype={spec.dtype!r}, but column {spec.column!r} of {where} holds bytes",
                "library.features",
                "set dtype = 'uint8' (and scale), or store lists of numbers",
            )
        return
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    number = is_list and (pa.types.is_integer(kind.value_type) or pa.types.is_floating(kind.value_type))
    if not number:
        shown = "text" if is_text(kind) else str(kind)
        raise InputFileError(
            f"column {spec.column!r} holds {shown}, not vectors",
            where,
            "dense features need a Parquet column of bytes or of lists of numbers",
        )


def dense_rows(values: pa.Array | pa.ChunkedArray, spec: DenseFeatures) -> tuple[Dense, dict[int, str]]:
    """The rows of a column, and why the others are rejected.

    Returns
    -------
    Dense, dict
        Shape (n, width); rejected rows are zeros. Reasons by index.
    """
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], values.type)
    null = values.is_null().to_numpy(zero_copy_only=False)
    fixed_bytes = pa.types.is_fixed_size_binary(values.type)
    as_bytes = fixed_bytes or pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type)
    lengths = (pc.binary_length if as_bytes else pc.list_value_length)(values).fill_null(-1).to_numpy()
    reasons = {int(i): "no feature vector" for i in np.flatnonzero(null)}
    wrong = np.flatnonzero(~null & (lengths != spec.width))
    reasons.update({int(i): f"wrong feature length: {lengths[i]} instead of {spec.width}" for i in wrong})
    good = np.flatnonzero(~null & (lengths == spec.width))
    taken = values.take(pa.array(good))
    out = np.zeros((len(values), spec.width), dtype=spec.dtype)
    if as_bytes:
        joined = b"".join(taken.to_pylist()) if not fixed_bytes else None
        out[good] = (
            np.frombuffer(joined, dtype=np.uint8).reshape(len(good), spec.width)
            if joined is not None
            else _fixed_bytes(taken, spec.width)
        )
        return Dense(out), reasons
    raw = taken.flatten().to_numpy(zero_copy_only=False).reshape(len(good), spec.width)
    with np.errstate(over="ignore", invalid="ignore"):  # what does not fit is rejected below
        rows = raw.astype(spec.dtype)
    finite = np.isfinite(raw).all(axis=1)
    if spec.dtype == "uint8":
        fits = ((raw >= 0) & (raw <= _UINT8_MAX) & (raw == rows)).all(axis=1)
    else:
        fits = np.isfinite(rows).all(axis=1)
    reasons.update({int(i): "non-finite or missing feature value" for i in good[~finite]})
    reasons.update({int(i): f"feature value outside {spec.dtype}" for i in good[finite & ~fits]})
    kept = finite & fits
    out[good[kept]] = rows[kept]
    return Dense(out), reasons


def _fixed_bytes(values: pa.FixedSizeBinaryArray, width: int) -> np.ndarray:
    buffer = np.frombuffer(values.buffers()[1], dtype=np.uint8)
    start = values.offset * width
    return buffer[start : start + len(values) * width].reshape(len(values), width)
