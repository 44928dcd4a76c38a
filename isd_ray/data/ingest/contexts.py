"""Contexts of pairs: categorical columns of a source as on-bits behind the fingerprints.

A value has a column of its own, and not a hash of it into a fixed width: collisions would merge cell lines, and the
pass over the sources that finds the values costs little beside the chemistry. Sorted, they do not depend on the order
of sources or records; `library.json` holds them, and the hash of the library covers them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from isd_ray.chem.fingerprints import on_bit_dtype
from isd_ray.config import Context, FeatureSpec, OnBitFeatures
from isd_ray.core.features import OnBits
from isd_ray.data.ingest.columns import ids_as_text
from isd_ray.data.ingest.dedupe import hash_keys
from isd_ray.data.ingest.records import Source
from isd_ray.errors import InputFileError

MAX_VALUES = 1 << 20
"""Distinct values of a context; more are no categories but ids or numbers."""


def collect_contexts(sources: Sequence[Source], columns: Sequence[str]) -> tuple[Context, ...]:
    """The distinct values of some columns over all sources, sorted.

    Raises
    ------
    InputFileError
        If a source cannot be read, or a column holds no value, or too many.
    """
    found: dict[str, set[str]] = {name: set() for name in columns}
    for source in sources:
        for records in source.read(columns):
            for name, values in found.items():
                values.update(pc.unique(ids_as_text(records.table[name])).drop_null().to_pylist())
                if len(values) > MAX_VALUES:
                    raise InputFileError(
                        f"context column {name!r} holds more than {MAX_VALUES:,} distinct values",
                        str(source.file),
                        "name a column of categories, as cell lines, in context_columns",
                    )
    for name, values in found.items():
        if not values:
            raise InputFileError(
                f"context column {name!r} holds no value",
                ", ".join(str(source.file) for source in sources),
                "name another one in context_columns",
            )
    return tuple(Context(column=name, values=tuple(sorted(values))) for name, values in found.items())


class ContextEncoder:
    """Columns of the vocabulary that the contexts of records set: one for each context.

    Parameters
    ----------
    features:
        With the values of the contexts; without any, rows are compounds and nothing is encoded.
    """

    def __init__(self, features: FeatureSpec) -> None:
        self._contexts = features.contexts if isinstance(features, OnBitFeatures) else ()
        self._width = features.width
        self._first = self._width - sum(context.width for context in self._contexts)
        self._values = [pa.array(context.values, pa.string()) for context in self._contexts]

    def __len__(self) -> int:
        return len(self._contexts)

    def encode(self, table: pa.Table) -> tuple[NDArray[np.int64], dict[int, str]]:
        """On-bits of n records, int64, shape (n, contexts), and why some have none (-1), by index."""
        bits = np.full((len(table), len(self)), -1, np.int64)
        problems: dict[int, str] = {}
        start = self._first
        for place, (context, known) in enumerate(zip(self._contexts, self._values, strict=True)):
            values = ids_as_text(table[context.column])
            codes = pc.index_in(values, value_set=known, skip_nulls=True).fill_null(-1).to_numpy()
            bits[:, place] = np.where(codes < 0, -1, start + codes)
            for index in np.flatnonzero(codes < 0).tolist():
                value = values[index].as_py()
                problems.setdefault(
                    index,
                    f"no value in context column {context.column}"
                    if value is None
                    else f"unknown value of context column {context.column}: {value!r}",
                )
            start += context.width
        return bits, problems

    def append(self, fingerprints: OnBits, bits: NDArray[np.int64]) -> OnBits:
        """Fingerprints of n structures with the contexts (n, contexts) behind them; all on-bits ascend within a row."""
        if not len(self):
            return fingerprints
        dtype = on_bit_dtype(self._width)
        behind = np.repeat(fingerprints.offsets[1:], len(self))
        values = np.insert(fingerprints.values.astype(dtype), behind, bits.ravel().astype(dtype))
        return OnBits(values, fingerprints.offsets + len(self) * np.arange(len(fingerprints) + 1), self._width)

    def split(self, features: OnBits) -> tuple[OnBits, NDArray[np.int64]]:
        """Undo `append`: the fingerprints, and the contexts (n, contexts) behind them."""
        places = features.offsets[1:, None] - np.arange(len(self), 0, -1)
        is_fingerprint = np.ones(len(features.values), np.bool_)
        is_fingerprint[places] = False
        width = self._first
        values = features.values[is_fingerprint].astype(on_bit_dtype(width))
        offsets = features.offsets - len(self) * np.arange(len(features) + 1)
        return OnBits(values, offsets, width), features.values[places].astype(np.int64)

    def paired(self, hashes: NDArray[np.uint64], bits: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Hashes of pairs, uint64, shape (n, 2), from those of their compounds (n, 2) and their contexts."""
        if not len(self):
            return hashes
        return hash_keys(row.tobytes() for row in np.hstack([hashes, bits.astype(np.uint64)]))
