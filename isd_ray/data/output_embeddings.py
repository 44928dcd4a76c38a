"""Embeddings of a panel's outputs (genes, assays) in a file of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from isd_ray.config import DenseFeatures
from isd_ray.data.ingest.dense import check_dense_column, dense_rows
from isd_ray.data.ingest.parquet import ParquetSource
from isd_ray.data.ingest.sources import resolve_source
from isd_ray.errors import InputFileError

OUTPUT, EMBEDDING = "output", "embedding"
"""Columns of the file."""
_SHOWN = 5


def read_output_embeddings(file: str, outputs: Sequence[str], base_dir: Path) -> NDArray[np.float32]:
    """The embedding of each output in the order given, scaled to a root mean square of 1.

    Only directions are kept, as only these enter a cosine: lengths differ by orders of magnitude between outputs.

    Parameters
    ----------
    file:
        A Parquet file with columns `output` (text) and `embedding` (vectors of one length); other lines are left out.

    Returns
    -------
    numpy.ndarray
        float32 (K, d).

    Raises
    ------
    InputFileError
        If the file or a column is missing, an output has no line or several, or an embedding is no finite vector, or
        zero throughout.
    """
    source = ParquetSource(resolve_source(file, base_dir, "model.output_embeddings"))
    for column in (OUTPUT, EMBEDDING):
        source.require(column, "model.output_embeddings")
    pieces = [records.table for records in source.read((OUTPUT, EMBEDDING))]
    table = pa.concat_tables(pieces)
    wanted = pa.array(outputs, pa.string())
    table = table.filter(pc.is_in(table[OUTPUT].cast(pa.string()), value_set=wanted))
    names = table[OUTPUT].cast(pa.string()).combine_chunks()
    at = pc.index_in(wanted, value_set=names)
    if at.null_count or len(names) != len(outputs):
        counts = Counter(names.to_pylist())
        lost = [name for name in outputs if counts[name] != 1]
        raise InputFileError(
            f"{len(lost)} outputs have no line or several: {', '.join(map(repr, lost[:_SHOWN]))}",
            str(source.file),
            "give one line for each output of the panel",
        )
    vectors, kind = table[EMBEDDING].take(at), source.column_type(EMBEDDING)
    check_dense_column(kind, DenseFeatures(column=EMBEDDING, width=1), str(source.file))
    width = pc.max(pc.list_value_length(vectors)).as_py()
    dense, reasons = dense_rows(vectors, DenseFeatures(column=EMBEDDING, width=width or 1))
    lengths = np.sqrt(np.mean(np.square(dense.values, dtype=np.float64), axis=1))
    reasons |= {int(place): "zero throughout" for place in np.flatnonzero(lengths == 0) if int(place) not in reasons}
    if reasons:
        shown = "; ".join(f"{outputs[place]!r}: {reasons[place]}" for place in sorted(reasons)[:_SHOWN])
        raise InputFileError(
            f"{len(reasons)} embeddings cannot be used: {shown}",
            str(source.file),
            "correct them, or leave out the outputs",
        )
    scaled: NDArray[np.float32] = (dense.values / lengths[:, None]).astype(np.float32)
    return scaled
