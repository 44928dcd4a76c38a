"""Labels of a panel in a Parquet file of packed bits: a quarter of a byte for each compound and output.

Columns: compound ids, `labels` and `measured` as in a panel's hybrid screen (`isd_ray.data.hybrid`); names of outputs
and classes are JSON lists in the metadata. A column for each of thousands of outputs takes minutes to read, and this
seconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from isd_ray.core.panels import n_bytes, unpack
from isd_ray.data.ingest.parquet import ParquetSource
from isd_ray.data.ingest.sources import Source
from isd_ray.data.packed import label_columns, labels_from

ID = "id"
_GROUP_BYTES = 64 << 20


def write_panel_labels(
    path: Path, ids: pa.Array, labels: NDArray[np.uint8], outputs: Sequence[str], classes: Sequence[str]
) -> None:
    """Write packed labels, uint8 (n, 2, ceil(K / 8)), of n compounds and K outputs."""
    bits = pa.binary(n_bytes(len(outputs)))
    schema = pa.schema(
        [(ID, pa.string()), ("labels", bits), ("measured", bits)],
        {"outputs": json.dumps(list(outputs)), "classes": json.dumps(list(classes))},
    )
    step = max(1, _GROUP_BYTES // (2 * n_bytes(len(outputs))))
    with pq.ParquetWriter(path, schema, compression="zstd") as sink:
        for start in range(0, len(labels), step):
            part = slice(start, start + step)
            sink.write_table(pa.table({ID: ids[part], **label_columns(labels[part])}, schema=schema))


def packed_outputs(source: Source) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Names of outputs and classes if the source holds packed labels, else None."""
    metadata = source.metadata if isinstance(source, ParquetSource) else {}
    if b"outputs" not in metadata or b"classes" not in metadata:
        return None
    outputs, classes = (json.loads(metadata[name]) for name in (b"outputs", b"classes"))
    return tuple(outputs), tuple(classes)


def read_packed(source: Source, places: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Labels of some of the outputs, of consecutive records: number of the first (from 0), uint8 (n, 2, …).

    Parameters
    ----------
    places:
        int64 (k,): which outputs of the file, in the order wanted.
    """
    found = packed_outputs(source)
    n_outputs = len(found[0]) if found else 0
    whole = np.array_equal(places, np.arange(n_outputs))
    padding = np.packbits(np.ones(n_outputs, np.uint8))
    for records in source.read(("labels", "measured")):
        labels = labels_from(records.table)
        if whole:
            yield records.first - 1, labels & padding
        else:
            parts = [np.packbits(unpack(labels[:, part], n_outputs)[:, places], axis=1) for part in (0, 1)]
            yield records.first - 1, np.stack(parts, axis=1)
