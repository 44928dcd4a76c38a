"""A library as large as wanted: ids, and texts for which on-bits are drawn at random where chemistry would be done."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from isd_ray.config import Fingerprint, OnBitFeatures
from isd_ray.core.features import OnBits
from isd_ray.data.ingest.dedupe import hash_keys
from isd_ray.data.ingest.molecules import MoleculeOptions, PreparedChunk

ON_BITS, COLUMNS_OF_BIT = 48, 42
SPEC = OnBitFeatures(fingerprints=(Fingerprint(kind="morgan"),))
_AT_ONCE = 1 << 20


def write_source(path: Path, n_rows: int) -> None:
    """Write ids, C and nine digits, and a text for each."""
    schema = pa.schema({"id": pa.string(), "text": pa.string()})
    with pq.ParquetWriter(path, schema) as sink:
        for first in range(0, n_rows, _AT_ONCE):
            numbers = pa.array(np.arange(first, min(n_rows, first + _AT_ONCE))).cast(pa.string())
            digits = pc.utf8_lpad(numbers, 9, "0")
            columns = [pc.binary_join_element_wise(letter, digits, "") for letter in "CX"]
            sink.write_table(pa.table(columns, schema=schema))


def prepared(structures: list[str | None], options: MoleculeOptions) -> PreparedChunk:
    """On-bits of texts, drawn at random: each of 48 from columns of its own, so that they ascend."""
    n, rng = len(structures), np.random.default_rng(zlib.crc32(str(structures[0]).encode()))
    bits = rng.integers(0, COLUMNS_OF_BIT, (n, ON_BITS), dtype=np.uint16)
    bits += np.arange(0, ON_BITS * COLUMNS_OF_BIT, COLUMNS_OF_BIT, dtype=np.uint16)
    texts = [text or "" for text in structures]
    return PreparedChunk(
        canonical=texts,
        passed=np.arange(n),
        reasons={},
        features=OnBits(bits.ravel(), np.arange(n + 1) * ON_BITS, SPEC.width),
        hashes=hash_keys(map(str.encode, texts)),
        descriptors=np.empty((n, 0)),
        steps=np.zeros(n, np.uint8),
    )
